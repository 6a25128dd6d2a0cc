"""Calibration: raw scores of a model to probabilities of being right. Raw scores are stored; this is how they are read.

A score is what the model's token probabilities gave; how often an answer with that score is right has to be measured
(Guo et al. 2017, arXiv:1706.04599), for each task, for the weights at hand. Fitting needs labelled pictures and lives
with training; what comes out of it is a monotone curve of a few points, which anybody can apply.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

VERIFIED = "verified"  # beside the names of tasks: the curve of verified scores
# Florence-2 finds whatever it is asked for. Below this a hit counts as not there, unless a calibration says otherwise.
VERIFIED_MIN = 0.3

Knot = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A monotone map of 0..1 into 0..1: straight between its knots (raw, calibrated), level before and after them.

    Raises ValueError when the raw values do not rise, the calibrated ones fall, or any lies outside 0..1.
    """

    knots: tuple[Knot, ...]

    def __post_init__(self) -> None:
        if not self.knots or any(not 0 <= value <= 1 for knot in self.knots for value in knot):
            raise ValueError("A curve needs knots, and all their values within 0..1.")
        for (raw, read), (later_raw, later_read) in zip(self.knots, self.knots[1:], strict=False):
            if later_raw <= raw or later_read < read:
                raise ValueError(f"A curve must rise: {(later_raw, later_read)} comes after {(raw, read)}.")

    def __call__(self, raw: float) -> float:
        after = bisect_right(self.knots, raw, key=lambda knot: knot[0])
        if after == 0:
            return self.knots[0][1]
        if after == len(self.knots):
            return self.knots[-1][1]
        (left, low), (right, high) = self.knots[after - 1], self.knots[after]
        # Between its ends whatever rounding does, so that the map stays monotone.
        return min(high, low + (high - low) * ((raw - left) / (right - left)))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an observation's scores are read by.

    version: names the fit; receipts carry it. curves: by task name, and VERIFIED; a task without one keeps its raw
    scores. verified_min: the verified score from which an open-vocabulary object counts as there, as raw as the
    observation's scores are.
    """

    version: str
    curves: Mapping[str, Curve] = field(default_factory=dict)
    verified_min: float = VERIFIED_MIN

    def read(self, kind: str, raw: float | None) -> float | None:
        """The calibrated score of a task's answer; the raw one where nothing was fitted, None where there is none."""
        curve = self.curves.get(kind)
        return raw if raw is None or curve is None else curve(raw)

    def only(self, kinds: Iterable[str]) -> Calibration:
        """With those curves alone that these kinds of answers need."""
        wanted = set(kinds)
        curves = {kind: curve for kind, curve in self.curves.items() if kind in wanted}
        return Calibration(self.version, curves, self.verified_min)

    def applied(self) -> Calibration:
        """What is left once scores were read by it, so that nobody can read them a second time."""
        threshold = self.read(VERIFIED, self.verified_min)
        assert threshold is not None, "a number that is read is a number"
        return Calibration(self.version, {}, threshold)

    def as_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "curves": {kind: [list(knot) for knot in curve.knots] for kind, curve in self.curves.items()},
            "verified_min": self.verified_min,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of `as_json`. Raises KeyError, TypeError or ValueError on anything else."""
        curves = {kind: curve_from_json(knots) for kind, knots in data["curves"].items()}
        return cls(str(data["version"]), curves, float(data["verified_min"]))


def curve_from_json(knots: Iterable[Iterable[Any]]) -> Curve:
    """Raises TypeError or ValueError where these are no knots of a curve."""
    pairs = []
    for knot in knots:
        raw, read = knot
        pairs.append((float(raw), float(read)))
    return Curve(tuple(pairs))
