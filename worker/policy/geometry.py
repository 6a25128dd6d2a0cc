"""How much of one outline lies in others, by points spread evenly over it. Outlines are in pixels, origin top left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

Point = tuple[float, float]
ALONG, ACROSS = 12, 4  # points over a line of text; a share is exact to about 1 / 48

Region = Callable[[Point], bool]


# For each point, how much of each corner it has (bilinear interpolation).
_WEIGHTS = [
    ((1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v)
    for v in ((row + 0.5) / ACROSS for row in range(ACROSS))
    for u in ((column + 0.5) / ALONG for column in range(ALONG))
]


def points_in(quad: Sequence[float]) -> Iterator[Point]:
    """Evenly over a four-cornered outline x, y, x, y ..."""
    x1, y1, x2, y2, x3, y3, x4, y4 = quad
    for a, b, c, d in _WEIGHTS:
        yield a * x1 + b * x2 + c * x3 + d * x4, a * y1 + b * y2 + c * y3 + d * y4


def share_inside(quad: Sequence[float], regions: Sequence[Region]) -> float:
    """Share in 0..1 of the outline that lies in any of the regions."""
    inside = sum(any(region(point) for region in regions) for point in points_in(quad))
    return inside / (ALONG * ACROSS)


def box_region(box: Sequence[float]) -> Region:
    """x1, y1, x2, y2; the edge counts as inside."""
    x1, y1, x2, y2 = box
    return lambda point: x1 <= point[0] <= x2 and y1 <= point[1] <= y2


def polygon_region(flat: Sequence[float]) -> Region:
    """A polygon as a flat x, y, x, y list, by the even-odd rule."""
    xs, ys = flat[0::2], flat[1::2]
    sides = [(xs[i - 1], ys[i - 1], xs[i], ys[i]) for i in range(len(ys))]

    def holds(point: Point) -> bool:
        x, y = point
        crossed = 0
        for ax, ay, bx, by in sides:
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                crossed += 1
        return crossed % 2 == 1

    return holds


def union_share(boxes: Sequence[Sequence[float]], width: float, height: float) -> float:
    """Share in 0..1 of a picture under boxes, overlaps counted once: exact, over the grid of all their edges."""
    clipped = [
        (max(0.0, x1), max(0.0, y1), min(width, x2), min(height, y2)) for x1, y1, x2, y2 in boxes if x2 > x1 and y2 > y1
    ]
    xs = sorted({edge for box in clipped for edge in (box[0], box[2])})
    area = 0.0
    for left, right in pairwise(xs):
        spans = sorted((y1, y2) for x1, y1, x2, y2 in clipped if x1 <= left and x2 >= right)
        area += (right - left) * _covered(spans)
    return min(1.0, area / (width * height)) if width > 0 and height > 0 else 0.0


def _covered(spans: Sequence[tuple[float, float]]) -> float:
    total, reached = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
