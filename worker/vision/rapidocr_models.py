"""What of RapidOCR is installed: its version and the models inside its wheel. Imports nothing heavy.

RapidOCR fetches a model that it does not find. A worker must not, so every model is named by path, and one that is not
there, or not the one that was published, is refused here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from domain.errors import CheckpointRefused, ExtraMissing

PACKAGES = ("rapidocr", "onnxruntime", "cv2")
DETECTOR = "PP-OCRv6_det_small.onnx"
CLASSIFIER = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
DIGEST_DIGITS = 12
REMEDY = "Install it again as it was published: pip install --force-reinstall 'shelfguard[ocr]'"


@dataclass(frozen=True, slots=True)
class RapidOcrModels:
    """version: of the package. digest: sha256 over the models' own digests, hexadecimal."""

    version: str
    detector: Path
    classifier: Path
    recogniser: Path
    digest: str


def installed_models(folder: Path | None = None) -> RapidOcrModels:
    """The models inside the installed wheel, or in the package folder given.

    Raises ExtraMissing when the extra is not installed, CheckpointRefused when a model is not as published.
    """
    if folder is None:
        folder = _package_folder()
    published = _published(folder)
    detector, classifier, recogniser = (folder / "models" / name for name in (DETECTOR, CLASSIFIER, RECOGNISER))
    digests = [_checked(path, published) for path in (detector, classifier, recogniser)]
    together = hashlib.sha256("".join(digests).encode()).hexdigest()
    return RapidOcrModels(version("rapidocr"), detector, classifier, recogniser, together)


def _package_folder() -> Path:
    if any(find_spec(name) is None for name in PACKAGES):
        raise ExtraMissing("The text reader rapidocr", "ocr")
    found = find_spec("rapidocr")
    assert found is not None and found.origin is not None, "a regular package has a file"
    return Path(found.origin).parent


def _published(folder: Path) -> str:
    """RapidOCR's own list of models with the sha256 of each."""
    try:
        return (folder / "default_models.yaml").read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointRefused(str(folder), f"RapidOCR's list of models cannot be read ({error}).", REMEDY) from error


def _checked(path: Path, published: str) -> str:
    """The file's sha256."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointRefused(
            str(path), "The model is not inside the package, and none is downloaded.", REMEDY
        ) from (error)
    if digest not in published:
        raise CheckpointRefused(str(path), "The model is not the one that was published.", REMEDY)
    return digest
