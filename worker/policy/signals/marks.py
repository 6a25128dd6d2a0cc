"""Signals that put text, its geometry and pixels together: marks like a watermark, and pictures that are placeholders.

They are hints for a person. Geometry cannot tell a watermark from a brand's own print that repeats, and a faint mark
that no reader reads is not found at all; tests/moderation_report/REPORT.md says how many are found and how many missed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from domain.observations import Quad, TextLine
from worker.policy.signals.registry import SHARE, Field, Item, Kind, signal
from worker.policy.signals.subject import MOST_ITEMS, Subject
from worker.policy.signals.writing import READER, is_print, quad_area
from worker.policy.words.normalise import squeeze

REPEATS = 3  # lines that say the same
SHORTEST = 3  # letters; sizes and prices repeat honestly
SLANT = (15.0, 75.0)  # degrees off the horizontal or, beyond 90, off the vertical
LONG = 0.35  # of the picture's diagonal
BLANK_CONTRAST = 0.01  # standard deviation of grey; below it there is nothing to see

WATERMARK_WORDS = (
    *("watermark", "shutterstock", "gettyimages", "getty images", "istock", "istockphoto", "alamy", "depositphotos"),
    *("dreamstime", "123rf", "adobe stock", "adobestock", "fotolia", "bigstock", "freepik", "vecteezy"),
    *("all rights reserved", "alle rechte vorbehalten", "tous droits reserves", "todos los derechos reservados"),
    *("photo by", "foto von", "photo de", "foto de", "sample only", "preview only", "do not copy"),
)
PLACEHOLDER_WORDS = (
    *("no image", "no photo", "no picture", "image not available", "image unavailable", "photo not available"),
    *("image coming soon", "photo coming soon", "picture coming soon", "image not found", "awaiting image"),
    *("kein bild", "kein foto", "bild nicht verfugbar", "bild folgt", "foto folgt", "bild in kurze"),
    *("pas d image", "pas de photo", "image non disponible", "photo non disponible", "image a venir", "photo a venir"),
    *("sin imagen", "sin foto", "imagen no disponible", "foto no disponible", "imagen proximamente"),
)
MARK = Item(
    "mark",
    (
        Field("sign", Kind.TEXT, "", "words, repeated or slanted"),
        Field("text", Kind.TEXT, "", "as read"),
        Field("quad", Kind.NUMBERS, "px", "corners x, y clockwise from the text's top left"),
        Field("share", Kind.NUMBER, SHARE, "of the picture's area"),
        READER,
    ),
)
PLACEHOLDER = Item(
    "placeholder",
    (
        Field("sign", Kind.TEXT, "", "words, or blank for a picture of nothing"),
        Field("text", Kind.TEXT, "", "as read, or empty"),
    ),
)


@signal(MARK, many=True, cost=90)
def watermarks(subject: Subject) -> list[dict[str, Any]]:
    """Lines, as any reader read them, that look like a watermark: an agency's words, the same three times, a slant."""
    return [mark for reader, lines in _by_reader(subject) for mark in _marks(reader, lines, subject)]


@signal(PLACEHOLDER, many=True, cost=90)
def placeholder(subject: Subject) -> list[dict[str, Any]]:
    """Signs that the picture stands in for one that is missing; icons without words belong into a bank of hashes."""
    found = [
        {"sign": "words", "text": line.text}
        for _, lines in _by_reader(subject)
        for line in lines
        if _holds(squeeze(line.text), PLACEHOLDER_WORDS)
    ]
    if subject.photo.pixels.contrast < BLANK_CONTRAST:
        found.append({"sign": "blank", "text": ""})
    return found


def _by_reader(subject: Subject) -> list[tuple[str, Sequence[TextLine]]]:
    """Each reader's lines by themselves: what two read of one line is no repetition."""
    seen = subject.seen
    second = seen.second_reading.reader if seen.second_reading else ""
    return [(seen.text_reader, seen.lines[:MOST_ITEMS]), (second, seen.second_lines[:MOST_ITEMS])]


def _marks(reader: str, lines: Sequence[TextLine], subject: Subject) -> list[dict[str, Any]]:
    plain = [squeeze(line.text) for line in lines]
    often = _repeated(plain)
    found = []
    for line, words in zip(lines, plain, strict=True):
        if sign := _sign(line, words, often, subject):
            share = round(min(1.0, quad_area(line.quad) / subject.area), 6)
            place = {"quad": list(line.quad), "share": share, "reader": reader}
            found.append({"sign": sign, "text": line.text, **place})
    return found


def _sign(line: TextLine, words: str, often: frozenset[str], subject: Subject) -> str:
    if _holds(words, WATERMARK_WORDS) or "©" in line.text:
        return "words"
    if words in often:
        return "repeated"
    if not is_print(line.text):
        return ""
    width, height = _size(line.quad)
    long = max(width, height) >= LONG * math.hypot(subject.seen.width, subject.seen.height)
    return "slanted" if long and SLANT[0] <= _slant(line.quad) % 90 <= SLANT[1] else ""


def _repeated(plain: Sequence[str]) -> frozenset[str]:
    counts: dict[str, int] = defaultdict(int)
    for words in plain:
        counts[words] += sum(char.isalpha() for char in words) >= SHORTEST
    return frozenset(words for words, count in counts.items() if count >= REPEATS)


def _holds(words: str, phrases: Sequence[str]) -> bool:
    """Whole words only: "no image" is not in "casino images"."""
    padded = f" {words} "
    return any(f" {phrase} " in padded for phrase in phrases)


def _slant(quad: Quad) -> float:
    """Degrees of the text's top edge off the horizontal, 0 to 180."""
    return math.degrees(math.atan2(quad[3] - quad[1], quad[2] - quad[0])) % 180


def _size(quad: Quad) -> tuple[float, float]:
    along = math.hypot(quad[2] - quad[0], quad[3] - quad[1])
    return along, math.hypot(quad[4] - quad[2], quad[5] - quad[3])
