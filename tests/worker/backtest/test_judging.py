"""Judging past photos by two policies at once gives what judging them one by one in full would give."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import InputRejected
from domain.moderation import Verdict
from domain.observations import Observation
from tests.factories import a_job, an_observation
from tests.worker.backtest.builders import AT, a_rule, labelled, loaded, past_of
from worker.backtest.changes import FREE_OF_WORDS, READ_NAMES, changes
from worker.backtest.coverage import ALWAYS, NEEDS
from worker.backtest.judging import COMPUTED, KEPT, STORED, Comparison, Judged, NotReadable
from worker.policy.loading import LoadedPolicy
from worker.policy.signals import Subject, registered
from worker.storage.history import PastDecision, Seen

LABELS = ("knife", "chair", "lamp", "sneaker")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedPolicy]:
    """Policies that differ from `base` in one way or several."""
    folder = tmp_path_factory.mktemp("policies")
    knife, chair = a_rule("knife", labelled("knife"), action="reject", severity=6), a_rule("chair", labelled("chair"))
    dated = a_rule("dated", labelled("lamp"), more="effective_from: 2026-11-10\neffective_to: 2026-12-10")
    failing = a_rule("failing", "size(objects) == 2 && objects[5].score > 0.1 ? objects : []")
    words = {"words.txt": "bargain\n"}
    terms = a_rule("terms", "text_terms")
    head = "wordlists: {loud: words.txt}\nthresholds: {sure: 0.5}\n"
    base = (knife, chair, dated, terms)
    more = words | {"words.txt": "bargain\nsale\n"}
    return {
        "base": loaded(folder / "base", *base, head=head, files=words),
        "softer": loaded(
            folder / "softer", knife.replace("reject", "review"), chair, dated, terms, head=head, files=words
        ),
        "more words": loaded(folder / "words", *base, head=head, files=more),
        "renamed list": loaded(folder / "renamed", *base, head=head.replace("loud", "quiet"), files=words),
        "scoped": loaded(
            folder / "scoped",
            a_rule("knife", labelled("knife"), action="reject", severity=6, more="scope: {channels: [ebay]}"),
            a_rule("chair", labelled("chair"), mode="shadow"),
            a_rule("lamp", labelled("lamp"), more="scope: {tenants: [acme]}"),
            failing,
            head=head,
            files=words,
        ),
    }


PHOTOS = st.builds(
    an_observation,
    objects=st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from((0.2, 0.9))), max_size=3).map(tuple),
    lines=st.lists(st.sampled_from(("a bargain", "big sale", "cotton")), max_size=2).map(tuple),
)
JOBS = st.builds(
    a_job,
    tenant=st.sampled_from(("acme", "other")),
    channels=st.sampled_from((("own_shop",), ("ebay",), ("ebay", "own_shop"))),
)
NAMES = st.sampled_from(("base", "softer", "more words", "renamed list", "scoped"))


def judged(comparison: Comparison, past: PastDecision, seen: Seen | Exception | None) -> Judged:
    return comparison.finish(comparison.begin(past), seen)


def verdicts(one: Judged, side: str) -> dict[str, Verdict]:
    effects = getattr(one, side).values()
    ranks = {name: max([0, *(effect.asks(name) for effect in effects)]) for name in one.channels}
    return {name: list(Verdict)[rank] for name, rank in ranks.items()}


@given(seen=PHOTOS, job=JOBS, maker=NAMES, current=NAMES, candidate=NAMES, recompute=st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_short_way_and_the_full_way_agree(
    policies: dict[str, LoadedPolicy],
    seen: Observation,
    job: object,
    maker: str,
    current: str,
    candidate: str,
    recompute: bool,
) -> None:
    past, whole = past_of(policies[maker], 1, job, seen)  # type: ignore[arg-type]
    comparison = Comparison(policies[current], policies[candidate], AT, recompute=recompute)
    one = judged(comparison, past, whole)
    before, after = comparison.explain(past, whole)
    assert verdicts(one, "before") == before.channels
    assert verdicts(one, "after") == after.channels
    assert one.before.keys() == {finding.rule for finding in before.findings}
    assert one.after.keys() == {finding.rule for finding in after.findings}


class TestWhatIsEvaluated:
    def test_the_same_policy_again_rests_on_findings(self, policies: dict[str, LoadedPolicy], tmp_path: Path) -> None:
        rules = (a_rule("knife", labelled("knife")), a_rule("chair", labelled("chair")))
        policy = loaded(tmp_path, *rules)
        past, _ = past_of(policy, 1, seen=an_observation(objects=(("knife", 0.9),)))
        one = judged(Comparison(policy, policy, AT), past, None)
        assert (one.how, set(one.before), set(one.after)) == (KEPT, {"knife"}, {"knife"})

    def test_a_new_action_needs_no_signal(self, policies: dict[str, LoadedPolicy], tmp_path: Path) -> None:
        before = loaded(tmp_path / "a", a_rule("knife", labelled("knife")))
        after = loaded(tmp_path / "b", a_rule("knife", labelled("knife"), action="reject"))
        past, _ = past_of(before, 1, seen=an_observation(objects=(("knife", 0.9),)))
        one = judged(Comparison(before, after, AT), past, None)
        assert one.how == KEPT
        assert (verdicts(one, "before"), verdicts(one, "after")) == (
            {"own_shop": Verdict.REVIEW},
            {"own_shop": Verdict.REJECT},
        )

    def test_a_new_condition_reads_the_receipt(self, tmp_path: Path) -> None:
        before = loaded(tmp_path / "a", a_rule("knife", labelled("knife")))
        after = loaded(tmp_path / "b", a_rule("knife", labelled("chair")))
        past, _ = past_of(before, 1, seen=an_observation(objects=(("chair", 0.9),)))
        comparison = Comparison(before, after, AT)
        assert comparison.wanted.few == ("objects",)
        one = judged(comparison, past, None)
        assert (one.how, set(one.before), set(one.after)) == (STORED, set(), {"knife"})

    def test_other_words_need_the_observation(self, policies: dict[str, LoadedPolicy]) -> None:
        past, seen = past_of(policies["base"], 1, seen=an_observation(lines=("big sale",)))
        comparison = Comparison(policies["base"], policies["more words"], AT)
        draft = comparison.begin(past)
        assert draft.lacks
        one = comparison.finish(draft, seen)
        assert (one.how, set(one.before), set(one.after)) == (COMPUTED, set(), {"terms"})

    def test_a_list_by_another_name_is_not_taken_from_the_receipt(self, policies: dict[str, LoadedPolicy]) -> None:
        past, _ = past_of(policies["base"], 1)
        assert Comparison(policies["base"], policies["renamed list"], AT).begin(past).lacks

    def test_a_receipt_of_an_older_shape_is_not_taken(self, tmp_path: Path) -> None:
        before = loaded(tmp_path / "a", a_rule("knife", labelled("knife")))
        after = loaded(tmp_path / "b", a_rule("knife", "objects.filter(o, o.share_of_picture > 0.1)"))
        past, seen = past_of(before, 1)
        for item in past.signals["objects"]:
            del item["share_of_picture"]
        draft = Comparison(before, after, AT).begin(past)
        assert draft.lacks
        assert "knife" in Comparison(before, after, AT).finish(draft, seen).after

    def test_a_rule_that_was_not_in_force_then_is_evaluated_now(self, policies: dict[str, LoadedPolicy]) -> None:
        base = policies["base"]
        past, seen = past_of(base, 1, seen=an_observation(objects=(("lamp", 0.9),)))
        assert past.findings == []
        assert set(judged(Comparison(base, base, AT), past, seen).before) == {"dated"}
        assert not judged(Comparison(base, base, datetime(2026, 12, 10, tzinfo=UTC)), past, seen).before

    def test_an_observation_that_is_gone_is_said(self, policies: dict[str, LoadedPolicy]) -> None:
        past, _ = past_of(policies["base"], 1)
        comparison = Comparison(policies["base"], policies["more words"], AT)
        with pytest.raises(NotReadable, match="not stored any more"):
            judged(comparison, past, None)
        with pytest.raises(NotReadable, match="KeyError"):
            judged(comparison, past, KeyError("results"))


def test_a_signal_that_cannot_be_computed_is_an_error_and_not_a_miss(tmp_path: Path) -> None:
    policy = loaded(tmp_path / "a", a_rule("knife", labelled("knife")), a_rule("dark", "[pixels]"))
    past, seen = past_of(policy, 1)
    unmeasured = dataclasses.replace(seen, photo=dataclasses.replace(seen.photo, pixels=None))  # type: ignore[arg-type]
    one = judged(Comparison(policy, policy, AT, recompute=True), past, unmeasured)
    assert one.after["dark"].error is not None
    assert "pixels cannot be computed" in one.after["dark"].error
    assert "knife" not in one.after


class TestChanges:
    def test_are_named_by_part(self, policies: dict[str, LoadedPolicy]) -> None:
        found = {one.id: (one.kind, one.what) for one in changes(policies["base"], policies["scoped"])}
        assert found == {
            "chair": ("changed", ("mode",)),
            "dated": ("removed", ()),
            "failing": ("added", ()),
            "knife": ("changed", ("channels",)),
            "lamp": ("added", ()),
            "terms": ("removed", ()),
        }

    def test_a_threshold_changes_the_rules_that_read_it(self, tmp_path: Path) -> None:
        reads = a_rule("reads", "objects.filter(o, o.score > threshold.sure)")
        other = a_rule("other", labelled("knife"))
        before = loaded(tmp_path / "a", reads, other, head="thresholds: {sure: 0.5}")
        after = loaded(tmp_path / "b", reads, other, head="thresholds: {sure: 0.6}")
        found = {one.id: one.what for one in changes(before, after)}
        assert found == {"reads": ("condition",), "other": ()}

    def test_words_change_the_rules_that_read_them(self, policies: dict[str, LoadedPolicy]) -> None:
        found = {one.id: one.what for one in changes(policies["base"], policies["more words"])}
        assert found == {"chair": (), "dated": (), "knife": (), "terms": ("condition",)}

    def test_of_one_rule_leave_the_others_as_they_are(self, policies: dict[str, LoadedPolicy]) -> None:
        found = {one.id: one.kind for one in changes(policies["base"], policies["scoped"], ["chair"])}
        assert found == {"chair": "changed", "dated": "same", "knife": "same", "terms": "same"}
        with pytest.raises(InputRejected, match="known are chair"):
            changes(policies["base"], policies["scoped"], ["nothing"])


class Poisoned:
    """Words that nobody may look at."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"looked at the policy's words: {name}")


@pytest.mark.parametrize("name", sorted(FREE_OF_WORDS))
def test_signals_said_to_be_free_of_words_do_not_look_at_them(policies: dict[str, LoadedPolicy], name: str) -> None:
    seen = an_observation(lines=("call 0151 23456789", "sale"), objects=(("knife", 0.9),))
    job = a_job(description="write to me@shop.example", attributes={"colour": "red"})
    _, whole = past_of(policies["base"], 1, job, seen)
    subject = Subject(whole.job, whole.photo, whole.seen, Poisoned())  # type: ignore[arg-type]
    assert registered()[name].compute(subject) is not None


def test_every_signal_is_said_to_need_something_or_nothing() -> None:
    """A new signal belongs into NEEDS or ALWAYS of worker/backtest/coverage.py, or coverage stays silent about it."""
    assert registered().keys() == NEEDS.keys() | ALWAYS
    assert registered().keys() >= FREE_OF_WORDS | READ_NAMES
