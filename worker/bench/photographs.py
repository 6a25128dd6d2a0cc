"""How often an engine names what real product photographs show: the base line of the first domain adapter.

The photographs are the development data's val split (clothing in ten classes, groceries in coarse classes). A base that
was trained on rendered scenes has not learnt them; the figure has no target.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from domain.observations import Plan, Task
from worker.training.measures import Tally
from worker.training.synth.backgrounds import data_folder
from worker.vision.engine import FlorenceEngine, Look

KINDS = ("clothing", "grocery")
AT_ONCE = 8
# Words that name a class as well as its label does; every other class is named by its label alone.
ALSO = {
    "hat": ("cap",),
    "longsleeve": ("long sleeve", "long-sleeve"),
    "outwear": ("outerwear", "coat", "jacket"),
    "pants": ("trousers", "jeans"),
    "shirt": ("blouse",),
    "shoes": ("shoe", "sneaker", "boot", "sandal", "high heel", "flip-flop"),
    "t-shirt": ("tee",),
    "carrots": ("carrot",),
    "yoghurt": ("yogurt",),
    "satsumas": ("satsuma",),
    "aubergine": ("eggplant",),
}


def rows() -> list[dict[str, Any]]:
    """Rows of the val split; empty where the development data is not at hand."""
    manifest = data_folder() / "manifest.jsonl"
    if not manifest.is_file():
        return []
    every = (json.loads(line) for line in manifest.read_text().splitlines())
    return [row for row in every if row["split"] == "val" and _kind(row["image"]) in KINDS]


def _kind(image: str) -> str:
    parts = Path(image).parts
    return parts[2] if parts[:2] == ("images", "products") else ""


def names(label: str, caption: str) -> bool:
    """Whether a caption names a class, by its label or another word for it, in singular or plural."""
    words = (label.replace("-", " "), label, *ALSO.get(label, ()))
    return any(re.search(rf"\b{re.escape(word)}(s|es)?\b", caption.lower()) for word in words)


def look(engine: FlorenceEngine, progress: Callable[[int], None] = lambda _: None) -> Tally:
    """The share named, by kind of goods."""
    tally = Tally()
    wanted = rows()
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        pictures = [_opened(data_folder() / row["image"]) for row in some]
        looks = [Look(picture, "", *picture.size, Plan(tasks=(Task.CAPTION,))) for picture in pictures]
        for row, seen in zip(some, engine.look(looks), strict=True):
            tally.add(_kind(row["image"]), names(row["labels"]["category"], seen.short_caption))
        progress(len(some))
    return tally


def _opened(file: Path) -> Image.Image:
    with Image.open(file) as stored:
        return ImageOps.exif_transpose(stored).convert("RGB")
