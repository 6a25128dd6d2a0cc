"""What people do with review cases: take, decide, undo, reopen, correct, appeal; and what leads ask about it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from domain.errors import InputRejected, NotFound
from domain.review import DECIDING, CaseLost, Resolution, Reviewer
from worker.storage.resolutions import Request, Resolutions
from worker.storage.review_quality import ReviewQuality
from worker.storage.review_queue import ReviewQueue, Wanted
from worker.storage.review_views import ReviewViews
from worker.storage.samples import Samples


@dataclass(frozen=True, slots=True)
class ReviewDesk:
    """`golden_share`: of claims, 0..1, that get an item with a known answer. `chance` returns 0..1."""

    queue: ReviewQueue
    views: ReviewViews
    resolutions: Resolutions
    quality: ReviewQuality
    samples: Samples
    golden_share: float = 0.0
    chance: Callable[[], float] = random.random

    def next(self, person: Reviewer, wanted: Wanted) -> dict[str, Any] | None:
        """The best case for this person, claimed and shown; None when nothing waits for them."""
        case = self.queue.claim(person, wanted, golden=self.chance() < self.golden_share)
        return None if case is None else self.views.opened(case, person)

    def claim(self, person: Reviewer, case_id: str) -> dict[str, Any]:
        return self.views.opened(self.queue.claim_one(person, case_id), person)

    def resolve(
        self, person: Reviewer, case_id: str, token: str, resolution: Resolution, key: str | None = None
    ) -> dict[str, Any]:
        return self.resolutions.resolve(person, Request(case_id, token, resolution, digest(resolution, case_id), key))

    def resolve_cluster(
        self,
        person: Reviewer,
        case_id: str,
        token: str,
        resolution: Resolution,
        wanted: Sequence[str] | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """Decide a case and those that look like it, or the listed ones among them, each for itself under one id.

        What somebody else holds is left to them. Corrections are of the one photo alone.
        """
        if resolution.action not in DECIDING:
            raise InputRejected("bad_action", "action: uphold or overturn; hold and escalate are for one case.")
        alike = [one["id"] for one in self.views.cluster(person, case_id)]
        if wanted is not None and (strange := set(wanted) - set(alike) - {case_id}):
            raise NotFound("case among the look-alikes", min(strange))
        others = alike if wanted is None else [one for one in alike if one in set(wanted)]
        first = Request(case_id, token, resolution, digest(resolution, case_id), key, str(uuid4()))
        done = [self.resolutions.resolve(person, first)]
        bulk_id = done[0]["bulk_id"]
        left: list[dict[str, str]] = []
        for other in others:
            try:
                lease = self.queue.claim_one(person, other)["lease_token"]
                alone = replace(resolution, corrections=())
                own = None if key is None else f"{key}/{other}"
                request = Request(other, lease, alone, digest(alone, other), own, bulk_id)
                done.append(self.resolutions.resolve(person, request))
            except (InputRejected, CaseLost, NotFound) as why:
                left.append({"case_id": other, "why": str(why)})
        return {"bulk_id": bulk_id, "resolutions": done, "left": left}


def digest(resolution: Resolution, case_id: str) -> str:
    """Of what was asked; the lease is no part of it, so that a repeated request may come after it."""
    said: Mapping[str, Any] = {
        "case_id": case_id.lower(),
        "action": resolution.action.value,
        "policy_code": resolution.policy_code,
        "note": resolution.note,
        "until": resolution.until and resolution.until.isoformat(),
        "corrections": [[one.field.value, one.name, one.value] for one in resolution.corrections],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
