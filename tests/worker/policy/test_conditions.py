"""Conditions in CEL: typed when compiled, plain data when evaluated, failures visible."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import RuleFailed
from worker.policy.conditions import MOST_EVIDENCE, MOST_EXPRESSION, ConditionRefused, Conditions
from worker.policy.signals import registered


@pytest.fixture(scope="module")
def conditions() -> Conditions:
    return Conditions(registered(), {"sure": 0.5})


def nothing_seen(**changes: Any) -> dict[str, Any]:
    return {name: one.empty() for name, one in registered().items()} | changes


def an_object(label: str = "knife", score: float = 0.9) -> dict[str, Any]:
    return {"label": label, "group": "", "score": score, "box": [1.0, 2.0, 3.5, 4.0], "share_of_picture": 0.25}


def test_evidence_is_the_signal_items_with_their_kind(conditions: Conditions) -> None:
    condition = conditions.compile(None, ["objects.filter(o, o.score > threshold.sure)"])
    causes = condition(nothing_seen(objects=[an_object(), an_object("fork", 0.1)]))
    assert causes == [{"kind": "object", **an_object()}]


def test_several_causes_are_joined_in_order(conditions: Conditions) -> None:
    condition = conditions.compile("size(objects) > 0", ["objects", "[image]", "[{'kind': 'note', 'n': 1}]"])
    kinds = [cause["kind"] for cause in condition(nothing_seen(objects=[an_object()]))]
    assert kinds == ["object", "image", "note"]
    assert list(condition(nothing_seen())) == []


def test_evidence_is_bounded(conditions: Conditions) -> None:
    condition = conditions.compile(None, ["objects"])
    assert len(condition(nothing_seen(objects=[an_object()] * 90))) == MOST_EVIDENCE


def test_a_comment_cannot_swallow_the_rest(conditions: Conditions) -> None:
    condition = conditions.compile("true // always", ["objects // all of them"])
    assert len(condition(nothing_seen(objects=[an_object()]))) == 1


@pytest.mark.parametrize(
    "causes",
    [
        "objects.filter(o, 1 / size(caption) > 0)",  # division by zero while the caption is empty
        "objects[70] == objects[0] ? objects : []",
        # 10,000 comprehension steps are the engine's limit, so nesting cannot hang a worker
        "objects.all(a, objects.all(b, objects.all(c, a.score + b.score + c.score >= 0.0))) ? objects : []",
    ],
)
def test_a_failing_evaluation_raises_and_spares_the_others(conditions: Conditions, causes: str) -> None:
    fails, works = conditions.compile(None, [causes]), conditions.compile(None, ["objects"])
    signals = conditions.bind(nothing_seen(objects=[an_object()] * 50))
    with pytest.raises(RuleFailed):
        fails(signals)
    assert len(works(signals)) == 50


@pytest.mark.parametrize("when", ["1 / size(caption) > 0", "objects[0].score > 0.5 || size(caption) > 0"])
def test_a_failing_condition_is_no_plain_no(conditions: Conditions, when: str) -> None:
    with pytest.raises(RuleFailed):
        conditions.compile(when, ["objects"])(nothing_seen())


def test_a_policy_of_many_rules_gives_what_each_rule_gives_alone() -> None:
    conditions = Conditions(registered(), {"sure": 0.5})
    rules = [conditions.compile(f'caption == "{number}"', ["objects"]) for number in range(130)]
    signals = [nothing_seen(objects=[an_object()], caption=str(number)) for number in (0, 49, 50, 129, 130)]
    for one in signals:
        together, alone = conditions.bind(one), conditions.bind(one, together=False)
        assert [rule(together) for rule in rules] == [rule(alone) for rule in rules]
    assert [index for index, rule in enumerate(rules) if rule(conditions.bind(signals[3]))] == [129]


def test_bound_and_plain_signals_give_the_same(conditions: Conditions) -> None:
    condition = conditions.compile(None, ["objects"])
    plain = nothing_seen(objects=[an_object()])
    assert condition(plain) == condition(conditions.bind(plain))
    assert dict(conditions.bind(plain)) == plain


@pytest.mark.parametrize("broken", [{}, {"caption": None}, {"objects": [{"colour": "red"}]}, {"caption": "\ud800"}])
def test_signals_of_another_shape_fail_loudly(conditions: Conditions, broken: dict[str, Any]) -> None:
    condition = conditions.compile(None, ["objects"])
    signals = {"objects": []} if not broken else nothing_seen(**broken)
    with pytest.raises(RuleFailed):
        condition(signals)


def test_a_novel_is_not_an_expression(conditions: Conditions) -> None:
    with pytest.raises(ConditionRefused, match="split the rule"):
        conditions.compile(None, ["objects" + " " * MOST_EXPRESSION])


@pytest.mark.parametrize("literal", ["1.5", "2", "12.0", "-0.1", "100.0", "1.01"])
def test_scores_are_not_compared_with_impossible_numbers(conditions: Conditions, literal: str) -> None:
    number = literal if "." in literal else literal + ".0"
    with pytest.raises(ConditionRefused, match="between 0 and 1"):
        conditions.compile(None, [f"objects.filter(o, o.score >= {number})"])


@pytest.mark.parametrize("literal", ["0.0", "0.5", "1.0", "0.999", "0.15"])
def test_scores_are_compared_with_possible_numbers(conditions: Conditions, literal: str) -> None:
    assert conditions.compile(None, [f"objects.filter(o, o.score >= {literal})"])(nothing_seen()) == []


def test_every_signal_says_what_it_is() -> None:
    for name, one in registered().items():
        assert one.doc.endswith("."), name
        assert one.cost > 0, name
