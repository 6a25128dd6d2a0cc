"""The binomial test behind the match-rate alarm, held against exact sums."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.surprise import surprise

counts = st.integers(100, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
histories = st.integers(500, 50_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def exact_tail(count: int, total: int, rate: Fraction) -> float:
    return float(sum(comb(total, n) * rate**n * (1 - rate) ** (total - n) for n in range(count, total + 1)))


@given(lately=counts, before=histories)
def test_it_is_a_probability(lately: tuple[int, int], before: tuple[int, int]) -> None:
    assert 0.0 <= surprise(*lately, *before) <= 1.0


@pytest.mark.parametrize(("matched", "total"), [(0, 100), (3, 100), (50, 100), (100, 100), (997, 5000)])
def test_the_same_rate_is_no_surprise(matched: int, total: int) -> None:
    assert surprise(matched, total, matched * 10, total * 10) == 1.0


@pytest.mark.parametrize(("matched", "judged"), [(60, 200), (110, 200), (200, 200)])
def test_it_is_twice_the_tail_beyond_what_history_may_have_been(matched: int, judged: int) -> None:
    """With a history of a million photos the rate is all but known: 20 %."""
    found = surprise(matched, judged, 200_000, 1_000_000)
    at_least, at_most = (
        exact_tail(matched, judged, Fraction(20, 100)),
        exact_tail(matched, judged, Fraction(2014, 10_000)),
    )
    assert 2 * at_least <= found <= 2 * at_most


def test_a_fall_counts_like_the_rise_of_what_did_not_match() -> None:
    assert surprise(10, 200, 100_000, 200_000) == pytest.approx(surprise(190, 200, 100_000, 200_000), rel=1e-9)


@pytest.mark.parametrize("counts", [(99, 99, 0, 10_000), (500, 1000, 0, 499), (5, 100, 0, 500), (0, 100, 10, 500)])
def test_little_evidence_alarms_nobody(counts: tuple[int, int, int, int]) -> None:
    assert surprise(*counts) > 1e-9


@pytest.mark.parametrize("counts", [(120, 200, 12, 600), (0, 5000, 5000, 50_000), (1_000_000, 2_000_000, 10, 10**7)])
def test_what_cannot_be_chance_is_found(counts: tuple[int, int, int, int]) -> None:
    assert surprise(*counts) < 1e-9


def test_the_further_the_more_surprising() -> None:
    chances = [surprise(matched, 300, 100, 1000) for matched in range(60, 300, 20)]
    assert chances == sorted(chances, reverse=True)
