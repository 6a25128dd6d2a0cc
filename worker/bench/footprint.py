"""Time and memory of one engine in a process of its own, so that nothing else counts.

Run as: python -m worker.bench.footprint MODEL PHOTO [--threads 1] [--rounds 3]

Prints one JSON object: seconds to load, seconds for all eight tasks without input on one photo (median of the rounds,
the first thrown away), resident megabytes at the end and at the peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

ROUNDS = 3
LIMIT_SECONDS = 900


def of(model: str, photo: Path, *, threads: int = 1, rounds: int = ROUNDS) -> dict[str, Any]:
    """The figures of `model`, measured in a child. Raises RuntimeError with the child's last words where it fails."""
    command = [sys.executable, "-m", "worker.bench.footprint", model, str(photo)]
    command += ["--threads", str(threads), "--rounds", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring {model} failed: {done.stderr.strip()[-500:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(model: str, photo: Path, threads: int, rounds: int) -> dict[str, Any]:
    """The figures of this process."""
    from PIL import Image

    from domain.observations import INPUT_FREE_TASKS, Plan
    from worker.vision.engine import FlorenceEngine, Look

    began = time.perf_counter()
    engine = FlorenceEngine.load(model, threads=threads, dtype="float32")
    loaded = time.perf_counter() - began
    with Image.open(photo) as opened:
        picture = opened.convert("RGB")
    look = Look(picture, "", *picture.size, Plan(tasks=INPUT_FREE_TASKS))
    seconds = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        engine.look([look])
        seconds.append(time.perf_counter() - began)
    unit = 1e6 if sys.platform == "darwin" else 1e3  # macOS counts bytes, Linux kilobytes
    return {
        "load_seconds": round(loaded, 2),
        "eight_tasks_seconds": round(statistics.median(seconds[1:] or seconds), 3),
        "resident_mb": round(psutil.Process().memory_info().rss / 1e6),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit),
        "threads": threads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="0 looks once, for models that take minutes")
    options = parser.parse_args()
    print(json.dumps(measure(options.model, options.photo, options.threads, options.rounds)))


if __name__ == "__main__":
    main()
