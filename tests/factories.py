"""One builder for each domain object: valid by default, anything can be overridden."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from domain.inspection import Background, Exposure, Foreground, Frame, Inspection, PerceptualHash
from domain.jobs import ImageJob, ImageSource, SourceKind
from domain.moderation import Decision, Verdict
from domain.observations import (
    DetectedObject,
    Engine,
    LinesAnswer,
    ObjectsAnswer,
    Observation,
    Task,
    TextAnswer,
    TextLine,
)
from domain.photos import DecodedPhoto, PixelSignals, StoredPhoto

PIXELS = PixelSignals(sharpness=120.0, brightness=0.6, contrast=0.2, white_border=0.9, dominant_rgb=(200, 30, 30))

INSPECTION = Inspection(
    background=Background(share=0.6, plain=1.0, whiteness=0.98, off_white=3.0, rgb=(254, 254, 254)),
    foreground=Foreground(share=0.4, box=(0.1, 0.1, 0.9, 0.8), extent=0.8, edges=0),
    frame=Frame(),
    exposure=Exposure(0.0, 0.0),
    panels=1,
    colours=30,
    pdq=PerceptualHash("0f" * 32, 100),
)


def a_job(**changes: Any) -> ImageJob:
    values: dict[str, Any] = {
        "tenant": "acme",
        "product_id": "sku-1",
        "image_id": "front",
        "image": ImageSource(SourceKind.URL, "https://photos.example/sku-1.jpg"),
        "title": "Red sneaker",
    }
    return ImageJob(**values | changes)


def some_jpeg(width: int = 64, height: int = 48, colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "JPEG")
    return out.getvalue()


def a_decoded_photo(**changes: Any) -> DecodedPhoto:
    values: dict[str, Any] = {
        "sha256": "a" * 64,
        "original": some_jpeg(),
        "model_copy": some_jpeg(),
        "format": "JPEG",
        "width": 64,
        "height": 48,
        "dhash": "0123456789abcdef",
        "pixels": PIXELS,
        "inspection": INSPECTION,
    }
    return DecodedPhoto(**values | changes)


def a_stored_photo(**changes: Any) -> StoredPhoto:
    values: dict[str, Any] = {
        "sha256": "a" * 64,
        "original_key": "acme/blobs/original",
        "model_copy_key": "acme/blobs/copy",
        "format": "JPEG",
        "width": 64,
        "height": 48,
        "dhash": "0123456789abcdef",
        "pixels": PIXELS,
        "inspection": INSPECTION,
    }
    return StoredPhoto(**values | changes)


def an_engine(**changes: Any) -> Engine:
    values: dict[str, Any] = {"model": "fake@0", "adapter": None, "revision": "1", "dtype": "float32"}
    return Engine(**values | changes)


def an_observation(
    caption: str = "a red sneaker",
    objects: tuple[tuple[str, float], ...] = (("sneaker", 0.9),),
    lines: tuple[str, ...] = (),
    **changes: Any,
) -> Observation:
    values: dict[str, Any] = {
        "sha256": "a" * 64,
        "width": 64,
        "height": 48,
        "engine": an_engine(),
        "results": {
            Task.CAPTION: TextAnswer(caption, 0.8),
            Task.OD: ObjectsAnswer(tuple(DetectedObject(label, (8, 8, 40, 40), score) for label, score in objects)),
            Task.OCR_WITH_REGION: LinesAnswer(
                tuple(TextLine(text, (4, 4, 40, 4, 40, 12, 4, 12), 0.7) for text in lines)
            ),
        },
    }
    return Observation(**values | changes)


def a_decision(verdict: Verdict = Verdict.APPROVE, **changes: Any) -> Decision:
    values: dict[str, Any] = {"channels": {"own_shop": verdict}, "findings": (), "receipt": {"policy": "test"}}
    return Decision(**values | changes)
