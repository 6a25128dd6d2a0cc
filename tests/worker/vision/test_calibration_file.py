"""calibration.json: belongs to one set of weights, is refused when damaged, and is what the engine reads by."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from domain.calibration import Curve
from domain.errors import CheckpointRefused
from domain.observations import Plan
from worker.vision.calibration import CALIBRATION, UNFITTED, load_fitted, versioned, write_calibration
from worker.vision.engine import REVISION, FlorenceEngine
from worker.vision.florence import SHIPPED, verify
from worker.vision.manifest import check_manifest, renew_in_manifest, write_manifest
from worker.vision.observer import Observer
from worker.vision.siblings import shipped_siblings

WEIGHTS, ADAPTER = "a" * 64, "b" * 64


def content(**changes: Any) -> dict[str, Any]:
    names = {group: list(names) for group, names in shipped_siblings().groups.items()}
    values: dict[str, Any] = {
        "model": WEIGHTS,
        "adapter": None,
        "curves": {"od": {"knots": [[0.0, 0.1], [1.0, 0.9]]}},
        "verification": {"threshold": 0.25, "something_else": 1.0, "siblings": names},
    }
    return versioned(values | changes)


def test_what_was_fitted_to_the_weights_is_read(tmp_path: Path) -> None:
    made = content()
    write_calibration(tmp_path, made)
    fitted = load_fitted(tmp_path, WEIGHTS)
    assert fitted.calibration is not None
    assert fitted.calibration.version == made["version"]
    assert fitted.calibration.curves == {"od": Curve(((0.0, 0.1), (1.0, 0.9)))}
    assert fitted.calibration.verified_min == 0.25
    assert fitted.verification == UNFITTED.verification


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    assert load_fitted(tmp_path, WEIGHTS) == UNFITTED


@pytest.mark.parametrize(("model", "adapter"), [("c" * 64, None), (WEIGHTS, ADAPTER)])
def test_with_other_weights_it_is_ignored_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, model: str, adapter: str | None
) -> None:
    write_calibration(tmp_path, content())
    with caplog.at_level(logging.WARNING):
        assert load_fitted(tmp_path, model, adapter) == UNFITTED
    assert "other weights" in caplog.text and "model calibrate" in caplog.text


def test_an_adapters_own_belongs_to_both(tmp_path: Path) -> None:
    write_calibration(tmp_path, content(adapter=ADAPTER))
    assert load_fitted(tmp_path, WEIGHTS, ADAPTER).calibration is not None
    assert load_fitted(tmp_path, WEIGHTS) == UNFITTED


@pytest.mark.parametrize(
    "damage",
    [
        {"curves": {"od": {"knots": [[0.5, 0.9], [0.6, 0.1]]}}},
        {"curves": {"od": {"knots": [[0.5]]}}},
        {"curves": None},
        {"verification": {}},
        {"verification": {"threshold": 2, "something_else": 1, "siblings": {"a": ["b"]}}},
        {"verification": {"threshold": 0.2, "something_else": 1, "siblings": {}}},
        {"schema": 99},
    ],
)
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path: Path, damage: dict[str, Any]) -> None:
    (tmp_path / CALIBRATION).write_text(json.dumps(content() | damage))
    with pytest.raises(CheckpointRefused, match="model calibrate"):
        load_fitted(tmp_path, WEIGHTS)


def test_no_json_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / CALIBRATION).write_bytes(b"\xff{")
    with pytest.raises(CheckpointRefused, match=CALIBRATION):
        load_fitted(tmp_path, WEIGHTS)


def test_every_change_is_another_version() -> None:
    changed = content(curves={"od": {"knots": [[0.0, 0.1], [1.0, 0.8]]}})
    assert changed["version"] != content()["version"] == content()["version"]


@pytest.fixture
def fitted_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_checkpoint, folder)
    write_calibration(folder, content(model=verify(folder).checkpoint.digest))
    return folder


def test_the_engine_reads_by_what_lies_beside_its_weights(fitted_checkpoint: Path) -> None:
    engine = FlorenceEngine.load(fitted_checkpoint, device="cpu", dtype="float32", threads=1)
    calibration = engine.calibration_for(None)
    assert calibration is not None and set(calibration.curves) == {"od"}
    assert engine.engine.revision == REVISION
    assert Observer(engine).calibration_for(Plan()) == calibration
    bare = Observer(engine).calibration_for(Plan(tasks=()))
    assert bare is not None and bare.curves == {}


def test_names_of_its_own_make_it_another_engine(fitted_checkpoint: Path) -> None:
    digest = verify(fitted_checkpoint).checkpoint.digest
    other = {"threshold": 0.25, "something_else": 1.0, "siblings": {"goods": ["mug", "axe"]}}
    write_calibration(fitted_checkpoint, content(model=digest, verification=other))
    engine = FlorenceEngine.load(fitted_checkpoint, device="cpu", dtype="float32", threads=1)
    assert engine.engine.revision.startswith(f"{REVISION}+")


def test_a_manifest_goes_on_to_cover_what_was_there_and_takes_the_new_file(fitted_checkpoint: Path) -> None:
    write_manifest(fitted_checkpoint)
    write_calibration(fitted_checkpoint, content(model="d" * 64))
    with pytest.raises(CheckpointRefused, match=CALIBRATION):
        check_manifest(fitted_checkpoint)
    renew_in_manifest(fitted_checkpoint, CALIBRATION)
    assert CALIBRATION in check_manifest(fitted_checkpoint)
    (fitted_checkpoint / "config.json").write_text("{}")
    renew_in_manifest(fitted_checkpoint, CALIBRATION)
    with pytest.raises(CheckpointRefused, match=r"config\.json"):
        check_manifest(fitted_checkpoint)


def test_a_folder_without_a_manifest_gets_none(tmp_path: Path) -> None:
    write_calibration(tmp_path, content())
    renew_in_manifest(tmp_path, CALIBRATION)
    assert [file.name for file in tmp_path.iterdir()] == [CALIBRATION]


def test_what_is_shipped_was_fitted_to_the_weights_that_are_shipped(shipped: str) -> None:
    """Fails after the weights were trained on: `shelfguard model calibrate shelf-tiny` fits it anew."""
    fitted = load_fitted(SHIPPED[shipped], verify(shipped).checkpoint.digest)
    assert fitted.calibration is not None
    assert {"od", "ocr_with_region", "caption", "open_vocabulary_detection", "verified"} <= set(
        fitted.calibration.curves
    )
