"""What Python takes for text and neither UTF-8 nor a database does."""

from __future__ import annotations


def has_lone_surrogate(text: str) -> bool:
    """Whether half of a surrogate pair stands alone, as JSON's escapes allow; it cannot be encoded."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
