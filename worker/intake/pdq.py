"""PDQ, the perceptual hash that hash banks are exchanged in, in numpy.

Written from the description in "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook,
2019): luminance, a Jarosz filter (two box filters each way), 64 x 64 samples, a 16 x 16 cosine transform without the
constant term, and a bit for each coefficient above the median. tests/worker/intake/test_pdq.py holds it to hashes that
the reference implementation gave.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domain.inspection import PerceptualHash

SIDE = 64  # samples each way
COEFFICIENTS = 16  # kept each way
REPETITIONS = 2  # of the box filter
Floats = NDArray[np.float64]

_LUMA = np.array([0.299, 0.587, 0.114])
_COSINES = np.sqrt(2 / SIDE) * np.cos(
    np.pi / (2 * SIDE) * np.outer(np.arange(1, COEFFICIENTS + 1), 2 * np.arange(SIDE) + 1)
)


def pdq(picture: NDArray[np.uint8]) -> PerceptualHash:
    """Of an RGB picture, (height, width, 3). Any size; smaller than 512 pixels a side saves time and changes little."""
    luma = picture.astype(np.float64) @ _LUMA
    height, width = luma.shape
    for _ in range(REPETITIONS):
        luma = _box(_box(luma, _window(width), axis=1), _window(height), axis=0)
    samples = luma[np.ix_(_places(height), _places(width))]
    coefficients = (_COSINES @ samples @ _COSINES.T).ravel()
    median = np.sort(coefficients)[coefficients.size // 2 - 1]
    bits = coefficients > median
    return PerceptualHash(np.packbits(bits[::-1]).tobytes().hex(), _quality(samples))


def _window(length: int) -> int:
    return (length + 2 * SIDE - 1) // (2 * SIDE)


def _box(values: Floats, window: int, axis: int) -> Floats:
    """Running mean; at the ends over what of the window lies inside."""
    if window == 1:
        return values
    length = values.shape[axis]
    after = (window + 2) // 2  # how far it reaches to the right, the middle included
    ends = np.minimum(np.arange(length) + after, length)
    starts = np.maximum(np.arange(length) + after - window, 0)
    sums = np.concatenate([np.zeros_like(values.take([0], axis)), values.cumsum(axis)], axis)
    counts = (ends - starts).reshape((-1, 1) if axis == 0 else (1, -1))
    means: Floats = (sums.take(ends, axis) - sums.take(starts, axis)) / counts
    return means


def _places(length: int) -> NDArray[np.intp]:
    """The pixels in the middles of 64 equal stretches."""
    return ((np.arange(SIDE) + 0.5) * length / SIDE).astype(np.intp)


def _quality(samples: Floats) -> int:
    """Sum of the steps between neighbouring samples, scaled; 100 at most."""
    steps = [np.trunc(np.diff(samples, axis=axis) * 100 / 255) for axis in (0, 1)]
    return min(100, int(sum(np.abs(step).sum() for step in steps) / 90))
