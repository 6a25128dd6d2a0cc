"""Background and foreground without a model: a flood from the picture's edge over the edge's main colours.

It answers for product shots on plain ground. On busy scenes it finds little background and says so (`plain`), and then
"foreground" means no more than "not that". Ground that is enclosed by the product, and shadows that are far from the
ground's colour, count as foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.inspection import Background, Foreground, Rgb

STRIP = 2  # pixels of the edge that say what colour the ground has
LIKE = 24  # levels; of the ground's colour if no channel is farther from it
MAIN_COLOURS = 4  # ground may be two walls and a table, and a product may be cropped
MAIN_SHARE = 0.10  # of the strip; a colour with less is no ground
WHITE_TOLERANCE = 5  # levels
# Pixels beside the product that say nothing about the ground: blended outlines, and what JPEG's blocks of 8 spread
# around them (at 256 px of a photo twice as large). With them, two of five small cut-outs on pure white were not white.
OUTLINE = 4
MOST_ROUNDS = 64  # of joining pieces; a maze made to take longer is measured in more pieces than it has
Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Regions:
    """ground: the mask behind the two descriptions."""

    background: Background
    foreground: Foreground
    ground: Mask


def find_regions(picture: Pixels) -> Regions:
    """Of an RGB picture, (height, width, 3), some 256 pixels a side."""
    strip = _strip_mask(picture.shape[:2])
    like = _like_edge(picture, picture[strip])
    ground = _touching_edge(like)
    return Regions(_background(picture, ground, strip), _foreground(~ground), ground)


def components(mask: Mask) -> NDArray[np.intp]:
    """A label for each pixel of the mask, equal where pixels are connected (4 neighbours); -1 outside it.

    Labels travel along whole rows and columns in turn, and then jump to the label of the pixel they name, so that the
    number of rounds grows with the logarithm of a shape's winding.
    """
    height, width = mask.shape
    places = np.flatnonzero(mask)
    out = np.full(mask.size, -1, dtype=np.intp)
    if not places.size:
        return out.reshape(mask.shape)
    across = _runs(places, width)
    by_column = np.argsort(places % width * height + places // width, kind="stable")
    turned = (places % width * height + places // width)[by_column]
    down = _runs(turned, height)
    labels = np.arange(places.size)
    for _ in range(MOST_ROUNDS):
        before = labels
        labels = _smallest(labels, across)
        labels[by_column] = _smallest(labels[by_column], down)
        labels = labels[labels]
        if np.array_equal(before, labels):
            break
    out[places] = labels
    return out.reshape(mask.shape)


def _runs(places: NDArray[np.intp], length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Starts and lengths of unbroken stretches within lines of this length."""
    broken = (np.diff(places) != 1) | (places[1:] % length == 0)
    starts = np.concatenate([[0], np.flatnonzero(broken) + 1])
    return starts, np.diff(np.concatenate([starts, [places.size]]))


def _smallest(labels: NDArray[np.intp], runs: tuple[NDArray[np.intp], NDArray[np.intp]]) -> NDArray[np.intp]:
    starts, lengths = runs
    return np.repeat(np.minimum.reduceat(labels, starts), lengths)


def _strip_mask(shape: tuple[int, ...]) -> Mask:
    strip = np.ones(shape, dtype=np.bool_)
    strip[STRIP:-STRIP, STRIP:-STRIP] = False
    return strip


def _like_edge(picture: Pixels, edge: Pixels) -> Mask:
    """Pixels in the colours that the edge is mostly made of."""
    like = np.zeros(picture.shape[:2], dtype=np.bool_)
    corners = np.array([picture[y, x] for y in (1, -2) for x in (1, -2)], dtype=np.int16)
    left = edge.astype(np.int16)
    for _ in range(MAIN_COLOURS):
        if left.shape[0] < MAIN_SHARE * edge.shape[0]:
            break
        colour = _most_frequent(left)
        near = _near(left, colour)
        if near.sum() < MAIN_SHARE * edge.shape[0]:
            break
        if _near(corners, colour).any():  # a product that is cropped crosses an edge, hardly ever a corner
            like |= _near(picture.astype(np.int16), colour)
        left = left[~near]
    return like


def _most_frequent(pixels: NDArray[np.int16]) -> NDArray[np.int16]:
    """The median of the pixels in the fullest of 512 colour bins."""
    bins = (pixels >> 5) @ np.array([64, 8, 1], dtype=np.int16)
    fullest = pixels[bins == np.bincount(bins, minlength=512).argmax()]
    median: NDArray[np.int16] = np.median(fullest, axis=0).astype(np.int16)
    return median


def _near(pixels: NDArray[np.int16], colour: NDArray[np.int16]) -> Mask:
    near: Mask = np.abs(pixels - colour).max(axis=-1) <= LIKE
    return near


def _touching_edge(mask: Mask) -> Mask:
    labels = components(mask)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    touching: Mask = np.isin(labels, edge[edge >= 0])
    return touching


def _background(picture: Pixels, ground: Mask, strip: Mask) -> Background:
    if not ground.any():
        return Background(0.0, 0.0, 0.0, 255.0, (0, 0, 0))
    clear = ground & ~_grown(~ground, OUTLINE)
    if not clear.any():
        clear = ground
    levels = picture[clear]
    off_white = 255 - levels.min(axis=1).astype(np.int16)
    counted = int((clear | strip).sum())
    return Background(
        share=round(float(ground.mean()), 4),
        plain=round(float(ground[strip].mean()), 4),
        whiteness=round(int((off_white <= WHITE_TOLERANCE).sum()) / counted, 4),
        off_white=float(np.percentile(off_white, 95, method="higher")),
        rgb=mean_colour(levels),
    )


def _grown(mask: Mask, steps: int) -> Mask:
    """With what is within so many steps across or down."""
    grown = mask.copy()
    for _ in range(steps):
        before = grown.copy()
        grown[1:] |= before[:-1]
        grown[:-1] |= before[1:]
        grown[:, 1:] |= before[:, :-1]
        grown[:, :-1] |= before[:, 1:]
    return grown


def _foreground(mask: Mask) -> Foreground:
    labels = components(mask)
    inside = labels[mask]
    if not inside.size:
        return Foreground(0.0, (0.0, 0.0, 0.0, 0.0), 0.0, 0)
    rows, columns = np.nonzero(labels == np.bincount(inside).argmax())
    height, width = mask.shape
    top, bottom, left, right = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
    return Foreground(
        share=round(float(mask.mean()), 4),
        box=(round(left / width, 4), round(top / height, 4), round(right / width, 4), round(bottom / height, 4)),
        extent=round(max((right - left) / width, (bottom - top) / height), 4),
        edges=(left == 0) + (top == 0) + (right == width) + (bottom == height),
    )


def mean_colour(levels: Pixels) -> Rgb:
    """Of pixels in any arrangement, rounded."""
    red, green, blue = (int(value) for value in levels.reshape(-1, 3).mean(axis=0).round())
    return (red, green, blue)
