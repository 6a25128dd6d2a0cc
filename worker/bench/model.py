"""What a checkpoint can do, in figures that a second run gives again: `shelfguard bench model`.

Rendered scenes no training saw (styles it knows, a style it does not), text, phrases that are not there, regions and
masks; how sure it is against how often it is right; real photographs as the base line for adapters; time and memory in
a process of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from worker.bench import certainty, footprint, photographs, random_weights, readers
from worker.training import held_out
from worker.training.synth import assets, lettering
from worker.training.synth.samples import PHOTOS
from worker.vision.engine import FlorenceEngine

COUNT = 400
Progress = Callable[[str, int, int], None]  # part, in all, done just now


def measure(
    model: str,
    *,
    count: int = COUNT,
    photos: bool = True,
    base_size: bool = False,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """All figures of one checkpoint.

    count: scenes of the largest part. photos: also the real photographs, where they are at hand. base_size: also load
    and run a random checkpoint of Florence-2-base size (1 GB).
    Raises AssetsMissing where there are no drawings to render scenes from, CheckpointRefused.
    """
    assets.fetch((*assets.PACKAGES, assets.UNSEEN))
    engine = FlorenceEngine.load(model, dtype="float32")
    figures: dict[str, Any] = {
        "model": engine.engine.model,
        "drawings": list(assets.available()),
        "fonts": len(lettering.fonts()),
        "seed": held_out.SEED,
    }
    exams = held_out.exams(count)
    for name, exam in exams.items():
        figures[name] = _described(held_out.take(engine, exam, partial(progress, name, exam.count)))
    many = 2 * count  # errors of calibration need more scenes than shares do
    figures["certainty"] = certainty.measure(engine, held_out.SEED, many, partial(progress, "certainty", many))
    text = exams["level_text"]
    if peer := readers.rapidocr(text, partial(progress, "rapidocr", min(readers.MOST, text.count))):
        figures["level_text_rapidocr"] = {**_described(peer[0]), "seconds_a_picture": round(peer[1], 3)}
    if photos and (wanted := len(photographs.rows())):
        figures["photographs"] = _described(photographs.look(engine, partial(progress, "photographs", wanted)))
    photo = PHOTOS / "01-sneaker.jpg"
    figures["footprint"] = footprint.of(model, photo)
    if base_size:
        figures["base_size"] = _base_size(photo)
    return figures


def _described(tally: Any) -> dict[str, Any]:
    return {**tally.shares(), "counted": tally.sizes()}


def _base_size(photo: Path) -> dict[str, Any]:
    """A fresh checkpoint of base size: random words to the token limit, so only loading and memory mean something."""
    with tempfile.TemporaryDirectory() as folder:
        random_weights.write(Path(folder), "base")
        return footprint.of(folder, photo, threads=2, rounds=0)
