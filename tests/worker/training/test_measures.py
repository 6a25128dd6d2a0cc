"""How answers are counted."""

from __future__ import annotations

import numpy as np
import pytest

from worker.training.measures import Tally, edits, mask_overlap, named, overlap


def test_long_names_hide_the_short_ones_inside_them() -> None:
    assert named("A red hiking boot and a keyboard.") == {"hiking boot", "keyboard"}


def test_boxes_overlap_by_intersection_over_union() -> None:
    assert overlap([0, 0, 2, 2], [1, 0, 3, 2]) == pytest.approx(1 / 3)
    assert overlap([0, 0, 1, 1], [2, 2, 3, 3]) == 0


def test_edits_count_letters() -> None:
    assert edits("SALE", "SAIL") == 2
    assert edits("", "abc") == 3


def test_masks_overlap_by_pixels() -> None:
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:15, 5:15] = True
    assert mask_overlap([[5, 5, 14, 5, 14, 14, 5, 14]], mask) == pytest.approx(1.0)
    assert mask_overlap([[5, 5, 9, 5, 9, 14, 5, 14]], mask) == pytest.approx(0.5)
    assert mask_overlap([], mask) == 0.0
    assert mask_overlap([[1, 1, 2, 2]], mask) == 0.0, "two points outline nothing"


def test_an_error_rate_is_over_all_characters_not_a_mean_of_rates() -> None:
    tally = Tally()
    tally.ratio("cer", 1, 2)
    tally.ratio("cer", 0, 8)
    tally.add("found", True)
    assert tally.shares() == {"cer": 0.1, "found": 1.0}
    assert tally.sizes() == {"cer": 2, "found": 1}
