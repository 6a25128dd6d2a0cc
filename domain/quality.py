"""Numbers about people's decisions: agreement beyond chance, and shares with their confidence intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054  # of the normal distribution, two-sided 95 %


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`, with the 95 % interval in 0..1; without a rate where nothing was counted."""

    count: int
    total: int

    @property
    def rate(self) -> float | None:
        return self.count / self.total if self.total else None

    def as_json(self) -> dict[str, float | int | None]:
        low, high = wilson(self.count, self.total)
        return {"count": self.count, "total": self.total, "rate": self.rate, "low": low, "high": high}


def wilson(count: int, total: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a binomial share (Wilson, 1927); (0, 1) where nothing was counted."""
    if total <= 0:
        return 0.0, 1.0
    share, squared = count / total, z * z
    centre = (share + squared / (2 * total)) / (1 + squared / total)
    half = z / (1 + squared / total) * math.sqrt(share * (1 - share) / total + squared / (4 * total * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def clopper_pearson(count: int, total: int, alpha: float = 0.05) -> tuple[float, float]:
    """The exact interval of a binomial share (Clopper and Pearson, 1934): never covers less than it says."""
    if total <= 0:
        return 0.0, 1.0
    low = 0.0 if count == 0 else _root(lambda p: 1.0 - _at_most(count - 1, total, p) - alpha / 2)
    high = 1.0 if count == total else _root(lambda p: alpha / 2 - _at_most(count, total, p))
    return low, high


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Agreement of two people beyond chance (Cohen, 1960): 1 perfect, 0 as chance would, below 0 worse.

    None without pairs, and where both always gave one same answer: chance explains everything then.
    """
    total = len(pairs)
    if not total:
        return None
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    chance = sum(first[answer] * second[answer] for answer in first) / total**2
    if chance >= 1.0:
        return None
    observed = sum(one == other for one, other in pairs) / total
    return (observed - chance) / (1.0 - chance)


def _at_most(count: int, total: int, rate: float) -> float:
    """P(X <= count) of a binomial."""
    if rate <= 0.0:
        return 1.0
    if rate >= 1.0:
        return 1.0 if count >= total else 0.0
    ways = math.lgamma(total + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(
                ways
                - math.lgamma(k + 1)
                - math.lgamma(total - k + 1)
                + k * math.log(rate)
                + (total - k) * math.log1p(-rate)
            )
            for k in range(count + 1)
        ),
    )


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of 0..1 crosses zero, by halving."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
