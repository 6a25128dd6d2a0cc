"""The bench's figures of certainty: there for every kind of answer, raw and as read, and the same twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from domain.calibration import VERIFIED_MIN, Calibration, Curve
from tests.worker.vision.conftest import tiny_checkpoint  # noqa: F401
from worker.bench import certainty
from worker.bench.card import ROWS
from worker.training.synth import assets
from worker.vision.engine import FlorenceEngine
from worker.vision.florence import load


def measured(checkpoint: Path, known: Calibration | None) -> dict[str, object]:
    loaded = load(checkpoint, device="cpu", dtype="float32", threads=1)
    engine = FlorenceEngine(replace(loaded, fitted=replace(loaded.fitted, calibration=known)))
    return certainty.measure(engine, 5, 8, lambda _: None)


def test_figures_are_raw_without_a_calibration_and_read_with_one(tiny_checkpoint: Path) -> None:  # noqa: F811
    try:
        assets.fetch(assets.PACKAGES)
    except (assets.AssetsMissing, OSError) as missing:
        pytest.skip(f"no drawings to render scenes from: {missing}")
    raw = measured(tiny_checkpoint, None)
    assert raw["calibration"] is None and raw["threshold"] == VERIFIED_MIN
    assert raw["caption_error_before"] == raw["caption_error_after"]
    never = Curve(((0.5, 0.0),))
    read = measured(tiny_checkpoint, Calibration("v1", {"caption": never}, 0.2))
    assert (read["calibration"], read["threshold"]) == ("v1", 0.2)
    assert read["caption_error_before"] == raw["caption_error_before"]
    assert read["caption_error_after"] == 0.0, "a random model is never right, and that is what the curve says"
    counted = read["counted"]
    assert isinstance(counted, dict)
    assert counted["caption_error_after"] == counted["absent_passing_forced"] == counted["present_passing"] == 8
    assert {name for part, name, _, _ in ROWS if part == "certainty" and "error" not in name} <= set(read)
