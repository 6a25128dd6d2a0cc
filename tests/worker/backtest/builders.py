"""Policies and past decisions for backtests, made of few words; a reader over them in place of the database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from domain.banks import Recalled
from domain.jobs import ImageJob
from domain.moderation import Decision
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.policies import Bundle
from tests.factories import a_job, a_stored_photo, an_observation
from worker.backtest.figures import Tally
from worker.backtest.replay import Judge
from worker.policy.engine import PolicyEngine
from worker.policy.loading import LoadedPolicy, load_policy
from worker.storage.history import RECALLED, PastDecision, Seen

AT = datetime(2026, 11, 24, tzinfo=UTC)
DECIDED = datetime(2026, 11, 1, tzinfo=UTC)


def a_rule(
    id: str, causes: str = "objects", *, action: str = "review", mode: str = "live", severity: int = 4, more: str = ""
) -> str:
    """One rule as YAML; `more` are further lines of it."""
    lines = [
        f"  - id: {id}",
        "    version: 1",
        f"    policy_code: {id.upper().replace('.', '-').replace('_', '-')}",
        f"    severity: {severity}",
        f"    action: {action}",
        f"    mode: {mode}",
        "    message: Use another photo.",
        f"    causes: {json.dumps(causes)}",
        *(f"    {line}" for line in more.splitlines()),
        "    tests: [{given: {objects: [knife]}, expect: match}, {given: {objects: []}, expect: no_match}]",
    ]
    return "\n".join(lines) + "\n"


def labelled(label: str) -> str:
    """A condition that matches objects of this label."""
    return f"objects.filter(o, o.label == '{label}')"


def a_policy(folder: Path, *rules: str, head: str = "", files: dict[str, str] | None = None) -> Path:
    """Written into a folder of its own; gives back the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files or {}).items():
        (folder / name).write_text(content)
    path = folder / "policy.yaml"
    path.write_text(f"policy: test\n{head}\nrules:\n" + "".join(rules))
    return path


def loaded(folder: Path, *rules: str, **more: Any) -> LoadedPolicy:
    return load_policy(a_policy(folder, *rules, **more))


def past_of(
    policy: LoadedPolicy,
    number: int,
    job: ImageJob | None = None,
    seen: Observation | None = None,
    decided: datetime = DECIDED,
    photo: StoredPhoto | None = None,
) -> tuple[PastDecision, Seen]:
    """A photo decided by this policy, as history would give it back."""
    whole = Seen(job or a_job(), photo or a_stored_photo(), seen or an_observation())
    decision = PolicyEngine(policy).decide(whole.job, whole.photo, whole.seen, decided)
    return past_from(decision, whole, number), whole


def past_from(decided: Decision, whole: Seen, number: int) -> PastDecision:
    """A decision as history would give it back."""
    job, decision = whole.job, decided.as_json()
    receipt = decision["receipt"]
    return PastDecision(
        id=f"00000000-0000-0000-0000-{number:012}",
        job_id=f"job-{number}",
        tenant=job.tenant,
        product_id=job.product_id,
        image_id=job.image_id,
        channels=decision["channels"],
        findings=decision["findings"],
        policy_version=receipt["policy_version"],
        taxonomy=receipt["taxonomy"],
        recalled=frozenset(receipt["signals"].keys() & set(RECALLED)),
        signals=receipt["signals"],
        look="plan",
    )


@dataclass(frozen=True)
class Remembers:
    """domain.ports.Memory that knows the same of every picture."""

    recalled: Recalled

    def look_up(self, job: ImageJob, photo: StoredPhoto) -> Recalled:
        return self.recalled


class MemoryReader:
    """worker.storage.history.Reader over what it is given. Counts what it was asked for."""

    def __init__(self, pasts: Sequence[tuple[PastDecision, Seen | Exception]]) -> None:
        self._seen = {past.job_id: seen for past, seen in pasts}
        self._pasts = {past.id: past for past, _ in pasts}
        self.asked: list[str] = []
        self.policies: dict[str, Bundle] = {}

    def policy(self, version: str) -> Bundle | None:
        return self.policies.get(version)

    def seen(self, job_ids: Sequence[str]) -> dict[str, Seen | Exception]:
        self.asked += job_ids
        return {id: self._seen[id] for id in job_ids if id in self._seen}

    def some(self, ids: Sequence[str]) -> list[PastDecision]:
        return [self._pasts[id] for id in sorted(ids) if id in self._pasts]


def counted(judge: Judge, pasts: Sequence[tuple[PastDecision, Seen | Exception]], seed: int = 0) -> Tally:
    """All of them in one chunk."""
    tally = Tally(seed)
    judge.count([past for past, _ in pasts], MemoryReader(pasts), tally)  # type: ignore[arg-type]
    return tally
