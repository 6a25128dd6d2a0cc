"""A case's life, and what a person's word does to a verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.corrections import MACHINE, Correction, Standing, correct_photo
from domain.errors import Forbidden, InputRejected
from domain.moderation import Decision, Finding, Verdict
from domain.review import DECIDED, Action, State, after, drawn, due, label_value, may_decide, resolved
from domain.review import Reviewer as Person

APPROVE, REVIEW, REJECT = Verdict.APPROVE, Verdict.REVIEW, Verdict.REJECT


@pytest.mark.parametrize(
    ("verdicts", "action", "expected"),
    [
        ((APPROVE, REVIEW), Action.UPHOLD, (APPROVE, REJECT)),
        ((REJECT, REVIEW), Action.OVERTURN, (APPROVE, APPROVE)),
        ((APPROVE, APPROVE), Action.UPHOLD, (APPROVE, APPROVE)),
        ((APPROVE, APPROVE), Action.OVERTURN, (REJECT, REJECT)),
    ],
)
def test_what_a_decision_makes_of_each_channel(
    verdicts: tuple[Verdict, ...], action: Action, expected: tuple[Verdict, ...]
) -> None:
    decision = Decision(dict(zip(("ebay", "meta"), verdicts, strict=True)), ())
    assert tuple(resolved(decision, action).values()) == expected


@given(st.sampled_from(State), st.sampled_from(Action), st.booleans())
def test_no_step_leads_from_a_decision_but_taking_it_back(state: State, action: Action, leads: bool) -> None:
    try:
        to = after(state, action, leads=leads)
    except Forbidden:
        assert state is State.ESCALATED
        assert not leads
    except InputRejected:
        assert state in (*DECIDED, State.SUPERSEDED)
    else:
        assert state not in DECIDED
        assert (to in DECIDED) == (action in (Action.UPHOLD, Action.OVERTURN))


def test_who_may_decide() -> None:
    rob, lea = Person("rob", "Rob", "acme"), Person("lea", "Lea", "acme", leads=True)
    assert may_decide(rob, [], needs_lead=False)
    assert not may_decide(rob, ["rob"], needs_lead=False)
    assert not may_decide(rob, [], needs_lead=True)
    assert may_decide(lea, ["rob"], needs_lead=True)


def test_a_coins_toss_teaches_most() -> None:
    finding = Finding("r", 1, "C", 2, REVIEW, "ebay", "Look.", ({"score": 0.5},))
    decision = Decision({"ebay": REVIEW}, (finding,))
    assert label_value(decision) == 1.0
    assert label_value(replace(decision, findings=(replace(finding, evidence=({"score": 1.0},)),))) == 0.0
    assert label_value(replace(decision, findings=(replace(finding, shadow=True),))) == 0.0


def test_graver_cases_are_due_sooner() -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    moments = [due(severity, now) for severity in (6, 4, 2, 0)]
    assert moments == sorted(moments)
    assert len(set(moments)) == 4


def test_a_share_is_about_that_share() -> None:
    assert not any(drawn(str(n), 0.0) for n in range(100))
    assert all(drawn(str(n), 1.0) for n in range(100))
    assert 150 < sum(drawn(str(n), 0.2) for n in range(1000)) < 250


words = st.text("abc", min_size=1, max_size=3)


@given(words, st.lists(words, max_size=4))
def test_the_last_word_stands_and_the_machines_comes_back(seen: str, said: list[str]) -> None:
    fields = {"caption": {"value": seen, "source": "caption", "score": 0.5}, "attributes": {}}
    standing = [Standing(Correction.read({"field": "caption", "value": word}), "h") for word in said]
    once = correct_photo(fields, "h", standing)
    assert correct_photo(once, "h", standing) == once
    assert once["caption"]["value"] == (said[-1] if said else seen)
    assert correct_photo(once, "h", []) == fields
    assert correct_photo(fields, "another", standing) == fields
    assert (MACHINE in once) == bool(said)
