"""Subject: one photo with everything signals are computed from, and the intermediate results they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from domain.banks import NOTHING_RECALLED, Recalled
from domain.jobs import ImageJob
from domain.moderation import language_of
from domain.observations import Observation, TextAnswer
from domain.photos import StoredPhoto
from domain.taxonomy import Taxonomy
from worker.policy.words.lexicon import Lexicon
from worker.policy.words.phones import region_of

T = TypeVar("T")

# Bounds on what one photo may put into a decision, so that a hostile one costs no more than a rich one.
MOST_ITEMS = 100  # objects, lines, hits of one kind
MOST_CHARACTERS = 20_000  # of any one text that is searched


@dataclass(frozen=True)
class Subject:
    job: ImageJob
    photo: StoredPhoto
    seen: Observation
    lexicon: Lexicon
    recalled: Recalled = NOTHING_RECALLED

    def once(self, compute: Callable[[Subject], T]) -> T:
        """What `compute` gives for this photo, computed when first asked for; readers leave it as it is."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        found: T = self._computed[compute]
        return found

    @cached_property
    def _computed(self) -> dict[Callable[[Subject], Any], Any]:
        return {}

    @property
    def taxonomy(self) -> Taxonomy:
        return self.lexicon.taxonomy

    @cached_property
    def area(self) -> float:
        """Of the picture in pixels; at least 1."""
        return float(max(1, self.seen.width * self.seen.height))

    @cached_property
    def region(self) -> str | None:
        """The seller's country by the job's locale."""
        return region_of(self.job.locale)

    @cached_property
    def languages(self) -> frozenset[str] | None:
        """Whose word lists are searched in the seller's words; None, which is all of them, where no locale is given.

        English always is, as sellers everywhere use its words for replicas and deals; a third language would add
        nothing but words that look alike. What a picture shows may be in any language, whoever sells it.
        """
        language = language_of(self.job.locale)
        return frozenset((language, "en")) if language else None

    @cached_property
    def captions(self) -> tuple[str, ...]:
        """Every caption that was asked for, the longest first, each text once."""
        texts = {
            answer.text[:MOST_CHARACTERS]
            for task, answer in self.seen.results.items()
            if task.value.endswith("caption") and isinstance(answer, TextAnswer) and answer.text
        }
        return tuple(sorted(texts, key=lambda text: (-len(text), text)))

    @cached_property
    def seller_fields(self) -> Mapping[str, str]:
        """What the seller wrote, by field; attributes as "attributes.<name>". Empty fields are left out."""
        job = self.job
        named = {"title": job.title, "description": job.description, "category": job.category}
        named["condition"] = job.condition
        named |= {f"attributes.{name}": value for name, value in sorted(job.attributes.items())}
        return {name: value[:MOST_CHARACTERS] for name, value in named.items() if value}
