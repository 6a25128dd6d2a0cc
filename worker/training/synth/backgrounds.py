"""What lies behind the objects: plain, gradient, patterned, or a photograph."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from worker.training.synth.vocabulary import BACKDROPS

PATTERNED = ("striped", "dotted", "checked", "wooden", "speckled", "woven")
Grid = NDArray[np.float32]


@dataclass(frozen=True)
class Backdrop:
    """A background before it is drawn. `colour` is None for photographs, which have no one colour."""

    kind: str  # plain, gradient, one of PATTERNED, blurred photo, photo
    colour: str | None
    seed: int
    held_out: bool = False

    @property
    def phrase(self) -> str:
        """How captions name it."""
        if self.colour is None:
            return f"a {self.kind} background"
        if self.kind == "plain":
            return f"{'an' if self.colour == 'orange' else 'a'} {self.colour} background"
        if self.kind == "gradient":
            return f"{'an' if self.colour == 'orange' else 'a'} {self.colour} gradient background"
        return f"a {self.kind} {self.colour} background"


def data_folder() -> Path:
    """Development photographs; `SHELFGUARD_DATA` moves the folder, and without it photographs are imitated."""
    return Path(os.environ.get("SHELFGUARD_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


@cache
def photographs(held_out: bool) -> tuple[Path, ...]:
    """Product photographs of the training split; every fifth is kept for held-out scenes."""
    manifest = data_folder() / "manifest.jsonl"
    if not manifest.is_file():
        return ()
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    names = sorted(r["image"] for r in rows if r["split"] == "train" and r["image"].startswith("images/products/"))
    return tuple(data_folder() / name for place, name in enumerate(names) if (place % 5 == 0) == held_out)


@lru_cache(maxsize=420)
def _photograph(file: Path, side: int) -> Image.Image:
    with Image.open(file) as stored:
        stored.draft("RGB", (side, side))
        picture = stored.convert("RGB")
        scale = side / min(picture.size)
        return picture.resize((max(side, round(picture.width * scale)), max(side, round(picture.height * scale))))


def _axes(width: int, height: int) -> tuple[Grid, Grid]:
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    return x, y


def _pattern(kind: str, rng: np.random.Generator, width: int, height: int) -> Any:
    """How much of the second colour each pixel has, 0 to 1."""
    x, y = _axes(width, height)
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    count = rng.uniform(4, 14)
    if kind == "gradient":
        if rng.random() < 0.3:
            centre = rng.uniform(0.3, 0.7, 2)
            return np.clip(np.hypot(x - centre[0], y - centre[1]) * 1.3, 0, 1)
        return np.clip((along - along.min()) / (np.ptp(along) + 1e-6), 0, 1)
    if kind == "striped":
        return (np.sin(along * count * 2 * np.pi) > rng.uniform(-0.4, 0.4)).astype(np.float32)
    if kind == "dotted":
        near = np.cos(along * count * 2 * np.pi) + np.cos(across * count * 2 * np.pi)
        return (near > rng.uniform(0.9, 1.5)).astype(np.float32)
    if kind == "checked":
        return ((np.floor(along * count) + np.floor(across * count)) % 2).astype(np.float32)
    if kind == "wooden":
        grain = rng.normal(0, 1, (max(2, height // 6), 3)).astype(np.float32)
        bands = np.asarray(Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC))
        return np.clip(0.5 + 0.22 * bands + 0.2 * np.sin((y + 0.03 * bands) * count * 12), 0, 1)
    if kind == "woven":
        return 0.5 + 0.25 * np.sin(along * count * 24) + 0.25 * np.sin(across * count * 24)
    noise = rng.random((height // 2 + 1, width // 2 + 1), dtype=np.float32)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR)) ** 2


def _clouds(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Soft shapes in several colours: what a blurred photograph looks like, without one."""
    cells = int(rng.integers(3, 9))
    noise = rng.integers(20, 236, (cells, cells, 3), dtype=np.uint8)
    return Image.fromarray(noise, "RGB").resize((width, height), Image.Resampling.BICUBIC)


def _photo(backdrop: Backdrop, rng: np.random.Generator, width: int, height: int) -> Image.Image:
    files = photographs(backdrop.held_out)
    if not files:
        return _clouds(rng, width, height)
    side = max(width, height)
    source = _photograph(files[int(rng.integers(len(files)))], 160 if side <= 256 else 512)
    zoom = rng.uniform(0.45, 1.0)
    cut_w, cut_h = source.width * zoom, source.height * zoom
    left, top = rng.uniform(0, source.width - cut_w), rng.uniform(0, source.height - cut_h)
    box = (left, top, left + cut_w, top + cut_h)
    picture = source.resize((width, height), Image.Resampling.BILINEAR, box=box)
    if backdrop.kind == "blurred photo":
        picture = picture.filter(ImageFilter.BoxBlur(side * rng.uniform(0.015, 0.06)))
    return picture


def draw(backdrop: Backdrop, width: int, height: int) -> Image.Image:
    """The background at one size; the same backdrop looks the same at every size."""
    rng = np.random.default_rng(backdrop.seed)
    if backdrop.colour is None:
        imitated = backdrop.kind == "blurred photo" and rng.random() < 0.15
        return _clouds(rng, width, height) if imitated else _photo(backdrop, rng, width, height)
    base = np.clip(np.array(BACKDROPS[backdrop.colour]) + rng.uniform(-18, 18, 3) + rng.uniform(-14, 14), 0, 255)
    if backdrop.kind == "plain":
        return Image.new("RGB", (width, height), tuple(int(level) for level in base))
    toward = 255.0 if base.mean() < 128 or rng.random() < 0.4 else 0.0
    second = base + (toward - base) * rng.uniform(0.15, 0.5)
    mix = np.broadcast_to(_pattern(backdrop.kind, rng, width, height), (height, width))[..., None]
    pixels = base.astype(np.float32) * (1 - mix) + second.astype(np.float32) * mix
    return Image.fromarray(pixels.astype(np.uint8), "RGB")
