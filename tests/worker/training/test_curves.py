"""Curves: monotone whatever they are fitted to, honest where the model was not, nothing concluded from little."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.training.certainty import Sample, calibration_error, error_by_chance
from worker.training.curves import FEWEST, WAYS, best

SAMPLES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=FEWEST, max_size=120)


def boasting(count: int, seed: int) -> list[Sample]:
    """Scores of a model that says 0.9 where it is right in half of the cases."""
    rng = random.Random(seed)
    scores = [rng.uniform(0.6, 1.0) for _ in range(count)]
    return [(score, rng.random() < (score - 0.6) * 1.6) for score in scores]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=30, deadline=None)
@given(samples=SAMPLES, one=st.floats(0, 1), other=st.floats(0, 1))
def test_a_surer_score_is_never_read_as_less_sure(way: str, samples: list[Sample], one: float, other: float) -> None:
    curve = WAYS[way](samples)
    low, high = sorted((one, other))
    assert 0 <= curve(low) <= curve(high) <= 1


@pytest.mark.parametrize("way", WAYS)
def test_a_boasting_model_is_read_as_what_it_is_on_samples_not_fitted_to(way: str) -> None:
    curve = WAYS[way](boasting(600, 1))
    other = boasting(600, 2)
    assert calibration_error(other) > 0.3
    assert calibration_error([(curve(score), right) for score, right in other]) < 0.08


@pytest.mark.parametrize("right", [True, False])
def test_one_outcome_alone_is_read_as_likely_never_as_certain(right: bool) -> None:
    found = best([(0.5 + place / 200, right) for place in range(80)])
    assert found is not None
    read = found[1](0.7)
    assert (0.8 < read < 1) if right else (0 < read < 0.2)


def test_of_too_few_samples_nothing_is_concluded() -> None:
    assert best(boasting(FEWEST - 1, 1)) is None
    assert best(boasting(FEWEST, 1)) is not None


def test_the_better_way_is_taken() -> None:
    rng = random.Random(3)
    steps = [
        (score := rng.random(), rng.random() < (0.9 if 0.4 < score < 0.5 or score > 0.9 else 0.3)) for _ in range(900)
    ]
    found = best(steps)
    assert found is not None and found[0] in WAYS
    assert best(steps, ("logistic",)) == ("logistic", WAYS["logistic"](steps))


def test_calibration_error_is_the_weighted_distance_of_confidence_and_accuracy() -> None:
    assert calibration_error([]) == 0
    assert calibration_error([(1.0, True), (0.0, False)]) == 0
    assert calibration_error([(0.9, True), (0.9, False)]) == pytest.approx(0.4)
    # A score that is exactly right shows an error too, the smaller the more samples there are.
    few, many = (error_by_chance([(0.7, True)] * count) for count in (20, 2000))
    assert 0.05 < few < 0.15 and many < 0.02
    three = [(0.9, False), (0.9, False), (0.1, False), (0.1, False)]
    assert calibration_error(three) == pytest.approx((2 * 0.9 + 2 * 0.1) / 4)
