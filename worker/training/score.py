"""How well a checkpoint does on held-out rendered scenes.

Run as: python -m worker.training.score DIR [--count 200] [--setting product|full] [--seed 900001] [--json]

Scenes are drawn at 512 pixels and go through the checkpoint's own processor, with photographs no training scene shows.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, Florence2ForConditionalGeneration, Florence2Processor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from worker.training.synth import scenes
from worker.training.synth.render import SETTINGS
from worker.training.synth.scenes import Rendered, Setting
from worker.training.synth.vocabulary import classes

SEED = 900_001
SIZE = 512
TASKS = ("<CAPTION>", "<OD>", "<OCR>")
LARGE = 60 / 512  # height of capitals that counts as large text


@cache
def _names() -> re.Pattern[str]:
    """Longest first, so that "hiking boot" is not also counted as "boot"."""
    ordered = sorted((kind.name for kind in classes()), key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(re.escape(name) for name in ordered) + r")\b")


def named(caption: str) -> set[str]:
    """The classes a caption names."""
    return set(_names().findall(caption.lower()))


def overlap(one: list[float], other: list[float]) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (area - width * height)


def edits(one: str, other: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


@dataclass
class Checkpoint:
    """A model with its processor; one look at a picture answers every prompt."""

    model: Florence2ForConditionalGeneration
    processor: Florence2Processor

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        model = Florence2ForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        return cls(model.eval(), AutoProcessor.from_pretrained(folder, local_files_only=True))

    @torch.inference_mode()
    def look(self, pictures: list[Any], prompts: tuple[str, ...]) -> dict[str, list[str]]:
        """Answers by prompt; the pictures go through the tower once."""
        first = self.processor(text=[prompts[0]] * len(pictures), images=pictures, return_tensors="pt", padding=True)
        features = self.model.get_image_features(first["pixel_values"]).pooler_output
        out = {}
        for prompt in prompts:
            inputs = self.processor(text=[prompt] * len(pictures), images=pictures, return_tensors="pt", padding=True)
            generated = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=features)},
                max_new_tokens=96,
            )
            texts = self.processor.batch_decode(generated, skip_special_tokens=False)
            out[prompt] = [text.replace("<pad>", "") for text in texts]
        return out

    def parsed(self, answer: str, task: str, size: tuple[int, int]) -> Any:
        return self.processor.post_process_generation(text=answer, task=task, image_size=size)[task]


@dataclass
class Tally:
    """Counts that become shares."""

    counts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        self.counts[name].append(value)

    def shares(self) -> dict[str, float]:
        return {name: round(sum(values) / len(values), 4) for name, values in sorted(self.counts.items()) if values}


def held_out(count: int, seed: int = SEED, setting: Setting = SETTINGS["full"], size: int = SIZE) -> Iterator[Rendered]:
    """Scenes no training saw: other seeds, other photographs."""
    for index in range(count):
        yield scenes.render(scenes.sample(seed, index, setting), size)


def judge(rendered: Rendered, answers: dict[str, Any], tally: Tally) -> None:
    """Count one scene."""
    items = rendered.scene.items
    said = named(answers["<CAPTION>"])
    tally.add("caption_main", items[0].kind.name in said)
    tally.add(f"caption_main_{items[0].style}", items[0].kind.name in said)
    surface = "photo" if rendered.scene.backdrop.colour is None else "drawn"
    tally.add(f"caption_main_{surface}_background", items[0].kind.name in said)
    tally.add("caption_colour_and_name", f" {items[0].phrase} " in f" {answers['<CAPTION>']} ".replace(",", " "))
    if len(items) == 1:
        tally.add("caption_single", items[0].kind.name in said)
    for item in items:
        tally.add("caption_objects", item.kind.name in said)
    width, height = rendered.picture.size
    found = list(zip(answers["<OD>"]["labels"], answers["<OD>"]["bboxes"], strict=True))
    true = [
        (item.kind.name, [box[0] * width, box[1] * height, box[2] * width, box[3] * height])
        for item, box in zip(items, rendered.boxes.tolist(), strict=True)
    ]
    hits = [any(name == label and overlap(box, seen) >= 0.5 for label, seen in found) for name, box in true]
    tally.add("od_main", hits[0])
    for hit in hits:
        tally.add("od_recall", hit)
    for _name, box in true:
        tally.add("od_recall_any_label", any(overlap(box, seen) >= 0.5 for _, seen in found))
    for label, seen in found:
        tally.add("od_precision", any(name == label and overlap(box, seen) >= 0.5 for name, box in true))
    lines = rendered.scene.lines
    if lines and all(line.capital >= LARGE and abs(line.angle) < 8 for line in lines):
        text = " ".join(line.text for line in lines)
        tally.add("cer_large", min(1.0, edits(answers["<OCR>"], text) / len(text)))
        tally.add("read_large_exactly", answers["<OCR>"].lower() == text.lower())
    elif lines:
        text = " ".join(line.text for line in lines)
        tally.add("cer_other", min(1.0, edits(answers["<OCR>"], text) / len(text)))
    else:
        tally.add("no_text_is_empty", not answers["<OCR>"])


def score(folder: Path, count: int, seed: int = SEED, setting: str = "full", batch: int = 25) -> dict[str, float]:
    """Shares over `count` held-out scenes."""
    checkpoint = Checkpoint.load(folder)
    tally = Tally()
    scenes_left = list(held_out(count, seed, SETTINGS[setting]))
    for place in range(0, count, batch):
        some = scenes_left[place : place + batch]
        answers = checkpoint.look([rendered.picture for rendered in some], TASKS)
        for row, rendered in enumerate(some):
            size = rendered.picture.size
            parsed = {task: checkpoint.parsed(answers[task][row], task, size) for task in TASKS}
            judge(rendered, parsed, tally)
    return tally.shares()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--setting", choices=SETTINGS, default="full")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shares = score(options.folder, options.count, options.seed, options.setting)
    print(json.dumps(shares) if options.json else "\n".join(f"{name:32} {share:.3f}" for name, share in shares.items()))


if __name__ == "__main__":
    main()
