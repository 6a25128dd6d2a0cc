"""Numbers that the pixels give without any model: difference hash, sharpness, brightness, border, main colour."""

from __future__ import annotations

import numpy as np
from PIL import Image

from domain.photos import PixelSignals

SHARPNESS_SIDE = 512  # px; sharpness is comparable only at one scale
COLOUR_SIDE = 128  # px; enough for a most frequent colour
BORDER_SHARE = 0.02  # of the shorter side, on each edge
WHITE = 250


def measure(upright: Image.Image) -> tuple[str, PixelSignals]:
    """(dhash, signals) of an upright RGB picture of at least 3 x 3 pixels.

    It is the model copy, so that what is judged is what the model sees. The hash is a 64-bit dHash (neighbouring
    columns of a 9 x 8 grey thumbnail) as 16 hexadecimal digits; near-duplicates differ in few bits.
    """
    grey = upright.convert("L")
    small_grey = fitted(grey, SHARPNESS_SIDE)
    brightness, contrast = _mean_and_deviation(small_grey)
    return _difference_hash(grey), PixelSignals(
        sharpness=round(_laplacian_variance(small_grey), 3),
        brightness=round(brightness / 255, 4),
        contrast=round(contrast / 255, 4),
        white_border=round(_white_border(upright), 4),
        dominant_rgb=_dominant(upright.reduce(max(1, max(upright.size) // COLOUR_SIDE))),
    )


def _difference_hash(grey: Image.Image) -> str:
    thumbnail = np.asarray(grey.resize((9, 8), Image.Resampling.BILINEAR, reducing_gap=2.0))
    return np.packbits(thumbnail[:, 1:] > thumbnail[:, :-1]).tobytes().hex()


def fitted(picture: Image.Image, side: int) -> Image.Image:
    """Scaled down so that the longer side is at most `side`; never up."""
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)


def _mean_and_deviation(grey: Image.Image) -> tuple[float, float]:
    counts = np.array(grey.histogram(), dtype=np.float64)
    levels = np.arange(256)
    mean = float(counts @ levels / counts.sum())
    return mean, float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()))


def _laplacian_variance(grey: Image.Image) -> float:
    levels = np.asarray(grey, dtype=np.int16)  # 16 bits hold -1020 to 1020
    edges = levels[1:-1, 1:-1] * np.int16(-4)
    edges += levels[:-2, 1:-1]
    edges += levels[2:, 1:-1]
    edges += levels[1:-1, :-2]
    edges += levels[1:-1, 2:]
    # Whole numbers, so that every machine gives the same.
    total = int(edges.sum(dtype=np.int64))
    wide = edges.astype(np.int32)
    squares = int((wide * wide).sum(dtype=np.int64))
    return squares / edges.size - (total / edges.size) ** 2


def _white_border(upright: Image.Image) -> float:
    width, height = upright.size
    strip = max(1, round(min(width, height) * BORDER_SHARE))
    edges = (
        (0, 0, width, strip),
        (0, height - strip, width, height),
        (0, strip, strip, height - strip),
        (width - strip, strip, width, height - strip),
    )
    pixels = np.concatenate([np.asarray(upright.crop(edge)).reshape(-1, 3) for edge in edges])
    red, green, blue = (pixels >= WHITE).T
    return float((red & green & blue).mean())


def _dominant(picture: Image.Image) -> tuple[int, int, int]:
    """Mean of the fullest of 4096 colour bins in the middle half."""
    width, height = picture.size
    middle = np.asarray(picture)[height // 4 : height - height // 4, width // 4 : width - width // 4].reshape(-1, 3)
    bins = (middle >> 4).astype(np.int32) @ np.array([256, 16, 1], dtype=np.int32)
    fullest = middle[bins == np.bincount(bins, minlength=4096).argmax()]
    red, green, blue = (int(value) for value in fullest.mean(axis=0).round())
    return (red, green, blue)
