"""What was put around or between pictures: frames, bars, the gutters of a collage: straight uniform lines.

A frame is told from plain ground by what lies just inside: a frame ends along its whole length at once, ground ends
only where the product is. A rectangular thing that fills its plain ground evenly (a book cut out on white) looks the
same as a photo in a white frame; pixels cannot tell, so a rule should look at the frame's colour too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domain.inspection import Frame
from worker.intake.regions import mean_colour

SAME = 12  # levels; lines of one colour inside a picture stray no farther
FRAMED = 24  # levels; a thin frame strays farther, as JPEG blocks mix the colours of what it frames into it
UNIFORM = 0.97  # of a line that must be of its colour
OTHER = 32  # levels; what differs by more is not of the frame's colour
ENDS_AT_ONCE = 0.8  # of the line inside a frame that must differ from it
THICKEST = 0.25  # of the picture's side; beyond it is ground, not a frame
BLEND = 12  # lines beside a frame into which JPEG's blocks may mix its colour
BETWEEN = 0.6  # of the lines beside a gutter that must differ from it
WIDEST_GUTTER = 0.1  # of the side
SMALLEST_PANEL = 0.12  # of the whole picture's side
DEEPEST = 3  # cuts within cuts
Levels = NDArray[np.int16]


def find_frame(picture: Levels) -> Frame:
    """Of an RGB picture, (height, width, 3), some 512 pixels a side."""
    top, bottom = _margin(picture), _margin(picture[::-1])
    upright = picture.transpose(1, 0, 2)[:, top : picture.shape[0] - bottom]
    left, right = _margin(upright), _margin(upright[::-1])
    inner = picture[top : picture.shape[0] - bottom, left : picture.shape[1] - right]
    if min(inner.shape[:2]) < 8:
        return Frame()
    bands = {
        "top": picture[:top],
        "bottom": picture[picture.shape[0] - bottom :],
        "left": upright[:left],
        "right": upright[upright.shape[0] - right :],
    }
    ends = {
        "top": inner,
        "bottom": inner[::-1],
        "left": inner.transpose(1, 0, 2),
        "right": inner.transpose(1, 0, 2)[::-1],
    }
    sides = [name for name, band in bands.items() if band.size and _ends_at_once(band, ends[name])]
    sides = _matching(sides, bands)
    if not sides:
        return Frame()
    thickest = max(bands[name].shape[0] for name in sides)
    colour = mean_colour(np.concatenate([bands[name].reshape(-1, 3) for name in sides]).astype(np.uint8))
    return Frame(len(sides), round(thickest / min(picture.shape[:2]), 4), colour)


def count_panels(picture: Levels) -> int:
    """Pictures that straight gutters divide this one into; 1 for a single picture. Cuts within cuts are followed."""
    return _panels(picture, (picture.shape[0], picture.shape[1]), DEEPEST)


def _margin(lines: Levels) -> int:
    """How many lines from the first on are of the first one's colour; 0 where that goes on too far."""
    limit = int(lines.shape[0] * THICKEST)
    if not limit or not lines.shape[1]:
        return 0
    colour = np.median(lines[0], axis=0).astype(np.int16)
    uniform = _uniform(lines[: limit + 1, ::2], colour, FRAMED)
    return 0 if uniform.all() else int(uniform.argmin())


def _uniform(lines: Levels, colour: Levels, most: int = SAME) -> NDArray[np.bool_]:
    """Which lines are of one colour nearly everywhere; `colour` is one for all, or one for each line."""
    same = np.abs(lines - colour).max(axis=2) <= most
    uniform: NDArray[np.bool_] = same.mean(axis=1) >= UNIFORM
    return uniform


def _ends_at_once(band: Levels, inner: Levels) -> bool:
    """Whether one of the first lines inside differs from the band nearly everywhere; the very first are a blend."""
    colour = np.median(band.reshape(-1, 3), axis=0)
    return any((np.abs(line - colour).max(axis=1) > OTHER).mean() >= ENDS_AT_ONCE for line in inner[:BLEND])


def _matching(sides: list[str], bands: dict[str, Levels]) -> list[str]:
    """All four of one colour, else a pair of opposite ones."""
    colours = {name: np.median(bands[name].reshape(-1, 3), axis=0) for name in sides}
    for wanted in (("top", "bottom", "left", "right"), ("top", "bottom"), ("left", "right")):
        if all(name in colours for name in wanted):
            found = np.array([colours[name] for name in wanted])
            if np.ptp(found, axis=0).max() <= 2 * SAME:
                return list(wanted)
    return []


def _panels(picture: Levels, whole: tuple[int, int], depth: int) -> int:
    if not depth:
        return 1
    for axis in (0, 1):
        lines = picture if axis == 0 else picture.transpose(1, 0, 2)
        smallest = int(whole[axis] * SMALLEST_PANEL)
        if pieces := _cut(lines, smallest):
            turned = [piece if axis == 0 else piece.transpose(1, 0, 2) for piece in pieces]
            return sum(_panels(piece, whole, depth - 1) for piece in turned)
    return 1


def _cut(lines: Levels, smallest: int) -> list[Levels]:
    """The pieces between gutters that run across all lines; empty without a gutter."""
    every_fourth = lines[:, ::4]  # rules most lines out at a small cost
    uniform = _uniform(every_fourth, every_fourth.mean(axis=1, keepdims=True, dtype=np.float32).astype(np.int16))
    kept = lines[uniform]
    if not kept.size:
        return []
    colours = np.zeros((lines.shape[0], 3), dtype=np.int16)
    colours[uniform] = np.median(kept, axis=1).astype(np.int16)
    uniform[uniform] = _uniform(kept, colours[uniform][:, None])
    pieces, at = [], 0
    for start, end in _bands(uniform, colours):
        if start - at >= smallest and lines.shape[0] - end >= smallest and _is_gutter(lines, start, end):
            pieces.append(lines[at:start])
            at = end
    return [*pieces, lines[at:]] if pieces else []


def _bands(uniform: NDArray[np.bool_], colours: Levels) -> list[tuple[int, int]]:
    """Stretches of uniform lines of one colour: plain ground that meets a gutter does not belong to it."""
    jump = np.abs(np.diff(colours, axis=0)).max(axis=1) > SAME
    broken = np.concatenate([[True], jump | (uniform[1:] != uniform[:-1])])
    starts = np.flatnonzero(broken).tolist()
    ends = [*starts[1:], uniform.size]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if uniform[start]]


def _is_gutter(lines: Levels, start: int, end: int) -> bool:
    if end - start > max(2, int(lines.shape[0] * WIDEST_GUTTER)):
        return False
    colour = np.median(lines[start:end].reshape(-1, 3), axis=0)
    beside = [lines[max(0, start - BLEND) : start], lines[end : end + BLEND]]
    return all(any((np.abs(line - colour).max(axis=1) > OTHER).mean() >= BETWEEN for line in near) for near in beside)
