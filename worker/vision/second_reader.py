"""The second reader of text: RapidOCR (PP-OCR models on onnxruntime, on the CPU), kept within bounds.

https://github.com/RapidAI/RapidOCR. Its detector finds outlines, its classifier tells which are upside down, its
recogniser reads them. We run these three steps ourselves, because the whole at once has no bound on what one picture
may cost: a page of fine print or of stripes takes a minute and two gigabytes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from os import cpu_count
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from domain.errors import CheckpointRefused, Unavailable
from domain.observations import Quad, Reading, TextLine, TextReaders
from worker.vision.images import as_rgb
from worker.vision.rapidocr_models import DIGEST_DIGITS, REMEDY, RapidOcrModels, installed_models

NAME = TextReaders.RAPIDOCR.value
# Raise it with every change here that may change a reading: cached observations of another revision are not reused.
REVISION = "1"

LONGEST_SIDE = 2000  # pixels; what RapidOCR shrinks to by itself
# The detector enlarges a picture until its shorter side is 736 pixels, so a narrow one is widened with black first: a
# strip of 1536 x 77 would become 14,720 pixels long and take twenty seconds.
MOST_ASPECT = 3.0
SHORTEST_SIDE = 32  # pixels; the detector's stride
SURE = 0.5  # lines below this score are left out, as RapidOCR does
UPSIDE_DOWN = 0.9  # the classifier's score from which it turns a line, as RapidOCR does

# Bounds on what is read of one picture: about four seconds of one core. The largest outlines come first.
MOST_LINES = 100
MOST_LENGTH = 100.0  # of one line, in line heights; memory grows with it
MOST_LENGTHS = 800.0  # of all lines together
LEAST_LENGTH = 320 / 48  # what the recogniser fills up a shorter line to

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]
Corners = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no equality to compare by
class Outline:
    """One found line. corners: (4, 2) in pixels of what was looked at, clockwise from the picture's top left.
    crop: (height, width, 3), laid straight, a standing line turned to the left."""

    corners: Corners
    crop: Pixels

    @property
    def length(self) -> float:
        """In line heights."""
        height, width = self.crop.shape[:2]
        return float(max(LEAST_LENGTH, width / max(1, height)))

    @property
    def area(self) -> int:
        height, width = self.crop.shape[:2]
        return int(height * width)


class RapidReader:
    """RapidOCR ready to read. Not thread-safe. Made by `load`."""

    def __init__(self, engine: Any, identity: str) -> None:
        self.identity = identity
        self._engine = engine

    @classmethod
    def load(cls, threads: int = 1) -> RapidReader:
        """Load the three models of the installed wheel; `threads` CPU threads run each step.

        Raises ExtraMissing (the extra is not installed) or CheckpointRefused (a model is missing or damaged). Sets
        the number of OpenCV's threads, which is the process's: nothing else of Shelfguard uses OpenCV.
        """
        models = installed_models()
        try:
            engine = _engine(models, threads)
            blank = np.zeros((64, 64, 3), dtype=np.uint8)
            _outlines(engine, blank)  # each step loads its model when it is first run
            _recognised(engine, [Outline(np.zeros((4, 2), dtype=np.float32), blank)])
        except Exception as error:  # onnxruntime raises a family of its own, OpenCV another
            raise CheckpointRefused(str(models.detector.parent), f"RapidOCR cannot load ({error}).", REMEDY) from error
        return cls(engine, f"{NAME} {models.version} r{REVISION}@{models.digest[:DIGEST_DIGITS]}")

    def read(self, image: Image.Image, width: int, height: int) -> Reading:
        """The lines in reading order, in pixels of the full-size image, of which `image` shows all, maybe smaller.

        The same picture gives the same lines. A picture that RapidOCR fails on gives a reading that says so, so that
        its neighbours are read. Raises InputRejected (the pixels cannot be had) and Unavailable (out of memory).
        """
        picture = as_rgb(image)
        try:
            return self._read(picture, width, height)
        except Exception as error:  # see load
            if _out_of_memory(error):
                raise Unavailable("the text reader rapidocr", "out of memory; run fewer workers here") from error
            log.warning("text_reader.failed reader=%s error=%s", NAME, type(error).__name__)
            return Reading(NAME, incomplete=f"{NAME} failed on this picture ({type(error).__name__})")

    def _read(self, picture: Image.Image, width: int, height: int) -> Reading:
        shown = _shrunk(picture)
        found = _outlines(self._engine, _canvas(shown))
        chosen = within_bounds(found)
        scale = (width / shown.width, height / shown.height)
        lines = tuple(
            TextLine(text, _quad(corners, scale, (width, height)), score)
            for text, score, corners in _recognised(self._engine, chosen)
            if text.strip() and score >= SURE
        )
        left_out = len(found) - len(chosen)
        return Reading(NAME, lines, f"{left_out} of {len(found)} lines were too many to read" if left_out else None)


def within_bounds(found: Sequence[Outline]) -> list[Outline]:
    """The largest outlines that are worth their cost together, in reading order."""
    chosen: list[int] = []
    lengths = 0.0
    for number in sorted(range(len(found)), key=lambda number: -found[number].area):
        length = found[number].length
        if len(chosen) < MOST_LINES and length <= MOST_LENGTH and lengths + length <= MOST_LENGTHS:
            chosen.append(number)
            lengths += length
    return [found[number] for number in sorted(chosen)]


def _engine(models: RapidOcrModels, threads: int) -> Any:
    import cv2
    from rapidocr import RapidOCR

    cv2.setNumThreads(threads)
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Det.model_path": str(models.detector),
            "Cls.model_path": str(models.classifier),
            "Rec.model_path": str(models.recogniser),
            # One line at a time costs half of six that are filled up to the longest, and no neighbour changes it.
            "Rec.rec_batch_num": 1,
            # RapidOCR takes more threads than there are cores for "all of them".
            "EngineConfig.onnxruntime.intra_op_num_threads": min(threads, cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _outlines(engine: Any, pixels: Pixels) -> list[Outline]:
    """What the detector finds in BGR pixels, in reading order."""
    from rapidocr.main import RapidOCRError

    try:
        crops, found = engine.detect_and_crop(pixels, {})
    except RapidOCRError:  # its way of saying that there is none
        return []
    return [Outline(corners, crop) for corners, crop in zip(found.boxes, crops, strict=True)]


def _recognised(engine: Any, outlines: Sequence[Outline]) -> list[tuple[str, float, Corners]]:
    """Text, score, and corners from the text's own top left, for each outline."""
    if not outlines:
        return []
    crops, turned = engine.cls_and_rotate([outline.crop for outline in outlines])
    read = engine.recognize_txt(crops)
    return [
        (text, float(score), np.roll(outline.corners, -_quarters(outline, label, sure), axis=0))
        for outline, (label, sure), text, score in zip(outlines, turned.cls_res, read.txts, read.scores, strict=True)
    ]


