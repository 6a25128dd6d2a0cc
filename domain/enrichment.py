"""enrich(): observation + seller's words -> catalogue fields. Every value says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.jobs import ImageJob
from domain.observations import Observation

ALT_TEXT_SOFT_LIMIT = 150  # characters; custom, not a rule of WCAG
TAG_MIN_SCORE = 0.3  # below this a detection does not become a tag


class Source(StrEnum):
    SELLER = "seller"
    CAPTION = "caption"
    OBJECTS = "objects"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One catalogue value with its provenance. `reader` says who read it where the source is text in the picture."""

    value: str
    source: Source
    score: float | None = None
    reader: str | None = None

    def as_json(self) -> dict[str, Any]:
        out = {"value": self.value, "source": self.source.value, "score": self.score}
        return out if self.reader is None else out | {"reader": self.reader}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FieldValue:
        return cls(data["value"], Source(data["source"]), data["score"], data.get("reader"))


@dataclass(frozen=True, slots=True)
class CatalogueFields:
    """What one photo and the seller's words say about the product."""

    title: FieldValue | None
    category: FieldValue | None
    caption: FieldValue | None
    alt_text: FieldValue | None
    tags: tuple[FieldValue, ...]
    text: tuple[FieldValue, ...]
    attributes: Mapping[str, FieldValue]

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title and self.title.as_json(),
            "category": self.category and self.category.as_json(),
            "caption": self.caption and self.caption.as_json(),
            "alt_text": self.alt_text and self.alt_text.as_json(),
            "tags": [tag.as_json() for tag in self.tags],
            "text": [line.as_json() for line in self.text],
            "attributes": {name: value.as_json() for name, value in self.attributes.items()},
        }


def enrich(job: ImageJob, seen: Observation) -> CatalogueFields:
    """Derive the fields. The seller's value is never replaced by a machine's."""
    tags = _tags(seen)
    return CatalogueFields(
        title=_seller(job.title),
        category=_seller(job.category) or (tags[0] if tags else None),
        caption=FieldValue(seen.caption, Source.CAPTION) if seen.caption else None,
        alt_text=_alt_text(seen),
        tags=tags,
        text=tuple(FieldValue(line.text, Source.TEXT, line.score, seen.text_reader) for line in seen.lines),
        attributes={name: FieldValue(value, Source.SELLER) for name, value in sorted(job.attributes.items())},
    )


def _seller(value: str | None) -> FieldValue | None:
    return FieldValue(value, Source.SELLER) if value else None


def _tags(seen: Observation) -> tuple[FieldValue, ...]:
    """Labels of detected objects, each once, surest first."""
    best: dict[str, float] = {}
    for item in seen.objects:
        score = item.score if item.score is not None else 1.0
        if score >= TAG_MIN_SCORE:
            best[item.label] = max(score, best.get(item.label, 0.0))
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(FieldValue(label, Source.OBJECTS, score) for label, score in ranked)


def _alt_text(seen: Observation) -> FieldValue | None:
    """The short caption as alt text (WCAG 1.1.1), with the words in the picture when there are any (1.4.5)."""
    caption = seen.short_caption.strip()
    if not caption:
        return None
    alt = caption[0].upper() + caption[1:]
    words = seen.text.strip()
    if words and len(alt) + len(words) + 12 <= ALT_TEXT_SOFT_LIMIT:
        alt = f"{alt.rstrip('.')}, with text: {words}"
    return FieldValue(alt, Source.CAPTION)
