"""PolicyEngine: a loaded policy at work. It computes signals, judges, and writes the receipt of each decision."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.banks import NOTHING_RECALLED, Recalled
from domain.errors import PolicyInvalid, RuleFailed
from domain.jobs import ImageJob
from domain.moderation import Decision, Policy, Verdict, decide
from domain.observations import Observation
from domain.opinions import Opinion, opinions_in
from domain.photos import StoredPhoto
from domain.policies import Bundle, CapState
from domain.ports import Memory
from domain.taxonomy import Taxonomy
from domain.weighing import weigh
from worker.policy.envelope import InlineTest
from worker.policy.loading import LoadedPolicy, LoadedRule, load_bundle, load_policy, scene_signals
from worker.policy.signals import Subject, compute, registered

# Asks for places under daily caps, by rule id -> limit.
TakePlaces = Callable[[Mapping[str, int]], Mapping[str, CapState]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an inline test gave. `error` is set when the rule could not be evaluated."""

    rule: str
    where: str
    number: int  # of the test within its rule, from 1
    expected: str
    got: str
    error: str | None = None

    @property
    def passed(self) -> bool:
        return self.expected == self.got


class PolicyEngine:
    """Judges photos by one policy. Deterministic: the same arguments give the same decision, byte for byte."""

    def __init__(self, loaded: LoadedPolicy, memory: Memory | None = None) -> None:
        """`memory` is asked about each photo before it is judged; None = nothing is known from before."""
        self._loaded = loaded
        self._memory = memory

    @classmethod
    def load(
        cls, path: Path | None = None, taxonomy: Taxonomy | None = None, memory: Memory | None = None
    ) -> PolicyEngine:
        """Load, compile and rehearse a policy; None is the shipped starter pack.

        Raises PolicyInvalid when a file does not check or a rule fails one of its own inline tests.
        """
        return cls(load_policy(path, taxonomy), memory).rehearsed()

    @classmethod
    def of_bundle(cls, bundle: Bundle, taxonomy: Taxonomy | None = None, memory: Memory | None = None) -> PolicyEngine:
        """Compile a kept version, which passed its tests when it was published. Raises PolicyInvalid."""
        return cls(load_bundle(bundle, taxonomy), memory)

    def rehearsed(self) -> PolicyEngine:
        """The engine itself. Raises PolicyInvalid when a rule fails one of its own inline tests."""
        if failed := [outcome for outcome in self.run_tests() if not outcome.passed]:
            raise PolicyInvalid(
                [
                    f"{one.where}: test {one.number} of rule {one.rule} expects {one.expected} and got {one.got}; "
                    "correct the rule or the test."
                    for one in failed
                ]
            )
        return self

    @property
    def policy(self) -> Policy:
        return self._loaded.policy

    @property
    def rules(self) -> tuple[LoadedRule, ...]:
        return self._loaded.rules

    @property
    def loaded(self) -> LoadedPolicy:
        return self._loaded

    def signals(
        self, job: ImageJob, photo: StoredPhoto, seen: Observation, recalled: Recalled = NOTHING_RECALLED
    ) -> dict[str, Any]:
        """Every signal of the photo as plain JSON values."""
        return compute(Subject(job, photo, seen, self._loaded.lexicon, recalled))

    def decide(
        self,
        job: ImageJob,
        photo: StoredPhoto,
        seen: Observation,
        at: datetime,
        plan: str | None = None,
        take: TakePlaces | None = None,
    ) -> Decision:
        """Judge for each channel of the job. Never raises for a rule that fails: that photo goes to review.

        `take` asks for places under the daily caps of rules that would reject; without it caps are not looked at.
        Raises Unavailable when what is known from before cannot be looked up.
        """
        recalled = self._memory.look_up(job, photo) if self._memory else NOTHING_RECALLED
        signals = self.signals(job, photo, seen, recalled)
        decision = self.judge(signals, job.tenant, job.channels, at, job.locale)
        limits = self._limits(decision)
        if limits and take is not None:
            decision = self.judge(signals, job.tenant, job.channels, at, job.locale, take(limits))
        seller = _seller(job)
        looked = {
            "banks": recalled.bank_version,
            "photo_sha256": photo.sha256,
            "seller": seller,
            "seller_sha256": _digest(seller),
            "plan": plan,
            "calibration": seen.calibration and seen.calibration.version,
            **seen.engine.as_json(),
        }
        return dataclasses.replace(decision, receipt=_sorted({**decision.receipt, **looked}))

    def judge(
        self,
        signals: Mapping[str, Any],
        tenant: str,
        channels: Sequence[str],
        at: datetime,
        locale: str | None = None,
        caps: Mapping[str, CapState] | None = None,
        opinions: Mapping[str, Opinion] | None = None,
    ) -> Decision:
        """Judge signals that were computed before: backtests, re-decisions, receipts.

        `opinions`: second opinions that were heard before, by question; nobody is asked here.
        """
        states = caps or {}
        spent = {rule for rule, state in states.items() if state.spent}
        decision = decide(self.policy, self._loaded.conditions.bind(signals), tenant, channels, at, locale, spent)
        receipt = {
            **decision.receipt,
            "tenant": tenant,
            "channels": list(channels),
            "taxonomy": self._loaded.lexicon.taxonomy.version,
            "words": dict(self._loaded.lexicon.versions),
            "signals": dict(signals),
            "caps": {rule: state.as_json() for rule, state in sorted(states.items())},
        }
        return weigh(dataclasses.replace(decision, receipt=_sorted(receipt)), opinions or {})

    def again(self, receipt: Mapping[str, Any]) -> Decision:
        """The decision a receipt belongs to, computed anew from its signals.

        Signals that are younger than the receipt are empty here: no rule of its policy can have read them. Raises
        PolicyInvalid when the receipt is of another policy version than this engine's.
        """
        version = receipt["policy_version"]
        if version != self.policy.version:
            raise PolicyInvalid(
                [f"The receipt is of policy version {version}, not {self.policy.version}; load that one."]
            )
        at = datetime.fromisoformat(receipt["decided_at"])
        caps = {rule: CapState(**state) for rule, state in receipt.get("caps", {}).items()}
        signals = {name: one.empty() for name, one in registered().items()} | dict(receipt["signals"])
        # Receipts from before there were translations name no locale; their messages are English.
        locale = receipt.get("locale")
        decision = self.judge(signals, receipt["tenant"], receipt["channels"], at, locale, caps, opinions_in(receipt))
        # Signals, and the taxonomy that they were computed with, are what was recorded.
        made = {**decision.receipt, "signals": receipt["signals"], "taxonomy": receipt.get("taxonomy")}
        return dataclasses.replace(
            decision, receipt=_sorted({name: made.get(name, value) for name, value in receipt.items()})
        )

    def _limits(self, decision: Decision) -> dict[str, int]:
        """The caps of rules that reject something here."""
        rejecting = {one.rule for one in decision.findings if one.action is Verdict.REJECT and not one.shadow}
        return {
            rule.id: rule.max_daily_rejections
            for rule in self.policy.rules
            if rule.max_daily_rejections is not None and rule.id in rejecting
        }

    def run_tests(self) -> list[Outcome]:
        """Every inline test of every rule, whatever the rule's scope, dates and mode."""
        return [
            self._run_test(loaded, number, test)
            for loaded in self._loaded.rules
            for number, test in enumerate(loaded.tests, 1)
        ]

    def _run_test(self, loaded: LoadedRule, number: int, test: InlineTest) -> Outcome:
        signals = scene_signals(test.given, self._loaded.lexicon)
        outcome = Outcome(loaded.rule.id, loaded.where, number, test.expect, "error")
        try:
            causes = loaded.rule.condition(self._loaded.conditions.bind(signals))
        except RuleFailed as error:
            return dataclasses.replace(outcome, error=str(error))
        return dataclasses.replace(outcome, got="match" if causes else "no_match")


def _seller(job: ImageJob) -> dict[str, Any]:
    """What the seller said."""
    return {
        "title": job.title,
        "description": job.description,
        "category": job.category,
        "condition": job.condition,
        "locale": job.locale,
        "attributes": dict(job.attributes),
    }


def _digest(said: Mapping[str, Any]) -> str:
    """sha256, so that a receipt shows at a glance whether the words were the same."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _sorted(receipt: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(receipt.items()))
