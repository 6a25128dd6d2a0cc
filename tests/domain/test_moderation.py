"""decide(): verdicts by channel, causes kept, failing rules visible, and the laws every policy obeys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.moderation import RULE_ERROR, Decision, Finding, Mode, Policy, Rule, Verdict, decide, worst

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


def a_rule(id: str = "a", **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "id": id,
        "version": 1,
        "policy_code": "CODE",
        "severity": 4,
        "action": Verdict.REJECT,
        "message": "Use another photo.",
        "condition": lambda signals: [{"kind": "x"}],
    }
    return Rule(**values | changes)


def judge(
    *rules: Rule, channels: tuple[str, ...] = ("own_shop",), tenant: str = "acme", at: datetime = NOON
) -> Decision:
    return decide(Policy("test", "v1", rules), {}, tenant, channels, at)


def broken(signals: object) -> list[dict[str, Any]]:
    raise ZeroDivisionError("divide by zero")


def test_no_rule_approves_every_channel() -> None:
    decision = judge(channels=("ebay", "own_shop"))
    assert decision.channels == {"ebay": Verdict.APPROVE, "own_shop": Verdict.APPROVE}
    assert decision.verdict is Verdict.APPROVE
    assert decision.severity == 0


def test_a_match_keeps_its_causes() -> None:
    (finding,) = judge(a_rule(condition=lambda _: [{"label": "knife"}, {"label": "sword"}])).findings
    assert finding.evidence == ({"label": "knife"}, {"label": "sword"})
    assert (finding.rule, finding.rule_version, finding.message) == ("a", 1, "Use another photo.")


def test_no_causes_is_no_match() -> None:
    assert judge(a_rule(condition=lambda _: [])).findings == ()


def test_verdicts_are_by_channel_and_the_worst_is_the_jobs() -> None:
    decision = judge(
        a_rule("only_ebay", channels=("ebay",)),
        a_rule("everywhere", action=Verdict.REVIEW, severity=2),
        channels=("ebay", "own_shop"),
    )
    assert decision.channels == {"ebay": Verdict.REJECT, "own_shop": Verdict.REVIEW}
    assert decision.verdict is Verdict.REJECT
    assert decision.severity == 4


def test_a_rule_that_fails_sends_the_photo_to_review() -> None:
    decision = judge(a_rule(condition=broken, action=Verdict.REJECT))
    assert decision.verdict is Verdict.REVIEW
    (finding,) = decision.findings
    assert finding.policy_code == RULE_ERROR
    assert "divide by zero" in finding.evidence[0]["error"]


def test_a_shadow_rule_is_reported_and_changes_nothing() -> None:
    decision = judge(a_rule(mode=Mode.SHADOW), a_rule("b", mode=Mode.SHADOW, condition=broken))
    assert decision.verdict is Verdict.APPROVE
    assert [finding.shadow for finding in decision.findings] == [True, True]


@pytest.mark.parametrize(
    ("changes", "tenant", "applies"),
    [
        ({"tenants": ("acme",)}, "acme", True),
        ({"tenants": ("acme",)}, "other", False),
        ({"channels": ("ebay",)}, "acme", False),
        ({"mode": Mode.DRAFT}, "acme", False),
        ({"effective_from": NOON}, "acme", True),
        ({"effective_from": NOON + timedelta(microseconds=1)}, "acme", False),
        ({"effective_to": NOON}, "acme", False),
        ({"effective_to": NOON + timedelta(microseconds=1)}, "acme", True),
    ],
)
def test_scope_and_dates(changes: dict[str, Any], tenant: str, applies: bool) -> None:
    assert bool(judge(a_rule(**changes), tenant=tenant).findings) is applies


def test_decision_survives_json() -> None:
    decision = judge(a_rule(), a_rule("b", mode=Mode.SHADOW))
    assert Decision.from_json(json.loads(json.dumps(decision.as_json()))) == decision
    assert Finding.from_json(decision.findings[0].as_json()) == decision.findings[0]


def test_worst_of_nothing_is_approve() -> None:
    assert worst([]) is Verdict.APPROVE


# -- Laws ------------------------------------------------------------------------------------------------------------

moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))


@st.composite
def rules(draw: st.DrawFn, modes: tuple[Mode, ...] = tuple(Mode)) -> Rule:
    matches = draw(st.sampled_from(["yes", "no", "error"]))
    conditions = {"yes": lambda _: [{"kind": "x"}], "no": lambda _: [], "error": broken}
    return a_rule(
        draw(st.uuids()).hex,
        action=draw(st.sampled_from(Verdict)),
        mode=draw(st.sampled_from(modes)),
        channels=draw(st.sampled_from([("*",), ("ebay",), ("ebay", "own_shop")])),
        effective_from=draw(st.none() | moments),
        effective_to=draw(st.none() | moments),
        condition=conditions[matches],
    )


BOTH = ("ebay", "own_shop")


@given(st.lists(rules(), max_size=8), st.randoms(use_true_random=False), moments)
def test_the_order_of_rules_does_not_matter(some: list[Rule], random: Any, at: datetime) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)
    assert judge(*some, channels=BOTH, at=at) == judge(*shuffled, channels=BOTH, at=at)


@given(st.lists(rules(), max_size=6), rules(modes=(Mode.SHADOW, Mode.DRAFT)), moments)
def test_adding_a_shadow_rule_changes_no_verdict(some: list[Rule], extra: Rule, at: datetime) -> None:
    before, after = judge(*some, channels=BOTH, at=at), judge(*some, extra, channels=BOTH, at=at)
    assert before.channels == after.channels
    assert before.severity == after.severity
    assert [f for f in before.findings if not f.shadow] == [f for f in after.findings if not f.shadow]


@given(rules(modes=(Mode.LIVE, Mode.SHADOW)), moments)
def test_a_rule_outside_its_dates_never_fires(rule: Rule, at: datetime) -> None:
    early = rule.effective_from is not None and at < rule.effective_from
    late = rule.effective_to is not None and at >= rule.effective_to
    if early or late:
        assert judge(rule, channels=BOTH, at=at).findings == ()


@given(st.lists(rules(), max_size=6), rules(modes=(Mode.LIVE,)), moments)
def test_adding_a_live_rule_never_makes_a_verdict_milder(some: list[Rule], extra: Rule, at: datetime) -> None:
    before, after = judge(*some, channels=BOTH, at=at), judge(*some, extra, channels=BOTH, at=at)
    assert all(after.channels[channel].rank >= before.channels[channel].rank for channel in BOTH)


# -- Messages in the seller's language ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "message"),
    [
        ("de-AT", "Nimm ein anderes Foto."),
        ("DE_ch", "Nimm ein anderes Foto."),
        ("fr", "Use another photo."),
        ("", "Use another photo."),
        (None, "Use another photo."),
    ],
)
def test_the_seller_reads_the_message_in_their_language_or_in_english(locale: str | None, message: str) -> None:
    policy = Policy("test", "v1", (a_rule(translations={"de": "Nimm ein anderes Foto."}),))
    (finding,) = decide(policy, {}, "acme", ("own_shop",), NOON, locale).findings
    assert finding.message == message


def test_the_message_of_a_failed_rule_is_translated_too() -> None:
    policy = Policy("test", "v1", (a_rule(condition=broken),))
    messages = {
        locale: decide(policy, {}, "acme", ("own_shop",), NOON, locale).findings[0].message
        for locale in ("en-GB", "de-DE", "fr-FR", "es-MX", "nl-NL")
    }
    assert messages["nl-NL"] == messages["en-GB"]
    assert len(set(messages.values())) == 4


def test_a_shop_never_sees_rules_of_another_scope_however_many_shops_ask() -> None:
    policy = Policy("test", "v1", (a_rule(tenants=("acme",)), a_rule("b")))
    for shop in (*(f"shop-{number}" for number in range(1_100)), "acme", "shop-0"):
        found = [finding.rule for finding in decide(policy, {}, shop, ("ebay",), NOON).findings]
        assert found == (["a", "b"] if shop == "acme" else ["b"])
