"""Scores: means over the steps of a label or of places, kept apart."""

from __future__ import annotations

import math

import pytest

from domain.observations import LinesAnswer, ObjectsAnswer, Task
from worker.vision.parsing import Canvas, parse
from worker.vision.pieces import Piece, place_piece, text_piece
from worker.vision.scores import Certainty, mean_probability


def logs(*probabilities: float) -> list[float]:
    return [math.log(value) for value in probabilities]


def test_mean_is_geometric_so_length_does_not_matter() -> None:
    assert mean_probability(logs(0.5, 0.5, 0.5), [(0, 3)]) == pytest.approx(0.5)
    assert mean_probability(logs(0.9, 0.4), [(0, 1), (1, 2)]) == pytest.approx(0.6)


@pytest.mark.parametrize(("numbers", "spans"), [([], [(0, 2)]), ([-0.1], []), ([float("nan")], [(0, 1)])])
def test_no_steps_or_no_numbers_is_no_score(numbers: list[float], spans: list[tuple[int, int]]) -> None:
    assert mean_probability(numbers, spans) is None


def test_words_decide_the_public_score_and_places_only_without_words() -> None:
    assert Certainty(label=0.9, location=0.1).score == 0.9
    assert Certainty(label=None, location=0.1).score == 0.1


def labelled(label: str, count: int, start: int) -> list[Piece]:
    places = [place_piece(place, (start + 1 + place, start + 2 + place)) for place in range(count)]
    return [text_piece(label, (start, start + 1)), *places]


def test_each_object_has_the_scores_of_its_own_tokens() -> None:
    pieces = [*labelled("car", 4, 0), *labelled("dog", 4, 5)]
    reading = parse(Task.OD, pieces, Canvas(100, 100, logs(0.9, *[0.5] * 4, 0.3, *[0.2] * 4)))
    assert isinstance(reading.answer, ObjectsAnswer)
    assert [item.score for item in reading.answer.objects] == pytest.approx([0.9, 0.3])
    assert [certainty.location for certainty in reading.certainties] == pytest.approx([0.5, 0.2])


def test_a_line_has_the_score_of_its_words() -> None:
    reading = parse(Task.OCR_WITH_REGION, labelled("SALE", 8, 0), Canvas(100, 100, logs(0.7, *[0.1] * 8)))
    assert isinstance(reading.answer, LinesAnswer)
    assert reading.answer.lines[0].score == pytest.approx(0.7)


def test_saying_nothing_has_the_probability_of_the_end() -> None:
    reading = parse(Task.OCR, [], Canvas(10, 10, logs(0.8, 0.8)))
    assert reading.certainties[0].score == pytest.approx(0.8)
