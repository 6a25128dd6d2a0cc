"""`shelfguard demo` from the outside, as `make demo` runs it: its summary, its pictures, what it leaves behind."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from worker.cli.demo import SAMPLES, find_samples
from worker.drawing import FINDING_COLOUR, OBJECT_COLOUR, TEXT_COLOUR

pytestmark = pytest.mark.integration

NEAR = 90  # levels of a colour that a JPEG may shift on a thin line


def run_demo(state_dir: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "worker.cli.main", "demo", "--state-dir", str(state_dir), *options]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=540)
    assert answer.returncode == 0, answer.stderr[-3000:]
    summary: dict[str, Any] = json.loads((state_dir / "demo" / "summary.json").read_text())
    return summary


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def summary(state_dir: Path) -> dict[str, Any]:
    return run_demo(state_dir)


def by_file(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {record["file"]: record for record in summary["records"]}


def test_every_job_ends_and_all_three_verdicts_are_there(summary: dict[str, Any]) -> None:
    assert summary["jobs"] == len(list(find_samples(SAMPLES))) >= 24
    assert summary["lost"] == summary["quarantined"] == 0
    assert summary["done"] + summary["rejected"] + summary["superseded"] == summary["jobs"]
    assert all(summary["verdicts"][verdict] > 0 for verdict in ("approve", "review", "reject"))
    assert sum(summary["verdicts"].values()) == summary["done"]


def test_each_verdict_has_its_causes(summary: dict[str, Any]) -> None:
    for record in summary["records"]:
        if record["verdict"] != "approve":
            assert record["findings"], record["file"]
        for finding in record["findings"]:
            assert finding["evidence"], finding


def test_the_annotated_pictures_show_what_was_observed(state_dir: Path, summary: dict[str, Any]) -> None:
    checked = 0
    for record in summary["records"]:
        picture = np.asarray(
            Image.open(io.BytesIO((state_dir / "demo" / record["annotated"]).read_bytes())).convert("RGB"), dtype=int
        )
        seen = record["observation"]
        scale = (picture.shape[1] / seen["width"], picture.shape[0] / seen["height"])
        painted = painted_pixels(picture)
        for item in seen["results"]["od"]["objects"]:
            x1, y1, x2, y2 = item["box"]
            assert along(painted, [(x1, y1), (x2, y1), (x2, y2), (x1, y2)], scale) > 0.9, (record["file"], item)
            checked += 1
        for line in seen["results"]["ocr_with_region"]["lines"]:
            quad = line["quad"]
            corners = list(zip(quad[::2], quad[1::2], strict=True))
            assert along(painted, corners, scale) > 0.9, (record["file"], line)
    assert checked >= 24


def painted_pixels(picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Where any of our colours is. Shapes may overlap, so a text's edge may lie under an object's."""
    masks = [
        np.abs(picture - np.array(colour)).max(axis=2) < NEAR for colour in (OBJECT_COLOUR, TEXT_COLOUR, FINDING_COLOUR)
    ]
    return np.logical_or.reduce(masks)


def along(painted: np.ndarray[Any, Any], corners: list[tuple[float, float]], scale: tuple[float, float]) -> float:
    """Share of the points along a closed shape that are painted, within three pixels."""
    height, width = painted.shape
    hits = []
    for (x1, y1), (x2, y2) in pairwise([*corners, corners[0]]):
        for step in np.linspace(0, 1, 40):
            x = round(min(max((x1 + (x2 - x1) * step) * scale[0], 0), width - 1))
            y = round(min(max((y1 + (y2 - y1) * step) * scale[1], 0), height - 1))
            hits.append(painted[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].any())
    return float(np.mean(hits))


def test_swapping_two_samples_pixels_swaps_what_is_said_of_them(summary: dict[str, Any], tmp_path: Path) -> None:
    before = by_file(summary)
    approved = next(record for record in summary["records"] if record["verdict"] == "approve")
    rejected = next(record for record in summary["records"] if record["verdict"] == "reject")
    first, second = approved["file"], rejected["file"]
    assert before[first]["caption"] != before[second]["caption"]
    lines = [
        line
        for line in (SAMPLES / "samples.jsonl").read_text().splitlines()
        if json.loads(line)["file"] in (first, second)
    ]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "samples.jsonl").write_text("\n".join(lines))
    shutil.copy(SAMPLES / first, tmp_path / "photos" / second)
    shutil.copy(SAMPLES / second, tmp_path / "photos" / first)
    after = by_file(run_demo(tmp_path / "state", "--photos", str(tmp_path / "photos")))
    for here, there in ((first, second), (second, first)):
        assert after[here]["product_id"] == before[here]["product_id"], "seller's fields stay"
        assert after[here]["caption"] == before[there]["caption"]
        assert about_the_picture(after[here]) == about_the_picture(before[there])


def about_the_picture(record: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(
        (finding["rule"], finding["channel"])
        for finding in record["findings"]
        if not all(item["kind"].startswith("seller") for item in finding["evidence"])
    )


def test_no_process_is_left_behind(state_dir: Path, summary: dict[str, Any]) -> None:
    left = [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(state_dir) in part for part in process.info["cmdline"] or [])
    ]
    assert left == []
