"""Calibrating: the threshold keeps its promise, the file fits the weights, and nothing is half done."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from tests.worker.vision.conftest import shipped, tiny_checkpoint  # noqa: F401
from worker.cli.model import model_app
from worker.training.calibrate import RECALL, calibrate, fit, threshold_for
from worker.training.certainty import Hit, Phrase, Samples, calibration_error, passing
from worker.training.synth import assets
from worker.vision.calibration import CALIBRATION, load_fitted
from worker.vision.florence import verify
from worker.vision.manifest import MANIFEST, write_manifest
from worker.vision.siblings import read_siblings, shipped_siblings
from worker.vision.verification import Evidence


@pytest.fixture(autouse=True)
def drawings() -> None:
    try:
        assets.fetch(assets.PACKAGES)
    except (assets.AssetsMissing, OSError) as missing:
        pytest.skip(f"no drawings to render scenes from: {missing}")


def phrases(count: int, seed: int) -> list[Phrase]:
    """Present ones mostly sure, absent ones mostly not; absent ones often draw no box of their own accord."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        present = number % 2 == 0
        sure = rng.betavariate(5, 2) if present else rng.betavariate(1, 12)
        hit = Hit(0.9, Evidence(sure, min(1.0, sure + 0.1)), present)
        made.append(Phrase(present, (hit,) if present or rng.random() < 0.3 else (), (hit,)))
    return made


def samples(seed: int) -> Samples:
    rng = random.Random(seed)
    scores = [rng.uniform(0.5, 1) for _ in range(300)]
    return Samples({"od": [(score, rng.random() < score - 0.3) for score in scores]}, phrases(300, seed))


@pytest.mark.parametrize("count", [2, 10, 37, 300])
def test_the_threshold_lets_ninety_percent_of_present_phrases_pass_and_hardly_more(count: int) -> None:
    some = phrases(count, 5)
    threshold = threshold_for(some, 1.0)
    told = passing(some, 1.0, threshold, forced=True)
    assert RECALL <= told["present_passing"] < RECALL + 1 / (count // 2) + 1e-6


def test_without_phrases_everything_passes() -> None:
    assert threshold_for([], 1.0) == 0.0


def test_a_phrase_passes_by_its_surest_box_and_not_without_one() -> None:
    hits = tuple(Hit(0.9, Evidence(share, 1.0), True) for share in (0.1, 0.7))
    some = [Phrase(True, (), hits), Phrase(False, (), ())]
    forced, own = (passing(some, 1.0, 0.5, forced=mode) for mode in (True, False))
    assert (forced["present_passing"], forced["absent_passing"]) == (1.0, 0.0)
    assert own["present_passing"] == 0.0


def test_a_fit_is_measured_on_samples_it_was_not_made_of() -> None:
    fitted, other = samples(1), samples(2)
    told = fit(fitted, other, shipped_siblings())
    od = told["curves"]["od"]
    assert od["error_before"] == pytest.approx(calibration_error(other.kinds["od"]), abs=1e-4)
    assert od["error_after"] < od["error_before"] / 2
    assert told["curves"]["verified"]["method"] == "logistic"
    assert told["curves"]["open_vocabulary_detection"]["measured"] == told["curves"]["verified"]["measured"] > 100
    again = told["verification"]
    assert (
        again["forced"]["absent_passing"] <= 0.1 and again["own"]["absent_passing"] <= again["forced"]["absent_passing"]
    )
    assert again["forced"]["absent"] == 150


def run(*arguments: object) -> Result:
    root = typer.Typer()
    root.add_typer(model_app, name="model")
    return CliRunner().invoke(root, ["model", *(str(argument) for argument in arguments)])


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:  # noqa: F811
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_checkpoint, folder)
    return folder


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Few, so that a random model, which says anything, is soon done with them."""
    file = tmp_path / "names.txt"
    file.write_text("goods: mug, table\n")
    return file


def test_the_command_writes_a_file_that_fits_the_weights_and_the_manifest(
    checkpoint: Path, names: Path, tmp_path: Path
) -> None:
    write_manifest(checkpoint)
    picture = tmp_path / "reliability.png"
    result = run("calibrate", checkpoint, "--count", 8, "--siblings", names, "--picture", picture, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    digest = verify(checkpoint).checkpoint.digest
    assert (told["model"], told["adapter"], told["fitted"]["scenes"]) == (digest, None, 8)
    fitted = load_fitted(checkpoint, digest)
    assert fitted.calibration is not None and fitted.calibration.version == told["version"]
    assert CALIBRATION in (checkpoint / MANIFEST).read_text()
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG" and min(drawn.size) > 100


def test_stopped_midway_it_has_written_nothing(checkpoint: Path, names: Path) -> None:
    before = sorted(file.name for file in checkpoint.iterdir())

    def stop(done: int, _: int) -> None:
        if done > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(str(checkpoint), count=8, siblings=read_siblings(names), progress=stop)
    assert sorted(file.name for file in checkpoint.iterdir()) == before


def test_names_of_ones_own_are_kept_with_the_threshold_they_gave(checkpoint: Path, names: Path) -> None:
    result = run("calibrate", checkpoint, "--count", 8, "--siblings", names, "--json")
    assert result.exit_code == 0, result.output
    fitted = load_fitted(checkpoint, verify(checkpoint).checkpoint.digest)
    assert fitted.verification.siblings.names == ("mug", "table")
    assert fitted.verification.suffix


@pytest.mark.parametrize("arguments", [("--siblings", "README.md"), ("--count", "0")])
def test_wrong_options_are_said_before_anything_is_rendered(checkpoint: Path, arguments: Sequence[str]) -> None:
    assert run("calibrate", checkpoint, *arguments).exit_code == 2


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    result = run("calibrate", tmp_path, "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["ok"] is False


@pytest.mark.integration
def test_shelf_tiny_can_be_calibrated(shipped: str, tmp_path: Path) -> None:  # noqa: F811
    from worker.vision.florence import SHIPPED

    folder = tmp_path / "shelf"
    shutil.copytree(SHIPPED[shipped], folder)
    made = calibrate(str(folder), count=48)
    od = made.content["curves"]["od"]
    assert od["error_after"] < od["error_before"]
    assert made.content["verification"]["forced"]["absent_passing"] < 0.2
