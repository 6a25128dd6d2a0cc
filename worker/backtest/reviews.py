"""What people's time and people's decisions say about rules: cost of a review, and precision where cases were resolved.

There is no store of reviewers' resolutions yet. `Resolutions` is where one will be read; until then precision is left
out of reports, and they say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from domain.moderation import Verdict


@dataclass(frozen=True, slots=True)
class ReviewCost:
    """Seconds a reviewer needs for one photo; by severity where that was measured."""

    seconds: float
    by_severity: Mapping[int, float] = field(default_factory=dict)

    def minutes(self, photos: Mapping[int, int]) -> float:
        """Of so many photos by severity."""
        return round(sum(self.by_severity.get(one, self.seconds) * count for one, count in photos.items()) / 60, 2)

    def as_json(self) -> dict[str, object]:
        return {"seconds": self.seconds, "by_severity": {str(key): one for key, one in self.by_severity.items()}}


class Resolutions(Protocol):
    """What reviewers decided. Travels to other processes, so it holds where to read, not a connection."""

    def of(self, job_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """The last decision of a person for each of these jobs that has one."""
