"""What pixels say, on pictures whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.worker.intake.pictures import colours
from worker.intake.pixels import measure


def test_a_white_picture() -> None:
    _, found = measure(Image.new("RGB", (200, 100), "white"))
    assert (found.sharpness, found.brightness, found.contrast, found.white_border) == (0, 1, 0, 1)
    assert found.dominant_rgb == (255, 255, 255)


def test_half_black_half_white() -> None:
    picture = Image.new("RGB", (400, 400), "white")
    picture.paste((0, 0, 0), (0, 0, 200, 400))
    _, found = measure(picture)
    assert found.brightness == pytest.approx(0.5)
    assert found.contrast == pytest.approx(0.5)
    assert found.white_border == pytest.approx(0.5, abs=0.01)


def test_a_product_on_white_has_a_white_border_and_its_own_colour() -> None:
    picture = Image.new("RGB", (600, 600), (252, 252, 252))
    picture.paste((200, 30, 40), (100, 100, 500, 500))
    _, found = measure(picture)
    assert found.white_border == 1
    assert found.dominant_rgb == (200, 30, 40)


def test_sharpness_is_the_variance_of_the_laplacian() -> None:
    grey = np.random.default_rng(3).integers(0, 256, (40, 50), dtype=np.uint8)
    levels = grey.astype(np.float64)
    edges = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * levels[1:-1, 1:-1]
    _, found = measure(Image.fromarray(grey).convert("RGB"))
    assert found.sharpness == pytest.approx(edges.var(), abs=0.001)


def test_blur_lowers_sharpness() -> None:
    picture = Image.fromarray(np.random.default_rng(4).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    _, sharp = measure(picture)
    _, soft = measure(picture.filter(ImageFilter.GaussianBlur(2)))
    assert soft.sharpness < sharp.sharpness / 10


def test_near_copies_share_most_of_the_hash_and_others_do_not() -> None:
    def bits(one: str, other: str) -> int:
        return (int(one, 16) ^ int(other, 16)).bit_count()

    first, _ = measure(colours(800, 600, seed=1))
    smaller, _ = measure(colours(800, 600, seed=1).resize((400, 300)))
    other, _ = measure(colours(800, 600, seed=2))
    assert len(first) == 16
    assert bits(first, smaller) <= 3
    assert bits(first, other) >= 12


def test_the_smallest_picture_has_numbers_too() -> None:
    dhash, found = measure(Image.new("RGB", (3, 3), (10, 20, 30)))
    assert dhash == "0" * 16
    assert found.dominant_rgb == (10, 20, 30)
