"""`shelfguard bench engine` on checkpoints small enough for a test: the whole way, children included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from domain.errors import CheckpointRefused
from worker.bench import agreement, random_weights
from worker.bench import engine as bench
from worker.bench.pictures import pictures
from worker.bench.plans import TASKS
from worker.bench.random_weights import Size
from worker.cli.main import app
from worker.vision.decoding import Generated
from worker.vision.engine import Asked, FlorenceEngine, Look

SMALL = Size(embed_dim=(8, 16, 16, 32), heads=(1, 2, 2, 4), width=16, layers=1, attention_heads=2, positions=1024)


@pytest.fixture(scope="module")
def figures(tiny_checkpoint: Path) -> dict[str, Any]:
    options = ["--sizes", "base", "--photos", "1", "--compared", "2", "--threads", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(random_weights.SIZES, "base", SMALL)
        answer = CliRunner().invoke(
            app, ["bench", "engine", *options, "--compared-model", str(tiny_checkpoint), "--json"]
        )
    assert answer.exit_code == 0, answer.output
    told: dict[str, Any] = json.loads(answer.stdout)
    return told


def test_the_figures_that_checks_read_stand_at_the_top(figures: dict[str, Any]) -> None:
    by_way = figures["sizes"]["base"]["ways"]
    seconds = {way: by_way[way]["seconds_per_photo"]["6"] for way in ("usual", "batched", "ours")}
    for name in ("usual", "batched"):
        assert figures[f"speedup_vs_{name}"] == pytest.approx(seconds[name] / seconds["ours"], abs=0.01)
    assert figures["identical"] is True
    assert figures["compared"]["answers"] == 2 * len(TASKS)


def test_every_way_is_told_with_its_type_its_batch_and_its_memory(figures: dict[str, Any]) -> None:
    by_way = figures["sizes"]["base"]["ways"]
    assert [(name, way["dtype"], way["batch"]) for name, way in by_way.items()] == [
        ("usual", "float32", 1),
        ("batched", "bfloat16", 1),
        ("ours", "float32", 1),  # a small model
    ]
    for way in by_way.values():
        assert set(way["images_per_second"]) == {"1", "4", "6"}
        assert way["peak_mb"] > 100


def test_where_our_time_goes_and_what_the_machine_could_do(figures: dict[str, Any]) -> None:
    told = figures["sizes"]["base"]
    parts = told["ways"]["ours"]["parts"]
    assert set(parts) == {"adapter", "preprocess", "vision", "encoder", "decoder"}
    assert sum(parts.values()) == pytest.approx(1, abs=0.01)
    assert set(figures["ceiling_gflops"]) == {"float32", "bfloat16"}
    rate = sum(told["gflop_per_photo"].values()) / told["ways"]["ours"]["seconds_per_photo"]["6"]
    assert told["ours_gflops"] == pytest.approx(rate, abs=1)


def test_without_json_it_is_a_table(figures: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure", lambda **_: figures)
    answer = CliRunner().invoke(app, ["bench", "engine"])
    assert answer.exit_code == 0, answer.output
    for words in ("usual", "batched", "ours", "decoder", "GFLOP/s", "identical: True"):
        assert words in answer.stdout


def test_a_model_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(CheckpointRefused, match="no such directory"):
        bench.measure(sizes=["/no/such"], photos=1, compared=0)


def test_an_answer_that_differs_is_found_out(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = FlorenceEngine.generate

    def wrong(engine: FlorenceEngine, looks: Sequence[Look]) -> list[tuple[Asked, Generated]]:
        (asked, first), *rest = right(engine, looks)
        return [(asked, replace(first, tokens=(*first.tokens[:3], 9, *first.tokens[4:]))), *rest]

    monkeypatch.setattr(FlorenceEngine, "generate", wrong)
    told, identical = agreement.compare(str(tiny_checkpoint), pictures(1))
    assert told["same"] == len(TASKS) - 1 and told["near_ties"] == 0
    assert identical is False
