"""Lettering on photos, legible within stated bounds, in fonts that come with matplotlib's wheel."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

# The bounds of legibility. Below them people cannot read what is written either, at the size shops show photos.
CAPITALS = (0.05, 0.11)  # height of a capital, share of the picture's height
SMALLEST_CAPITAL = 14  # px; too small a photo gets larger letters
LONGEST = 0.92  # of the picture's width; a longer line is set smaller
TURN = 6.0  # degrees either way
FAMILIES = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono-Bold", "DejaVuSerif-Bold")
_DARK: tuple[Colour, ...] = ((10, 10, 12), (30, 30, 90), (130, 10, 20), (20, 70, 30))
_LIGHT: tuple[Colour, ...] = ((255, 255, 255), (250, 240, 200), (255, 225, 60))


@dataclass(frozen=True)
class Style:
    """plate: a colour behind the text. outline: one around the letters. alpha: 0 to 255."""

    font: str
    ink: Colour
    plate: Colour | None
    outline: Colour | None
    alpha: int = 255


@cache
def font_folder() -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@lru_cache(maxsize=400)
def font(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    file = font_folder() / f"{name}.ttf"
    return ImageFont.truetype(str(file), pixels, layout_engine=ImageFont.Layout.BASIC)


def style(rng: random.Random) -> Style:
    """Always one that stands out: a plate, or letters with an outline of the opposite lightness."""
    dark, light = rng.choice(_DARK), rng.choice(_LIGHT)
    ink, other = (dark, light) if rng.random() < 0.5 else (light, dark)
    plated = rng.random() < 0.5
    return Style(rng.choice(FAMILIES), ink, other if plated else None, None if plated else other)


def size_for(text: str, name: str, capital: float, most: float) -> int:
    """The font's size in pixels for capitals of that height; smaller where the line would be longer than `most`."""
    probe = font(name, 100)
    _, top, _, bottom = probe.getbbox("H")
    size = 100 * capital / (bottom - top)
    return max(6, int(min(size, 100 * most / max(1.0, probe.getlength(text)))))


def stamp(text: str, how: Style, pixels: int) -> Image.Image:
    """The line as RGBA, tight around it."""
    chosen = font(how.font, pixels)
    stroke = max(1, pixels // 14) if how.outline else 0
    left, top, right, bottom = (int(edge) for edge in chosen.getbbox(text, stroke_width=stroke))
    pad = pixels // 4
    size = (right - left + 2 * pad, bottom - top + 2 * pad)
    made = Image.new("RGBA", size, (*how.plate, how.alpha) if how.plate else (*how.ink, 0))
    outline = (*how.outline, how.alpha) if how.outline else None
    place = (pad - left, pad - top)
    ink = (*how.ink, how.alpha)
    ImageDraw.Draw(made).text(place, text, font=chosen, fill=ink, stroke_width=stroke, stroke_fill=outline)
    return made


def paste(picture: Image.Image, what: Image.Image, centre: tuple[float, float], degrees: float = 0.0) -> Image.Image:
    """A copy of the picture with an RGBA piece on it; `centre` in shares of width and height."""
    piece = what.rotate(degrees, Image.Resampling.BICUBIC, expand=True) if degrees else what
    out = picture.copy()
    place = (round(centre[0] * out.width - piece.width / 2), round(centre[1] * out.height - piece.height / 2))
    out.paste(piece, place, piece)
    return out


def write(picture: Image.Image, text: str, rng: random.Random, y: float | None = None) -> Image.Image:
    """One line somewhere in the upper or lower third, turned a little as often as not."""
    how = style(rng)
    capital = max(SMALLEST_CAPITAL, rng.uniform(*CAPITALS) * picture.height)
    made = stamp(text, how, size_for(text, how.font, capital, 0.86 * LONGEST * picture.width))
    half = made.width / picture.width / 2
    x = rng.uniform(half, 1 - half) if half < 0.5 else 0.5
    degrees = rng.uniform(-TURN, TURN) if rng.random() < 0.5 and half < 0.4 else 0.0
    height = y if y is not None else rng.choice((rng.uniform(0.08, 0.28), rng.uniform(0.72, 0.92)))
    return paste(picture, made, (x, height), degrees)
