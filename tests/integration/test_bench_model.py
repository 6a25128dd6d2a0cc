"""`shelfguard bench model` prints the same figures twice."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from worker.training.synth import assets

pytestmark = pytest.mark.integration


def figures() -> dict[str, Any]:
    command = [sys.executable, "-m", "worker.cli.main", "bench", "model", "--count", "8", "--no-photographs", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def test_a_second_run_gives_the_same_figures() -> None:
    try:
        assets.fetch((*assets.PACKAGES, assets.UNSEEN))
    except assets.AssetsMissing as missing:
        pytest.skip(f"no drawings to render scenes from: {missing}")
    first, second = figures(), figures()
    cost = first.pop("footprint")
    second.pop("footprint")
    for document in (first, second):
        document.get("level_text_rapidocr", {}).pop("seconds_a_picture", None)
    assert first == second
    assert first["scenes"]["counted"]["caption_main"] == 8
    assert 0 <= first["level_text"]["cer"] <= 1
    assert cost["eight_tasks_seconds"] > 0 and cost["resident_mb"] > 0
