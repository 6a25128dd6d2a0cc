"""The signal about which category of the taxonomy the seller's words name."""

from __future__ import annotations

from typing import Any

from worker.policy.signals.registry import Field, Item, Kind, signal
from worker.policy.signals.subject import Subject

CATEGORY = Item(
    "category",
    (
        Field("id", Kind.TEXT, "", "of the taxonomy, or empty where the seller's words name none for sure"),
        Field("path", Kind.TEXT, "", "names from the root on, joined by >"),
        Field(
            "ancestors", Kind.TEXTS, "", 'ids from the root down to the category itself: "fb-1-1" in it means alcohol'
        ),
        Field("groups", Kind.TEXTS, "", "groups of the policy's vocabulary whose subtrees hold it"),
        Field("how", Kind.TEXT, "", "what named it: id, path, alias or name"),
    ),
)


@signal(CATEGORY, cost=120)
def category(subject: Subject) -> dict[str, Any]:
    """The category that the seller's own word for it means. Silent where that is unsure."""
    match = subject.taxonomy.match(subject.job.category)
    if match is None:
        return {"id": "", "path": "", "ancestors": [], "groups": [], "how": ""}
    ancestors = subject.taxonomy.ancestors(match.category.id)
    return {
        "id": match.category.id,
        "path": " > ".join(subject.taxonomy.path(match.category.id)),
        "ancestors": list(ancestors),
        "groups": sorted(
            group for group, roots in subject.lexicon.subtrees.items() if any(root in ancestors for root in roots)
        ),
        "how": match.how.value,
    }
