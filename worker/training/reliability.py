"""Reliability diagrams: how often answers are right against how sure they were said to be, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from domain.calibration import Calibration
from worker.training.certainty import Sample, binned, calibration_error, read_by

COLUMNS = 3
INCHES = 3.2  # of one diagram, both ways
BEFORE, AFTER = "tab:gray", "tab:blue"
FULLEST = 160.0  # area of the mark of a bin that holds everything, square points


def draw(file: Path, kinds: Mapping[str, Sequence[Sample]], calibration: Calibration) -> None:
    """One diagram for each kind of answer as a PNG picture; marks grow with the answers in their bin."""
    shown = {kind: samples for kind, samples in kinds.items() if samples}
    columns = max(1, min(COLUMNS, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(INCHES * columns, INCHES * rows), layout="constrained")
    for place, (kind, samples) in enumerate(shown.items(), start=1):
        _diagram(figure.add_subplot(rows, columns, place), kind, samples, read_by(calibration, kind, samples))
    figure.savefig(file, format="png", dpi=120)


def _diagram(axes: Axes, kind: str, before: Sequence[Sample], after: Sequence[Sample]) -> None:
    axes.plot((0, 1), (0, 1), color="black", linewidth=0.8)
    for samples, colour, name in ((before, BEFORE, "raw"), (after, AFTER, "calibrated")):
        bins = binned(samples)
        sure = [sum(score for score, _ in one) / len(one) for one in bins]
        right = [sum(was_right for _, was_right in one) / len(one) for one in bins]
        sizes = [FULLEST * len(one) / len(samples) + 4 for one in bins]
        axes.scatter(sure, right, sizes, colour, label=f"{name}, error {calibration_error(samples):.3f}")
    axes.set_title(f"{kind} ({len(before)})", fontsize=9)
    axes.set_xlabel("said to be right", fontsize=8)
    axes.set_ylabel("right", fontsize=8)
    axes.legend(fontsize=7, loc="upper left")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
