"""Promotional badges: bursts, discs and ribbons with a discount, rows of stars."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from tests.overlays import ink
from tests.overlays.drawn import Drawn, Family

TEXTS = (
    "-50 %",
    "-30%",
    "SALE",
    "NEW",
    "BEST SELLER",
    "TOP DEAL",
    "FREE SHIPPING",
    "2 FOR 1",
    "HOT",
    "SOLDES",
    "RABATT",
)
SIDES = (0.2, 0.32)  # of the picture's shorter side
_COLOURS: tuple[ink.Colour, ...] = ((214, 30, 40), (240, 128, 20), (20, 120, 60), (30, 60, 170), (20, 20, 20))
_SCALE = 3  # drawn larger, then reduced


def badge(picture: Image.Image, rng: random.Random) -> Drawn:
    """In a corner."""
    shape = rng.choice(("disc", "burst", "ribbon", "stars"))
    side = round(rng.uniform(*SIDES) * min(picture.size))
    colour = rng.choice(_COLOURS)
    text = "" if shape == "stars" else rng.choice(TEXTS)
    piece = _stars(side, rng) if shape == "stars" else _plate(shape, side, colour, text)
    x, y = piece.width / picture.width / 2 + 0.02, piece.height / picture.height / 2 + 0.02
    centre = (rng.choice((x, 1 - x)), rng.choice((y, 1 - y)))
    families = frozenset({Family.ADDED_TEXT}) if text else frozenset()
    unsure = frozenset() if text else frozenset({Family.ADDED_TEXT})  # stars are no text, and no less added
    return Drawn(ink.paste(picture, piece, centre), families, shape, text, unsure)


def _plate(shape: str, side: int, colour: ink.Colour, text: str) -> Image.Image:
    big = side * _SCALE
    high = big // 3 if shape == "ribbon" else big
    made = Image.new("RGBA", (big, high))
    pen = ImageDraw.Draw(made)
    if shape == "ribbon":
        pen.rectangle((0, 0, big, high), fill=(*colour, 255))
    elif shape == "disc":
        pen.ellipse((0, 0, big - 1, big - 1), fill=(*colour, 255))
    else:
        pen.polygon(_star(big / 2, 14, 0.84), fill=(*colour, 255))
    how = ink.Style("DejaVuSans-Bold", (255, 255, 255), None, None)
    letters = ink.stamp(text, how, ink.size_for(text, how.font, 0.3 * high, 0.74 * big))
    made.alpha_composite(letters, ((big - letters.width) // 2, (high - letters.height) // 2))
    return made.resize((side, max(1, high // _SCALE)), Image.Resampling.LANCZOS)


def _stars(side: int, rng: random.Random) -> Image.Image:
    """Five in a row."""
    big = side * _SCALE // 2
    made = Image.new("RGBA", (5 * big, big))
    colour = rng.choice(((255, 190, 0), (230, 120, 0)))
    for place in range(5):
        points = [(x + place * big, y) for x, y in _star(big / 2, 5, 0.42)]
        ImageDraw.Draw(made).polygon(points, fill=(*colour, 255))
    return made.resize((made.width // _SCALE, max(1, big // _SCALE)), Image.Resampling.LANCZOS)


def _star(radius: float, points: int, inner: float) -> list[tuple[float, float]]:
    turns = [math.pi * place / points - math.pi / 2 for place in range(2 * points)]
    return [
        (
            radius + radius * (inner if place % 2 else 1) * math.cos(turn),
            radius + radius * (inner if place % 2 else 1) * math.sin(turn),
        )
        for place, turn in enumerate(turns)
    ]
