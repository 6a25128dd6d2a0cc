"""PDQ against hashes that the reference implementation gave for the same pixels (pdqhash 0.2.8)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.worker.intake.pictures import colours
from worker.intake.pdq import pdq

# seed, height, width, hash, quality
REFERENCE = [
    (1, 512, 512, "7267f362cc99d1e80e1f2e17136e0d9de990d1e8463a6d923b56fe003b471a4e", 100),
    (2, 512, 384, "71e251ea6b53162fe9d8ec9894acae158e1d4c9af425c3f94e3a962d04bcf4a2", 100),
    (3, 200, 300, "073473736b5a372288dd88dd94a55c8d58cb54abce1923738c9c4b5bab55073b", 100),
    (4, 128, 128, "c63a9e1c01ff3d8eaf94e371ff0061c339c5fb00b364f4a3ac94be0454aa7623", 100),
    (5, 97, 512, "cd9881f9f9c9a9d5c1d155aa063e7c82326704bfea483e07ab54aa752b47526b", 100),
    (6, 64, 64, "a0f557208d8cc73847183c877373a0f71f0a54bab265fa6a8b4738e55ccfa49c", 100),
]


def patches(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Blocks of random colours: whole numbers only, so that every machine draws the same."""
    cells = np.random.default_rng(seed).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    return cells[np.arange(height)[:, None] * 12 // height, np.arange(width)[None, :] * 9 // width]


@pytest.mark.parametrize(("seed", "height", "width", "digits", "quality"), REFERENCE)
def test_hash_and_quality_are_those_of_the_reference(
    seed: int, height: int, width: int, digits: str, quality: int
) -> None:
    found = pdq(patches(seed, height, width))
    assert (found.hex, found.quality) == (digits, quality)


def test_a_smaller_copy_is_near_and_another_picture_far() -> None:
    first = pdq(np.asarray(colours(512, 400, seed=1)))
    smaller = pdq(np.asarray(colours(512, 400, seed=1).resize((256, 200), Image.Resampling.BOX)))
    other = pdq(np.asarray(colours(512, 400, seed=2)))
    assert first.distance(smaller.hex) <= 24
    assert 80 <= first.distance(other.hex) <= 176


def test_a_picture_of_nothing_has_no_quality() -> None:
    assert pdq(np.full((80, 80, 3), 255, dtype=np.uint8)).quality == 0
