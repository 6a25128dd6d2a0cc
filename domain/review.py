"""Review cases: who may decide what and when, what a resolution does to a verdict, and what a case's life looks like.

open ──uphold──▶ upheld        open ──escalate──▶ escalated (a lead decides)
     ──overturn▶ overturned         ──hold──────▶ held (open again when its time is up)
upheld, overturned ──undo, reopen──▶ open       anything undecided ──newer photo──▶ superseded
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from domain.corrections import Correction
from domain.errors import Forbidden, InputRejected, ShelfguardError
from domain.moderation import Decision, Verdict
from domain.unicode import has_lone_surrogate

UNDO_SECONDS = 10.0  # what was decided is told no sooner
LEASE_SECONDS = 120.0  # a tab that is open renews every third of it
SLOT_SECONDS = 900  # cases due in the same quarter of an hour are ordered by what their label is worth
MOST_NOTE = 4_000  # characters
LONGEST_HOLD = timedelta(days=30)
# Hours until a case should be decided, by severity.
TARGET_HOURS: Mapping[int, float] = {6: 1.0, 4: 4.0, 2: 24.0, 0: 72.0}


class State(StrEnum):
    OPEN = "open"
    ESCALATED = "escalated"
    HELD = "held"
    UPHELD = "upheld"
    OVERTURNED = "overturned"
    SUPERSEDED = "superseded"


WAITING = (State.OPEN, State.ESCALATED, State.HELD)
DECIDED = (State.UPHELD, State.OVERTURNED)


class Action(StrEnum):
    UPHOLD = "uphold"
    OVERTURN = "overturn"
    ESCALATE = "escalate"
    HOLD = "hold"


DECIDING = (Action.UPHOLD, Action.OVERTURN)


class Kind(StrEnum):
    """Why there is a case. Blind, golden and audit cases look to their reviewer like any other."""

    FLAGGED = "flagged"
    APPEAL = "appeal"
    BLIND = "blind"
    LEAD = "lead"
    GOLDEN = "golden"
    AUDIT = "audit"


SHOWN_KINDS = (Kind.FLAGGED, Kind.APPEAL, Kind.LEAD)
EFFECTLESS = (Kind.BLIND, Kind.GOLDEN)  # measured, never written into a record


class CaseLost(ShelfguardError):
    """The case is not this person's now: the lease ran out, was taken over, or the case was decided anew."""

    def __init__(self, case_id: str) -> None:
        super().__init__(
            f"Case {case_id} is no longer held by you; nothing was changed. What you typed is kept: claim it again."
        )


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A person. `tenant` None = every tenant's cases. `leads`: decides what was escalated."""

    id: str
    name: str
    tenant: str | None
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person says about a case. Held cases carry `until`."""

    action: Action
    policy_code: str | None = None
    note: str = ""
    until: datetime | None = None
    corrections: tuple[Correction, ...] = field(default=())

    def check(self, now: datetime) -> None:
        """Raises InputRejected."""
        texts = (self.note, self.policy_code or "")
        if any(len(text) > MOST_NOTE or "\0" in text or has_lone_surrogate(text) for text in texts):
            raise InputRejected("bad_note", f"note: send {MOST_NOTE} characters at most, without NUL.")
        if self.action is not Action.HOLD:
            if self.until is not None:
                raise InputRejected("bad_until", "until: only a hold has one; leave it out.")
            return
        if not self.note.strip():
            raise InputRejected("reason_required", "note: say what the case waits for.")
        if self.until is None or self.until.tzinfo is None or not now < self.until <= now + LONGEST_HOLD:
            raise InputRejected("bad_until", "until: send a time with its zone, at most 30 days ahead.")
        if self.corrections:
            raise InputRejected("bad_correction", "corrections: send them with the decision, not with a hold.")


def after(state: State, action: Action, *, leads: bool) -> State:
    """The state that an action leads to. Raises Forbidden (a lead's), InputRejected (no such step)."""
    if state in DECIDED:
        raise InputRejected("decided_before", "The case was decided before; reopen it to decide anew.")
    if state is State.ESCALATED and not leads:
        raise Forbidden("deciding what was escalated", "A lead decides this case.")
    if state is State.SUPERSEDED and action not in DECIDING:
        raise InputRejected("superseded", "A newer photo took this one's place; uphold, overturn or release it.")
    match action:
        case Action.UPHOLD:
            return State.UPHELD
        case Action.OVERTURN:
            return State.OVERTURNED
        case Action.ESCALATE:
            return State.ESCALATED
    return State.HELD


def may_decide(person: Reviewer, excluded: Collection[str], *, needs_lead: bool) -> bool:
    """Nobody decides on their own decision; a lead's case is a lead's."""
    return person.id not in excluded and (person.leads or not needs_lead)


def resolved(decision: Decision, action: Action) -> dict[str, Verdict]:
    """Verdicts by channel once a person has spoken.

    Upholding what was flagged makes it a rejection, overturning an approval. An approval that is audited stays when
    upheld, and is rejected on every channel when overturned.
    """
    uphold = action is Action.UPHOLD
    if decision.verdict is Verdict.APPROVE:
        return dict.fromkeys(decision.channels, Verdict.APPROVE if uphold else Verdict.REJECT)
    flagged = Verdict.REJECT if uphold else Verdict.APPROVE
    return {
        channel: verdict if verdict is Verdict.APPROVE else flagged for channel, verdict in decision.channels.items()
    }


def routing(decision: Decision) -> dict[str, Any]:
    """What the queue orders and filters by: `policy_code` of the gravest finding, `severity`, `label_value` in 0..1."""
    live = [finding for finding in decision.findings if not finding.shadow]
    gravest = min(live, key=lambda one: (-one.severity, one.rule, one.channel), default=None)
    return {
        "policy_code": "" if gravest is None else gravest.policy_code,
        "severity": decision.severity,
        "label_value": label_value(decision),
    }


def label_value(decision: Decision) -> float:
    """How much a person's answer would teach: 1 where the evidence was a coin's toss, 0 where it was certain."""
    scores = [
        float(item["score"])
        for finding in decision.findings
        if not finding.shadow
        for item in finding.evidence
        if isinstance(item.get("score"), (int, float)) and 0 <= item["score"] <= 1
    ]
    return max((1.0 - abs(2.0 * score - 1.0) for score in scores), default=0.0)


def due(severity: int, since: datetime) -> datetime:
    """When a case should be decided."""
    hours = next((hours for least, hours in sorted(TARGET_HOURS.items(), reverse=True) if severity >= least), 72.0)
    return since + timedelta(hours=hours)


def slot(moment: datetime) -> int:
    """The quarter of an hour a moment lies in: cases of one slot are about as urgent as each other."""
    return int(moment.timestamp() // SLOT_SECONDS)


def drawn(key: str, share: float) -> bool:
    """Whether a key is among a share in 0..1 of all keys: the same answer for the same key, unpredictable to people."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return number < share * 2**64
