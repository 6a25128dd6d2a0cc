"""Rules that ask for a second opinion: how they are written, and that their receipts hold without asking anybody."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from domain.errors import PolicyInvalid
from domain.moderation import Verdict
from domain.opinions import Answer, Opinion, SecondOpinion
from domain.weighing import weigh
from tests.factories import a_job, a_stored_photo, an_observation
from tests.worker.policy.conftest import HEAD, WritePolicy, a_rule
from worker.policy.engine import PolicyEngine
from worker.policy.explaining import rerun
from worker.policy.loading import load_policy

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
QUESTION = "Is it a real weapon?"


def asking(approve_when: str = '"no"', more: str = "", question: str = QUESTION, **changes: str) -> str:
    second = f'{{question: "{question}", approve_when: {approve_when}{more}}}'
    return HEAD + a_rule(**{"action": "review", "second_opinion": second, **changes})


@pytest.mark.parametrize(("written", "meant"), [('"no"', Answer.NO), ("no", Answer.NO), ("yes", Answer.YES)])
def test_a_question_is_read_with_yaml_s_own_yes_and_no(write: WritePolicy, written: str, meant: Answer) -> None:
    (rule,) = load_policy(write(asking(written))).policy.rules
    assert rule.second_opinion == SecondOpinion(QUESTION, meant, 0.8)


def test_a_rule_that_approves_may_ask(write: WritePolicy) -> None:
    (rule,) = load_policy(write(asking(more=", at_least: 0.6", action="approve", severity="0"))).policy.rules
    assert rule.second_opinion is not None
    assert rule.second_opinion.at_least == 0.6


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (asking(action="reject"), "second_opinion is for rules that approve or review"),
        (asking("maybe"), "approve_when"),
        (asking(more=", at_least: 0.2"), "at_least"),
        (asking(more=", reject_when: 1"), "there is no such field"),
        (asking(question="Say what you see."), "question"),
        (asking(question="What?"), "question"),
    ],
)
def test_a_question_that_cannot_work_is_refused_with_its_place(write: WritePolicy, policy: str, why: str) -> None:
    with pytest.raises(PolicyInvalid, match=why):
        load_policy(write(policy))


@pytest.mark.parametrize("answer", [Answer.YES, Answer.NO])
def test_a_receipt_with_an_opinion_gives_the_same_decision_byte_for_byte(write: WritePolicy, answer: Answer) -> None:
    engine = PolicyEngine.load(write(asking()))
    before = engine.decide(a_job(), a_stored_photo(), an_observation(objects=(("knife", 0.9),)), NOON, "plan")
    opinion = Opinion(QUESTION, "vlm", "1", answer, 0.9, "Ein Spielzeug é.", cost_micros=12)
    decision = weigh(before, {QUESTION: opinion})
    assert decision.verdict is (Verdict.APPROVE if answer is Answer.NO else Verdict.REVIEW)
    stored = json.loads(json.dumps(decision.as_json()))
    assert rerun(stored, engine) == {"same": True, "problem": None, "differences": []}
    stored["receipt"]["opinions"][QUESTION]["answer"] = "unsure"
    assert rerun(stored, engine)["same"] is False


def test_the_shipped_rules_ask_nobody(starter: PolicyEngine) -> None:
    assert starter.policy.asking == ()