def _quarters(outline: Outline, label: str, sure: float) -> int:
    """By how many corners the text's top left lies clockwise from the picture's."""
    across, down = (float(np.linalg.norm(outline.corners[n] - outline.corners[n + 1])) for n in (0, 1))
    height, width = outline.crop.shape[:2]
    stands = down > across and width > height  # its crop was turned to the left
    return (1 if stands else 0) + (2 if "180" in label and sure > UPSIDE_DOWN else 0)


def _shrunk(picture: Image.Image) -> Image.Image:
    longest = max(picture.size)
    if longest <= LONGEST_SIDE:
        return picture
    width, height = (max(1, round(side * LONGEST_SIDE / longest)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)


def _canvas(picture: Image.Image) -> Pixels:
    """(height, width, 3) BGR as OpenCV has it; the picture at the top left, black where it is too narrow."""
    least = max(SHORTEST_SIDE, round(max(picture.size) / MOST_ASPECT))
    canvas = np.zeros((max(least, picture.height), max(least, picture.width), 3), dtype=np.uint8)
    canvas[: picture.height, : picture.width] = np.asarray(picture)[:, :, ::-1]
    return canvas


def _quad(corners: Corners, scale: tuple[float, float], size: tuple[int, int]) -> Quad:
    pixels = np.clip(corners * np.array(scale), 0, size).astype(float)
    return cast(Quad, tuple(pixels.ravel().tolist()))


def _out_of_memory(error: Exception) -> bool:
    """onnxruntime and OpenCV have no type of their own for it."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(
        part in said for part in ("bad_alloc", "failed to allocate memory", "insufficient memory")
    )
