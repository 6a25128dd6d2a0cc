"""Photo: one received image after intake, with what its pixels say without any model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.inspection import Inspection


@dataclass(frozen=True, slots=True)
class PixelSignals:
    """Numbers computed from the upright pixels.

    sharpness: variance of the Laplacian of the grey image at 512 px (0 = flat). brightness: mean grey in 0..1.
    contrast: standard deviation of grey in 0..1. white_border: share in 0..1 of the outer 2 % strip that is
    at least (250, 250, 250). dominant_rgb: the most frequent colour of the middle half, 0..255 each.
    """

    sharpness: float
    brightness: float
    contrast: float
    white_border: float
    dominant_rgb: tuple[int, int, int]

    def as_json(self) -> dict[str, Any]:
        return {
            "sharpness": self.sharpness,
            "brightness": self.brightness,
            "contrast": self.contrast,
            "white_border": self.white_border,
            "dominant_rgb": list(self.dominant_rgb),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PixelSignals:
        red, green, blue = data["dominant_rgb"]
        return cls(data["sharpness"], data["brightness"], data["contrast"], data["white_border"], (red, green, blue))


@dataclass(frozen=True, slots=True)
class DecodedPhoto:
    """What the decode sandbox hands back: bytes of our own making, no hostile ones except `original`.

    original: the received bytes without personal EXIF and trailing data, same pixels, not re-encoded.
    model_copy: upright RGB JPEG that the vision stage reads (longest side at most 1536 px).
    width, height: of the upright image at full size. format: "JPEG", "PNG", "WEBP" or "GIF".
    """

    sha256: str  # of the bytes as received
    original: bytes
    model_copy: bytes
    format: str
    width: int
    height: int
    dhash: str  # 64-bit difference hash, 16 hexadecimal digits
    pixels: PixelSignals
    inspection: Inspection | None = None


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A decoded photo after its bytes went to the object store."""

    sha256: str
    original_key: str
    model_copy_key: str
    format: str
    width: int
    height: int
    dhash: str
    pixels: PixelSignals
    inspection: Inspection | None = None  # None: taken in before there were inspections

    @classmethod
    def of(cls, photo: DecodedPhoto, original_key: str, model_copy_key: str) -> StoredPhoto:
        return cls(
            sha256=photo.sha256,
            original_key=original_key,
            model_copy_key=model_copy_key,
            format=photo.format,
            width=photo.width,
            height=photo.height,
            dhash=photo.dhash,
            pixels=photo.pixels,
            inspection=photo.inspection,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "original_key": self.original_key,
            "model_copy_key": self.model_copy_key,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "dhash": self.dhash,
            "pixels": self.pixels.as_json(),
            "inspection": self.inspection and self.inspection.as_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StoredPhoto:
        found = data.get("inspection")
        read = {
            "pixels": PixelSignals.from_json(data["pixels"]),
            "inspection": None if found is None else Inspection.from_json(found),
        }
        return cls(**{**data, **read})
