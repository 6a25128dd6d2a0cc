"""The engine beside the ways Florence-2 is used today: `shelfguard bench engine`.

One run, one machine, the same weights and photos: seconds for plans of 1, 4 and 6 tasks by each of the three ways of
ways.py; where our time goes, and how near it comes to what the machine can do; whether the answers are the same.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from worker.bench import agreement, ceiling, random_weights, ways
from worker.bench.pictures import pictures
from worker.bench.plans import LENGTHS, PLANS, TASKS
from worker.vision.florence import SHELF_TINY, verify

PHOTOS = 4
COMPARED = 200
SIZES = (SHELF_TINY, "base")
KEY_SIZE = "base"  # the size and the plan of the figures at the top
KEY_PLAN = str(PLANS[-1])
LIMIT_SECONDS = 7200

Progress = Callable[[str, int, int], None]  # part, in all, done just now


def measure(
    *,
    sizes: Sequence[str] = SIZES,
    photos: int = PHOTOS,
    rounds: int = 1,
    compared: int = COMPARED,
    compared_model: str = SHELF_TINY,
    threads: int | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """All figures. sizes: "base" or "large" (random weights, answers of fixed length), or models as
    `FlorenceEngine.load` takes them (answers end themselves). compared: photos on which answers are compared; 0 leaves
    `identical` unknown. threads: of PyTorch; None leaves them.

    Raises CheckpointRefused, and RuntimeError with a child's last words where a way fails.
    """
    for model in {*sizes, compared_model} - set(random_weights.SIZES):
        verify(model)  # before anything takes its time
    if threads is not None:
        torch.set_num_threads(threads)
    figures: dict[str, Any] = {"machine": _machine(), "ceiling_gflops": ceiling.matmul_gflops()}
    figures |= {"tasks": [task.value for task in TASKS], "photos": photos, "rounds": rounds, "sizes": {}}
    images = pictures(max(photos, compared))
    with tempfile.TemporaryDirectory() as folder:
        _store(images[:photos], Path(folder))
        for size in sizes:
            told = _told(figures["ceiling_gflops"], size, Path(folder), rounds, threads, progress)
            figures["sizes"][size] = told
    key = figures["sizes"].get(KEY_SIZE, {}).get("speedup", {})
    for name in ("usual", "batched"):
        figures[f"speedup_vs_{name}"] = key.get(name, {}).get(KEY_PLAN)
    figures["identical"] = None
    if compared:
        tell = _telling(progress, "answers compared", compared)
        figures["compared"], figures["identical"] = agreement.compare(compared_model, images[:compared], tell)
    return figures


def _machine() -> dict[str, Any]:
    cuda = torch.cuda.is_available()
    return {
        "processor": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "device": "cuda" if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "amx": torch.cpu._is_amx_tile_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "torch": torch.__version__,
    }


def _store(images: Sequence[Image.Image], folder: Path) -> None:
    for number, image in enumerate(images):
        image.save(folder / f"{number:04}.png")


def _told(
    ceilings: dict[str, float], size: str, photos: Path, rounds: int, threads: int | None, progress: Progress
) -> dict[str, Any]:
    """One size by all ways."""
    with tempfile.TemporaryDirectory() as folder:
        forced = size in random_weights.SIZES
        if forced:
            random_weights.write(Path(folder), size)
        model = folder if forced else size
        timings = [ways.Timing(way, model, photos, forced, rounds, threads) for way in ways.WAYS]
        by_way = {timing.way: _in_a_child(timing, size, progress) for timing in timings}
        work = ceiling.gflop(verify(model), LENGTHS) if forced else None
    for way in by_way.values():
        seconds = way["seconds_per_photo"]
        way["images_per_second"] = {plan: round(1 / taken, 3) for plan, taken in seconds.items()}
    ours = by_way["ours"]
    figures: dict[str, Any] = {"answer_tokens": list(LENGTHS.values()) if forced else None, "ways": by_way}
    figures["speedup"] = {name: _ratios(by_way[name], ours) for name in ("usual", "batched")}
    if work is not None:
        rate = sum(work.values()) / ours["seconds_per_photo"][KEY_PLAN]
        figures |= {"gflop_per_photo": work, "ours_gflops": round(rate)}
        figures["ours_share_of_ceiling"] = round(rate / ceilings[ours["dtype"]], 3)
    return figures


def _ratios(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, float]:
    """How many times as fast we are, by plan."""
    mine: dict[str, float] = ours["seconds_per_photo"]
    return {plan: round(theirs["seconds_per_photo"][plan] / seconds, 2) for plan, seconds in mine.items()}


def _in_a_child(timing: ways.Timing, size: str, progress: Progress) -> dict[str, Any]:
    """Timed alone in a process, so that its memory is its own."""
    photos = len(list(timing.folder.glob("*.png")))
    tell = _telling(progress, f"{size}, {timing.way}", ways.steps(timing, photos))
    command = [sys.executable, "-m", "worker.bench.ways", timing.way, timing.model, str(timing.folder)]
    command += ["--rounds", str(timing.rounds)] + (["--forced"] if timing.forced else [])
    command += [] if timing.threads is None else ["--threads", str(timing.threads)]
    figures: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            figures = json.loads(line)
            if "done" in figures:
                tell()
        if child.wait(LIMIT_SECONDS) != 0:
            errors.seek(0)
            raise RuntimeError(f"timing {timing.way} on {size} failed: {errors.read().strip()[-500:]}")
    return figures


def _telling(progress: Progress, part: str, whole: int) -> Callable[[], None]:
    return lambda: progress(part, whole, 1)
