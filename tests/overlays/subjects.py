"""What overlays are drawn on: real photographs of the development data, and rendered scenes no training met."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from worker.training.synth import assets, scenes
from worker.training.synth.backgrounds import Backdrop, data_folder
from worker.training.synth.scenes import Rendered, Setting

PHOTOGRAPH, SCENE = "photographs", "scenes"
# Folders whose photos are packs and goods by themselves on white, and those taken at home or in a shop.
ON_WHITE = ("products/saleor", "products/luma")
IN_A_PLACE = ("products/clothing", "products/grocery", "products/fruit_ms")
CLEAN = (*ON_WHITE, *IN_A_PLACE, "products/eshop", "products/grocery_iconic", "detect/utensils", "detect/fruit")
LEAST_WHITE = 0.95  # of a photo's edge, for one that is said to stand on white; some of these folders do not

SCENE_SEED = 800_000  # training uses seeds below a thousand; samples, rendered files and exams have others
SCENE_SIDE = 640
# No photographs behind, so that a scene is the same without them; no letters of its own.
SETTING = Setting(
    objects=(0.8, 0.2), text=0.0, tinted=0.4, upright=0.5, kinds=(0.4, 0.3, 0.3, 0.0), styles=("fluent", "twemoji")
)


@dataclass(frozen=True)
class Subject:
    """seen: names of what is really on it, as a listing would say. on_white: None where nobody knows."""

    name: str
    source: str
    picture: Image.Image
    seen: tuple[str, ...] = ()
    on_white: bool | None = None
    labels: dict[str, Any] = field(default_factory=dict)


@cache
def rows() -> tuple[dict[str, Any], ...]:
    """Of the development photographs; empty where they are not at hand."""
    manifest = data_folder() / "manifest.jsonl"
    if not manifest.is_file():
        return ()
    return tuple(json.loads(line) for line in manifest.read_text("utf-8").splitlines())


@cache
def pool(folders: Sequence[str], seed: int) -> tuple[dict[str, Any], ...]:
    """Rows of these folders in a seeded order, folder by folder in turn, so that any prefix has some of each."""
    chance = random.Random(seed)
    queues = []
    for folder in folders:
        some = [row for row in rows() if row["image"].startswith(f"images/{folder}/")]
        chance.shuffle(some)
        queues.append(some)
    longest = max(map(len, queues), default=0)
    return tuple(queue[place] for place in range(longest) for queue in queues if place < len(queue))


def photograph(folders: Sequence[str], seed: int, place: int) -> Subject:
    """The photo at this place of a pool, wrapped round."""
    some = pool(tuple(folders), seed)
    row = some[place % len(some)]
    with Image.open(Path(data_folder()) / row["image"]) as stored:
        picture = ImageOps.exif_transpose(stored).convert("RGB")
    folder = "/".join(row["image"].split("/")[1:3])
    on_white = True if folder in ON_WHITE and _white_edge(picture) else False if folder in IN_A_PLACE else None
    return Subject(row["image"], PHOTOGRAPH, picture, on_white=on_white, labels=row["labels"])


def _white_edge(picture: Image.Image) -> bool:
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return float((edge >= 250).all(axis=1).mean()) >= LEAST_WHITE


def on_white_photograph(seed: int, place: int) -> Subject:
    """One whose edge is white: a cut-out or a studio shot."""
    for further in range(40):
        found = photograph(ON_WHITE, seed, place * 3 + further)
        if found.on_white:
            return found
    return found


def scene(seed: int, place: int) -> Subject:
    return _subject(scenes.render(scenes.sample(SCENE_SEED + seed, place, SETTING), SCENE_SIDE), seed, place)


def scene_of(group_of: Any, seed: int, place: int, *, wanted: bool) -> Subject:
    """One object, of a group that the policy speaks of, or of none."""
    alone = dataclasses.replace(SETTING, objects=(1.0,))
    index = place * 1000
    while bool(group_of(scenes.sample(SCENE_SEED + seed, index, alone).items[0].kind.name)) is not wanted:
        index += 1
    return _subject(scenes.render(scenes.sample(SCENE_SEED + seed, index, alone), SCENE_SIDE), seed, place)


def scene_on_white(seed: int, place: int, side: float = 0.8) -> Subject:
    """One object in the middle of pure white, its drawing `side` of the picture's height."""
    one = scenes.sample(SCENE_SEED + seed, place, dataclasses.replace(SETTING, objects=(1.0,)))
    item = dataclasses.replace(one.items[0], x=0.5, y=0.5, side=side, shadow=0.0, angle=0.0)
    plain = Backdrop("plain", "white", one.backdrop.seed)
    drawn = scenes.render(
        dataclasses.replace(
            one, items=(item,), backdrop=plain, aspect=1.0, noise=0.0, contrast=1.0, brightness=1.0, jpeg=None
        ),
        SCENE_SIDE,
    )
    pixels = np.asarray(drawn.picture).copy()
    pixels[drawn.instances == 0] = 255
    found = _subject(drawn, seed, place)
    return dataclasses.replace(found, picture=Image.fromarray(pixels), on_white=True)


def _subject(drawn: Rendered, seed: int, place: int) -> Subject:
    items = drawn.scene.items
    labels = {"phrase": items[0].phrase, "colour": items[0].colour}
    names = tuple(item.kind.name for item in items)
    return Subject(f"scene {seed}/{place}: {', '.join(names)}", SCENE, drawn.picture, names, False, labels)


def missing() -> str | None:
    """Why there is nothing to draw on, or None."""
    if not rows():
        return f"the development photographs are not at {data_folder()} (see SHELFGUARD_DATA)"
    try:
        assets.fetch()
    except assets.AssetsMissing as why:
        return f"no drawings to render scenes from: {why}"
    return None
