"""Three ways to ask a Florence-2 the same about the same photos, each timed in a process of its own.

Run as: python -m worker.bench.ways WAY MODEL FOLDER [--forced] [--rounds 1] [--threads N]

usual    as the model's card shows it: processor and one `generate` for every photo and task, float32
batched  the same with all photos of a task in one `generate`, bfloat16
ours     `FlorenceEngine`: all photos and tasks in one call, its own choice of type

All are greedy and end answers at the same lengths. Prints one JSON object a line: {"done": 1} for each step, the
figures last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from domain.observations import Plan, Task
from worker.bench.plans import LENGTHS, PLANS, TASKS
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.florence import DTypeName, Loaded, load
from worker.vision.prompts import prompt_for

WAYS = ("usual", "batched", "ours")
Tell = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """What to time. forced: answers have the lengths of LENGTHS; else they end themselves."""

    way: str
    model: str
    folder: Path  # of photos
    forced: bool
    rounds: int = 1
    threads: int | None = None


@dataclass
class Generate:
    """transformers' `generate` as its users call it, `batch` photos at a time."""

    loaded: Loaded
    forced: bool
    batch: int
    dtype: str = field(init=False)

    def __post_init__(self) -> None:
        self.dtype = self.loaded.dtype
        self._positions = self.loaded.verified.config.text_config.max_position_embeddings

    def answer(self, task: Task, images: Sequence[Image.Image], **options: Any) -> Any:
        """What `generate` returns for one task and its images together."""
        processor, model = self.loaded.verified.processor, self.loaded.model
        inputs = processor(text=[task.prompt_token] * len(images), images=list(images), return_tensors="pt")
        inputs = inputs.to(self.loaded.device, model.dtype)
        return model.generate(**inputs, **self._length(task), num_beams=1, do_sample=False, **options)

    def _length(self, task: Task) -> dict[str, int]:
        if self.forced:
            return {"max_new_tokens": LENGTHS[task], "min_new_tokens": LENGTHS[task]}
        return {"max_new_tokens": prompt_for(task).limit(self._positions)}


def measure(timing: Timing, tell: Tell = lambda: None) -> dict[str, Any]:
    """Seconds a photo for each plan (median of the rounds), and what they took. tell: called after each step."""
    if timing.threads is not None:
        torch.set_num_threads(timing.threads)
    images = [Image.open(file).convert("RGB") for file in sorted(timing.folder.glob("*.png"))]
    figures = _ours(timing, images, tell) if timing.way == "ours" else _generate(timing, images, tell)
    figures["peak_mb"] = _peak_mb()
    if torch.cuda.is_available():
        figures["peak_cuda_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
    return figures


def steps(timing: Timing, photos: int) -> int:
    """How often `measure` will tell."""
    if timing.way == "ours":
        return timing.rounds * len(PLANS)
    return timing.rounds * len(TASKS) * (photos if timing.way == "usual" else 1)


def _generate(timing: Timing, images: Sequence[Image.Image], tell: Tell) -> dict[str, Any]:
    """The calls of different tasks have nothing in common, so that a plan takes the sum of its tasks."""
    dtype: DTypeName = "float32" if timing.way == "usual" else "bfloat16"
    batch = 1 if timing.way == "usual" else len(images)
    way = Generate(load(timing.model, dtype=dtype), timing.forced, batch)
    seconds: dict[Task, float] = {}
    _forget_peak()
    with torch.inference_mode():
        way.answer(TASKS[0], images[:1])  # what is initialised late
        for task in TASKS:
            rounds = []
            for _ in range(timing.rounds):
                began = time.perf_counter()
                for first in range(0, len(images), batch):
                    way.answer(task, images[first : first + batch])
                    settle()
                    tell()
                rounds.append(time.perf_counter() - began)
            seconds[task] = statistics.median(rounds)
    plans = {plan: sum(seconds[task] for task in TASKS[:plan]) for plan in PLANS}
    return {"dtype": way.dtype, "batch": batch, "seconds_per_photo": _per_photo(plans, len(images))}


def _ours(timing: Timing, images: Sequence[Image.Image], tell: Tell) -> dict[str, Any]:
    engine = FlorenceEngine.load(timing.model)
    engine.warm_up()
    _forget_peak()
    engine.stopwatch.settle = settle
    lengths = LENGTHS if timing.forced else None
    plans: dict[int, float] = {}
    for plan in PLANS:
        looks = [Look(image, "", *image.size, Plan(tasks=TASKS[:plan])) for image in images]
        rounds = []
        for _ in range(timing.rounds):
            engine.stopwatch.seconds.clear()
            began = time.perf_counter()
            engine.generate(looks, lengths)
            rounds.append(time.perf_counter() - began)
            tell()
        plans[plan] = statistics.median(rounds)
    spent = engine.stopwatch.seconds  # of the last plan, its last round
    return {
        "dtype": engine.engine.dtype,
        "batch": len(images),
        "seconds_per_photo": _per_photo(plans, len(images)),
        "parts": {part: round(seconds / sum(spent.values()), 4) for part, seconds in spent.items()},
    }


def _per_photo(plans: Mapping[int, float], photos: int) -> dict[str, float]:
    return {str(plan): round(seconds / photos, 4) for plan, seconds in plans.items()}


def _forget_peak() -> None:
    """Loading needs the weights in float32 for a moment; what counts is the memory of the work."""
    with contextlib.suppress(OSError):  # no such file but on Linux
        Path("/proc/self/clear_refs").write_text("5")


def _peak_mb() -> int:
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return round(int(status.partition("VmHWM:")[2].split()[0]) / 1e3)
    unit = 1e6 if sys.platform == "darwin" else 1e3  # macOS counts bytes, Linux kilobytes
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def settle() -> None:
    """Wait for work that is only queued."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--forced", action="store_true", help="answers of fixed lengths, for random weights")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int)
    timing = Timing(**vars(parser.parse_args()))
    print(json.dumps(measure(timing, lambda: print('{"done": 1}', flush=True))), flush=True)


if __name__ == "__main__":
    main()
