"""How answers are counted: names in captions, overlap of boxes and masks, edits between texts."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from worker.training.synth.vocabulary import classes


@cache
def _names() -> re.Pattern[str]:
    """Longest first, so that "hiking boot" is not also counted as "boot"."""
    ordered = sorted((kind.name for kind in classes()), key=len, reverse=True)
    return re.compile(r"\b(" + "|".join(re.escape(name) for name in ordered) + r")\b")


def named(caption: str) -> set[str]:
    """The classes a caption names."""
    return set(_names().findall(caption.lower()))


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (area - width * height)


def mask_overlap(polygons: Sequence[Sequence[float]], mask: NDArray[np.bool_]) -> float:
    """Intersection over union of polygons (flat x, y lists in pixels) and a mask (rows x columns)."""
    canvas = Image.new("1", (mask.shape[1], mask.shape[0]))
    for polygon in polygons:
        if len(polygon) >= 6:
            ImageDraw.Draw(canvas).polygon(list(polygon), fill=1)
    drawn = np.asarray(canvas)
    either = int((drawn | mask).sum())
    return float((drawn & mask).sum() / either) if either else 1.0


def edits(one: str, other: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(other, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


@dataclass
class Tally:
    """Counts that become shares; `rates` divides sums, for error rates over all characters."""

    counts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        self.counts[name].append(float(value))

    def ratio(self, name: str, part: float, whole: float) -> None:
        self.parts[name].append((part, whole))

    def shares(self) -> dict[str, float]:
        """Means and ratios by name, rounded to four digits."""
        means = {name: sum(values) / len(values) for name, values in self.counts.items()}
        rates = {
            name: sum(part for part, _ in pairs) / max(1e-9, sum(whole for _, whole in pairs))
            for name, pairs in self.parts.items()
        }
        return {name: round(value, 4) for name, value in sorted({**means, **rates}.items())}

    def sizes(self) -> dict[str, int]:
        """How many things stand behind each share."""
        counted = {name: len(values) for name, values in self.counts.items()}
        return dict(sorted((counted | {name: len(pairs) for name, pairs in self.parts.items()}).items()))
