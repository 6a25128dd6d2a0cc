"""The drawn picture shows what the observation says: colours along the expected edges, no label over them."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from domain.moderation import Finding, Verdict
from domain.observations import (
    Box,
    DetectedObject,
    Engine,
    LinesAnswer,
    ObjectsAnswer,
    Observation,
    Quad,
    Reading,
    Task,
    TextLine,
)
from worker.drawing import (
    FINDING_COLOUR,
    OBJECT_COLOUR,
    SECOND_TEXT_COLOUR,
    TEXT_COLOUR,
    Colour,
    Outline,
    draw,
    outlines,
)

BOX: Box = (40, 60, 250, 200)
QUAD: Quad = (300, 80, 460, 110, 452, 150, 292, 120)


def seen(
    objects: tuple[DetectedObject, ...] = (), lines: tuple[TextLine, ...] = (), size: tuple[int, int] = (500, 400)
) -> Observation:
    return Observation(
        "0" * 64, *size, Engine("m", None, "1", "f"),
        {Task.OD: ObjectsAnswer(objects), Task.OCR_WITH_REGION: LinesAnswer(lines)},
    )  # fmt: skip


def finding(**evidence: object) -> Finding:
    return Finding("r", 1, "WEAPON", 6, Verdict.REJECT, "own_shop", "No.", ({"kind": "object", **evidence},))


def photo(width: int = 500, height: int = 400) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (230, 225, 220)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def is_colour(drawn: bytes, colour: Colour) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"), dtype=int)
    return np.asarray((np.abs(pixels - np.array(colour)) < 60).all(axis=2))


def share_along(mask: np.ndarray, shape: Outline) -> float:
    """Share of the points along a shape's edges that have a pixel of its colour within one pixel."""
    hits = []
    for (x1, y1), (x2, y2) in pairwise([*shape.corners, shape.corners[0]]):
        for step in np.linspace(0, 1, 50):
            x, y = round(x1 + (x2 - x1) * step), round(y1 + (y2 - y1) * step)
            hits.append(mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].any())
    return float(np.mean(hits))


def test_each_kind_has_its_colour_along_its_edges_and_nowhere_else() -> None:
    observation = seen((DetectedObject("mug", BOX, 0.91),), (TextLine("SALE", QUAD, 0.8),))
    findings = [finding(box=list(BOX)), finding(quad=list(QUAD))]
    drawn = draw(photo(), observation, findings)
    shapes = outlines(observation, findings, (500, 400))
    assert [shape.colour for shape in shapes] == [OBJECT_COLOUR, TEXT_COLOUR, FINDING_COLOUR, FINDING_COLOUR]
    for shape in shapes:
        assert share_along(is_colour(drawn, shape.colour), shape) > 0.97
    for colour in (OBJECT_COLOUR, TEXT_COLOUR, FINDING_COLOUR):
        painted = sum(
            sum(abs(x1 - x2) + abs(y1 - y2) for (x1, y1), (x2, y2) in pairwise([*shape.corners, shape.corners[0]]))
            for shape in shapes
            if shape.colour == colour
        )
        assert is_colour(drawn, colour).sum() < painted * 3.5  # lines of 2 px and no filled plates


def test_nothing_seen_draws_nothing() -> None:
    drawn = draw(photo(), seen(), [finding(term="badword")])
    assert not any(is_colour(drawn, colour).any() for colour in (OBJECT_COLOUR, TEXT_COLOUR, FINDING_COLOUR))


def test_a_smaller_picture_gets_scaled_boxes() -> None:
    observation = seen((DetectedObject("mug", (400, 400, 2000, 1600)),), size=(4000, 3200))
    drawn = draw(photo(1000, 800), observation, [])
    shape = outlines(observation, [], (1000, 800))[0]
    assert shape.corners[0] == (100, 100) and shape.corners[2] == (500, 400)
    assert share_along(is_colour(drawn, OBJECT_COLOUR), shape) > 0.97
    assert Image.open(io.BytesIO(drawn)).size == (1000, 800)


def test_a_box_around_the_whole_picture_stays_in_sight() -> None:
    observation = seen((DetectedObject("wall", (0, 0, 500, 400), 0.5),))
    drawn = draw(photo(), observation, [finding(box=[0, 0, 500, 400])])
    for shape in outlines(observation, [finding(box=[0, 0, 500, 400])], (500, 400)):
        assert share_along(is_colour(drawn, shape.colour), shape) > 0.97


def test_many_overlapping_labels_never_cover_an_edge() -> None:
    objects = tuple(
        DetectedObject(f"thing {n}", (30 + 9 * n, 40 + 7 * n, 200 + 9 * n, 180 + 7 * n), 0.5) for n in range(20)
    )
    observation = seen(objects)
    drawn = draw(photo(), observation, [])
    mask = is_colour(drawn, OBJECT_COLOUR)
    assert min(share_along(mask, shape) for shape in outlines(observation, [], (500, 400))) > 0.95


@pytest.mark.parametrize(
    "text", ["", "x" * 500, "line\nbreak\ttab", "\u202eevil", "<script>", "Größe 42 €", "漢字", "\ud800"]
)
def test_any_text_can_be_a_label(text: str) -> None:
    observation = seen((DetectedObject(text, (1, 1, 3, 3), 0.2),), (TextLine(text, QUAD),))
    picture = Image.open(io.BytesIO(draw(photo(), observation, [])))
    assert picture.size == (500, 400)


def test_strange_boxes_do_not_stop_it() -> None:
    boxes: list[Box] = [(-50, -50, 9000, 9000), (300, 200, 100, 100), (5, 5, 5, 5)]
    drawn = draw(photo(), seen(tuple(DetectedObject("odd", box) for box in boxes)), [finding(box="no", quad=[])])
    assert is_colour(drawn, OBJECT_COLOUR).any()


def test_one_place_named_on_several_channels_is_drawn_once() -> None:
    twice = [finding(box=list(BOX)), finding(box=list(BOX))]
    assert len(outlines(seen(), twice, (500, 400))) == 1


def test_a_second_readers_text_has_a_colour_of_its_own() -> None:
    second = Reading("rapidocr", (TextLine("SALT", (300, 250, 460, 250, 460, 300, 300, 300), 0.9),))
    both = replace(seen(lines=(TextLine("SALE", QUAD, 0.9),)), second_reading=second)
    first_shape, second_shape = outlines(both, (), (500, 400))
    drawn = draw(photo(), both, ())
    assert (first_shape.colour, second_shape.colour) == (TEXT_COLOUR, SECOND_TEXT_COLOUR)
    assert share_along(is_colour(drawn, TEXT_COLOUR), first_shape) > 0.9
    assert share_along(is_colour(drawn, SECOND_TEXT_COLOUR), second_shape) > 0.9


def test_the_only_readers_text_has_the_usual_colour_whoever_it_was() -> None:
    alone = Reading("rapidocr", (TextLine("SALE", QUAD, 0.9),))
    observed = Observation("0" * 64, 500, 400, Engine("m", None, "1", "f"), {}, second_reading=alone)
    assert [shape.colour for shape in outlines(observed, (), (500, 400))] == [TEXT_COLOUR]
