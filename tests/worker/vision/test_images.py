"""Pictures of any kind to RGB."""

from __future__ import annotations

from PIL import Image

from worker.vision.images import as_rgb


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    assert [as_rgb(image).getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (255, 0, 0)]


def test_a_transparent_palette_colour_too() -> None:
    image = Image.new("P", (1, 1), 0)
    image.putpalette([10, 20, 30])
    image.info["transparency"] = 0
    assert as_rgb(image).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    assert as_rgb(Image.new("I;16", (1, 1), 0x8000)).getpixel((0, 0)) == (128, 128, 128)


def test_rgb_stays_what_it_is() -> None:
    image = Image.new("RGB", (1, 1), (1, 2, 3))
    assert as_rgb(image) is image
