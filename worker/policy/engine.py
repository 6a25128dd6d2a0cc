"""PolicyEngine: a loaded policy at work. It computes signals, judges, and writes the receipt of each decision."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from domain.errors import PolicyInvalid, RuleFailed
from domain.jobs import ImageJob
from domain.moderation import Decision, Policy, decide
from domain.observations import Observation
from domain.photos import StoredPhoto
from worker.policy.envelope import InlineTest
from worker.policy.loading import LoadedPolicy, LoadedRule, load_policy, scene_signals
from worker.policy.signals import Subject, compute


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

    def __init__(self, loaded: LoadedPolicy) -> None:
        self._loaded = loaded

    @classmethod
    def load(cls, path: Path | None = None) -> PolicyEngine:
        """Load, compile and rehearse a policy; None is the shipped starter pack.

        Raises PolicyInvalid when a file does not check or a rule fails one of its own inline tests.
        """
        engine = cls(load_policy(path))
        if failed := [outcome for outcome in engine.run_tests() if not outcome.passed]:
            raise PolicyInvalid(
                [
                    f"{one.where}: test {one.number} of rule {one.rule} expects {one.expected} and got {one.got}; "
                    "correct the rule or the test."
                    for one in failed
                ]
            )
        return engine

    @property
    def policy(self) -> Policy:
        return self._loaded.policy

    @property
    def rules(self) -> tuple[LoadedRule, ...]:
        return self._loaded.rules

    def signals(self, job: ImageJob, photo: StoredPhoto, seen: Observation) -> dict[str, Any]:
        """Every signal of the photo as plain JSON values."""
        return compute(Subject(job, photo, seen, self._loaded.lexicon))

    def decide(self, job: ImageJob, photo: StoredPhoto, seen: Observation, at: datetime) -> Decision:
        """Judge for each channel of the job. Never raises for a rule that fails: that photo goes to review."""
        signals = self.signals(job, photo, seen)
        decision = self.judge(signals, job.tenant, job.channels, at)
        looked = {"photo_sha256": photo.sha256, "seller_sha256": _seller_digest(job), **seen.engine.as_json()}
        looked["calibration"] = seen.calibration and seen.calibration.version
        return dataclasses.replace(decision, receipt=_sorted({**decision.receipt, **looked}))

    def judge(self, signals: Mapping[str, Any], tenant: str, channels: Sequence[str], at: datetime) -> Decision:
        """Judge signals that were computed before: backtests, re-decisions, receipts."""
        decision = decide(self.policy, self._loaded.conditions.bind(signals), tenant, channels, at)
        receipt = {
            **decision.receipt,
            "tenant": tenant,
            "channels": list(channels),
            "words": dict(self._loaded.lexicon.versions),
            "signals": dict(signals),
        }
        return dataclasses.replace(decision, receipt=_sorted(receipt))

    def again(self, receipt: Mapping[str, Any]) -> Decision:
        """The decision a receipt belongs to, computed anew from its signals.

        Raises PolicyInvalid when the receipt is of another policy version than this engine's.
        """
        version = receipt["policy_version"]
        if version != self.policy.version:
            raise PolicyInvalid(
                [f"The receipt is of policy version {version}, not {self.policy.version}; load that one."]
            )
        at = datetime.fromisoformat(receipt["decided_at"])
        decision = self.judge(receipt["signals"], receipt["tenant"], receipt["channels"], at)
        return dataclasses.replace(decision, receipt=_sorted({**receipt, **decision.receipt}))

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


def _seller_digest(job: ImageJob) -> str:
    """sha256 of what the seller said, so that a receipt shows whether the words were the same."""
    said = {
        "title": job.title,
        "description": job.description,
        "category": job.category,
        "condition": job.condition,
        "locale": job.locale,
        "attributes": dict(job.attributes),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _sorted(receipt: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(receipt.items()))
