"""What the vision stage relies on from any `TextReader`, held against the fake and against RapidOCR itself."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.fakes_reading import FakeReader
from worker.vision.reading import TextReader
from worker.vision.second_reader import RapidReader


@pytest.fixture(scope="module", params=["fake", "rapidocr"])
def reader(request: pytest.FixtureRequest) -> TextReader:
    return FakeReader() if request.param == "fake" else RapidReader.load()


def sign(width: int, height: int) -> Image.Image:
    """SALE in the lower right quarter of a white picture."""
    image = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(height / 8)
    ImageDraw.Draw(image).text((width * 0.6, height * 0.7), "SALE", font=font, fill="black")
    return image


def test_lines_are_in_pixels_of_the_full_size(reader: TextReader) -> None:
    (shown,) = reader.read(sign(320, 240), 320, 240).lines
    (full,) = reader.read(sign(320, 240), 1600, 2400).lines
    assert full.text == shown.text == "SALE"
    assert full.quad[0::2] == pytest.approx([5 * x for x in shown.quad[0::2]])
    assert full.quad[1::2] == pytest.approx([10 * y for y in shown.quad[1::2]])
    assert 0.5 * 1600 < min(full.quad[0::2]) < max(full.quad[0::2]) <= 1600
    assert 0.6 * 2400 < min(full.quad[1::2]) < max(full.quad[1::2]) <= 2400


def test_a_score_is_a_probability(reader: TextReader) -> None:
    (line,) = reader.read(sign(320, 240), 320, 240).lines
    assert line.score is not None and 0 < line.score <= 1


def test_reading_twice_reads_the_same(reader: TextReader) -> None:
    assert reader.read(sign(320, 240), 320, 240) == reader.read(sign(320, 240), 320, 240)


def test_a_reading_and_the_identity_name_the_reader(reader: TextReader) -> None:
    assert reader.read(sign(64, 64), 64, 64).reader == "rapidocr"
    assert reader.identity.startswith("rapidocr ") and "@" in reader.identity


@pytest.mark.parametrize(
    ("mode", "size"), [("RGB", (1, 1)), ("RGB", (600, 3)), ("L", (3, 600)), ("RGBA", (80, 60)), ("I;16", (80, 60))]
)
def test_a_picture_without_text_gives_a_complete_reading_without_lines(
    reader: TextReader, mode: str, size: tuple[int, int]
) -> None:
    blank = {"RGB": "white", "L": 255, "RGBA": (0, 0, 0, 0), "I;16": 65535}[mode]
    reading = reader.read(Image.new(mode, size, blank), *size)
    assert (reading.lines, reading.incomplete) == ((), None)
