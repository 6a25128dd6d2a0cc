"""Who did what, when: entries that are only ever added, each bound to the one before it by a hash.

An entry's hash is SHA-256 over its canonical JSON, the hash of the entry before it included. So whoever changes,
removes or reorders rows has to write all later ones anew, and then the heads that are kept elsewhere no longer fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

GENESIS = "0" * 64  # what the first entry names as the hash before it


@dataclass(frozen=True, slots=True)
class Actor:
    """kind: person, token or system. Copied into entries, so that history says who it was whatever becomes of them."""

    kind: str
    id: str
    name: str


SYSTEM = Actor("system", "", "Shelfguard")


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. number: 1, 2, 3 … without gaps. previous, hash: hexadecimal."""

    number: int
    at: datetime
    actor: Actor
    act: str
    subject: str
    tenant: str | None
    data: Mapping[str, Any] = field(default_factory=dict)
    previous: str = GENESIS
    hash: str = ""

    def link(self) -> str:
        """What `hash` has to be."""
        said = [
            self.number,
            self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            [self.actor.kind, self.actor.id, self.actor.name],
            self.act,
            self.subject,
            self.tenant,
            dict(self.data),
            self.previous,
        ]
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": self.at.astimezone(UTC).isoformat(),
            "actor": {"kind": self.actor.kind, "id": self.actor.id, "name": self.actor.name},
            "act": self.act,
            "subject": self.subject,
            "tenant": self.tenant,
            "data": dict(self.data),
            "hash": self.hash,
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was tampered with. number: the entry where it shows."""

    number: int
    kind: str  # changed, removed, reordered, truncated, rewritten
    message: str

    def as_json(self) -> dict[str, Any]:
        return {"number": self.number, "kind": self.kind, "message": self.message}


def find_faults(entries: Iterable[Entry], heads: Mapping[int, str]) -> Iterator[Fault]:
    """Everything wrong with the whole log, given by number. heads: hash by number, as kept elsewhere."""
    number, last = 0, GENESIS
    for entry in entries:
        if fault := _fault_of(entry, number, last):
            yield fault
        kept = heads.get(entry.number)
        if kept is not None and kept != entry.hash:
            yield Fault(entry.number, "rewritten", f"The head kept for entry {entry.number} has another hash.")
        number, last = entry.number, entry.hash
    newest = max(heads, default=0)
    if newest > number:
        yield Fault(
            number + 1,
            "truncated",
            f"The log ends at entry {number}, but a head of entry {newest} was kept: the last ones were removed.",
        )


def _fault_of(entry: Entry, number: int, last: str) -> Fault | None:
    if entry.number != number + 1:
        missing = f"Entries {number + 1} to {entry.number - 1} are gone."
        return Fault(number + 1, "removed", missing)
    if entry.link() != entry.hash:
        return Fault(entry.number, "changed", f"Entry {entry.number} does not hold what was written.")
    if entry.previous != last:
        return Fault(entry.number, "reordered", f"Entry {entry.number} was not written after entry {number}.")
    return None
