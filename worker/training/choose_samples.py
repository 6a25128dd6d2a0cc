"""Seeds for the sample photos with which a checkpoint sees what is there.

Run as: python -m worker.training.choose_samples CHECKPOINT [--tries 12]

For each row of `synth/wanted.jsonl` a few poses are tried and the best is written back, so that the demo shows the
pipeline and not the limits of a small model. Then `python -m worker.training.synth.samples` draws the photos anew. How
good the model is, `shelfguard bench model` says, on scenes nobody picked.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from domain.observations import Plan, Task
from worker.training.measures import edits, named
from worker.training.synth.samples import WANTED, photo, wanted
from worker.vision.engine import FlorenceEngine, Look

PLAN = Plan(tasks=(Task.CAPTION, Task.DETAILED_CAPTION, Task.OD, Task.OCR_WITH_REGION))
GOOD, GOOD_WITH_TEXT = 0.05, 0.11  # marks below which no further pose is tried


def mark(engine: FlorenceEngine, row: dict[str, Any], place: int, seed: int) -> float:
    """How much is wrong about one photo: objects unnamed or invented, and the share of letters misread."""
    picture = photo(row, place, seed).picture
    (seen,) = engine.look([Look(picture, "", *picture.size, PLAN)])
    names = {name for name, _ in row["objects"]}
    text = " ".join(row["text"])
    said, found = named(seen.short_caption), named(", ".join(item.label for item in seen.objects))
    wrong = 2 * len(names - said) + len(names - found) + len(said - names) + len(found - names)
    return wrong + (2.0 if text else 0.1) * min(1.0, edits(seen.text, text) / max(4, len(text)))


def choose(checkpoint_folder: Path, tries: int) -> None:
    """Write the best seed of each row into `wanted.jsonl`."""
    engine = FlorenceEngine.load(checkpoint_folder)
    rows = wanted()
    for place, row in enumerate(rows):
        marks: list[float] = []
        for seed in range(tries):
            marks.append(mark(engine, row, place, seed))
            if marks[-1] < (GOOD_WITH_TEXT if row["text"] else GOOD):
                break
        row["seed"] = min(range(len(marks)), key=marks.__getitem__)
        print(f"{row['file']:24} seed {row['seed']:2} mark {min(marks):.2f}", flush=True)
    WANTED.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tries", type=int, default=12)
    options = parser.parse_args()
    choose(options.checkpoint, options.tries)


if __name__ == "__main__":
    main()
