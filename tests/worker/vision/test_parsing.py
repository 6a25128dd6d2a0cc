"""The grammar of answers: round trips, hostile strings, and each defect of the library's own parser."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.observations import LinesAnswer, MasksAnswer, ObjectsAnswer, Task, TextAnswer
from worker.vision.parsing import Canvas, Reading, one_line, parse
from worker.vision.pieces import pieces_of, place_piece, text_piece

# The same examples in every run, however busy the machine.
steady = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WIDTH, HEIGHT = 640, 480
CANVAS = Canvas(WIDTH, HEIGHT)


def read(task: Task, raw: str, phrase: str = "") -> Reading:
    return parse(task, pieces_of(raw), CANVAS, phrase)


def locs(*places: int) -> str:
    return "".join(f"<loc_{place}>" for place in places)


def pixel(place: int, side: int) -> float:
    return (place + 0.5) * side / 1000


def labels(reading: Reading) -> list[str]:
    assert isinstance(reading.answer, ObjectsAnswer)
    return [item.label for item in reading.answer.objects]


def lines(reading: Reading) -> list[str]:
    assert isinstance(reading.answer, LinesAnswer)
    return [line.text for line in reading.answer.lines]


def text(reading: Reading) -> str:
    assert isinstance(reading.answer, TextAnswer)
    return reading.answer.text


words = (
    st.text(min_size=1, max_size=20)
    .map(one_line)
    .filter(lambda word: word != "" and pieces_of(word) == [text_piece(word)])
)
place = st.integers(0, 999)


class TestBoxes:
    def test_pixels_are_the_middle_of_the_bin(self) -> None:
        reading = read(Task.OD, f"</s><s>car{locs(0, 100, 500, 999)}</s>")
        assert isinstance(reading.answer, ObjectsAnswer)
        assert reading.answer.objects[0].box == pytest.approx((0.32, 48.24, 320.32, 479.76))

    def test_further_groups_repeat_the_label(self) -> None:
        reading = read(Task.OD, f"car{locs(1, 2, 3, 4, 5, 6, 7, 8)}dog{locs(1, 1, 2, 2)}")
        assert labels(reading) == ["car", "car", "dog"]

    def test_corners_are_put_in_order(self) -> None:
        reading = read(Task.OD, f"car{locs(500, 400, 100, 200)}")
        assert isinstance(reading.answer, ObjectsAnswer)
        left, top, right, bottom = reading.answer.objects[0].box
        assert left < right and top < bottom

    def test_region_proposals_have_no_label(self) -> None:
        assert labels(read(Task.REGION_PROPOSAL, locs(1, 2, 3, 4, 5, 6, 7, 8))) == ["", ""]

    def test_polygons_of_open_vocabulary_become_their_box(self) -> None:
        reading = read(Task.OPEN_VOCABULARY_DETECTION, f"cup<poly>{locs(100, 200, 300, 100, 200, 400)}</poly>")
        assert isinstance(reading.answer, ObjectsAnswer)
        assert reading.answer.objects[0].box == pytest.approx(
            (pixel(100, WIDTH), pixel(100, HEIGHT), pixel(300, WIDTH), pixel(400, HEIGHT))
        )

    def test_an_empty_answer_has_no_objects(self) -> None:
        assert read(Task.OD, "</s><s></s><pad>").answer == ObjectsAnswer()

    @steady
    @given(st.lists(st.tuples(words, st.lists(st.tuples(place, place, place, place), min_size=1, max_size=3))))
    def test_round_trip(self, things: list[tuple[str, list[tuple[int, int, int, int]]]]) -> None:
        raw = "</s><s>" + "".join(label + "".join(locs(*box) for box in boxes) for label, boxes in things) + "</s>"
        reading = read(Task.OD, raw)
        assert isinstance(reading.answer, ObjectsAnswer)
        found = [(item.label, item.box) for item in reading.answer.objects]
        expected = []
        for label, boxes in things:
            for x1, y1, x2, y2 in boxes:
                across, down = (
                    sorted((pixel(x1, WIDTH), pixel(x2, WIDTH))),
                    sorted((pixel(y1, HEIGHT), pixel(y2, HEIGHT))),
                )
                expected.append((label, (across[0], down[0], across[1], down[1])))
        assert found == expected
        assert reading.leftovers == ()


class TestLines:
    @steady
    @given(st.lists(st.tuples(words, st.lists(place, min_size=8, max_size=8))))
    def test_round_trip(self, written: list[tuple[str, list[int]]]) -> None:
        reading = read(Task.OCR_WITH_REGION, "".join(line + locs(*quad) for line, quad in written) + "</s>")
        assert isinstance(reading.answer, LinesAnswer)
        sides = (WIDTH, HEIGHT) * 4
        assert [(line.text, line.quad) for line in reading.answer.lines] == [
            (line, tuple(pixel(place, side) for place, side in zip(quad, sides, strict=True))) for line, quad in written
        ]


class TestMasks:
    def test_separators_part_polygons_and_poly_parts_instances(self) -> None:
        triangle = locs(1, 1, 9, 1, 5, 9)
        reading = read(
            Task.REFERRING_EXPRESSION_SEGMENTATION,
            f"<poly>{triangle}<sep>{triangle}</poly><poly>{triangle}</poly>",
            "a cup",
        )
        assert isinstance(reading.answer, MasksAnswer)
        assert [(mask.label, len(mask.polygons)) for mask in reading.answer.masks] == [("a cup", 2), ("a cup", 1)]
        assert reading.leftovers == ()

    def test_a_polygon_without_marks(self) -> None:
        reading = read(Task.REGION_TO_SEGMENTATION, locs(0, 0, 999, 0, 999, 999, 7))
        assert isinstance(reading.answer, MasksAnswer)
        corners = reading.answer.masks[0].polygons[0]
        assert corners == pytest.approx((0.32, 0.24, 639.68, 0.24, 639.68, 479.76))

    def test_two_points_are_no_polygon_and_are_reported(self) -> None:
        reading = read(Task.REGION_TO_SEGMENTATION, locs(1, 2, 3, 4))
        assert reading.answer == MasksAnswer()
        assert reading.leftovers == (locs(1, 2, 3, 4),)


class TestDefectsOfTheLibrarysParser:
    """serving.md, section 1: what `Florence2PostProcessor` loses or spoils."""

    def test_padding_is_no_part_of_a_caption(self) -> None:
        assert text(read(Task.CAPTION, "</s><s>A car.</s><pad><pad>")) == "A car."

    def test_no_task_needs_a_parsing_configuration(self) -> None:
        assert all(read(task, "x" + locs(*range(8))).answer is not None for task in Task)

    def test_labels_keep_letters_beyond_ascii(self) -> None:
        assert labels(read(Task.OD, "café 商品" + locs(1, 2, 3, 4))) == ["café 商品"]

    def test_labels_keep_a_less_than_sign(self) -> None:
        assert labels(read(Task.OD, "a < b <3" + locs(1, 2, 3, 4))) == ["a < b <3"]

    def test_a_broken_group_does_not_spoil_the_next_line(self) -> None:
        reading = read(Task.OCR_WITH_REGION, "foo" + locs(1, 2) + "bar" + locs(*range(8)))
        assert lines(reading) == ["foo", "bar"]
        assert reading.leftovers == (locs(1, 2),)

    def test_a_cut_last_group_keeps_its_words(self) -> None:
        reading = read(Task.OCR_WITH_REGION, "SALE" + locs(*range(8)) + "call 555" + locs(100, 200, 300, 400, 500))
        assert isinstance(reading.answer, LinesAnswer)
        assert lines(reading) == ["SALE", "call 555"]
        left, top, right, bottom = pixel(100, WIDTH), pixel(200, HEIGHT), pixel(300, WIDTH), pixel(400, HEIGHT)
        assert reading.answer.lines[1].quad == (left, top, right, top, right, bottom, left, bottom)

    def test_words_without_any_place_stand_for_the_whole_image(self) -> None:
        reading = read(Task.OCR_WITH_REGION, "fake copy")
        assert isinstance(reading.answer, LinesAnswer)
        assert reading.answer.lines[0].quad == (0, 0, WIDTH, 0, WIDTH, HEIGHT, 0, HEIGHT)

    def test_a_line_before_a_line_end_is_kept(self) -> None:
        assert lines(read(Task.OCR_WITH_REGION, "first\nsecond" + locs(*range(8)))) == ["first second"]

    def test_places_left_over_are_reported_not_lost(self) -> None:
        reading = read(Task.OD, "car" + locs(1, 2, 3, 4, 5) + "dog" + locs(6, 7))
        assert labels(reading) == ["car"]
        assert reading.leftovers == (locs(5), "dog" + locs(6, 7))

    def test_places_after_the_words_of_a_region_are_no_part_of_them(self) -> None:
        assert text(read(Task.REGION_TO_CATEGORY, "mug" + locs(1, 2, 3, 4))) == "mug"

    def test_a_place_spelt_out_in_a_photo_is_text(self) -> None:
        pieces = [text_piece("<loc_5>"), *(place_piece(place) for place in range(8))]
        assert lines(parse(Task.OCR_WITH_REGION, pieces, CANVAS)) == ["<loc_5>"]

    def test_numbers_beyond_the_last_place_are_text(self) -> None:
        assert text(read(Task.OCR, "<loc_1000>")) == "<loc_1000>"


mess = st.lists(
    st.one_of(
        st.text(max_size=5),
        st.integers(-1, 1001).map(lambda number: f"<loc_{number}>"),
        st.sampled_from(["<poly>", "</poly>", "<sep>", "<s>", "</s>", "<pad>", "<od>", "<", ">", "\n", "<loc_"]),
    )
).map("".join)


@steady
@given(st.sampled_from(list(Task)), st.one_of(mess, st.text()), st.integers(1, 5000), st.integers(1, 5000))
def test_never_raises_and_stays_within_the_image(task: Task, raw: str, width: int, height: int) -> None:
    answer = parse(task, pieces_of(raw), Canvas(width, height)).answer
    if isinstance(answer, ObjectsAnswer):
        for item in answer.objects:
            assert 0 <= item.box[0] <= item.box[2] <= width
            assert 0 <= item.box[1] <= item.box[3] <= height
    elif isinstance(answer, LinesAnswer):
        for line in answer.lines:
            assert line.text
            assert all(0 <= x <= width for x in line.quad[::2]) and all(0 <= y <= height for y in line.quad[1::2])
    elif isinstance(answer, MasksAnswer):
        for polygon in (polygon for mask in answer.masks for polygon in mask.polygons):
            assert len(polygon) >= 6 and len(polygon) % 2 == 0
    else:
        assert not {"<pad>", "<s>", "</s>"} & set(answer.text.split("<loc_5>"))


@steady
@given(mess)
def test_every_word_that_was_read_is_in_the_lines(raw: str) -> None:
    """Moderation reads lines: no broken group may hide words from it."""
    told = "".join(
        "".join(piece.text.split())
        for piece in pieces_of(raw)
        if piece.place < 0 and not piece.text.startswith(("<poly", "</poly", "<sep"))
    )
    kept = "".join("".join(line.split()) for line in lines(read(Task.OCR_WITH_REGION, raw)))
    assert kept == told
