"""Fitting a calibration curve to raw scores and whether their answers were right.

Two ways, both monotone: isotonic regression over bins of equal mass (Zadrozny & Elkan 2002), which takes any shape and
much data, and a logistic curve over log-odds (Platt 1999), which takes two numbers. Which of them to use is decided by
cross-validation within the data to fit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from domain.calibration import Curve, Knot
from worker.training.certainty import Sample, calibration_error

FEWEST = 30  # samples; of fewer nothing is concluded
FOLDS = 5
MOST_BINS = 12  # of the isotonic curve, so that a curve is a few points
FULL_BIN = 12  # samples at least
STEEPEST = 14.0  # log-odds; beyond it float16 knows no probabilities
STEPS = 48  # straight pieces that a logistic curve is first drawn in
CLOSE = 0.002  # so far off a knot may be left out
DIGITS = 6


def best(samples: Sequence[Sample], ways: Sequence[str] = ("isotonic", "logistic")) -> tuple[str, Curve] | None:
    """The way whose curve is best on samples it was not fitted to, and its curve of all samples; None of too few."""
    if len(samples) < FEWEST:
        return None
    way = min(ways, key=lambda name: _validated(name, samples))
    return way, WAYS[way](samples)


def _validated(way: str, samples: Sequence[Sample]) -> float:
    """Calibration error over all folds, each read by the curve of the others."""
    read: list[Sample] = []
    for fold in range(FOLDS):
        curve = WAYS[way]([one for place, one in enumerate(samples) if place % FOLDS != fold])
        read += [(curve(score), right) for score, right in samples[fold::FOLDS]]
    return calibration_error(read)


def isotonic(samples: Sequence[Sample]) -> Curve:
    """Monotone over the means of bins of equal mass."""
    ordered = sorted(samples)
    bins = max(1, min(MOST_BINS, len(ordered) // FULL_BIN))
    parts = [ordered[len(ordered) * part // bins : len(ordered) * (part + 1) // bins] for part in range(bins)]
    raw = np.array([np.mean([score for score, _ in part]) for part in parts])
    # One success and one failure more (Laplace): a bin of twelve cannot say "never" or "always".
    share = np.array([(sum(right for _, right in part) + 1) / (len(part) + 2) for part in parts])
    mass = np.array([len(part) for part in parts])
    read = IsotonicRegression(y_min=0.0, y_max=1.0).fit(raw, share, sample_weight=mass).predict(raw)
    return _curve(raw, read)


def logistic(samples: Sequence[Sample]) -> Curve:
    """Platt's curve over log-odds, drawn in straight pieces; level where the scores say nothing."""
    right = np.array([one for _, one in samples], dtype=int)
    odds = np.array([_log_odds(score) for score, _ in samples])[:, None]
    slope = 0.0
    if 0 < right.sum() < len(right):
        fitted = LogisticRegression(C=1e3, max_iter=1000).fit(odds, right)
        slope, offset = float(fitted.coef_[0][0]), float(fitted.intercept_[0])
    if slope <= 0:
        return Curve(((0.5, round(float(right.sum() + 1) / (len(right) + 2), DIGITS)),))
    grid = np.linspace(-STEEPEST, STEEPEST, STEPS + 1)
    return _curve(1 / (1 + np.exp(-grid)), 1 / (1 + np.exp(-(slope * grid + offset))))


def _log_odds(score: float) -> float:
    least = 1 / (1 + math.exp(STEEPEST))
    inside = min(max(score, least), 1 - least)
    return math.log(inside / (1 - inside))


def _curve(raw: np.ndarray, read: np.ndarray) -> Curve:
    """Rounded, each raw value once, never falling, with the knots it needs."""
    knots: dict[float, float] = {}
    for x, y in zip(np.round(raw, DIGITS), np.round(read, DIGITS), strict=True):
        knots[float(x)] = max([min(1.0, float(y)), *knots.values()])
    return Curve(_needed(tuple(knots.items())))


def _needed(knots: tuple[Knot, ...]) -> tuple[Knot, ...]:
    """The ends, and between them what a straight line would miss (Ramer 1972, Douglas & Peucker 1973)."""
    if len(knots) < 3:
        return knots
    straight = Curve((knots[0], knots[-1]))
    farthest = max(range(1, len(knots) - 1), key=lambda place: abs(straight(knots[place][0]) - knots[place][1]))
    if abs(straight(knots[farthest][0]) - knots[farthest][1]) < CLOSE:
        return (knots[0], knots[-1])
    return _needed(knots[: farthest + 1])[:-1] + _needed(knots[farthest:])


WAYS = {"isotonic": isotonic, "logistic": logistic}
