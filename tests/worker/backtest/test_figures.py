"""What a replay counts: flips and causes, matches, reviewers' time, coverage, precision; in any order the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.moderation import Verdict
from tests.factories import a_job, an_observation
from tests.worker.backtest.builders import AT, MemoryReader, a_policy, a_rule, counted, labelled, past_of
from worker.backtest.document import NO_RESOLUTIONS, Frame, backtest_frame, document
from worker.backtest.figures import Tally
from worker.backtest.reviews import ReviewCost
from worker.backtest.work import Backtest, Current, PolicyText, Shadow
from worker.policy.loading import LoadedPolicy
from worker.storage.history import PastDecision, Seen, Selection

COST = ReviewCost(30)
Pasts = list[tuple[PastDecision, Seen | Exception]]


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """A live policy, a candidate, and what they are compared on."""

    live: Path
    candidate: Path

    @property
    def policy(self) -> LoadedPolicy:
        return PolicyText.read(self.live).loaded

    def work(self, **more: Any) -> Backtest:
        return Backtest(Current(PolicyText.read(self.live)), PolicyText.read(self.candidate), AT, **more)

    def figures(self, pasts: Pasts, cost: ReviewCost = COST, **more: Any) -> dict[str, Any]:
        work = self.work(**more)
        tally = counted(work.judge(), pasts, work.seed)
        return document(tally, backtest_frame(work, Selection(), cost), work.judge().of)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """Chairs and lamps are reviewed; the candidate rejects lamps, leaves chairs alone and reviews knives."""
    folder = tmp_path_factory.mktemp("rehearsal")
    lamp = a_rule("lamp", labelled("lamp"), severity=2)
    live = a_policy(folder / "live", a_rule("chair", labelled("chair")), lamp, a_rule("same", labelled("sneaker")))
    candidate = a_policy(
        folder / "candidate",
        lamp.replace("review", "reject"),
        a_rule("knife", labelled("knife"), severity=6),
        a_rule("same", labelled("sneaker")),
    )
    return Rehearsal(live, candidate)


def photo(rehearsal: Rehearsal, number: int, *labels: str, **job: Any) -> tuple[PastDecision, Seen | Exception]:
    return past_of(
        rehearsal.policy, number, a_job(**job), an_observation(objects=tuple((label, 0.9) for label in labels))
    )


@pytest.fixture(scope="module")
def pasts(rehearsal: Rehearsal) -> Pasts:
    both = {"channels": ("ebay", "own_shop")}
    return [
        photo(rehearsal, 1, "chair"),
        photo(rehearsal, 2, "chair", "lamp", **both),
        photo(rehearsal, 3, "knife", tenant="other"),
        photo(rehearsal, 4, "sneaker"),
        photo(rehearsal, 5, "bottle"),
        photo(rehearsal, 6, "chair", "knife"),
    ]


def rule(figures: dict[str, Any], id: str) -> dict[str, Any]:
    (found,) = (one for one in figures["rules"] if one["id"] == id)
    return dict(found)


def test_flips_by_pair_tenant_channel_and_rule(rehearsal: Rehearsal, pasts: Pasts) -> None:
    flips = rehearsal.figures(pasts)["flips"]
    assert (flips["photos"], flips["decisions"]) == (3, 4)
    assert flips["by_pair"] == [
        {"from": "review", "to": "reject", "count": 2},
        {"from": "approve", "to": "review", "count": 1},
        {"from": "review", "to": "approve", "count": 1},
    ]
    assert {(row["tenant"], row["to"]): row["count"] for row in flips["by_tenant"]} == {
        ("acme", "reject"): 2,
        ("acme", "approve"): 1,
        ("other", "review"): 1,
    }
    assert {(row["channel"], row["to"]): row["count"] for row in flips["by_channel"]} == {
        ("ebay", "reject"): 1,
        ("own_shop", "reject"): 1,
        ("own_shop", "review"): 1,
        ("own_shop", "approve"): 1,
    }
    assert {(row["rule"], row["from"], row["to"]): row["count"] for row in flips["by_rule"]} == {
        ("lamp", "review", "reject"): 2,
        ("knife", "approve", "review"): 1,
        ("chair", "review", "approve"): 1,
    }


def test_matches_of_each_rule_and_what_became_of_it(rehearsal: Rehearsal, pasts: Pasts) -> None:
    figures = rehearsal.figures(pasts)
    names = ("change", "matched_before", "matched_after", "gained", "lost", "stricter", "looser")
    assert {one["id"]: tuple(one[name] for name in names) for one in figures["rules"]} == {
        "chair": ("removed", 3, 0, 0, 3, 0, 3),
        "knife": ("added", 0, 2, 2, 0, 2, 0),
        "lamp": ("changed", 1, 1, 0, 0, 1, 0),
        "same": ("same", 1, 1, 0, 0, 0, 0),
    }
    assert rule(figures, "lamp")["what"] == ["action"]
    assert figures["verdicts"]["before"]["photos"] == {"approve": 2, "review": 4, "reject": 0}
    assert figures["verdicts"]["after"]["photos"] == {"approve": 2, "review": 3, "reject": 1}


def test_photos_that_flip_are_shown_first(rehearsal: Rehearsal, pasts: Pasts) -> None:
    samples = rule(rehearsal.figures(pasts), "chair")["samples"]
    assert set(samples["looser"][:2]) == {pasts[0][0].id, pasts[1][0].id}
    assert samples["looser"][2] == pasts[5][0].id
    assert samples["stricter"] == []


def test_another_seed_draws_other_photos(rehearsal: Rehearsal) -> None:
    many = [photo(rehearsal, number, "chair") for number in range(40)]
    drawn = [rule(rehearsal.figures(many, seed=seed), "chair")["samples"]["looser"] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 4


def test_reviewers_minutes_by_severity(rehearsal: Rehearsal, pasts: Pasts) -> None:
    reviews = rehearsal.figures(pasts)["reviews"]
    assert (reviews["photos_before"], reviews["photos_after"]) == (4, 3)
    assert (reviews["minutes_before"], reviews["minutes_after"], reviews["minutes_added"]) == (2.0, 1.5, -0.5)
    dear = rehearsal.figures(pasts, ReviewCost(30, {6: 120}))["reviews"]
    assert (dear["minutes_before"], dear["minutes_after"], dear["minutes_added"]) == (2.0, 4.5, 2.5)


def test_one_rule_alone(rehearsal: Rehearsal, pasts: Pasts) -> None:
    figures = rehearsal.figures(pasts, rules=("knife",))
    assert [one["id"] for one in figures["rules"]] == ["knife"]
    assert figures["flips"]["by_pair"] == [{"from": "approve", "to": "review", "count": 1}]


def test_one_channel_alone(rehearsal: Rehearsal, pasts: Pasts) -> None:
    figures = rehearsal.figures(pasts[:2], channels=("ebay",))
    assert figures["decisions"] == 1
    assert figures["flips"]["by_channel"] == [{"channel": "ebay", "from": "review", "to": "reject", "count": 1}]


def test_computing_anew_gives_the_same_figures(rehearsal: Rehearsal, pasts: Pasts) -> None:
    taken, anew = rehearsal.figures(pasts), rehearsal.figures(pasts, recompute=True)
    assert anew["coverage"].pop("judged_from") == {"observations": 6}
    taken["coverage"].pop("judged_from")
    assert taken == anew


class TestCoverage:
    def test_signals_that_were_not_observed_are_reported_for_the_rules_that_read_them(
        self, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        candidate = a_policy(tmp_path / "second", a_rule("second", "second_text"))
        figures = Rehearsal(rehearsal.live, candidate).figures([photo(rehearsal, 1, "chair")])
        assert rule(figures, "second")["not_observed"] == {"second_text": 1}
        assert {row["signal"]: row["count"] for row in figures["coverage"]["not_observed"]}["second_text"] == 1
        assert rule(figures, "chair")["not_observed"] == {}

    def test_photos_that_cannot_be_judged_again_are_counted(self, rehearsal: Rehearsal) -> None:
        past, _ = photo(rehearsal, 1, "chair")
        figures = rehearsal.figures([(past, KeyError("results"))], recompute=True)
        assert figures["photos"] == 0
        assert figures["coverage"]["unreadable"] == [{"reason": "KeyError: 'results'", "count": 1}]
        assert figures["coverage"]["unreadable_examples"] == [past.id]

    def test_rules_that_fail_are_told_with_their_error(self, rehearsal: Rehearsal, tmp_path: Path) -> None:
        candidate = a_policy(
            tmp_path / "f", a_rule("fails", "size(objects) == 1 && objects[3].score > 0.1 ? objects : []")
        )
        found = rule(Rehearsal(rehearsal.live, candidate).figures([photo(rehearsal, 1, "bottle")]), "fails")
        assert (found["errors_after"], found["matched_after"], found["flips"]) == (1, 0, 1)
        assert "index" in found["errors"][0]


class Resolved:
    """Reviewers upheld some and approved others."""

    def of(self, job_ids: Sequence[str]) -> dict[str, Verdict]:
        known = {"job-1": Verdict.APPROVE, "job-2": Verdict.REJECT, "job-6": Verdict.REJECT}
        return {id: known[id] for id in job_ids if id in known}


def test_precision_where_reviewers_resolved(rehearsal: Rehearsal, pasts: Pasts) -> None:
    assert rehearsal.figures(pasts)["precision"] == NO_RESOLUTIONS
    figures = rehearsal.figures(pasts, resolutions=Resolved())
    assert figures["precision"] is None
    chair = rule(figures, "chair")["precision"]
    assert chair["before"] == {"resolved": 3, "upheld": 2, "precision": 0.6667}
    assert chair["after"] == {"resolved": 0, "upheld": 0, "precision": None}


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_order_of_rows_and_of_parts_does_not_matter(
    rehearsal: Rehearsal, pasts: Pasts, data: st.DataObject
) -> None:
    many = [*pasts, *(photo(rehearsal, number, "chair", "knife") for number in range(10, 18))]
    shuffled = data.draw(st.permutations(many))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(many)), max_size=4)))
    work = rehearsal.work(seed=3)
    parts = [shuffled[low:high] for low, high in zip([0, *cuts], [*cuts, len(many)], strict=True)]
    whole = Tally(3)
    for part in data.draw(st.permutations([counted(work.judge(), part, 3) for part in parts])):
        whole.merge(part)
    frame = backtest_frame(work, Selection(), COST)
    texts = [
        json.dumps(document(tally, frame, work.judge().of), sort_keys=True)
        for tally in (whole, counted(work.judge(), many, 3))
    ]
    assert texts[0] == texts[1]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Pasts:
    folder = tmp_path_factory.mktemp("shadow")
    path = a_policy(
        folder,
        a_rule("chair", labelled("chair")),
        a_rule("tried", labelled("lamp"), action="reject", mode="shadow", severity=6),
        a_rule("also", labelled("knife"), mode="shadow"),
    )
    rehearsal = Rehearsal(path, path)
    return [
        photo(rehearsal, 1, "lamp"),
        photo(rehearsal, 2, "lamp", "chair"),
        photo(rehearsal, 3, "bottle"),
        photo(rehearsal, 4, "knife"),
    ]


class TestShadow:
    def figures(self, tried: Pasts, **more: Any) -> dict[str, Any]:
        work = Shadow(**more)
        return document(counted(work.judge(), tried), Frame("shadow", Selection(), COST, rules=work.rules))

    def test_tells_what_would_have_been_decided(self, tried: Pasts) -> None:
        figures = self.figures(tried)
        assert figures["photos"] == 4
        assert figures["flips"]["by_rule"] == [
            {"rule": "also", "from": "approve", "to": "review", "count": 1},
            {"rule": "tried", "from": "approve", "to": "reject", "count": 1},
            {"rule": "tried", "from": "review", "to": "reject", "count": 1},
        ]
        assert figures["reviews"]["minutes_added"] == 0.0

    def test_tells_matches_and_the_overlap_with_live_rules(self, tried: Pasts) -> None:
        found = rule(self.figures(tried), "tried")
        assert (found["gained"], found["alone"], found["overlap"]) == (2, 1, [{"rule": "chair", "count": 1}])
        assert len(found["samples"]["stricter"]) == 2

    def test_of_one_rule_alone(self, tried: Pasts) -> None:
        figures = self.figures(tried, rules=("also",))
        assert [one["id"] for one in figures["rules"]] == ["also"]
        assert figures["flips"]["decisions"] == 1

    def test_needs_no_observation(self, tried: Pasts) -> None:
        reader = MemoryReader(tried)
        Shadow().judge().count([past for past, _ in tried], reader, Tally())  # type: ignore[arg-type]
        assert reader.asked == []
