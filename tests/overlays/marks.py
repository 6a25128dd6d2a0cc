"""Watermarks: the same words over the whole picture, one line across it, a mark in a corner; half transparent."""

from __future__ import annotations

import random

from PIL import Image

from tests.overlays import ink
from tests.overlays.drawn import Drawn, Family

OPACITY = (0.3, 0.6)  # fainter ones are seen by people and by no reader here
NAMES = ("LUMEO STUDIO", "Maison Verte", "PHOTO KOBER", "shop4trends", "BIG BAZAAR", "Atelier Nord")
OWNERS = ("© Jane Doe 2026", "© Foto Kober", "photo by J. Doe", "Alle Rechte vorbehalten", "© shop4trends")


def tiled(picture: Image.Image, rng: random.Random) -> Drawn:
    """Level or at a slant, in rows."""
    text = rng.choice(NAMES)
    piece = _piece(text, rng, 0.045 * picture.height, 0.42 * picture.width)
    degrees = rng.choice((0.0, 30.0, -30.0))
    out = picture
    for row in range(4):
        for column in range(2):
            out = ink.paste(out, piece, (0.27 + 0.46 * column, 0.14 + 0.24 * row), degrees)
    return _marked(out, "tiled, level" if not degrees else "tiled, slanted", text)


def diagonal(picture: Image.Image, rng: random.Random) -> Drawn:
    """One line from corner to corner."""
    text = rng.choice(NAMES)
    piece = _piece(text, rng, 0.11 * picture.height, 0.85 * min(picture.size))
    return _marked(ink.paste(picture, piece, (0.5, 0.5), rng.choice((1, -1)) * rng.uniform(25, 45)), "diagonal", text)


def corner(picture: Image.Image, rng: random.Random) -> Drawn:
    """Whose photo it is."""
    text = rng.choice(OWNERS)
    piece = _piece(text, rng, max(ink.SMALLEST_CAPITAL, 0.05 * picture.height), 0.6 * picture.width)
    x, y = piece.width / picture.width / 2 + 0.02, piece.height / picture.height / 2 + 0.02
    return _marked(ink.paste(picture, piece, (rng.choice((x, 1 - x)), 1 - y)), "corner", text)


def _piece(text: str, rng: random.Random, capital: float, most: float) -> Image.Image:
    alpha = round(255 * rng.uniform(*OPACITY))
    light = rng.random() < 0.5
    ink_, other = ((255, 255, 255), (60, 60, 60)) if light else ((40, 40, 40), (230, 230, 230))
    how = ink.Style("DejaVuSans-Bold", ink_, None, other, alpha)
    return ink.stamp(text, how, ink.size_for(text, how.font, capital, most))


def _marked(picture: Image.Image, detail: str, text: str) -> Drawn:
    return Drawn(picture, frozenset({Family.WATERMARK, Family.ADDED_TEXT}), detail, text)
