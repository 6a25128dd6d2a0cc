"""Scores: how sure the model was, from the probabilities of the tokens it chose.

A label and its places are kept apart: the first says what it is, the second how exactly it lies. Both are
exponentiated means of log-probabilities, so that long answers are not punished for their length (the measure of
`compute_transition_scores` in the original Florence-2 code, there for the places of boxes alone).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Steps = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Certainty:
    """Probabilities in 0..1, uncalibrated; None where the answer has no such tokens."""

    label: float | None = None
    location: float | None = None

    @property
    def score(self) -> float | None:
        """The public score: of the words where there are any, else of the places (region proposals, masks).

        Not their product: a place is one of a thousand neighbours of which several are right, so its probability
        is low even for a perfect box and would drown what a rule asks, "is it that thing?".
        """
        return self.label if self.label is not None else self.location


def mean_probability(log_probs: Sequence[float], spans: Iterable[Steps]) -> float | None:
    """exp(mean log-probability) of the steps in half-open spans; None without steps or without numbers."""
    chosen = [log_probs[step] for first, last in spans for step in range(first, min(last, len(log_probs)))]
    if not chosen:
        return None
    mean = math.fsum(chosen) / len(chosen)
    return min(1.0, math.exp(mean)) if math.isfinite(mean) else None
