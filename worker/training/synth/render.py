"""Held-out scenes as files: pictures and what is on them.

Run as: python -m worker.training.synth.render --count 20 --seed 5 --size 512 --out DIR [--setting product|full]

Writes `scene_000.png` and so on and `manifest.json`, a list of `{"file", "width", "height", "seed", "index",
"main", "background", "objects": [{"name", "group", "colour", "style", "box": [x1, y1, x2, y2]}],
"lines": [{"text", "quad": [8]}]}` in pixels. The same seed gives the same scenes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from worker.training.synth import assets, scenes
from worker.training.synth.scenes import Rendered, Setting

# What is drawn: product shots (one object, as shops show goods), or everything training meets, at its hardest.
SETTINGS = {
    "product": Setting(objects=(1.0,), text=0.2, tinted=0.4, upright=0.4, kinds=(0.45, 0.3, 0.25, 0.0), held_out=True),
    "full": Setting(held_out=True),
}
# Training stages use small seeds; what is rendered for tests must never meet them.
FIRST_SEED = 700_000


def truth(rendered: Rendered, file: str) -> dict[str, Any]:
    """One row of the manifest."""
    width, height = rendered.picture.size
    scene = rendered.scene
    objects = [
        {
            "name": item.kind.name,
            "group": item.kind.group,
            "colour": item.colour,
            "style": item.style,
            "box": [round(float(v) * side, 1) for v, side in zip(box, (width, height) * 2, strict=True)],
        }
        for item, box in zip(scene.items, rendered.boxes, strict=True)
    ]
    lines = [
        {
            "text": line.text,
            "quad": [round(float(v) * side, 1) for v, side in zip(quad, (width, height) * 4, strict=True)],
        }
        for line, quad in zip(scene.lines, rendered.quads, strict=True)
    ]
    return {
        "file": file,
        "width": width,
        "height": height,
        "seed": scene.seed,
        "index": scene.index,
        "main": scene.items[0].kind.name,
        "background": scene.backdrop.phrase,
        "objects": objects,
        "lines": lines,
    }


def render_scenes(
    out: Path, count: int, seed: int, size: int = 512, setting: str = "product", suffix: str = "png"
) -> list[dict[str, Any]]:
    """Draw `count` scenes into `out`, the manifest last; raises `AssetsMissing` where there is nothing to draw with."""
    assets.fetch()
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(count):
        rendered = scenes.render(scenes.sample(FIRST_SEED + seed, index, SETTINGS[setting]), size)
        file = f"scene_{index:03}.{suffix}"
        rendered.picture.save(out / file)
        rows.append(truth(rendered, file))
    (out / "manifest.json").write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--setting", choices=SETTINGS, default="product")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        render_scenes(options.out, options.count, options.seed, options.size, options.setting)
    except assets.AssetsMissing as missing:
        sys.exit(f"cannot render scenes: {missing}")
    print(f"{options.count} scenes in {options.out}")


if __name__ == "__main__":
    main()
