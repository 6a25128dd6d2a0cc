"""Fit calibration.json to a checkpoint or an adapter: `shelfguard model calibrate`.

Fitted on scenes of one seed, measured on scenes of another; no training stage and no benchmark uses either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.calibration import VERIFIED, Calibration, Curve
from worker.training.certainty import (
    BINS,
    Phrase,
    Samples,
    calibration_error,
    collect,
    error_by_chance,
    passing,
    read_by,
)
from worker.training.curves import best
from worker.training.synth import assets
from worker.vision.calibration import CALIBRATION, versioned, write_calibration
from worker.vision.checkpoint import check_adapter_files
from worker.vision.engine import REVISION, FlorenceEngine
from worker.vision.florence import verify
from worker.vision.manifest import renew_in_manifest
from worker.vision.siblings import Siblings, shipped_siblings

SEED = 910_001
COUNT = 1000  # of fewer, chance alone gives detected labels an error of five percent
RECALL = 0.9  # share of present phrases that the second reading must let pass
WEIGHTS = (1.0, 0.1, 0.01)  # tried for "something else"; of equally good ones the first

Progress = Callable[[int, int], None]  # scenes done, and in all


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The content of the file, where it was written, and what it was measured with."""

    content: dict[str, Any]
    file: Path
    measured: Samples

    @property
    def calibration(self) -> Calibration:
        curves = {kind: Curve(tuple(map(tuple, one["knots"]))) for kind, one in self.content["curves"].items()}
        return Calibration(self.content["version"], curves, self.content["verification"]["threshold"])


def calibrate(
    model: str,
    adapter: Path | None = None,
    *,
    count: int = COUNT,
    seed: int = SEED,
    siblings: Siblings | None = None,
    progress: Progress = lambda *_: None,
) -> Calibrated:
    """Fit, measure, write beside the weights; nothing is written before everything is known.

    count: scenes to fit to, and as many to measure with. Raises AssetsMissing without drawings to render scenes from,
    and CheckpointRefused.
    """
    assets.fetch(assets.PACKAGES)
    checkpoint = verify(model).checkpoint
    own = None if adapter is None else check_adapter_files(adapter)
    engine = FlorenceEngine.load(model, adapter=adapter, dtype="float32")
    names = siblings or shipped_siblings()
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, 2 * count)

    fitted, measured = (collect(engine, seed + part, count, names, advance) for part in range(2))
    content = versioned(
        {
            "model": checkpoint.digest,
            "adapter": own and own.digest,
            "engine_revision": REVISION,
            "fitted": {"scenes": count, "seed": seed},
            "measured": {"scenes": count, "seed": seed + 1},
            "bins": BINS,
            **fit(fitted, measured, names),
        }
    )
    folder = (own or checkpoint).folder
    file = write_calibration(folder, content)
    renew_in_manifest(folder, CALIBRATION)
    return Calibrated(content, file, measured)


def fit(fitted: Samples, measured: Samples, siblings: Siblings) -> dict[str, Any]:
    """Curves, threshold and weight from one set of samples, and how they do on another."""
    weight, threshold = _second_reading(fitted.phrases)
    others = measured.with_verified(weight)
    curves: dict[str, Any] = {}
    for kind, samples in fitted.with_verified(weight).items():
        # The threshold is read by this curve too, and must still part what it parted: no level pieces.
        found = best(samples, ("logistic",)) if kind == VERIFIED else best(samples)
        if found is not None:
            curves[kind] = _described(kind, found, len(samples), others.get(kind, ()))
    return {
        "curves": curves,
        "verification": {
            "threshold": threshold,
            "something_else": weight,
            "recall": RECALL,
            "forced": passing(measured.phrases, weight, threshold, forced=True),
            "own": passing(measured.phrases, weight, threshold, forced=False),
            "siblings": {group: list(names) for group, names in siblings.groups.items()},
        },
    }


def _described(
    kind: str, found: tuple[str, Curve], count: int, measured: Sequence[tuple[float, bool]]
) -> dict[str, Any]:
    way, curve = found
    after = read_by(Calibration("", {kind: curve}), kind, measured)
    return {
        "method": way,
        "samples": count,
        "measured": len(measured),
        "right": round(sum(right for _, right in measured) / max(1, len(measured)), 4),
        "error_before": round(calibration_error(measured), 4),
        "error_after": round(calibration_error(after), 4),
        "error_by_chance": round(error_by_chance(after), 4),
        "knots": [list(knot) for knot in curve.knots],
    }


def _second_reading(phrases: Sequence[Phrase]) -> tuple[float, float]:
    """The weight of "something else" that parts present and absent phrases best, with its threshold.

    Chosen where the model must draw a box, so that it does not lean on the model's own "nothing there".
    """
    thresholds = {weight: threshold_for(phrases, weight) for weight in WEIGHTS}

    def wrongly_passing(weight: float) -> float:
        share = passing(phrases, weight, thresholds[weight], forced=True)["absent_passing"]
        return 0.0 if share is None else float(share)

    weight = min(WEIGHTS, key=wrongly_passing)
    return weight, thresholds[weight]


def threshold_for(phrases: Sequence[Phrase], something_else: float, recall: float = RECALL) -> float:
    """The highest verified score that lets so many of the present phrases pass; 0 without any."""
    scores = sorted((phrase.best(something_else, True) for phrase in phrases if phrase.present), reverse=True)
    if not scores:
        return 0.0
    # Rounded down, so that the one it was taken from passes.
    return math.floor(scores[math.ceil(recall * len(scores)) - 1] * 1e6) / 1e6
