"""Signals about the picture as a file and as pixels, measured at intake without any model."""

from __future__ import annotations

from typing import Any

from worker.policy.signals.registry import SHARE, Field, Item, Kind, signal
from worker.policy.signals.subject import Subject

IMAGE = Item(
    "image",
    (
        Field("width", Kind.COUNT, "px", "of the upright image"),
        Field("height", Kind.COUNT, "px", "of the upright image"),
        Field("shorter_side", Kind.COUNT, "px", "the smaller of the two"),
        Field("longer_side", Kind.COUNT, "px", "the larger of the two"),
        Field("megapixels", Kind.NUMBER, "Mpx", "width times height in millions"),
        Field("aspect", Kind.NUMBER, "ratio", "width through height"),
        Field("format", Kind.TEXT, "", "JPEG, PNG, WEBP or GIF"),
    ),
)
PIXELS = Item(
    "pixels",
    (
        Field("sharpness", Kind.NUMBER, "grey levels squared", "variance of the Laplacian at 512 px; 0 = flat"),
        Field("brightness", Kind.NUMBER, SHARE, "mean grey"),
        Field("contrast", Kind.NUMBER, SHARE, "standard deviation of grey"),
        Field("white_border", Kind.NUMBER, SHARE, "of the outer 2 % strip that is white"),
    ),
)


@signal(IMAGE, cost=2)
def image(subject: Subject) -> dict[str, Any]:
    """Size and file format."""
    width, height = subject.photo.width, subject.photo.height
    return {
        "width": width,
        "height": height,
        "shorter_side": min(width, height),
        "longer_side": max(width, height),
        "megapixels": round(width * height / 1e6, 6),
        "aspect": round(width / max(1, height), 6),
        "format": subject.photo.format,
    }


@signal(PIXELS, cost=2)
def pixels(subject: Subject) -> dict[str, Any]:
    """Sharpness, exposure and border."""
    measured = subject.photo.pixels
    return {
        "sharpness": float(measured.sharpness),
        "brightness": float(measured.brightness),
        "contrast": float(measured.contrast),
        "white_border": float(measured.white_border),
    }
