"""How a photo is laid out: collages and insets, the ground it stands on, how large the product is in it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from PIL import Image

from tests.overlays.drawn import Drawn, Family

GUTTER = (0.012, 0.04)  # of the longer side
GRIDS = ((2, 1), (1, 2), (2, 2), (3, 1), (1, 3))
SIDE = 720
LARGE, SMALL = (0.78, 0.95), (0.2, 0.42)  # longer side of the product, share of the picture's
OFF_WHITE = (228, 246)  # levels; five from white are still white


def collage(pictures: Sequence[Image.Image], rng: random.Random) -> Drawn:
    """Two to four photos in a grid, mostly with gutters between."""
    columns, rows = rng.choice(GRIDS)
    colour = rng.choice(((255, 255, 255), (255, 255, 255), (0, 0, 0), (200, 30, 40)))
    gutter = round(rng.uniform(*GUTTER) * SIDE) if rng.random() < 0.8 else 0
    cell = ((SIDE - gutter * (columns - 1)) // columns, (SIDE - gutter * (rows - 1)) // rows)
    out = Image.new("RGB", (cell[0] * columns + gutter * (columns - 1), cell[1] * rows + gutter * (rows - 1)), colour)
    for place in range(columns * rows):
        x, y = place % columns, place // columns
        out.paste(_filling(pictures[place % len(pictures)], cell), (x * (cell[0] + gutter), y * (cell[1] + gutter)))
    detail = f"gutters {'white' if min(colour) == 255 else 'coloured'}" if gutter else "without gutters"
    return Drawn(out, frozenset({Family.COLLAGE}), detail)


def inset(pictures: Sequence[Image.Image], rng: random.Random) -> Drawn:
    """A second photo in a corner of the first."""
    out = pictures[0].copy()
    side = round(rng.uniform(0.25, 0.36) * min(out.size))
    small = Image.new("RGB", (side + 8, side + 8), (255, 255, 255))
    small.paste(_filling(pictures[1], (side, side)), (4, 4))
    place = (rng.choice((8, out.width - side - 16)), rng.choice((8, out.height - side - 16)))
    out.paste(small, place)
    return Drawn(out, frozenset({Family.COLLAGE}), "inset")


def together(cut_outs: Sequence[Image.Image], _rng: random.Random) -> Drawn:
    """Two goods side by side on one white ground: a set, not a collage."""
    out = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    for place, one in enumerate(cut_outs[:2]):
        small = _fitting(one, SIDE // 2 - 20)
        out.paste(small, (10 + place * SIDE // 2, (SIDE - small.height) // 2))
    return Drawn(out, detail="a set on one ground")


def resized_on_white(cut_out: Image.Image, rng: random.Random, *, small: bool) -> Drawn:
    """A product on white at a size that is known."""
    product = cut_out.crop(bounds(cut_out))
    out = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    one = _fitting(product, round(rng.uniform(*(SMALL if small else LARGE)) * SIDE))
    out.paste(one, ((SIDE - one.width) // 2, (SIDE - one.height) // 2))
    return Drawn(out, frozenset({Family.SMALL} if small else ()), "small" if small else "large")


def tinted_ground(cut_out: Image.Image, rng: random.Random) -> Drawn:
    """White that is not quite white, as lamps leave it: the whole picture a little darker."""
    level = rng.randint(*OFF_WHITE)
    pixels = np.asarray(cut_out, dtype=np.float64) * level / 255
    return Drawn(Image.fromarray(pixels.round().astype(np.uint8)), frozenset({Family.NOT_WHITE}), "off white")


def coloured_ground(cut_out: Image.Image, rng: random.Random) -> Drawn:
    """A product on a paper of one colour: no border, and no white."""
    colour = np.array(rng.choice(((90, 120, 160), (200, 180, 150), (40, 40, 44), (170, 60, 70))), dtype=np.float64)
    pixels = np.asarray(cut_out, dtype=np.float64) * colour / 255
    return Drawn(Image.fromarray(pixels.round().astype(np.uint8)), frozenset({Family.NOT_WHITE}), "coloured")


def pale(cut_out: Image.Image, rng: random.Random) -> Drawn:
    """A pale product on white: most of its contrast taken away."""
    kept = rng.uniform(0.2, 0.35)
    pixels = 255 - (255 - np.asarray(cut_out, dtype=np.float64)) * kept
    return Drawn(Image.fromarray(pixels.round().astype(np.uint8)), detail="pale", unsure=frozenset({Family.BLURRED}))


def bounds(cut_out: Image.Image) -> tuple[int, int, int, int]:
    """Around what is not white."""
    ink = (np.asarray(cut_out).min(axis=2) < 250).nonzero()
    if not ink[0].size:
        return (0, 0, *cut_out.size)
    return int(ink[1].min()), int(ink[0].min()), int(ink[1].max()) + 1, int(ink[0].max()) + 1


def _fitting(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _filling(picture: Image.Image, cell: tuple[int, int]) -> Image.Image:
    """Cropped in the middle to the cell's shape."""
    scale = max(cell[0] / picture.width, cell[1] / picture.height)
    width, height = cell[0] / scale, cell[1] / scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    return picture.resize(cell, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
