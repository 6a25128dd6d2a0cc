"""How surprising a count is: a binomial test of a rule's recent matches against its own history."""

from __future__ import annotations

import math

from domain.quality import wilson

LEAST_JUDGED = 100  # photos lately; fewer prove nothing
LEAST_HISTORY = 500  # photos before
_Z = 3.29  # of the history's own uncertainty: 99.9 %


def surprise(matched: int, judged: int, matched_before: int, judged_before: int) -> float:
    """The probability, in 0..1, of a count this far from the history's rate or further, if the rate had not changed.

    One-sided in the direction of the change, doubled. The history's rate is not known exactly either, so the end of
    its confidence interval (Wilson, 1927) nearest to the recent rate stands for it: a short history alarms nobody.
    1.0 where there is too little to say anything.
    """
    if judged < LEAST_JUDGED or judged_before < LEAST_HISTORY:
        return 1.0
    low, high = wilson(matched_before, judged_before, _Z)
    rate = matched / judged
    if low <= rate <= high:
        return 1.0
    tail = _upper_tail(matched, judged, high) if rate > high else _upper_tail(judged - matched, judged, 1 - low)
    return min(1.0, 2 * tail)


def _upper_tail(count: int, total: int, rate: float) -> float:
    """P(X >= count) of a binomial whose mean lies below count: terms only get smaller, so few are needed."""
    if rate <= 0.0:
        return 0.0 if count > 0 else 1.0
    if rate >= 1.0:
        return 1.0
    term = math.exp(
        math.lgamma(total + 1)
        - math.lgamma(count + 1)
        - math.lgamma(total - count + 1)
        + count * math.log(rate)
        + (total - count) * math.log1p(-rate)
    )
    tail = 0.0
    for number in range(count, total + 1):
        tail += term
        if term <= tail * 1e-15:
            break
        term *= (total - number) / (number + 1) * rate / (1 - rate)
    return min(1.0, tail)
