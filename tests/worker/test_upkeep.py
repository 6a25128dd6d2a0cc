"""Noticing that a rule's date has passed: once for each policy, moment and set of photos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from domain.policies import Bundle, Scope
from tests.worker.policy.conftest import HEAD, a_rule
from worker.policy.engine import PolicyEngine
from worker.policy.live import InForce
from worker.upkeep import Upkeep

DAY = datetime(2027, 1, 31, tzinfo=UTC)
BEFORE = DAY - timedelta(days=60)


@dataclass
class Asked:
    """Stands for the requests in SQL: a boundary is asked for once."""

    boundaries: dict[str, tuple[Scope, datetime]] = field(default_factory=dict)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        yield True

    def boundary_passed(self, key: str, scope: Scope, moment: datetime) -> bool:
        return self.boundaries.setdefault(key, (scope, moment)) == (scope, moment)

    def next(self) -> None:
        return None


def asked_for(*rules: str, now: datetime, since: datetime | None = BEFORE) -> list[tuple[Scope, datetime]]:
    engine = PolicyEngine.of_bundle(Bundle("policy.yaml", {"policy.yaml": HEAD + "".join(rules)}))
    asked = Asked()
    upkeep = Upkeep(
        redecisions=cast(Any, asked),
        live=cast(Any, SimpleNamespace(in_force=lambda: [InForce(engine, None, since)])),
        tools=cast(Any, SimpleNamespace(clock=SimpleNamespace(now=lambda: now))),
        per_second=20,
        kept_since=lambda version: BEFORE,
        rates=cast(Any, SimpleNamespace(count=lambda now: None)),
        sound=lambda alarm: None,
    )
    for _ in range(2):
        assert upkeep.tick()
    return list(asked.boundaries.values())


WARNS = a_rule("size.warns", scope="{channels: [ebay]}", effective_to="2027-01-31")
BLOCKS = a_rule("size.blocks", scope="{channels: [ebay]}", effective_from="2027-01-31")
ELSEWHERE = a_rule("size.elsewhere", scope="{channels: [meta]}", effective_from="2027-01-31")


def test_a_warning_that_ends_as_its_block_begins_is_one_reason_to_judge_again() -> None:
    ((scope, moment),) = asked_for(WARNS, BLOCKS, now=DAY)
    assert (scope.channels, moment) == (("ebay",), DAY)


def test_other_photos_and_other_days_are_reasons_of_their_own() -> None:
    later = a_rule("size.later", scope="{channels: [ebay]}", effective_from="2027-02-01")
    found = asked_for(WARNS, BLOCKS, ELSEWHERE, later, now=DAY + timedelta(days=2))
    assert {(scope.channels, moment) for scope, moment in found} == {
        (("ebay",), DAY),
        (("meta",), DAY),
        (("ebay",), DAY + timedelta(days=1)),
    }


def test_nothing_is_judged_again_before_the_day_or_for_a_policy_that_came_after_it() -> None:
    assert asked_for(WARNS, BLOCKS, now=DAY - timedelta(seconds=1)) == []
    assert asked_for(WARNS, BLOCKS, now=DAY + timedelta(days=9), since=DAY) == []


def test_what_is_shipped_counts_from_when_it_was_first_in_force_here() -> None:
    assert len(asked_for(WARNS, BLOCKS, now=DAY, since=None)) == 1
