"""A vision worker alone, for the memory soak: `python -m tests.soak.observing FOLDER PHOTOS`.

The stage as it runs in a worker (lease, heartbeat, observe) with shelf-tiny, on a ledger and a store in memory that are
emptied batch by batch, so that what grows is the vision part's. Prints a line of JSON every 200 photos.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
from pathlib import Path

import psutil
from PIL import Image

from domain.jobs import JobState
from domain.observations import Plan
from tests.factories import a_job, a_stored_photo
from tests.fakes import MemoryLedger
from tests.fakes_artifacts import MemoryArtifacts
from worker.pipeline import VisionTools
from worker.stages import Pace, run_vision
from worker.storage.observation_cache import NoObservationCache
from worker.vision.engine import FlorenceEngine
from worker.vision.florence import SHELF_TINY
from worker.vision.observer import Observer

EVERY = 200
BATCH = 4
MODEL_COPY_SIDE = 1024  # pixels; photos come in all sizes and shapes below it


def observe_all(files: list[Path], photos: int) -> None:
    engine = FlorenceEngine.load(SHELF_TINY, device="cpu", threads=1)
    engine.warm_up()
    ledger, artifacts = MemoryLedger(), MemoryArtifacts()
    tools = VisionTools(ledger, artifacts, Observer(engine), Plan(), NoObservationCache())
    pace = Pace(heartbeat_seconds=0.2, limit_seconds=600, batch_size=BATCH)
    for number, file in enumerate(itertools.islice(itertools.cycle(files), photos), start=1):
        _put(ledger, artifacts, file, number)
        if number % BATCH == 0 or number == photos:
            run_vision(tools, pace, lambda stage: None)
            assert all(row.state is JobState.OBSERVED for row in ledger.rows.values())
            _empty(ledger, artifacts)
        if number % EVERY == 0:
            print(json.dumps({"photos": number, "resident": psutil.Process().memory_info().rss}), flush=True)


def _put(ledger: MemoryLedger, artifacts: MemoryArtifacts, file: Path, number: int) -> None:
    """A photo waiting to be looked at."""
    copy = io.BytesIO()
    with Image.open(file) as photo:
        photo.thumbnail((MODEL_COPY_SIDE, MODEL_COPY_SIDE))
        shown = photo.convert("RGB")
    shown.save(copy, "JPEG", quality=90)
    ledger.accept(a_job(product_id=f"sku-{number}", tenant="acme"), "digest")
    (row,) = ledger.lease(JobState.RECEIVED, 1)
    key = artifacts.put_blob("acme", copy.getvalue(), "image/jpeg")
    stored = a_stored_photo(sha256=f"{number:064x}", model_copy_key=key, width=shown.width, height=shown.height)
    ledger.ready(row.lease, stored)


def _empty(ledger: MemoryLedger, artifacts: MemoryArtifacts) -> None:
    for row in ledger.rows.values():
        assert row.photo is not None
        artifacts.delete(row.photo.model_copy_key)
    ledger.rows.clear()
    ledger.products.clear()
    ledger.events.clear()


if __name__ == "__main__":
    observe_all(sorted(Path(sys.argv[1]).rglob("*.jpg")), int(sys.argv[2]))
