"""What two readers of one photo's text agree on: the same words at the same place."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

from domain.observations import Box, Quad, TextLine

# Of the smaller outline that must lie in the other. Readers draw outlines more or less tightly around the letters, so
# that the usual intersection over union would tell narrow lines apart that are one.
OVERLAP = 0.5


def agreed_lines(first: Sequence[TextLine], second: Sequence[TextLine]) -> tuple[TextLine, ...]:
    """Lines of the first reader that the second read too, in the first's order.

    Words are equal when their letters and digits are, whatever case, spaces and punctuation; a line agrees with one
    line only. Text and place are the first reader's, the score is the lower of the two.
    """
    left: dict[str, list[TextLine]] = {}
    for line in second:
        left.setdefault(letters(line.text), []).append(line)
    agreed = []
    for line in first:
        candidates = left.get(letters(line.text), []) if letters(line.text) else []
        if nearest := max(candidates, key=lambda other: overlap(line.quad, other.quad), default=None):
            if overlap(line.quad, nearest.quad) < OVERLAP:
                continue
            candidates.remove(nearest)
            agreed.append(replace(line, score=_lower(line.score, nearest.score)))
    return tuple(agreed)


def letters(text: str) -> str:
    """Letters and digits alone, compatibility forms undone (Unicode NFKC), case folded."""
    return "".join(char for char in unicodedata.normalize("NFKC", text).casefold() if char.isalnum())


def overlap(one: Quad, other: Quad) -> float:
    """Share in 0..1 of the smaller upright outline that lies in the other; 0 for one without area."""
    a, b = _upright(one), _upright(other)
    shared = _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    smaller = min(_area(a), _area(b))
    return shared / smaller if smaller else 0.0


def _upright(quad: Quad) -> Box:
    return (min(quad[0::2]), min(quad[1::2]), max(quad[0::2]), max(quad[1::2]))


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _lower(one: float | None, other: float | None) -> float | None:
    scores = [score for score in (one, other) if score is not None]
    return min(scores, default=None)
