"""Signals about what is known of the picture from before: hash banks, and decisions about photos that look like it."""

from __future__ import annotations

from typing import Any

from domain.banks import LEAST_QUALITY
from worker.policy.signals.registry import Field, Item, Kind, signal
from worker.policy.signals.subject import Subject

MOST_MATCHES = 20

BANK_MATCH = Item(
    "bank_match",
    (
        Field("bank", Kind.TEXT, "", "its name"),
        Field("kind", Kind.TEXT, "", "block, allow, or set_aside for an entry in quarantine"),
        Field("distance", Kind.COUNT, "bits", "of 256 that differ"),
        Field("threshold", Kind.COUNT, "bits", "that may differ"),
        Field("entry", Kind.TEXT, "", "id of the entry"),
        Field("note", Kind.TEXT, "", "why it is in the bank"),
        Field("source", Kind.TEXT, "", "where the hash comes from"),
        Field("added_by", Kind.TEXT, "", "who put it there"),
        Field("added_at", Kind.TEXT, "", "when, ISO 8601"),
    ),
)
NEAR_DUPLICATE = Item(
    "near_duplicate",
    (
        Field("job", Kind.TEXT, "", "of the earlier photo"),
        Field("decision", Kind.TEXT, "", "id of its latest decision"),
        Field("product", Kind.TEXT, "", "whose photo it is"),
        Field("verdict", Kind.TEXT, "", "approve, review or reject"),
        Field("distance", Kind.COUNT, "bits", "of 256 that differ"),
        Field("decided_at", Kind.TEXT, "", "when, ISO 8601"),
    ),
)


@signal(BANK_MATCH, many=True, cost=5, optional=True)
def bank_matches(subject: Subject) -> list[dict[str, Any]] | None:
    """Known pictures this one looks like, nearest first; a block match is left out where an allow match is nearer."""
    if subject.photo.inspection is None:
        return None
    return [match.as_json() for match in subject.recalled.matches[:MOST_MATCHES]]


@signal(NEAR_DUPLICATE, many=True, cost=5, optional=True)
def near_duplicates(subject: Subject) -> list[dict[str, Any]] | None:
    """Earlier photos of the same tenant that look like this one, with what was decided; nearest first."""
    if subject.photo.inspection is None:
        return None
    return [earlier.as_json() for earlier in subject.recalled.earlier]


@signal(Kind.FLAG, cost=1, optional=True)
def hash_usable(subject: Subject) -> bool | None:
    """Whether the picture has enough structure for its hash to say anything; without, nothing is matched."""
    found = subject.photo.inspection
    return None if found is None else found.pdq.quality >= LEAST_QUALITY
