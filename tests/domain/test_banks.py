"""What outweighs what among bank matches, and what is a flood."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.banks import BankEntry, BankKind, BankMatch, is_flood, settle


def a_match(kind: BankKind, distance: int, id: str = "e", set_aside: str | None = None, **changes: Any) -> BankMatch:
    values: dict[str, Any] = {"bank": "b", "pdq": "0" * 64, "threshold": 31, "note": "n", "source": "s"}
    values |= {"added_by": "ann", "added_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return BankMatch(BankEntry(id=id, kind=kind, set_aside=set_aside, **values | changes), distance)


def kinds(*matches: BankMatch) -> list[tuple[str, int]]:
    return [(match.as_json()["kind"], match.distance) for match in settle(matches)]


def test_an_allowed_picture_outweighs_blocked_ones_that_are_farther() -> None:
    block, near, far = BankKind.BLOCK, BankKind.ALLOW, BankKind.ALLOW
    assert kinds(a_match(block, 10), a_match(near, 4)) == [("allow", 4)]
    assert kinds(a_match(block, 4), a_match(far, 10)) == [("block", 4), ("allow", 10)]
    assert ("block", 4) in kinds(a_match(block, 4), a_match(near, 4))
    assert kinds(a_match(block, 4)) == [("block", 4)]


def test_what_is_set_aside_says_so_and_outweighs_nothing() -> None:
    quarantined = a_match(BankKind.ALLOW, 2, set_aside="flood")
    assert kinds(quarantined, a_match(BankKind.BLOCK, 9)) == [("set_aside", 2), ("block", 9)]


matches = st.lists(
    st.builds(
        a_match, st.sampled_from(BankKind), st.integers(0, 31), st.uuids().map(str), st.sampled_from([None, "x"])
    ),
    max_size=8,
)


@given(matches, st.randoms(use_true_random=False))
def test_the_order_of_matches_does_not_matter_and_no_kept_block_is_farther_than_an_allow(
    found: list[BankMatch], random: Any
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    kept = settle(found)
    assert kept == settle(shuffled)
    allowed = [match.distance for match in found if match.entry.kind is BankKind.ALLOW and not match.entry.set_aside]
    for match in kept:
        if match.entry.kind is BankKind.BLOCK:
            assert match.distance <= min(allowed, default=256)


@pytest.mark.parametrize(
    ("last_hour", "before", "hours", "flood"),
    [(50, 0, 0.0, False), (51, 0, 0.0, True), (90, 1000, 100.0, False), (101, 1000, 100.0, True), (0, 0, 0.0, False)],
)
def test_a_flood_is_far_beyond_the_usual_hour(last_hour: int, before: int, hours: float, flood: bool) -> None:
    assert is_flood(last_hour, before, hours, least=50) is flood
