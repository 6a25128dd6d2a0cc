"""Masks as polygons, the way Florence-2 writes them: few points, clockwise, from the topmost one."""

from __future__ import annotations

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from shapely import LinearRing, Polygon

POINTS = 16  # of a polygon; sixteen keep an overlap of 0.9 with most drawings, and are thirty-two tokens to write
MOST_PARTS = 3
LEAST_SHARE = 0.08  # of the object's area: smaller crumbs of an outline are left out
Points = NDArray[np.float64]


def polygons(mask: NDArray[np.bool_]) -> list[Points]:
    """Outlines of a mask (rows x columns) as n x 2 points, shares of width and height; the largest part first.

    Holes are filled: Florence-2's grammar has none. Empty for an empty mask.
    """
    padded = np.pad(mask.astype(np.float64), 1)
    rings = [Polygon(line) for line in contour_generator(z=padded).lines(0.5) if len(line) >= 4]
    outer = sorted((ring for ring in rings if LinearRing(ring.exterior).is_ccw), key=lambda ring: -ring.area)
    total = sum(ring.area for ring in outer)
    parts = [ring for ring in outer[:MOST_PARTS] if ring.area >= LEAST_SHARE * total]
    # A pixel's middle is half a pixel from its edge; the padding added one.
    size = np.array([mask.shape[1], mask.shape[0]])
    return [np.clip((_evenly(ring) - 0.5) / size, 0, 1) for ring in parts]


def _evenly(ring: Polygon) -> Points:
    """POINTS points at equal steps along the outline, clockwise as seen (y points down), from its topmost point.

    Always as many: where a polygon may end anywhere, its end is likelier than any one of the places it could go on to,
    and a model that writes what is likeliest stops too early.
    """
    line = LinearRing(_from_the_top(np.asarray(ring.exterior.coords)[:-1]))
    steps = np.arange(POINTS) / POINTS
    return np.array([line.interpolate(step, normalized=True).coords[0] for step in steps])


def _from_the_top(corners: Points) -> Points:
    """Clockwise as seen (y points down), starting at the topmost, then leftmost, corner."""
    if LinearRing(corners).is_ccw is False:
        corners = corners[::-1]
    first = int(np.lexsort((corners[:, 0], corners[:, 1]))[0])
    return np.roll(corners, -first, axis=0)
