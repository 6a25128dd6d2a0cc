"""Pieces: a generated answer cut into runs of text, places and marks, before any task's grammar is applied.

The engine cuts by token number (`vocabulary.py`), where a `<` that was read in a photo can never look like a place.
`pieces_of` cuts a string, for answers that were kept as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

PLACES = 1000  # <loc_0> … <loc_999>
MARKS = frozenset({"<poly>", "</poly>", "<sep>"})

# Dropped wherever they stand: frame and padding tokens, and the structure tokens of Florence-2's vocabulary.
FRAME = ("<s>", "</s>", "<pad>", "<unk>", "<mask>", "<image>")
STRUCTURE_NAMES = (
    *("od", "ocr", "cap", "ncap", "dcap", "grounding", "seg", "proposal", "region_cap"),
    "region_to_desciption",  # spelt so in the vocabulary
)
STRUCTURE = ("<and>", *(f"<{slash}{name}>" for name in STRUCTURE_NAMES for slash in ("", "/")))

_TOKEN = re.compile(
    r"<loc_(?P<place>0|[1-9][0-9]{0,2})>|(?P<mark>"
    + "|".join(map(re.escape, sorted(MARKS)))
    + ")|"
    + "|".join(map(re.escape, [*FRAME, *STRUCTURE]))
)


class Kind(Enum):
    TEXT = "text"
    PLACE = "place"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of text, one place or one mark.

    text: the words, or the token as written. place: 0..999, or -1. steps: half-open range of the decoding steps
    that made it, as indices into the row's log-probabilities (0, 0 when it was cut from a string).
    """

    kind: Kind
    text: str
    place: int = -1
    steps: tuple[int, int] = (0, 0)


def text_piece(text: str, steps: tuple[int, int] = (0, 0)) -> Piece:
    return Piece(Kind.TEXT, text, steps=steps)


def place_piece(place: int, steps: tuple[int, int] = (0, 0)) -> Piece:
    return Piece(Kind.PLACE, f"<loc_{place}>", place, steps)


def mark_piece(mark: str, steps: tuple[int, int] = (0, 0)) -> Piece:
    return Piece(Kind.MARK, mark, steps=steps)


def pieces_of(raw: str) -> list[Piece]:
    """Cut a raw answer as `tokenizer.decode(..., skip_special_tokens=False)` writes it. Never raises."""
    pieces: list[Piece] = []
    end = 0
    for match in _TOKEN.finditer(raw):
        if match.start() > end:
            pieces.append(text_piece(raw[end : match.start()]))
        end = match.end()
        if match["place"] is not None:
            pieces.append(place_piece(int(match["place"])))
        elif match["mark"] is not None:
            pieces.append(mark_piece(match["mark"]))
    if end < len(raw):
        pieces.append(text_piece(raw[end:]))
    return pieces
