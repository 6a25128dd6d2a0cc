"""Borders and bars around the photo; and what looks like them: vignettes, frames in the scene, plain ground."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw

from tests.overlays.drawn import Drawn, Family

THICKNESS = (0.015, 0.07)  # of the shorter side
_COLOURS = ((0, 0, 0), (200, 30, 40), (30, 70, 180), (240, 200, 40), (30, 120, 60), (120, 120, 120))


def border(picture: Image.Image, rng: random.Random) -> Drawn:
    """Plain, with a second line inside, or with round corners."""
    detail = rng.choice(("plain", "plain", "double line", "round corners"))
    colour, thick = rng.choice(_COLOURS), _thick(picture, rng)
    out = picture.copy()
    pen = ImageDraw.Draw(out)
    width, height = out.size
    if detail == "round corners":
        inner = Image.new("L", out.size)
        place = (thick, thick, width - thick - 1, height - thick - 1)
        ImageDraw.Draw(inner).rounded_rectangle(place, 2 * thick, fill=255)
        out = Image.composite(out, Image.new("RGB", out.size, colour), inner)
    else:
        pen.rectangle((0, 0, width - 1, height - 1), outline=colour, width=thick)
    if detail == "double line":
        inset = 2 * thick
        pen.rectangle((inset, inset, width - 1 - inset, height - 1 - inset), outline=colour, width=max(2, thick // 3))
    return Drawn(out, frozenset({Family.FRAME}), detail)


def white_border(picture: Image.Image, rng: random.Random) -> Drawn:
    out = picture.copy()
    ImageDraw.Draw(out).rectangle(
        (0, 0, out.width - 1, out.height - 1), outline=(255, 255, 255), width=_thick(out, rng)
    )
    return Drawn(out, frozenset({Family.FRAME}), "white")


def bars(picture: Image.Image, rng: random.Random) -> Drawn:
    """Above and below, or left and right, as phones add them."""
    share, colour = rng.uniform(0.05, 0.15), rng.choice(((0, 0, 0), (255, 255, 255)))
    width, height = picture.size
    upright = rng.random() < 0.5
    side = (width, round(height * (1 + 2 * share))) if upright else (round(width * (1 + 2 * share)), height)
    out = Image.new("RGB", side, colour)
    out.paste(picture, ((out.width - width) // 2, (out.height - height) // 2))
    return Drawn(out, frozenset({Family.FRAME}), "bars, black" if colour == (0, 0, 0) else "bars, white")


def vignette(picture: Image.Image, rng: random.Random) -> Drawn:
    """Corners grow darker or lighter; no border."""
    height, width = picture.height, picture.width
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    far = np.clip((np.hypot(x, y) - 0.6) / 0.9, 0, 1)[..., None] * rng.uniform(0.5, 0.9)
    toward = rng.choice((0.0, 255.0))
    pixels = np.asarray(picture, dtype=np.float64) * (1 - far) + toward * far
    return Drawn(Image.fromarray(pixels.round().astype(np.uint8)), frozenset(), "dark" if not toward else "light")


def frame_in_scene(picture: Image.Image, rng: random.Random) -> Drawn:
    """Something framed hangs on a wall: the photo shrunk, with a frame, on a textured ground."""
    grain = np.random.default_rng(rng.getrandbits(32)).normal(0, 9, (picture.height, picture.width, 1))
    base = np.array(rng.choice(((190, 180, 165), (120, 140, 150), (90, 70, 60))), dtype=np.float64)
    wall = Image.fromarray(np.clip(base + grain, 0, 255).astype(np.uint8))
    share = rng.uniform(0.5, 0.7)
    small = picture.resize((round(share * picture.width), round(share * picture.height)), Image.Resampling.LANCZOS)
    left, top = round(0.15 * picture.width), round(0.13 * picture.height)
    edge = max(3, round(0.03 * min(small.size)))
    place = (left - edge, top - edge, left + small.width + edge, top + small.height + edge)
    ImageDraw.Draw(wall).rectangle(place, fill=(40, 25, 15))
    wall.paste(small, (left, top))
    return Drawn(wall, frozenset(), "a frame in the scene", unsure=frozenset({Family.COLLAGE}))


def _thick(picture: Image.Image, rng: random.Random) -> int:
    return max(3, round(rng.uniform(*THICKNESS) * min(picture.size)))
