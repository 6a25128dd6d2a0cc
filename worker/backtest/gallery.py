"""Sample photos of a report: what was decided before and after, and the photo with the regions it was decided by."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image, UnidentifiedImageError

from domain.errors import NotFound, Unavailable
from domain.moderation import Decision, Finding, Verdict, worst
from domain.observations import Observation
from worker.backtest.figures import AFTER, BEFORE
from worker.drawing import draw
from worker.storage.history import PastDecision, Reader, Seen

LONGEST_SIDE = 640  # px of a picture in the report
LONGEST_TEXT = 120  # characters of a cause
BLANK = (224, 224, 224)
MOST_CAUSES = 6  # of one finding, in words; all of them are drawn

Explain = Callable[[PastDecision, Seen], tuple[Decision, Decision]]


class Photos(Protocol):
    """Where the bytes of photos are."""

    def get(self, key: str) -> bytes:
        """Raises NotFound, Unavailable."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample in full."""

    past: PastDecision
    seen: Seen
    before: Decision
    after: Decision

    def as_json(self) -> dict[str, Any]:
        past = self.past
        return {
            "decision_id": past.id,
            "job_id": past.job_id,
            "tenant": past.tenant,
            "product_id": past.product_id,
            "image_id": past.image_id,
            "title": self.seen.job.title,
            BEFORE: _side_json(self.before),
            AFTER: _side_json(self.after),
        }


def gather(reader: Reader, ids: Iterable[str], explain: Explain) -> dict[str, Shown]:
    """The samples by decision. One whose observation cannot be read is left out."""
    pasts = reader.some(sorted(set(ids)))
    seen = reader.seen([past.job_id for past in pasts])
    shown: dict[str, Shown] = {}
    for past in pasts:
        found = seen.get(past.job_id)
        if isinstance(found, Seen):
            shown[past.id] = Shown(past, found, *explain(past, found))
    return shown


def explain_shadow(rules: Sequence[str], channels: Sequence[str]) -> Explain:
    """Explains a shadow report's sample: as it was decided, and as it had been with these rules live (() = all)."""

    def explain(past: PastDecision, seen: Seen) -> tuple[Decision, Decision]:
        names = [name for name in past.channels if not channels or name in channels]
        findings = [Finding.from_json(one) for one in past.findings if one["channel"] in names]
        tried = [
            dataclasses.replace(one, shadow=False)
            for one in findings
            if one.shadow and (not rules or one.rule in rules)
        ]
        live = [one for one in findings if not one.shadow]
        return _decision(live, names), _decision([*live, *tried], names)

    return explain


def _decision(findings: Sequence[Finding], channels: Sequence[str]) -> Decision:
    verdicts = {name: worst(one.action for one in findings if one.channel == name) for name in channels}
    return Decision(verdicts, tuple(sorted(findings, key=lambda one: (one.channel, one.rule))))


def _side_json(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict.value,
        "channels": {name: verdict.value for name, verdict in decision.channels.items()},
        "causes": _causes(decision.findings),
    }


def _causes(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Each rule once, the gravest first, with the channels it speaks for and its evidence in words."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    ordered = sorted(by_rule.values(), key=lambda some: (-some[0].action.rank, -some[0].severity, some[0].rule))
    return [
        {
            "rule": some[0].rule,
            "policy_code": some[0].policy_code,
            "action": some[0].action.value,
            "severity": some[0].severity,
            "shadow": some[0].shadow,
            "message": some[0].message,
            "channels": sorted(one.channel for one in some),
            "evidence": list(dict.fromkeys(_words(one) for one in some[0].evidence))[:MOST_CAUSES],
        }
        for some in ordered
    ]


def _words(evidence: Mapping[str, Any]) -> str:
    """One cause in a line; numbers short, places left out, what is hostile made printable."""
    parts = [str(evidence.get("kind", "cause"))]
    for name, value in evidence.items():
        if name in ("kind", "normalised", "reader") or isinstance(value, list | dict) or value == "":
            continue
        parts.append(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}")
    text = "".join(letter if letter.isprintable() else " " for letter in ", ".join(parts))
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


class Gallery:
    """Draws samples into a folder. A photo that is not there becomes an empty frame with the regions on it."""

    def __init__(self, folder: Path, photos: Photos) -> None:
        self._folder, self._photos = folder, photos
        self._away = ""  # why the store does not answer; it is not asked again

    def draw(self, shown: Shown) -> dict[str, Any]:
        """Names of the pictures before and after, relative to the report; `note` says why there is no photo."""
        photo, note = self._photo(shown.seen)
        names = {
            side: self._keep(draw(photo, _bare(shown.seen.seen), _told(decision)))
            for side, decision in ((BEFORE, shown.before), (AFTER, shown.after))
        }
        return {**names, "note": note}

    def _photo(self, seen: Seen) -> tuple[bytes, str]:
        if self._away:
            return _blank(seen), self._away
        try:
            return _small(self._photos.get(seen.photo.model_copy_key)), ""
        except NotFound:
            return _blank(seen), "The photo is not stored any more."
        except Unavailable as error:
            self._away = f"The photo could not be read: {error}."
        except (UnidentifiedImageError, OSError, ValueError):
            return _blank(seen), "The stored photo cannot be decoded."
        return _blank(seen), self._away

    def _keep(self, picture: bytes) -> str:
        name = f"pictures/{hashlib.sha256(picture).hexdigest()[:20]}.jpg"
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        return name


def _told(decision: Decision) -> list[Finding]:
    """What speaks for the verdict; of approvals everything there is."""
    live = [one for one in decision.findings if not one.shadow and one.action is not Verdict.APPROVE]
    return live or list(decision.findings)


def _bare(seen: Observation) -> Observation:
    """Without what was seen, so that only findings are drawn."""
    return dataclasses.replace(seen, results={}, asked=(), second_reading=None)


def _small(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as opened:
        return _jpeg(opened.convert("RGB"))


def _blank(seen: Seen) -> bytes:
    width, height = max(1, seen.photo.width), max(1, seen.photo.height)
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return _jpeg(Image.new("RGB", (max(1, round(width * scale)), max(1, round(height * scale))), BLANK))


def _jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
