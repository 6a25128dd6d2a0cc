"""Photos that went wrong: blurred, too dark, overexposed; and each a little, which is still a good photo."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageFilter

from tests.overlays.drawn import Drawn, Family

BLUR = (0.012, 0.025)  # radius, of the longer side: letters and seams are gone
SOFT = (0.0005, 0.0015)  # of a cheap camera
DARK = (0.015, 0.05)  # mean grey that is left
DIM = (0.14, 0.24)
BURNT = (0.55, 0.75)  # share of the picture that turns white
_GROUND = frozenset({Family.NOT_WHITE})  # white ground is grey then; nobody says what it is


def blurred(picture: Image.Image, rng: random.Random) -> Drawn:
    radius = rng.uniform(*BLUR) * max(picture.size)
    return Drawn(picture.filter(ImageFilter.GaussianBlur(radius)), frozenset({Family.BLURRED}), "blurred")


def soft(picture: Image.Image, rng: random.Random) -> Drawn:
    return Drawn(picture.filter(ImageFilter.GaussianBlur(rng.uniform(*SOFT) * max(picture.size))), detail="soft")


def dark(picture: Image.Image, rng: random.Random) -> Drawn:
    return Drawn(
        _dimmed(picture, rng.uniform(*DARK)), frozenset({Family.DARK}), "dark", unsure=_GROUND | {Family.BLURRED}
    )


def dim(picture: Image.Image, rng: random.Random) -> Drawn:
    return Drawn(_dimmed(picture, rng.uniform(*DIM)), detail="dim", unsure=_GROUND)


def overexposed(picture: Image.Image, rng: random.Random) -> Drawn:
    """Multiplied until so much is white."""
    pixels = np.asarray(picture, dtype=np.float64)
    brightest = np.quantile(pixels.min(axis=2), 1 - rng.uniform(*BURNT))
    burnt = np.clip(pixels * (255 / max(8.0, brightest)), 0, 255).astype(np.uint8)
    return Drawn(
        Image.fromarray(burnt), frozenset({Family.OVEREXPOSED}), "overexposed", unsure=frozenset({Family.BLURRED})
    )


def _dimmed(picture: Image.Image, target: float) -> Image.Image:
    pixels = np.asarray(picture, dtype=np.float64)
    return Image.fromarray((pixels * min(1.0, 255 * target / max(1.0, pixels.mean()))).round().astype(np.uint8))
