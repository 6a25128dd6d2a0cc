"""The shipped channel packs: what each asks for, from when, from where; and that others pay nothing for them."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.inspection import Background, Frame
from domain.moderation import ALL_CHANNELS, CHANNELS, Decision, Mode, Verdict, decide
from tests.factories import INSPECTION, a_job, a_stored_photo, an_observation
from worker.policy.engine import PolicyEngine
from worker.policy.loading import scene_signals
from worker.policy.reference import packs
from worker.policy.scenes import Scene

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
DAY = datetime(2027, 1, 31, tzinfo=UTC)
MARKETS = [channel for channel in CHANNELS if channel != "own_shop"]


def judged(
    starter: PolicyEngine,
    *channels: str,
    at: datetime = NOON,
    lines: tuple[str, ...] = (),
    job: Any = None,
    **photo: Any,
) -> Decision:
    taken = a_stored_photo(**{"width": 2000, "height": 2000, **photo})
    return starter.decide(a_job(channels=channels, **(job or {})), taken, an_observation(lines=lines), at)


def told(decision: Decision) -> set[str]:
    return {finding.rule for finding in decision.findings if not finding.shadow}


class TestGooglesFiveHundredPixels:
    """Announced on 2026-04-14, in force on 2027-01-31; by the clock alone."""

    @pytest.mark.parametrize(
        ("at", "verdict", "rule"),
        [
            (datetime(2026, 4, 13, 23, 59, 59, tzinfo=UTC), Verdict.APPROVE, None),
            (datetime(2026, 4, 14, tzinfo=UTC), Verdict.APPROVE, "google_merchant.below_500_warning"),
            (DAY - timedelta(microseconds=1), Verdict.APPROVE, "google_merchant.below_500_warning"),
            (DAY, Verdict.REJECT, "google_merchant.below_500"),
            (DAY + timedelta(days=400), Verdict.REJECT, "google_merchant.below_500"),
        ],
    )
    def test_a_small_picture(self, starter: PolicyEngine, at: datetime, verdict: Verdict, rule: str | None) -> None:
        decision = judged(starter, "google_merchant", at=at, width=400, height=400)
        assert decision.verdict is verdict
        assert told(decision) == ({rule} if rule else set())
        assert starter.again(decision.receipt).as_json() == decision.as_json()

    def test_tiny_pictures_are_refused_on_both_sides_by_one_rule_each(self, starter: PolicyEngine) -> None:
        before = judged(starter, "google_merchant", at=DAY - timedelta(days=1), width=90, height=90)
        after = judged(starter, "google_merchant", at=DAY, width=90, height=90)
        assert before.verdict is after.verdict is Verdict.REJECT
        assert {finding.rule for finding in before.findings if finding.action is Verdict.REJECT} == {
            "google_merchant.too_small"
        }
        assert told(after) == {"google_merchant.below_500"}

    def test_clothing_needs_more_until_then(self, starter: PolicyEngine) -> None:
        small = {"width": 200, "height": 200}
        shoes = judged(starter, "google_merchant", job={"category": "Sneakers"}, **small)
        vase = judged(starter, "google_merchant", job={"category": "Vases"}, **small)
        assert (shoes.verdict, vase.verdict) == (Verdict.REJECT, Verdict.APPROVE)

    def test_other_channels_have_sizes_of_their_own(self, starter: PolicyEngine) -> None:
        decision = judged(starter, *CHANNELS, at=DAY, width=520, height=420)
        assert decision.channels == {
            "google_merchant": Verdict.REJECT,  # the shorter side
            "amazon_main": Verdict.APPROVE,  # the longer one
            "ebay": Verdict.APPROVE,
            "meta": Verdict.REVIEW,
            "etsy": Verdict.APPROVE,
            "own_shop": Verdict.APPROVE,
        }


class TestAmazonsWhite:
    @pytest.mark.parametrize(
        ("off_white", "plain", "verdict"),
        [
            (0.0, 1.0, Verdict.APPROVE),
            (6.0, 1.0, Verdict.APPROVE),  # what JPEG does to white
            (7.0, 1.0, Verdict.REVIEW),
            (25.0, 1.0, Verdict.REVIEW),
            (26.0, 1.0, Verdict.REJECT),
            (120.0, 0.2, Verdict.REVIEW),  # no plain ground that could be called white or not
        ],
    )
    def test_by_how_far_the_ground_is_from_it(
        self, starter: PolicyEngine, off_white: float, plain: float, verdict: Verdict
    ) -> None:
        ground = Background(share=0.6, plain=plain, whiteness=0.5, off_white=off_white, rgb=(240, 240, 240))
        found = dataclasses.replace(INSPECTION, background=ground)
        decision = judged(starter, "amazon_main", "ebay", inspection=found)
        assert decision.channels == {"amazon_main": verdict, "ebay": Verdict.APPROVE}


def test_a_border_is_for_the_channels_that_forbid_it(starter: PolicyEngine) -> None:
    framed = dataclasses.replace(INSPECTION, frame=Frame(4, 0.05, (200, 0, 0)))
    decision = judged(starter, *CHANNELS, inspection=framed)
    flagged = {channel for channel, verdict in decision.channels.items() if verdict is Verdict.REVIEW}
    assert flagged == {"google_merchant", "amazon_main", "ebay"}


def test_promotional_words_are_for_the_channels_that_forbid_them(starter: PolicyEngine) -> None:
    decision = judged(starter, *CHANNELS, lines=("GRATIS VERSAND",))
    assert {channel for channel, verdict in decision.channels.items() if verdict is Verdict.APPROVE} == {
        "etsy",
        "own_shop",
    }
    assert "words.in_picture" not in told(decision)


def test_a_photo_from_before_inspections_goes_to_a_person_and_gets_no_advice_that_failed(starter: PolicyEngine) -> None:
    decision = judged(starter, *CHANNELS, inspection=None)
    failed = {finding.rule for finding in decision.findings if finding.policy_code == "RULE_ERROR"}
    texts = {one.rule.id: one.rule for one in starter.rules}
    assert failed
    assert all(texts[rule].mode is Mode.LIVE and texts[rule].action is not Verdict.APPROVE for rule in failed)


# -- What stands beside the rules ------------------------------------------------------------------------------------


def test_every_rule_of_a_channel_pack_says_who_asks_for_it(starter: PolicyEngine) -> None:
    for one in starter.rules:
        if one.where.startswith("channels/"):
            assert one.text.source is not None, one.rule.id
            assert date(2026, 1, 1) <= one.text.source.read <= date(2026, 12, 31)
            assert one.rule.channels == (one.where.split("/")[1].split(".")[0],)


def test_what_is_not_live_or_changes_no_verdict_is_advice_or_a_guess(starter: PolicyEngine) -> None:
    soft = {one.rule.id for one in starter.rules if one.where.startswith("channels/") and one.rule.mode is Mode.SHADOW}
    warned = {one.rule.id for one in starter.rules if one.rule.action is Verdict.APPROVE}
    assert soft == {
        *("google_merchant.product_share", "google_merchant.background", "google_merchant.collage"),
        *("amazon_main.cut_off", "amazon_main.illustration", "meta.illustration", "etsy.illustration"),
    }
    assert warned == {
        *("google_merchant.below_500_warning", "amazon_main.no_zoom", "meta.below_1024", "meta.not_square"),
        "etsy.below_2000",
    }


def test_the_reference_has_each_channel_with_numbers_and_what_is_not_checked(starter: PolicyEngine) -> None:
    found = {pack["channel"]: pack for pack in packs(starter.loaded)}
    assert set(found) == {ALL_CHANNELS, *CHANNELS}
    for channel in MARKETS:
        assert len(found[channel]["rules"]) >= 5
        assert len(found[channel]["not_checked"]) >= 3
        assert all(one["asks"] and one["why"] and one["source"]["url"] for one in found[channel]["not_checked"])
    google = {rule["id"]: rule for rule in found["google_merchant"]["rules"]}
    below = google["google_merchant.below_500"]
    assert below["limits"] == {"shorter_side": "500 px"}
    assert below["effective_from"] == "2027-01-31T00:00:00+00:00"
    assert (below["source"]["sure"], below["source"]["read"]) == ("reported", "2026-11-24")


class Recorder(dict[str, Any]):
    """Signals that remember which of them were made ready."""

    def __init__(self, signals: dict[str, Any]) -> None:
        super().__init__(signals)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)


def test_rules_of_other_channels_make_no_signal_ready(starter: PolicyEngine) -> None:
    loaded = starter.loaded
    signals = Recorder(scene_signals(Scene(), loaded.lexicon))
    decide(loaded.policy, loaded.conditions.bind(signals), "acme", ("own_shop",), NOON)
    assert {"objects", "contacts"} <= signals.read
    assert not signals.read & {"background", "frame", "product", "panels", "placed_text", "watermarks", "provenance"}
    decide(loaded.policy, loaded.conditions.bind(signals), "acme", ("amazon_main",), NOON)
    assert {"background", "frame", "product"} <= signals.read
