"""Counts and intervals on rows made by hand."""

from __future__ import annotations

import pytest

from tests.moderation_report import counting, writing
from tests.moderation_report.counting import Counts, Group, wilson
from tests.moderation_report.measuring import Case, Outcome, Row
from tests.overlays.drawn import Family

MADE = writing.Made("tiny@1", "rapidocr 1", "abc", "def")


def outcome(*alarms: Family, known: frozenset[Family] = frozenset({Family.CONTACT, Family.FRAME})) -> Outcome:
    findings = frozenset({("contact.x", "review", False)} if Family.CONTACT in alarms else ())
    return Outcome(frozenset(alarms), known, findings, {"ebay": "approve", "worst": "approve"}, "as read")


def row(kind: str = "phone", has: tuple[Family, ...] = (), **outcomes: Outcome) -> Row:
    case = Case(kind, "photographs", len(outcomes))
    return Row(case, "plain", "a.jpg", "text", frozenset(has), frozenset(), outcomes, "0", b"")


def test_each_reader_is_counted_by_itself_and_pixels_once() -> None:
    both = row(has=(Family.CONTACT,), florence=outcome(), rapidocr=outcome(Family.CONTACT, Family.FRAME))
    found = counting.counted([both])
    assert found == {
        Group(Family.CONTACT, "photographs", "florence"): Counts(missed=1),
        Group(Family.CONTACT, "photographs", "rapidocr"): Counts(right=1),
        Group(Family.FRAME, "photographs", "pixels"): Counts(quiet=1),
    }


def test_what_nobody_can_say_is_not_counted() -> None:
    unsure = row(florence=outcome(Family.FRAME, known=frozenset({Family.FRAME})))
    assert counting.counted([unsure])[Group(Family.FRAME, "photographs", "pixels")] == Counts(wrong=1)
    undecided = Row(unsure.case, "", "", "", frozenset(), frozenset({Family.FRAME}), unsure.outcomes, "0", b"")
    assert counting.counted([undecided]) == {}


@pytest.mark.parametrize(
    ("hits", "of", "interval"),
    # As scipy.stats.binomtest(...).proportion_ci(method="wilson") gives them.
    [(0, 10, (0.0, 0.27753)), (10, 10, (0.72247, 1.0)), (3, 10, (0.10779, 0.60322)), (150, 300, (0.44371, 0.55629))],
)
def test_the_interval_is_wilsons(hits: int, of: int, interval: tuple[float, float]) -> None:
    assert wilson(hits, of) == pytest.approx(interval, abs=1e-4)
    assert wilson(0, 0) is None


def test_a_report_is_read_back_as_it_was_written() -> None:
    rows = [
        row("clean", florence=outcome(Family.CONTACT)),
        row(has=(Family.CONTACT,), florence=outcome(), both=outcome()),
    ]
    text = writing.report(rows, rows[:1], MADE)
    assert writing.read_made(text) == MADE
    assert writing.read_whole(text) == counting.counted(rows)
    assert writing.read_small(text) == counting.counted(rows[:1])


def test_the_burden_counts_each_rule_once_a_photo() -> None:
    one = counting.burden([row(florence=outcome(Family.CONTACT)), row(florence=outcome())], "florence")
    assert (one.photos, one.by_rule) == (2, {("contact.x", "review"): 1})
    assert one.by_channel["ebay"] == {"approve": 2}
