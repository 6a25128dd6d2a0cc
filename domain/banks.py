"""Hash banks: pictures that are known already, by perceptual hash, to block or to allow what looks like them.

A near match of an allowed picture outweighs a farther match of a blocked one: that is how a false match is taken back
without giving up the entry that made it. An entry or a bank that suddenly matches far more than it ever did is set
aside, so that one careless hash (a white square, a logo) cannot reject a whole catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

# PDQ's own advice (see domain.inspection.PerceptualHash): same picture up to 31 differing bits of 256; hashes of
# pictures with quality below 50 say nothing and are never matched.
USUAL_THRESHOLD = 31
MOST_THRESHOLD = 63  # chance pairs differ in 128 bits with a deviation of 8; beyond this they would begin to match
LEAST_QUALITY = 50
FLOOD_FACTOR = 10  # times the usual number of matches in an hour
FLOOD_LEAST_OF_ENTRY = 50  # matches in an hour that are no flood, whatever the history
FLOOD_LEAST_OF_BANK = 500


class BankKind(StrEnum):
    BLOCK = "block"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class BankEntry:
    """One known picture with its provenance. threshold: bits that may differ. set_aside: why it is in quarantine."""

    id: str
    bank: str
    kind: BankKind
    pdq: str
    threshold: int
    note: str
    source: str
    added_by: str
    added_at: datetime
    tenant: str | None = None  # None: for every tenant
    set_aside: str | None = None


@dataclass(frozen=True, slots=True)
class BankMatch:
    entry: BankEntry
    distance: int

    def as_json(self) -> dict[str, Any]:
        """kind is "set_aside" for an entry in quarantine, whatever its bank's kind."""
        entry = self.entry
        return {
            "bank": entry.bank,
            "kind": "set_aside" if entry.set_aside else entry.kind.value,
            "distance": self.distance,
            "threshold": entry.threshold,
            "entry": entry.id,
            "note": entry.note,
            "source": entry.source,
            "added_by": entry.added_by,
            "added_at": entry.added_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class EarlierDecision:
    """What was decided about an earlier photo of the same tenant that looks like this one."""

    job_id: str
    decision_id: str
    product_id: str
    verdict: str
    distance: int
    decided_at: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "job": self.job_id,
            "decision": self.decision_id,
            "product": self.product_id,
            "verdict": self.verdict,
            "distance": self.distance,
            "decided_at": self.decided_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is known about a photo from before. bank_version: of all banks together; "" where there are none."""

    bank_version: str = ""
    matches: tuple[BankMatch, ...] = ()
    earlier: tuple[EarlierDecision, ...] = field(default=())


NOTHING_RECALLED = Recalled()


def settle(matches: Iterable[BankMatch]) -> tuple[BankMatch, ...]:
    """Nearest first, without blocked pictures that an allowed one is nearer than. Entries set aside allow nothing."""
    found = sorted(matches, key=lambda match: (match.distance, match.entry.bank, match.entry.id))
    allowed = [match.distance for match in found if match.entry.kind is BankKind.ALLOW and not match.entry.set_aside]
    nearest = min(allowed, default=None)
    return tuple(
        match for match in found if match.entry.kind is BankKind.ALLOW or nearest is None or match.distance <= nearest
    )


def is_flood(last_hour: int, before: int, hours_before: float, least: int) -> bool:
    """Whether an hour's matches are far beyond the average hour of the history; without one, beyond `least`."""
    usual = before / max(1.0, hours_before)
    return last_hour > max(least, FLOOD_FACTOR * usual)


def counts_of(matches: Iterable[BankMatch]) -> Mapping[str, str]:
    """Entry id -> bank of what counts towards a flood: blocked pictures that are not set aside yet."""
    return {
        match.entry.id: match.entry.bank
        for match in matches
        if match.entry.kind is BankKind.BLOCK and not match.entry.set_aside
    }
