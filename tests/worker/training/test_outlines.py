"""Masks become polygons that cover what the mask covers."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.training.synth.outlines import POINTS, polygons

SIDE = 120


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: NDArray[np.bool_] = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    return inside


def drawn(parts: list[NDArray[np.float64]]) -> NDArray[np.bool_]:
    canvas = Image.new("1", (SIDE, SIDE))
    for part in parts:
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in part * SIDE - 0.5], fill=1)
    return np.asarray(canvas)


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("mask", [disc(60, 60, 40), disc(20, 30, 18), disc(0, 60, 30)], ids=["large", "small", "cut"])
def test_a_polygon_of_few_points_covers_the_mask(mask: NDArray[np.bool_]) -> None:
    (part,) = polygons(mask)
    assert len(part) == POINTS
    assert ((part >= 0) & (part <= 1)).all()
    assert overlap(drawn([part]), mask) > 0.93


def test_separate_parts_come_largest_first_and_crumbs_are_left_out() -> None:
    parts = polygons(disc(30, 30, 20) | disc(85, 85, 28) | disc(110, 10, 3))
    assert len(parts) == 2
    assert parts[0][:, 0].mean() > parts[1][:, 0].mean()


def test_holes_are_filled() -> None:
    (part,) = polygons(disc(60, 60, 40) & ~disc(60, 60, 20))
    assert overlap(drawn([part]), disc(60, 60, 40)) > 0.93


def test_it_starts_at_the_top_and_runs_clockwise() -> None:
    (part,) = polygons(disc(60, 60, 40))
    assert part[0, 1] == part[:, 1].min()
    x, y = part[:, 0], part[:, 1]
    assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0  # y points down


def test_an_empty_mask_has_no_outline() -> None:
    assert polygons(np.zeros((8, 8), dtype=bool)) == []
