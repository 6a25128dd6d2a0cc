"""The models inside RapidOCR's wheel: found without loading anything, refused when they are not as published."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import CheckpointRefused, ExtraMissing
from worker.vision import rapidocr_models
from worker.vision.rapidocr_models import CLASSIFIER, DETECTOR, RECOGNISER, installed_models


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's models that a test may damage."""
    source = installed_models().detector.parents[1]
    shutil.copytree(source / "models", tmp_path / "models")
    shutil.copy(source / "default_models.yaml", tmp_path)
    return tmp_path


def test_the_installed_models_are_found_and_their_digest_tells_them_apart(package: Path) -> None:
    models = installed_models()
    assert (models.detector.name, models.classifier.name, models.recogniser.name) == (DETECTOR, CLASSIFIER, RECOGNISER)
    assert models.version.startswith("3.") and len(models.digest) == 64
    assert installed_models(package).digest == models.digest


@pytest.mark.parametrize("name", [DETECTOR, CLASSIFIER, RECOGNISER])
def test_a_model_that_is_not_there_is_not_fetched_but_refused(package: Path, name: str) -> None:
    (package / "models" / name).unlink()
    with pytest.raises(CheckpointRefused, match=r"none is downloaded.*shelfguard\[ocr\]"):
        installed_models(package)


def test_a_model_that_is_not_the_published_one_is_refused(package: Path) -> None:
    with (package / "models" / RECOGNISER).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(CheckpointRefused, match="not the one that was published"):
        installed_models(package)


def test_a_package_without_its_list_of_models_is_refused(package: Path) -> None:
    (package / "default_models.yaml").unlink()
    with pytest.raises(CheckpointRefused, match="list of models cannot be read"):
        installed_models(package)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rapidocr_models, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing, match=r"pip install 'shelfguard\[ocr\]'"):
        installed_models()


def test_looking_loads_no_heavy_library() -> None:
    code = (
        "import sys; from worker.vision.rapidocr_models import installed_models; installed_models(); "
        "sys.exit(bool({'rapidocr', 'onnxruntime', 'cv2', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
