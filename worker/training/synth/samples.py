"""The sample photos of the demo, rendered from seeds no training stage uses.

Run as: python -m worker.training.synth.samples [--out worker/samples]

`wanted.jsonl` beside this module says what a seller offers and what is really on the photo. The pose and the background
come from the row's seed, which `worker.training.choose_samples` picks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from pathlib import Path
from typing import Any

from worker.training.synth import assets, lettering, scenes, sprites
from worker.training.synth.backgrounds import Backdrop
from worker.training.synth.render import truth
from worker.training.synth.scenes import Rendered, Scene, Setting
from worker.training.synth.vocabulary import classes

WANTED = Path(__file__).with_name("wanted.jsonl")
PHOTOS = Path(__file__).resolve().parents[2] / "samples"
SIDE = 640
QUALITY = 85
FIRST_SEED = 600_000
# Surfaces shops photograph on; no photographs, so that the samples have no other people's pictures in them.
SURFACES: tuple[tuple[str, str], ...] = (
    ("plain", "white"),
    ("plain", "beige"),
    ("gradient", "grey"),
    ("gradient", "blue"),
    ("gradient", "white"),
)
SURFACES += (("wooden", "brown"), ("wooden", "beige"), ("woven", "beige"), ("gradient", "green"), ("plain", "blue"))
POSE = Setting(objects=(1.0,), single_size=(0.55, 0.75), text=0.0, tinted=0.0, upright=0.4)
BESIDE = Setting(objects=(0.0, 1.0), shared_size=(0.38, 0.48), text=0.0, tinted=0.0, upright=0.4)


def wanted() -> list[dict[str, Any]]:
    """The rows: product_id, title, category, attributes, objects ([class, colour or null]), text, seed."""
    return [json.loads(line) for line in WANTED.read_text().splitlines()]


def scene_of(row: dict[str, Any], place: int, seed: int) -> Scene:
    """The photo of one row with the pose and surface of one seed."""
    setting = POSE if len(row["objects"]) == 1 else BESIDE
    index = 0
    scene = scenes.sample(FIRST_SEED + 100 * place + seed, index, setting)
    while len(scene.items) < len(row["objects"]):
        index += 1
        scene = scenes.sample(FIRST_SEED + 100 * place + seed, index, setting)
    rng = random.Random(FIRST_SEED + 100 * place + seed)
    ids = {kind.name: number for number, kind in enumerate(classes())}
    items = []
    for item, (name, colour) in zip(scene.items, row["objects"], strict=True):
        styles = [style for style in ("fluent", "noto") if style in sprites.styles_of(ids[name])]
        angle = max(-20.0, min(20.0, item.angle))
        y = item.y if not row["text"] else max(item.y, 0.56)
        items.append(
            dataclasses.replace(
                item,
                class_id=ids[name],
                style=rng.choice(styles),
                colour=colour,
                mode="shade",
                angle=angle,
                y=y,
                flip=False,
            )
        )
    used = {item.colour for item in items}
    surface, colour = rng.choice([pair for pair in SURFACES if pair[1] not in used])
    return dataclasses.replace(
        scene,
        items=tuple(items),
        lines=tuple(_line(text, number, rng) for number, text in enumerate(row["text"])),
        backdrop=Backdrop(surface, colour, rng.getrandbits(32)),
        aspect=rng.choice((1.0, 1.0, 0.8, 1.25)) if not row["text"] else 1.0,
        contrast=1.0,
        brightness=1.0,
        jpeg=None,
        noise=0.8,
    )


def _line(text: str, number: int, rng: random.Random) -> lettering.Line:
    """Large and level, above the goods: what a seller pastes on a photo."""
    fonts = lettering.fonts()
    bold = [place for place, file in enumerate(fonts) if "Bold" in file and "Italic" not in file and "Sans" in file]
    font = rng.choice(bold or [0])
    capital = 0.13
    capital = min(capital, capital * 0.9 / lettering.length(text, font, capital))
    red, white, dark, yellow, navy = (200, 20, 30), (255, 255, 255), (20, 20, 24), (255, 225, 60), (30, 30, 90)
    ink, backing = rng.choice(((red, white), (dark, yellow), (white, navy)))
    return lettering.Line(text, font, capital, 0.5, 0.12 + 0.17 * number, 0.0, ink, backing)


def photo(row: dict[str, Any], place: int, seed: int) -> Rendered:
    """The rendered photo."""
    return scenes.render(scene_of(row, place, seed), SIDE)


def write(out: Path) -> int:
    """Render all photos and `samples.jsonl`; how many there are."""
    assets.fetch()
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for place, row in enumerate(wanted()):
        rendered = photo(row, place, row["seed"])
        rendered.picture.save(out / row["file"], "JPEG", quality=QUALITY, optimize=True)
        seen = truth(rendered, row["file"])
        rows.append(
            {
                "file": row["file"],
                "product_id": row["product_id"],
                "image_id": "front",
                "title": row["title"],
                "category": row["category"],
                "attributes": row["attributes"],
                "expect": {
                    "objects": [{"name": o["name"], "colour": o["colour"], "box": o["box"]} for o in seen["objects"]],
                    "text": [line["text"] for line in seen["lines"]],
                    "group": seen["objects"][0]["group"],
                },
            }
        )
    (out / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PHOTOS)
    options = parser.parse_args()
    print(f"{write(options.out)} photos in {options.out}")


if __name__ == "__main__":
    main()
