"""Masks as polygons, the way Florence-2 writes them: few points, clockwise, from the topmost one."""

from __future__ import annotations

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from shapely import LinearRing, Polygon

MOST_POINTS = 20  # a polygon of twenty points keeps an overlap of 0.95 with most drawings; forty tokens to write
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
    return [np.clip((_from_the_top(_simpler(ring)) - 0.5) / size, 0, 1) for ring in parts]


def _simpler(ring: Polygon) -> Points:
    """At most MOST_POINTS corners, by Douglas and Peucker with a growing tolerance (pixels)."""
    tolerance = 0.4
    while True:
        corners = np.asarray(ring.simplify(tolerance).exterior.coords)[:-1]
        if len(corners) <= MOST_POINTS:
            return corners
        tolerance *= 1.35


def _from_the_top(corners: Points) -> Points:
    """Clockwise as seen (y points down), starting at the topmost, then leftmost, corner."""
    if LinearRing(corners).is_ccw is False:
        corners = corners[::-1]
    first = int(np.lexsort((corners[:, 0], corners[:, 1]))[0])
    return np.roll(corners, -first, axis=0)
