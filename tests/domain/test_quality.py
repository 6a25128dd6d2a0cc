"""Agreement and intervals, held against published values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.quality import Share, clopper_pearson, cohens_kappa, wilson


def test_kappa_of_cohens_textbook_table() -> None:
    """20 both yes, 5 and 10 apart, 15 both no: kappa 0.4."""
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohens_kappa(pairs) == pytest.approx(0.4)


def test_kappa_at_its_ends() -> None:
    assert cohens_kappa([("y", "y"), ("n", "n")]) == 1.0
    assert cohens_kappa([("y", "n"), ("n", "y")]) == -1.0
    assert cohens_kappa([]) is None
    assert cohens_kappa([("y", "y")] * 9) is None, "chance explains it"


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (1, 29, 0.0061, 0.1718), (15, 148, 0.0624, 0.1605), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_as_newcombe_prints_it(count: int, total: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3 without continuity correction."""
    assert wilson(count, total) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776), (15, 148, 0.0578, 0.1617), (81, 263, 0.2527, 0.3676)],
)
def test_clopper_pearson_as_newcombe_prints_it(count: int, total: int, low: float, high: float) -> None:
    assert clopper_pearson(count, total) == pytest.approx((low, high), abs=1e-4)


def test_nothing_counted_says_nothing() -> None:
    assert Share(0, 0).as_json() == {"count": 0, "total": 0, "rate": None, "low": 0.0, "high": 1.0}


@given(st.integers(1, 400), st.data())
def test_intervals_hold_the_rate(total: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, total))
    for low, high in (wilson(count, total), clopper_pearson(count, total)):
        assert 0.0 <= low <= count / total + 1e-9
        assert count / total - 1e-9 <= high <= 1.0
