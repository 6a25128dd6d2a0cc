"""weigh(): an opinion moves a photo between approve and review, and nowhere else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.moderation import Decision, Mode, Policy, Rule, Verdict, decide
from domain.opinions import Answer, Failure, Opinion, SecondOpinion, opinions_in
from domain.weighing import weigh

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
QUESTION = "Is it a real weapon?"
ASKS = SecondOpinion(QUESTION, Answer.NO, 0.8)
CHANNELS = ("ebay", "own_shop")


def a_rule(
    id: str = "a", action: Verdict = Verdict.REVIEW, asks: SecondOpinion | None = ASKS, **changes: object
) -> Rule:
    values: dict[str, object] = {"severity": 0 if action is Verdict.APPROVE else 4, "second_opinion": asks}
    values |= {"condition": lambda signals: [{"kind": "object"}], "message": "Look.", "policy_code": "CODE"}
    return Rule(**{"id": id, "version": 1, "action": action, **values, **changes})  # type: ignore[arg-type]


def judged(*rules: Rule) -> Decision:
    return decide(Policy("test", "v1", rules), {}, "acme", CHANNELS, NOON)


def heard(
    answer: Answer | None = Answer.NO, confidence: float = 0.9, failure: Failure | None = None
) -> dict[str, Opinion]:
    return {QUESTION: Opinion(QUESTION, "vlm", "1", answer, confidence, "I see a toy.", failure)}


@pytest.mark.parametrize(
    ("action", "answer", "confidence", "verdict"),
    [
        (Verdict.REVIEW, Answer.NO, 0.8, Verdict.APPROVE),
        (Verdict.REVIEW, Answer.NO, 0.79, Verdict.REVIEW),
        (Verdict.REVIEW, Answer.YES, 1.0, Verdict.REVIEW),
        (Verdict.REVIEW, Answer.UNSURE, 1.0, Verdict.REVIEW),
        (Verdict.APPROVE, Answer.YES, 0.8, Verdict.REVIEW),
        (Verdict.APPROVE, Answer.YES, 0.79, Verdict.APPROVE),
        (Verdict.APPROVE, Answer.NO, 1.0, Verdict.APPROVE),
    ],
)
def test_a_confident_answer_moves_the_photo(
    action: Verdict, answer: Answer, confidence: float, verdict: Verdict
) -> None:
    decision = weigh(judged(a_rule(action=action)), heard(answer, confidence))
    assert decision.channels == dict.fromkeys(CHANNELS, verdict)
    assert (decision.severity > 0) == (verdict is Verdict.REVIEW)


def test_its_words_stand_in_the_evidence_and_in_the_receipt() -> None:
    decision = weigh(judged(a_rule()), heard())
    told = decision.findings[0].evidence[-1]
    assert (told["kind"], told["answer"], told["reason"]) == ("second_opinion", "no", "I see a toy.")
    assert opinions_in(decision.receipt) == heard()


def test_a_failure_changes_nothing_and_is_written_down() -> None:
    before = judged(a_rule())
    decision = weigh(before, heard(None, failure=Failure.TIMED_OUT))
    assert decision.channels == before.channels
    assert decision.findings[0].evidence[-1]["failure"] == "timed_out"


def test_nobody_is_asked_where_the_answer_could_change_nothing() -> None:
    other = a_rule("b", asks=None)
    assert judged(a_rule(), other).asks == {}
    assert judged(a_rule(), a_rule("b", Verdict.REJECT, None)).asks == {}
    assert judged(a_rule(mode=Mode.SHADOW)).asks == {}
    assert judged(a_rule(condition=lambda signals: 1 / 0)).asks == {}
    assert judged(a_rule(), a_rule("b", Verdict.APPROVE, None), a_rule("c", asks=None, mode=Mode.SHADOW)).asks == {
        "a": ASKS
    }


def test_an_answer_to_a_question_nobody_asked_is_left_out() -> None:
    before = judged(a_rule())
    assert weigh(before, {"Is it blue?": heard()[QUESTION]}) == before


RULES = st.lists(
    st.builds(
        lambda action, asks, failing, channels: (action, asks and action is not Verdict.REJECT, failing, channels),
        st.sampled_from(Verdict),
        st.booleans(),
        st.booleans(),
        st.sampled_from([("*",), ("ebay",), ("own_shop",)]),
    ),
    max_size=5,
)
OPINIONS = st.builds(
    lambda answer, confidence, failure: heard(None if failure else answer, confidence, failure),
    st.sampled_from(Answer),
    st.floats(0, 1),
    st.none() | st.sampled_from(Failure),
)


@given(RULES, OPINIONS)
def test_no_opinion_rejects_or_overrules_a_rule_that_did_not_ask(
    rules: list[tuple[Verdict, bool, bool, tuple[str, ...]]], opinions: dict[str, Opinion]
) -> None:
    made = [
        a_rule(f"r{number}", action, ASKS if asks else None, channels=channels)
        if not failing
        else a_rule(f"r{number}", action, ASKS if asks else None, channels=channels, condition=lambda signals: 1 / 0)
        for number, (action, asks, failing, channels) in enumerate(rules)
    ]
    before = judged(*made)
    after = weigh(before, opinions)
    for channel in CHANNELS:
        rejected = before.channels[channel] is Verdict.REJECT
        assert (after.channels[channel] is Verdict.REJECT) == rejected
        firm = [
            one.action
            for one in before.findings
            if one.channel == channel and (one.policy_code == "RULE_ERROR" or not rules[int(one.rule[1:])][1])
        ]
        assert all(after.channels[channel].rank >= action.rank for action in firm)
    again = weigh(before, opinions_in(after.receipt))
    assert again.as_json() == after.as_json(), "a receipt's own opinions give its decision again"
