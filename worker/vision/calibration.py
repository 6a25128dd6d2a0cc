"""calibration.json: what was measured of a checkpoint's scores, kept beside its weights (an adapter's beside its own).

It holds a curve for each task, the threshold and the names of the second reading, and how well all of it did on scenes
it was not fitted to. It belongs to exactly one set of weights: with others it is ignored aloud, because their scores
mean something else. Made by `shelfguard model calibrate`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.calibration import Calibration, curve_from_json
from domain.errors import CheckpointRefused
from worker.vision.siblings import siblings_from
from worker.vision.verification import Verification

CALIBRATION = "calibration.json"
SCHEMA = 1
VERSION_DIGITS = 12
ANEW = "Fit it anew with `shelfguard model calibrate`, or delete the file."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """How scores are read and hits verified. calibration: None where nothing was fitted to these weights."""

    calibration: Calibration | None = None
    verification: Verification = field(default_factory=Verification)


UNFITTED = Fitted()


def load_fitted(folder: Path, model_digest: str, adapter_digest: str | None = None) -> Fitted:
    """What was fitted to weights of these digests (sha256), from their folder: the adapter's where there is one.

    Nothing where there is no file, and with a warning where it belongs to other weights. Raises CheckpointRefused for
    a file that cannot be read.
    """
    file = folder / CALIBRATION
    if not file.is_file():
        return UNFITTED
    try:
        content = json.loads(file.read_bytes())
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r} is not {SCHEMA}")
        if (content["model"], content["adapter"]) != (model_digest, adapter_digest):
            log.warning("%s was fitted to other weights than these and is ignored: scores stay raw. %s", file, ANEW)
            return UNFITTED
        return _fitted(content)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OSError) as error:
        raise CheckpointRefused(str(folder), f"{CALIBRATION} cannot be used ({error!r}).", ANEW) from error


def _fitted(content: Mapping[str, Any]) -> Fitted:
    curves = {str(kind): curve_from_json(one["knots"]) for kind, one in content["curves"].items()}
    again = content["verification"]
    threshold, weight = float(again["threshold"]), float(again["something_else"])
    if not 0 <= threshold <= 1 or not 0 <= weight <= 1:
        raise ValueError("threshold and something_else lie within 0..1")
    how = Verification(siblings_from(again["siblings"]), weight)
    return Fitted(Calibration(str(content["version"]), curves, threshold), how)


def versioned(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with its schema and its version, which is a digest of everything else in it."""
    whole = {**content, "schema": SCHEMA}
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    return {"schema": SCHEMA, "version": digest[:VERSION_DIGITS], **content}


def write_calibration(folder: Path, content: Mapping[str, Any]) -> Path:
    """Write the file whole or not at all; one that is there is replaced."""
    file = folder / CALIBRATION
    new = folder / f".{CALIBRATION}.new"
    new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return new.replace(file)
