"""Pictures to measure with: the demo's photos, then scenes no training met; the same in every run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, islice

from PIL import Image, ImageOps

from worker.training import held_out
from worker.training.synth import assets, scenes
from worker.training.synth.samples import PHOTOS


def pictures(wanted: int) -> list[Image.Image]:
    """Upright RGB. Where there are no drawings to render scenes from, the photos again, mirrored and turned."""
    return list(islice(chain(_samples(), _others()), wanted))


def _samples() -> Iterator[Image.Image]:
    for file in sorted(PHOTOS.glob("*.jpg")):
        with Image.open(file) as stored:
            yield ImageOps.exif_transpose(stored).convert("RGB")


def _others() -> Iterator[Image.Image]:
    try:
        assets.fetch()
    except assets.AssetsMissing:
        for turn in count(1):
            for picture in _samples():
                yield ImageOps.mirror(picture).rotate(7 * turn, expand=True, fillcolor="white")
    for index in count():
        yield scenes.render(scenes.sample(held_out.SEED, index), held_out.SIZE).picture
