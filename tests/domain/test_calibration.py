"""Calibration: curves that rise, observations read by them once, a threshold that parts the same before and after."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calibration import VERIFIED, VERIFIED_MIN, Calibration, Curve
from domain.observations import (
    DetectedObject,
    LinesAnswer,
    Mask,
    MasksAnswer,
    ObjectsAnswer,
    Observation,
    Question,
    Reading,
    Task,
    TextAnswer,
    TextLine,
)
from tests.factories import an_observation

SHARE = st.floats(0, 1)
QUAD = (0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0)
BOX = (0.0, 0.0, 9.0, 9.0)
HALF = Curve(((0.0, 0.0), (1.0, 0.5)))
KNOWN = Calibration("v1", dict.fromkeys((*Task, VERIFIED), HALF), verified_min=0.4)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    raw = sorted(draw(st.sets(SHARE, min_size=1, max_size=8)))
    read = sorted(draw(st.lists(SHARE, min_size=len(raw), max_size=len(raw))))
    return Curve(tuple(zip(raw, read, strict=True)))


def asked(score: float, verified: float | None, phrase: str = "dagger") -> Observation:
    found = ObjectsAnswer((DetectedObject("a knife", BOX, score, verified),))
    return an_observation(asked=((Question(Task.OPEN_VOCABULARY_DETECTION, phrase), found),), calibration=KNOWN)


@given(curves(), SHARE, SHARE)
def test_a_surer_raw_score_is_never_read_as_less_sure(curve: Curve, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= curve(low) <= curve(high) <= 1


@given(curves())
def test_a_curve_goes_through_its_knots_and_is_level_beyond_them(curve: Curve) -> None:
    for raw, read in curve.knots:
        assert curve(raw) == pytest.approx(read)
    assert (curve(0.0), curve(1.0)) == (
        pytest.approx(curve.knots[0][1]),
        pytest.approx(curve.knots[-1][1]),
    )


@given(curves(), SHARE)
def test_a_calibration_survives_storage(curve: Curve, threshold: float) -> None:
    known = Calibration("v1", {"od": curve}, threshold)
    assert Calibration.from_json(json.loads(json.dumps(known.as_json()))) == known


@pytest.mark.parametrize(
    "knots",
    [(), ((0.5, 0.2), (0.5, 0.3)), ((0.2, 0.5), (0.4, 0.3)), ((-0.1, 0.0),), ((0.0, 1.1),), ((float("nan"), 0.5),)],
)
def test_what_does_not_rise_within_bounds_is_no_curve(knots: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="curve"):
        Curve(knots)


def test_every_kind_of_answer_is_read_and_nothing_else_changes() -> None:
    seen = an_observation(
        lines=("SALE",),
        asked=((Question(Task.REGION_TO_SEGMENTATION, BOX), MasksAnswer((Mask("", ((0.0, 0.0, 1.0, 1.0),)),))),),
        second_reading=Reading("rapidocr", (TextLine("SALE", QUAD, 0.9),)),
        calibration=KNOWN,
    )
    read = seen.calibrated()
    assert read.results[Task.CAPTION] == TextAnswer("a red sneaker", 0.4)
    assert [item.score for item in read.objects] == [0.45]
    assert [line.score for line in read.lines] == [0.35]
    assert (read.asked, read.second_reading) == (seen.asked, seen.second_reading)
    assert read.calibration is not None and read.calibration.version == "v1"


def test_scores_are_not_read_twice_also_not_after_storage() -> None:
    read = an_observation(calibration=KNOWN).calibrated()
    assert read.calibrated() == read
    assert Observation.from_json(read.as_json()).calibrated() == read


def test_what_is_stored_keeps_raw_scores_and_how_to_read_them() -> None:
    seen = asked(0.9, 0.8)
    stored = json.loads(json.dumps(seen.as_json()))
    assert stored["results"]["od"]["objects"][0]["score"] == 0.9
    assert Observation.from_json(stored) == seen


def test_without_a_calibration_scores_stay_raw() -> None:
    seen = an_observation()
    assert seen.calibrated() == seen
    assert "calibration" not in seen.as_json()
    assert seen.verified_min == VERIFIED_MIN


def test_a_task_without_a_curve_keeps_its_raw_scores() -> None:
    known = KNOWN.only([Task.CAPTION])
    read = an_observation(calibration=known).calibrated()
    assert read.objects[0].score == 0.9
    assert read.results[Task.CAPTION] == TextAnswer("a red sneaker", 0.4)


def test_an_answer_without_a_score_has_none_after_reading() -> None:
    lines = LinesAnswer((TextLine("SALE", QUAD, None),))
    read = an_observation(results={Task.OCR_WITH_REGION: lines}, calibration=KNOWN).calibrated()
    assert read.results[Task.OCR_WITH_REGION] == lines


@pytest.mark.parametrize(("verified", "there"), [(0.41, True), (0.4, True), (0.39, False), (0.0, False)])
def test_an_object_asked_for_by_name_counts_by_its_second_reading(verified: float, there: bool) -> None:
    for seen in (asked(0.99, verified), asked(0.99, verified).calibrated()):
        assert [item.label for item in seen.open_vocabulary] == (["dagger"] if there else [])


def test_an_object_that_was_read_once_counts_by_its_only_score() -> None:
    assert [len(asked(score, None).open_vocabulary) for score in (0.5, 0.3)] == [1, 0]
