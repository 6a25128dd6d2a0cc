"""`shelfguard model` as a person runs it: converting, manifests, refusals as sentences and as JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.worker.vision import original
from worker.cli.model import model_app
from worker.vision.manifest import MANIFEST


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads wait for each other on a busy machine; and no setting of the person running the tests counts."""
    for name in ("MODEL", "MODEL_REVISION", "ADAPTER"):
        monkeypatch.delenv(f"SHELFGUARD_{name}", raising=False)
    monkeypatch.setenv("SHELFGUARD_THREADS", "1")
    monkeypatch.setenv("SHELFGUARD_DEVICE", "cpu")


@pytest.fixture(scope="module")
def microsoft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: a checkpoint in the original layout."""
    folder = tmp_path_factory.mktemp("original") / "microsoft"
    original.write_original(folder)
    return folder


@pytest.fixture(scope="module")
def native(microsoft: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: the same converted."""
    folder = tmp_path_factory.mktemp("converted") / "native"
    result = run("convert", microsoft, folder, "--dtype", "float32", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["ok"] and told["path"] == str(folder) and told["dtype"] == "float32"
    assert told["bytes"] == (folder / "model.safetensors").stat().st_size and "auto_map" in told["left_out"]
    return folder


def run(*arguments: object) -> Result:
    root = typer.Typer()
    root.add_typer(model_app, name="model")
    return CliRunner().invoke(root, ["model", *(str(argument) for argument in arguments)])


def test_an_original_checkpoint_is_refused_with_the_command_that_helps(microsoft: Path) -> None:
    result = run("verify", microsoft)
    assert result.exit_code == 1
    assert "auto_map" in result.stderr and "shelfguard model convert" in result.stderr


def test_what_was_converted_passes_and_is_told_in_words(microsoft: Path, native: Path, tmp_path: Path) -> None:
    assert run("verify", native).exit_code == 0
    result = run("convert", microsoft, tmp_path / "half")
    assert result.exit_code == 0
    assert "float16" in result.stdout and "Settings without a place in it: _name_or_path, auto_map" in result.stdout


def test_a_refused_conversion_is_one_sentence_or_one_document(native: Path, tmp_path: Path) -> None:
    result = run("convert", native, tmp_path / "twice")
    assert result.exit_code == 1 and "native layout already" in result.stderr and not result.stdout
    told = json.loads(run("convert", native, tmp_path / "twice", "--json").stdout)
    assert told["ok"] is False and told["remedy"] and told["path"] == str(native)


def test_a_manifest_names_the_file_that_changed(native: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(native, tmp_path / "model"))
    result = run("manifest", folder, "--json")
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)["files"]) == {file.name for file in folder.iterdir()} - {MANIFEST}
    assert subprocess.run(["sha256sum", "--check", "--quiet", MANIFEST], cwd=folder, check=False).returncode == 0
    (folder / "LICENSE").write_text("All rights reserved\n")
    changed = run("verify", folder)
    assert changed.exit_code == 1 and "LICENSE differs" in changed.stderr
    assert run("manifest", folder).exit_code == 0 and run("verify", folder).exit_code == 0


def test_a_manifest_of_nothing(tmp_path: Path) -> None:
    assert run("manifest", tmp_path / "nowhere").exit_code == 1
    assert "no files" in run("manifest", tmp_path).stderr
