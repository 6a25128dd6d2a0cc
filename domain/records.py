"""ProductRecord: what Shelfguard says of a product, as a fold over the product's current photos.

Each photo keeps its own fields and decision; the product takes the first photo's word for a single-valued field, the
union of lists, and the worst verdict per channel. Folding is pure and does not depend on the order of arrival: photos
are taken in the order of their image ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from domain.corrections import Standing, correct_photo, correct_product
from domain.moderation import Verdict, worst

RECORD_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class PhotoEntry:
    """One current photo of a product as the record keeps it. `fields` is CatalogueFields.as_json()."""

    image_id: str
    job_id: str
    version: int
    sha256: str
    width: int
    height: int
    original_key: str
    model_copy_key: str
    engine: Mapping[str, Any]
    fields: Mapping[str, Any]
    decision_id: str
    channels: Mapping[str, Verdict]

    def as_json(self) -> dict[str, Any]:
        return {
            "image_id": self.image_id,
            "job_id": self.job_id,
            "version": self.version,
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
            "original": self.original_key,
            "model_copy": self.model_copy_key,
            "engine": dict(self.engine),
            "fields": dict(self.fields),
            "decision_id": self.decision_id,
            "verdict": worst(self.channels.values()).value,
            "channels": {channel: verdict.value for channel, verdict in self.channels.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PhotoEntry:
        return cls(
            image_id=data["image_id"],
            job_id=data["job_id"],
            version=data["version"],
            sha256=data["sha256"],
            width=data["width"],
            height=data["height"],
            original_key=data["original"],
            model_copy_key=data["model_copy"],
            engine=data["engine"],
            fields=data["fields"],
            decision_id=data["decision_id"],
            channels={channel: Verdict(verdict) for channel, verdict in data["channels"].items()},
        )


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """The record at one revision; `as_json` is what SQL, S3 and the API hold."""

    tenant: str
    product_id: str
    revision: int
    fields: Mapping[str, Any]
    channels: Mapping[str, Verdict]
    photos: tuple[PhotoEntry, ...]

    @property
    def verdict(self) -> Verdict:
        return worst(self.channels.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": RECORD_SCHEMA,
            "tenant": self.tenant,
            "product_id": self.product_id,
            "revision": self.revision,
            "verdict": self.verdict.value,
            "channels": {channel: verdict.value for channel, verdict in self.channels.items()},
            "fields": dict(self.fields),
            "photos": [photo.as_json() for photo in self.photos],
        }

    def as_bytes(self) -> bytes:
        """The JSON as it is stored: the same record is the same bytes."""
        return json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProductRecord:
        return cls(
            tenant=data["tenant"],
            product_id=data["product_id"],
            revision=data["revision"],
            fields=data["fields"],
            channels={channel: Verdict(verdict) for channel, verdict in data["channels"].items()},
            photos=tuple(PhotoEntry.from_json(photo) for photo in data["photos"]),
        )


def fold(
    tenant: str,
    product_id: str,
    revision: int,
    photos: Sequence[PhotoEntry],
    corrections: Sequence[Standing] = (),
) -> ProductRecord:
    """Fold the current photos of a product into its record; what people corrected stands above what was seen."""
    entries = [replace(one, fields=correct_photo(one.fields, one.sha256, corrections)) for one in photos]
    ordered = tuple(sorted(entries, key=lambda photo: photo.image_id))
    return ProductRecord(
        tenant=tenant,
        product_id=product_id,
        revision=revision,
        fields=correct_product(_fold_fields([photo.fields for photo in ordered]), corrections),
        channels=_fold_channels(ordered),
        photos=ordered,
    )


def _fold_channels(photos: Sequence[PhotoEntry]) -> dict[str, Verdict]:
    channels: dict[str, list[Verdict]] = {}
    for photo in photos:
        for channel, verdict in photo.channels.items():
            channels.setdefault(channel, []).append(verdict)
    return {channel: worst(verdicts) for channel, verdicts in sorted(channels.items())}


def _fold_fields(all_fields: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    folded: dict[str, Any] = {
        name: next((fields[name] for fields in all_fields if fields.get(name)), None)
        for name in ("title", "category", "caption", "alt_text")
    }
    for name in ("tags", "text"):
        folded[name] = _union([value for fields in all_fields for value in fields.get(name, ())])
    folded["attributes"] = {
        name: value for fields in reversed(all_fields) for name, value in fields.get("attributes", {}).items()
    }
    return folded


def _union(values: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each value once, with its best score, in order of first appearance."""
    best: dict[str, Mapping[str, Any]] = {}
    for value in values:
        known = best.get(value["value"])
        if known is None or (value["score"] or 0.0) > (known["score"] or 0.0):
            best[value["value"]] = value
    return list(best.values())
