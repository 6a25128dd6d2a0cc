"""Judging past photos by two policies at once gives what judging them one by one in full would give."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calibration import Calibration, Curve
from domain.errors import InputRejected
from domain.moderation import Verdict
from domain.observations import Observation, Task
from domain.policies import Bundle
from tests.factories import a_job, a_stored_photo, an_observation
from tests.worker.backtest.builders import AT, Remembers, a_rule, labelled, loaded, past_from, past_of
from worker.backtest.changes import changes
from worker.backtest.coverage import ALWAYS, NEEDS, unobserved
from worker.backtest.judging import COMPUTED, KEPT, STORED, Comparison, Judged, NotReadable
from worker.backtest.words import LOOKS_AT, Makers
from worker.policy.engine import PolicyEngine
from worker.policy.loading import LoadedPolicy, load_policy
from worker.policy.scene_memory import SceneKnown
from worker.policy.scenes import Scene, SceneSeller
from worker.policy.signals import Subject, registered
from worker.policy.words.lexicon import Lexicon
from worker.storage.history import RECALLED, PastDecision, Seen

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


def test_a_category_in_the_scope_is_a_change_of_condition(tmp_path: Path) -> None:
    before = loaded(tmp_path / "a", a_rule("knife", labelled("knife")))
    after = loaded(tmp_path / "b", a_rule("knife", labelled("knife"), more="scope: {categories: [fb-1]}"))
    (change,) = changes(before, after)
    assert change.what == ("condition",)
    wine = past_of(before, 1, a_job(category="fb-1-1"), an_observation(objects=(("knife", 0.9),)))
    shoes = past_of(before, 2, a_job(category="Shoes"), an_observation(objects=(("knife", 0.9),)))
    found = [judged(Comparison(before, after, AT), past, None) for past, _ in (wine, shoes)]
    assert [set(one.after) for one in found] == [{"knife"}, set()]


class TestNotMeasured:
    @pytest.fixture
    def policy(self, tmp_path: Path) -> LoadedPolicy:
        return loaded(
            tmp_path,
            a_rule("framed", "[frame]", more="when: inspected && frame.sides > 0"),
            a_rule("dark", "[exposure]"),
        )

    def test_null_is_a_value_and_a_rule_that_reads_it_fails_as_it_did(self, policy: LoadedPolicy) -> None:
        past, seen = past_of(policy, 1, photo=a_stored_photo(inspection=None))
        assert past.signals["exposure"] is None
        for recompute in (False, True):
            one = judged(Comparison(policy, policy, AT, recompute=recompute), past, seen)
            assert set(one.before) == set(one.after) == {"dark"}
            assert "not measured" in (one.after["dark"].error or "")

    def test_a_new_rule_takes_null_from_the_receipt(self, policy: LoadedPolicy, tmp_path: Path) -> None:
        before = loaded(tmp_path / "before", a_rule("knife", labelled("knife")))
        past, _ = past_of(before, 1, photo=a_stored_photo(inspection=None))
        one = judged(Comparison(before, policy, AT), past, None)
        assert (one.how, set(one.after)) == (STORED, {"dark"})


class TestWhatWasLookedUp:
    """No observation says which banks a picture was in, or what else had been decided then."""

    @pytest.fixture
    def policy(self, tmp_path: Path) -> LoadedPolicy:
        return loaded(tmp_path, a_rule("known", "bank_matches"), a_rule("again", "near_duplicates"))

    @pytest.fixture
    def known(self, policy: LoadedPolicy) -> tuple[PastDecision, Seen]:
        scene = Scene(known=[SceneKnown(bank="stolen")])
        whole = Seen(a_job(), scene.photo(), scene.seen())
        engine = PolicyEngine(policy, memory=Remembers(scene.recalled()))
        return past_from(engine.decide(whole.job, whole.photo, whole.seen, AT), whole, 1), whole

    @pytest.mark.parametrize("recompute", [False, True])
    def test_comes_from_the_receipt_also_when_all_else_is_computed_anew(
        self, policy: LoadedPolicy, known: tuple[PastDecision, Seen], tmp_path: Path, recompute: bool
    ) -> None:
        stricter = loaded(
            tmp_path / "b", a_rule("known", "bank_matches.filter(b, b.bank == 'stolen')", action="reject")
        )
        comparison = Comparison(policy, stricter, AT, recompute=recompute)
        assert "bank_matches" in comparison.wanted.all
        one = judged(comparison, *known)
        assert (set(one.before), set(one.after)) == ({"known"}, {"known"})
        assert verdicts(one, "after") == {"own_shop": Verdict.REJECT}

    def test_a_receipt_without_it_gives_nothing_and_coverage_says_so(
        self, policy: LoadedPolicy, known: tuple[PastDecision, Seen]
    ) -> None:
        past, whole = known
        older = dataclasses.replace(past, signals={}, recalled=frozenset(), policy_version="older")
        assert judged(Comparison(policy, policy, AT), older, whole).after == {}
        assert unobserved(whole, older.recalled).keys() >= {"bank_matches", "near_duplicates"}
        assert unobserved(whole, past.recalled).keys().isdisjoint({"bank_matches", "near_duplicates"})


def test_scores_are_read_as_publishing_reads_them(tmp_path: Path) -> None:
    sure = a_rule("sure", "objects.filter(o, o.score > 0.5)")
    before, after = loaded(tmp_path / "a", sure), loaded(tmp_path / "b", sure.replace("0.5", "0.6"))
    curves = {Task.OD.value: Curve(((0.0, 0.0), (1.0, 0.1)))}
    raw = dataclasses.replace(an_observation(objects=(("knife", 0.9),)), calibration=Calibration("1", curves))
    past, seen = past_of(before, 1, seen=raw.calibrated())
    one = judged(Comparison(before, after, AT, recompute=True), past, dataclasses.replace(seen, seen=raw))
    assert (one.how, one.before, one.after) == (COMPUTED, {}, {})


class TestMakers:
    """A receipt is taken where the policy that wrote it is known to have had the same words."""

    def test_of_a_policy_that_nobody_kept_nothing_is_taken_on_trust(self, policies: dict[str, LoadedPolicy]) -> None:
        past, _ = past_of(policies["softer"], 1)
        makers = Makers([policies["base"], policies["more words"]])
        makers.learn({past.policy_version}, lambda version: None)
        comparison = Comparison(policies["base"], policies["base"], AT, makers=makers)
        assert comparison.begin(past).lacks

    def test_a_kept_one_is_looked_up_once(self, policies: dict[str, LoadedPolicy]) -> None:
        past, _ = past_of(policies["softer"], 1)
        makers, asked = Makers([policies["base"]]), list[str]()

        def find(version: str) -> Bundle:
            asked.append(version)
            return policies["softer"].bundle

        for _ in range(2):
            makers.learn({past.policy_version, None}, find)
        assert asked == [past.policy_version]
        assert not Comparison(policies["base"], policies["base"], AT, makers=makers).begin(past).lacks

    def test_one_that_does_not_read_any_more_is_not_known(self, policies: dict[str, LoadedPolicy]) -> None:
        makers = Makers([policies["base"]])
        makers.learn({"old"}, lambda version: Bundle("policy.yaml", {"policy.yaml": "shape: of another time"}))
        same = makers.same("old", policies["base"].lexicon.taxonomy.version, policies["base"])
        assert "pixels" in same
        assert "text_terms" not in same

    def test_another_taxonomy_makes_other_categories(self, policies: dict[str, LoadedPolicy]) -> None:
        base = policies["base"]
        makers = Makers([base])
        mine = makers.same(base.policy.version, base.lexicon.taxonomy.version, base)
        assert mine - makers.same(base.policy.version, "another", base) == {"category"}


class Poisoned:
    """Words of which only the named parts may be looked at."""

    def __init__(self, lexicon: Lexicon, parts: Collection[str]) -> None:
        self._lexicon, self._parts = lexicon, parts

    def __getattr__(self, name: str) -> object:
        if name not in self._parts:
            raise AssertionError(f"looked at the policy's words: {name}")
        return getattr(self._lexicon, name)


@pytest.mark.parametrize("name", sorted(LOOKS_AT))
def test_signals_look_at_no_words_but_those_they_are_said_to_look_at(name: str) -> None:
    scene = Scene(
        caption="a red sneaker on a table",
        objects=["sneaker", "knife"],
        text=["call 0151 23456789", "replica", "Nike"],
        second_text=["replica www.shop.example"],
        seller=SceneSeller(
            title="blue handbag",
            description="write to me@shop.example",
            category="Shoes",
            attributes={"colour": "blue", "brand": "Adidas"},
        ),
    )
    lexicon = Poisoned(load_policy().lexicon, LOOKS_AT[name])
    subject = Subject(scene.job(), scene.photo(), scene.seen(), lexicon, scene.recalled())  # type: ignore[arg-type]
    assert registered()[name].compute(subject) is not None


def test_every_signal_is_said_to_need_something_or_nothing() -> None:
    """A new signal belongs into NEEDS or ALWAYS of worker/backtest/coverage.py, or coverage stays silent about it."""
    assert registered().keys() == NEEDS.keys() | ALWAYS
    assert registered().keys() == LOOKS_AT.keys()


def test_photos_from_before_inspections_are_said_to_lack_them() -> None:
    older = Seen(a_job(), a_stored_photo(inspection=None), an_observation())
    scene = Scene()
    whole = Seen(a_job(), scene.photo(), scene.seen())
    missing = unobserved(older, RECALLED)
    assert missing["frame"] == missing["bank_matches"] == "pixels and codes were not inspected at intake"
    optional = {name for name, one in registered().items() if one.optional}
    assert missing.keys() >= optional
    assert unobserved(whole, RECALLED).keys().isdisjoint(optional)
