"""Drawn: a picture with what was added to it and what that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from PIL import Image


class Family(StrEnum):
    """What rules look for. The value is how the report calls it."""

    CONTACT = "contact details"
    COUNTERFEIT = "words: counterfeit"
    DRUGS = "words: drugs"
    ABUSE = "words: abuse"
    ADDED_TEXT = "added text, badges"
    WATERMARK = "watermark"
    CODE = "QR and other codes"
    FRAME = "border"
    NOT_WHITE = "background not white"
    SMALL = "product too small"
    BLURRED = "blurred"
    DARK = "too dark"
    OVEREXPOSED = "overexposed"
    COLLAGE = "collage"
    PROHIBITED = "prohibited or restricted goods"
    CONTRADICTION = "listing contradicts picture"


WORDS = {"counterfeit": Family.COUNTERFEIT, "drugs": Family.DRUGS, "abuse": Family.ABUSE}


@dataclass(frozen=True)
class Drawn:
    """families: what the picture has. unsure: what nobody can say of it; not counted. detail: how it was varied."""

    picture: Image.Image
    families: frozenset[Family] = frozenset()
    detail: str = ""
    text: str = ""
    unsure: frozenset[Family] = frozenset()
