"""shelfguard bench policy: the figures are there, and what they are measured on is the same in every run."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from worker.bench.listings import some_scenes
from worker.bench.policy import RULES, measure
from worker.cli.bench import bench_app


def test_decisions_are_counted_beside_the_usual_way() -> None:
    told: list[tuple[str, int, int]] = []
    figures = measure(photos=8, rounds=1, progress=lambda *step: told.append(step))
    for name in ("one_program_each", "decisions", "with_receipt"):
        assert figures[f"{name}_per_second"] > 0
    assert figures[f"decisions_per_second_{RULES}_rules"] > 0
    assert figures["loading_seconds"] > 0
    for part in ("decisions", "words"):
        assert sum(done for name, _, done in told if name == part) == next(
            whole for name, whole, _ in told if name == part
        )
    assert figures["words"]["terms"] == 10_000
    assert figures["words"]["index_median_ms"] > 0


def test_the_command_prints_one_document() -> None:
    result = CliRunner().invoke(
        bench_app, ["policy", "--photos", "8", "--rounds", "1", "--observations", "0", "--json"]
    )
    assert result.exit_code == 0
    assert json.loads(result.stdout)["decisions_per_second"] > 0


def test_a_policy_that_does_not_check_is_refused() -> None:
    result = CliRunner().invoke(bench_app, ["policy", "no-such-policy.yaml"])
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def test_the_photos_are_the_same_in_every_run_and_mostly_innocent() -> None:
    scenes = some_scenes(200)
    assert scenes == some_scenes(200)
    assert scenes != some_scenes(200, seed=2)
    assert sum(bool(scene.text) for scene in scenes) > 100
