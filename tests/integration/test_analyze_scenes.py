"""`analyze --json` with the shipped weights on rendered scenes that training never saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from worker.training.synth import render
from worker.training.synth.assets import AssetsMissing

pytestmark = pytest.mark.integration

SCENES = 20
SEED = 77


def test_the_caption_names_the_main_object_in_four_of_five_scenes(tmp_path: Path) -> None:
    try:
        truth = render.render_scenes(tmp_path, SCENES, SEED, setting="full")
    except AssetsMissing as missing:
        pytest.skip(f"no drawings to render scenes from: {missing}")
    files = [str(tmp_path / row["file"]) for row in truth]
    command = [sys.executable, "-m", "worker.cli.main", "analyze", *files, "--tasks", "caption,od", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [line["path"] for line in lines] == files
    captions = [line["results"]["caption"]["text"] for line in lines]
    named = sum(row["main"] in caption for row, caption in zip(truth, captions, strict=True))
    assert named >= 0.8 * SCENES, list(zip([row["main"] for row in truth], captions, strict=True))
    for row, line in zip(truth, lines, strict=True):
        assert (line["image"]["width"], line["image"]["height"]) == (row["width"], row["height"])
        for item in line["results"]["od"]["objects"]:
            x1, y1, x2, y2 = item["box"]
            assert 0 <= x1 <= x2 <= row["width"] and 0 <= y1 <= y2 <= row["height"]
            assert 0 <= item["score"] <= 1
