"""`shelfguard model` as a person runs it: converting, manifests, refusals as sentences and as JSON."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from domain.observations import Engine, Task, TextAnswer
from tests.worker.vision import original
from worker.cli.model import model_app
from worker.cli.smoke import tell
from worker.vision.manifest import MANIFEST
from worker.vision.plausible import CHECKS, Trouble
from worker.vision.smoke import Answered, Smoke


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


def test_info_says_what_a_checkpoint_is_made_of(native: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(native, tmp_path / "model"))
    told = json.loads(run("info", folder, "--json").stdout)
    assert told["tower"] == [
        {"blocks": 1, "width": 8, "heads": 1, "stride": 4},
        {"blocks": 2, "width": 16, "heads": 2, "stride": 4},
    ]
    assert told["text"] == {"encoder_layers": 1, "decoder_layers": 2, "width": 24, "heads": 2}
    assert told["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert (told["weights_dtype"], told["manifest"], told["unread"]) == (["F32"], True, [])
    assert (told["card"], told["licence"]) == (None, "MIT License")
    card = "---\nlicense: mit\ntags:\n- vision\n---\n\n# Florence-2: mugs\n\nSees mugs.\n"
    (folder / "README.md").write_text(card)
    (folder / "optimizer.pt").write_bytes(b"")
    (folder / MANIFEST).unlink()
    lines = dict(line.split(maxsplit=1) for line in run("info", folder).stdout.splitlines())
    assert (lines["card"], lines["licence"], lines["manifest"]) == ("Florence-2: mugs", "mit", "no")
    assert lines["tower"].startswith("blocks 1, width 8, heads 1, stride 4; blocks 2") and "1,408" not in lines["tower"]
    assert lines["unread"] == "optimizer.pt"
    assert "Left unread, because they could run code: optimizer.pt" in run("verify", folder).stdout


def test_smoke_of_random_weights_fails_and_says_what_that_means(native: Path) -> None:
    result = run("verify", native, "--smoke", "--pictures", "2", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False and len(told["answers"]) == 30
    checks = {check["name"]: check for check in told["checks"]}
    assert set(checks) == set(CHECKS) and checks["batch as single"]["ok"]
    failed = [check for check in told["checks"] if not check["ok"]]
    assert failed and all(check["failed"] and check["means"] and check["remedy"] for check in failed)


def test_smoke_refuses_what_verify_refuses(microsoft: Path) -> None:
    result = run("verify", microsoft, "--smoke", "--json")
    assert result.exit_code == 1 and "auto_map" in json.loads(result.stdout)["why"]


def table(result: Smoke) -> str:
    printed = io.StringIO()
    tell(Console(file=printed, width=120, color_system=None), result)
    return printed.getvalue()


def test_the_table_of_a_smoke_test_shows_answers_and_failed_checks() -> None:
    result = Smoke(Engine("mine@1", None, "1", "float32"))
    markup = TextAnswer("a [bold]mug[/bold] [/]", 0.5)
    result.answers.append(Answered("01.jpg", Task.CAPTION, None, markup, ()))
    assert "every check passed" in table(result)
    result.answers.append(Answered("01.jpg", Task.OCR, None, TextAnswer("", 1.0), (Trouble("ends", "cut off"),)))
    for number in range(5):
        result.fail("ends", f"0{number}.jpg ocr: cut off")
    shown = table(result)
    assert "a [bold]mug[/bold] [/]" in shown and "mine@1 in float32" in shown
    assert "FAILED  ends" in shown and "02.jpg ocr: cut off" in shown and "and 2 more" in shown
    assert CHECKS["ends"].means[:40] in shown and "not fit for work" in shown
