"""inspect(): everything intake measures beyond the basic numbers of `pixels`, in one pass over two thumbnails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from domain.inspection import Exposure, Inspection
from worker.intake.barcodes import find_barcodes
from worker.intake.layout import count_panels, find_frame
from worker.intake.pdq import pdq
from worker.intake.pixels import fitted
from worker.intake.regions import Mask, find_regions

FINE_SIDE = 512  # px; frames of a few pixels still show
COARSE_SIDE = 256  # px; enough for regions
DARK, LIGHT = 4, 251  # levels; clipped in a JPEG, whose noise moves pure black and white a little
COLOUR_SHARE = 0.001  # of the picture; a bin with less does not count as one of its colours


def inspect(upright: Image.Image, digital_source_type: str = "") -> Inspection:
    """Of an upright RGB picture of at least 3 x 3 pixels: the model's copy, so that all judge the same pixels."""
    fine = np.asarray(fitted(upright, FINE_SIDE))
    small = fitted(upright, COARSE_SIDE)
    coarse = np.asarray(small)
    grey = np.asarray(small.convert("L"))
    regions = find_regions(coarse)
    levels = fine.astype(np.int16)
    return Inspection(
        background=regions.background,
        foreground=regions.foreground,
        frame=find_frame(levels),
        exposure=_exposure(grey, regions.ground),
        panels=count_panels(levels),
        colours=_colours(coarse),
        pdq=pdq(fine),
        barcodes=find_barcodes(np.asarray(upright.convert("L"))),
        digital_source_type=digital_source_type,
    )


def _exposure(grey: NDArray[np.uint8], ground: Mask) -> Exposure:
    foreground = grey[~ground]
    light = float((foreground >= LIGHT).mean()) if foreground.size else 0.0
    return Exposure(clipped_dark=round(float((grey <= DARK).mean()), 4), clipped_light=round(light, 4))


def _colours(picture: NDArray[np.uint8]) -> int:
    bins = (picture >> 4).astype(np.int32) @ np.array([256, 16, 1], dtype=np.int32)
    return int((np.bincount(bins.ravel()) >= max(1.0, COLOUR_SHARE * bins.size)).sum())
