"""Seeds for the sample photos with which a checkpoint sees what is there.

Run as: python -m worker.training.choose_samples CHECKPOINT [--tries 12]

For each row of `synth/wanted.jsonl` a few poses are tried and the best is written back, so that the demo shows the
pipeline and not the limits of a small model. Then `python -m worker.training.synth.samples` draws the photos anew. How
good the model is, `worker.training.score` says, on scenes nobody picked.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from worker.training.score import Checkpoint, edits, named
from worker.training.synth.samples import WANTED, photo, wanted

TASKS = ("<CAPTION>", "<OD>", "<OCR>")


def mark(checkpoint: Checkpoint, row: dict[str, Any], place: int, seed: int) -> float:
    """How much is wrong about one photo: objects unnamed or invented, and the share of letters misread."""
    answers = checkpoint.look([photo(row, place, seed).picture], TASKS)
    plain = {task: texts[0].replace("</s>", "").replace("<s>", "") for task, texts in answers.items()}
    names = {name for name, _ in row["objects"]}
    text = " ".join(row["text"])
    said, found = named(plain["<CAPTION>"]), named(plain["<OD>"])
    wrong = 2 * len(names - said) + len(names - found) + len(said - names) + len(found - names)
    return wrong + 0.1 * min(1.0, edits(plain["<OCR>"], text) / max(4, len(text)))


def choose(checkpoint_folder: Path, tries: int) -> None:
    """Write the best seed of each row into `wanted.jsonl`."""
    checkpoint = Checkpoint.load(checkpoint_folder)
    rows = wanted()
    for place, row in enumerate(rows):
        marks: list[float] = []
        for seed in range(tries):
            marks.append(mark(checkpoint, row, place, seed))
            if marks[-1] < (0.11 if row["text"] else 0.05):
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
