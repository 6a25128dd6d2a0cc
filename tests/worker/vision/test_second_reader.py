"""RapidOCR within bounds: what it reads of drawn pictures, what a picture may cost, and what its failures become."""

from __future__ import annotations

import itertools
import socket
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from domain.errors import InputRejected, Unavailable
from worker.vision import second_reader
from worker.vision.rapidocr_models import installed_models
from worker.vision.second_reader import MOST_LENGTHS, MOST_LINES, Outline, RapidReader, within_bounds


@pytest.fixture(scope="module")
def reader() -> RapidReader:
    return RapidReader.load(threads=1)


def sign(*texts: str, size: tuple[int, int] = (600, 400), letters: int = 40) -> Image.Image:
    """Lines of text on a plain ground, in Pillow's own font."""
    image = Image.new("RGB", size, (240, 232, 220))
    for number, text in enumerate(texts):
        place = (30, 30 + number * letters * 2)
        ImageDraw.Draw(image).text(place, text, font=ImageFont.load_default(letters), fill=(20, 30, 60))
    return image


def outline(length: float, height: int = 10) -> Outline:
    return Outline(np.zeros((4, 2), np.float32), np.zeros((height, round(length * height), 3), np.uint8))


def test_it_reads_what_is_written(reader: RapidReader) -> None:
    reading = reader.read(sign("SUMMER SALE 50%", "call +49 30 1234567", "www.bags.shop"), 600, 400)
    assert [line.text for line in reading.lines] == ["SUMMER SALE 50%", "call +49 30 1234567", "www.bags.shop"]
    assert reading.incomplete is None
    for number, line in enumerate(reading.lines):
        left, top, _, _, right, bottom, _, _ = line.quad
        middle = 30 + number * 80 + 20
        assert abs(left - 30) < 15 and top < middle < bottom and right - left > 200
        assert line.score is not None and line.score > 0.9


@pytest.mark.parametrize(
    ("degrees", "first_corner"), [(0, (30, 30)), (90, (30, 570)), (180, (570, 370)), (270, (370, 30))]
)
def test_corners_start_at_the_texts_own_top_left(
    reader: RapidReader, degrees: int, first_corner: tuple[int, int]
) -> None:
    turned = sign("SUMMER SALE 50%").rotate(degrees, expand=True)
    (line,) = reader.read(turned, *turned.size).lines
    assert line.text == "SUMMER SALE 50%"
    assert line.quad[:2] == pytest.approx(first_corner, abs=20)


def test_an_ordinary_picture_is_read_as_rapidocr_reads_it_by_itself(reader: RapidReader) -> None:
    from rapidocr import RapidOCR

    picture = sign("100% cotton", "Made in Portugal", size=(900, 900))
    usual = RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1})
    theirs = usual(np.asarray(picture)[:, :, ::-1].copy())
    ours = reader.read(picture, 900, 900).lines
    assert tuple(line.text for line in ours) == theirs.txts
    assert [line.quad for line in ours] == [tuple(map(float, box.ravel())) for box in theirs.boxes]


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert RapidReader.load().read(sign("SALE"), 600, 400).lines[0].text == "SALE"


def test_the_identity_names_version_and_models(reader: RapidReader) -> None:
    models = installed_models()
    assert reader.identity == f"rapidocr {models.version} r1@{models.digest[:12]}"


def test_a_page_of_print_is_read_in_part_and_says_so(reader: RapidReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_reader, "MOST_LINES", 2)
    page = sign("first", "second")
    large = sign("LARGE", letters=90).crop((20, 20, 500, 150))
    page.paste(large, (20, 240))
    reading = reader.read(page, 600, 400)
    assert len(reading.lines) == 2 and reading.lines[-1].text == "LARGE", "the largest first, in reading order"
    assert reading.incomplete == "1 of 3 lines were too many to read"


def test_the_largest_lines_are_read_in_reading_order() -> None:
    small = [outline(8, height=10) for _ in range(200)]
    large = [outline(8, height=40) for _ in range(3)]
    chosen = within_bounds([*small[:150], *large, *small[150:]])
    assert chosen == [*small[:97], *large]
    assert len(chosen) == MOST_LINES


def test_no_picture_costs_more_than_its_share() -> None:
    lines = [outline(length) for length in itertools.islice(itertools.cycle((3, 30, 90, 99)), 400)]
    assert sum(one.length for one in within_bounds(lines)) <= MOST_LENGTHS
    assert within_bounds([outline(300)]) == []


class Broken:
    """A RapidOCR that raises when it is asked to find lines."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def detect_and_crop(self, *_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("onnxruntime: bad node"), AssertionError()])
def test_a_picture_it_fails_on_gives_a_reading_that_says_so(error: Exception) -> None:
    reading = RapidReader(Broken(error), "rapidocr 0").read(sign("SALE"), 600, 400)
    assert reading.lines == ()
    assert reading.incomplete == f"rapidocr failed on this picture ({type(error).__name__})"


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("std::bad_alloc"), RuntimeError("Failed to allocate memory for buffer")]
)
def test_out_of_memory_is_tried_again_later(error: Exception) -> None:
    with pytest.raises(Unavailable, match="rapidocr is unavailable: out of memory"):
        RapidReader(Broken(error), "rapidocr 0").read(sign("SALE"), 600, 400)


def test_pixels_that_cannot_be_had_are_the_pictures_fault(reader: RapidReader) -> None:
    picture = sign("SALE")
    picture.load = _cannot_load  # type: ignore[method-assign, assignment]
    with pytest.raises(InputRejected, match="image_unreadable"):
        reader.read(picture, 600, 400)


def _cannot_load() -> None:
    raise OSError("image file is truncated")
