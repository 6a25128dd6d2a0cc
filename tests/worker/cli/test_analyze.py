"""`analyze` and `model` as a person runs them: the JSON contract, bad pictures among good ones, bad options."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner, Result

from domain.errors import CheckpointRefused, ExtraMissing
from domain.observations import Plan, Question, Task, TextReaders
from worker.cli.analyze import analyze, plan_for
from worker.cli.model import model_app
from worker.vision import rapidocr_models
from worker.vision.florence import SHELF_TINY, SHIPPED

app = typer.Typer()
app.command("analyze")(analyze)
app.add_typer(model_app, name="model")

DEFAULT_TASKS = {"caption", "detailed_caption", "od", "ocr_with_region"}

needs_weights = pytest.mark.skipif(
    not (SHIPPED[SHELF_TINY] / "model.safetensors").is_file(), reason="shelf-tiny's weights are not in this checkout"
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads wait for each other on a busy machine; and no setting of the person running the tests counts."""
    for name in ("MODEL", "MODEL_REVISION", "ADAPTER", "TEXT_READER", "TEXT_READER_THREADS"):
        monkeypatch.delenv(f"SHELFGUARD_{name}", raising=False)
    monkeypatch.setenv("SHELFGUARD_THREADS", "1")
    monkeypatch.setenv("SHELFGUARD_DEVICE", "cpu")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Six pictures, more than are looked at together."""
    files = []
    for number in range(6):
        file = tmp_path / f"photo{number}.png"
        image = Image.new("RGB", (60 + number, 40), (number * 40, 90, 200))
        image.paste("white", (10, 10, 30, 30))
        image.save(file)
        files.append(file)
    return files


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def analyzed(*arguments: object, exit_code: int = 0) -> list[dict[str, Any]]:
    result = run("analyze", *arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@needs_weights
def test_json_lines_in_order(photos: list[Path]) -> None:
    lines = analyzed(*photos)
    assert [line["path"] for line in lines] == [str(photo) for photo in photos]
    for line, photo, width in zip(lines, photos, range(60, 66), strict=True):
        assert set(line) == {"path", "image", "model", "adapter", "calibration", "results", "error"}
        assert line["image"] == {
            "width": width,
            "height": 40,
            "sha256": hashlib.sha256(photo.read_bytes()).hexdigest(),
        }
        assert line["model"].startswith("shelf-tiny@") and line["adapter"] is None and line["error"] is None
        assert set(line["results"]) == DEFAULT_TASKS
        assert set(line["results"]["caption"]) == {"text", "score"}
        assert isinstance(line["results"]["od"]["objects"], list)
        assert isinstance(line["results"]["ocr_with_region"]["lines"], list)


@needs_weights
def test_tasks_and_questions(photos: list[Path]) -> None:
    asked = ["--ask", "open_vocabulary_detection=a red mug", "--ask", "region_to_ocr=1,2,30,30"]
    (line,) = analyzed(photos[0], "--tasks", "ocr, od", *asked)
    assert set(line["results"]) == {"ocr", "od", "asked"}
    words, region = line["results"]["asked"]
    assert all({"score", "verified_score"} <= set(item) for item in words["objects"])
    assert (words["task"], words["input"]) == ("open_vocabulary_detection", "a red mug")
    assert isinstance(words["objects"], list)
    assert (region["task"], region["input"]) == ("region_to_ocr", [1, 2, 30, 30])
    assert isinstance(region["text"], str)


@needs_weights
def test_questions_alone_run_no_other_task(photos: list[Path]) -> None:
    (line,) = analyzed(photos[0], "--ask", "vqa=what is it?")
    assert set(line["results"]) == {"asked"}


@needs_weights
def test_bad_pictures_among_good_ones(photos: list[Path], tmp_path: Path) -> None:
    text = tmp_path / "note.jpg"
    text.write_text("this is no picture")
    missing = tmp_path / "missing.jpg"
    lines = analyzed(photos[0], text, missing, tmp_path, photos[1], exit_code=3)
    assert [line["error"] and line["error"]["code"] for line in lines] == [
        None,
        "not_an_image",
        "file_not_found",
        "file_unreadable",
        None,
    ]
    for line in lines[1:4]:
        assert line["results"] == {} and line["image"] is None and line["error"]["message"]
    assert all(set(line["results"]) == DEFAULT_TASKS for line in (lines[0], lines[4]))


@needs_weights
def test_a_readable_account_and_drawn_pictures(photos: list[Path], tmp_path: Path) -> None:
    result = run("analyze", photos[0], photos[1], "--draw", tmp_path / "drawn")
    assert result.exit_code == 0, result.output
    assert "photo0.png" in result.stdout.replace("\n", "") and "ocr_with_region" in result.stdout
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert [file.name[:7] for file in drawn] == ["photo0-", "photo1-"]
    with Image.open(drawn[0]) as picture:
        assert picture.size == (60, 40)


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    """A photo with one line of text."""
    file = tmp_path / "sign.png"
    image = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(image).text((40, 80), "SALE 50%", font=ImageFont.load_default(40), fill="black")
    image.save(file)
    return file


@needs_weights
def test_a_second_readers_lines_stand_beside_the_models(sign: Path) -> None:
    (line,) = analyzed(sign, "--text-reader", "both")
    assert set(line["results"]) == DEFAULT_TASKS | {"second_reader"}
    second = line["results"]["second_reader"]
    assert set(second) == {"name", "lines"} and second["name"] == "rapidocr"
    (read,) = second["lines"]
    assert set(read) == {"text", "quad", "score"} and read["text"] == "SALE 50%"
    assert len(read["quad"]) == 8 and read["score"] > 0.9


@needs_weights
def test_a_second_reader_alone_by_the_setting(sign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFGUARD_TEXT_READER", "rapidocr")
    (line,) = analyzed(sign)
    assert set(line["results"]) == DEFAULT_TASKS - {"ocr_with_region"} | {"second_reader"}
    (narrowed,) = analyzed(sign, "--tasks", "caption")
    assert set(narrowed["results"]) == {"caption"}, "the setting adds nothing to tasks that were named"
    told = run("analyze", sign).stdout
    assert "text read by rapidocr" in told and "SALE 50%" in told


def test_who_reads_and_what_is_run() -> None:
    both, second = TextReaders.BOTH, TextReaders.RAPIDOCR
    assert plan_for(None, (), both) == Plan(second_reader=True)
    assert Task.OCR_WITH_REGION not in plan_for(None, (), second).tasks
    named = plan_for("ocr,caption", (), second)
    assert named == Plan((Task.OCR, Task.CAPTION), second_reader=True), "what was named is run"
    asked = (Question(Task.VQA, "what is it?"),)
    assert plan_for(None, asked, TextReaders.FLORENCE) == Plan((), asked)


@needs_weights
def test_a_second_reader_that_is_not_installed_is_one_sentence(sign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapidocr_models, "find_spec", lambda name: None)
    result = run("analyze", sign, "--text-reader", "both")
    assert isinstance(result.exception, ExtraMissing)
    assert "pip install 'shelfguard[ocr]'" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tasks", "caption,poetry"], "Unknown task 'poetry'"),
        (["--tasks", "vqa"], "use --ask"),
        (["--text-reader", "tesseract"], "florence"),
        (["--ask", "vqa"], "task=input"),
        (["--ask", "caption=x"], "Cannot ask"),
        (["--ask", "vqa="], "needs a phrase"),
        (["--ask", "region_to_ocr=1,2,3"], "four numbers"),
        (["--ask", "region_to_ocr=9,9,3,3"], "empty or turned round"),
        (["--ask", "region_to_ocr=0,0,nan,3"], "empty or turned round"),
    ],
)
def test_options_that_cannot_be(options: list[str], sentence: str) -> None:
    result = run("analyze", "photo.jpg", *options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_a_model_that_is_not_there_is_one_sentence() -> None:
    result = run("analyze", "photo.jpg", "--model", "nowhere")
    assert result.exit_code == 1
    assert isinstance(result.exception, CheckpointRefused)


@needs_weights
def test_model_info_and_verify() -> None:
    result = run("model", "info", "--json")
    facts = json.loads(result.stdout)
    weights = (SHIPPED[SHELF_TINY] / "model.safetensors").read_bytes()
    assert facts["weights_digest"] == hashlib.sha256(weights).hexdigest() != facts["digest"]
    assert facts["parameters"] > 1_000_000 and facts["dtype"] == "float32"
    assert "parameters" in run("model", "info").stdout
    assert run("model", "verify").exit_code == 0


def test_model_verify_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "evil.Evil"}}))
    result = run("model", "verify", tmp_path)
    assert result.exit_code == 1
    assert "auto_map" in result.stderr
    told = json.loads(run("model", "verify", tmp_path, "--json").stdout)
    assert told["ok"] is False and "auto_map" in told["why"] and told["remedy"]


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys, worker.cli.analyze, worker.cli.model; "
        "sys.exit(bool({'torch', 'transformers', 'rapidocr', 'onnxruntime'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
