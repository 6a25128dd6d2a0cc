"""Signals about where the product is, and what text lies on it and beside it.

Where the product is comes from the best that there is, and each says which: "mask" (polygons that were asked for),
"objects" (boxes of detected objects), "pixels" (what a flood over plain ground does not reach), or "" (nothing).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.inspection import Inspection
from domain.observations import MasksAnswer, TextLine
from worker.policy.geometry import box_region, polygon_region, share_inside, union_share
from worker.policy.signals.registry import SHARE, Field, Item, Kind, signal
from worker.policy.signals.subject import MOST_ITEMS, Subject
from worker.policy.signals.writing import is_print, quad_area

SURE = 0.3  # score of a box that may be the product
SMALLEST = 0.01  # of the picture; smaller boxes are things lying about
MOST_REGIONS = 20
PLAIN = 0.5  # of the picture's edge in the ground's colours; below it there is no plain ground to flood

PRODUCT = Item(
    "product",
    (
        Field("share", Kind.NUMBER, SHARE, "of the picture: foreground pixels on plain ground, else its boxes"),
        Field("extent", Kind.NUMBER, SHARE, "the longer of its sides, as a share of that side of the picture"),
        Field("edges", Kind.COUNT, "", "of the picture's four edges, how many it touches"),
        Field("source", Kind.TEXT, "", "pixels, objects, or empty where nothing says where the product is"),
    ),
)
PLACED = Item(
    "placed_text",
    (
        Field("text", Kind.TEXT, "", "as read"),
        Field("quad", Kind.NUMBERS, "px", "corners x, y clockwise from the text's top left"),
        Field("share", Kind.NUMBER, SHARE, "of the picture's area"),
        Field("inside", Kind.NUMBER, SHARE, "of the line that lies on the product"),
        Field("source", Kind.TEXT, "", "what says where the product is: mask, objects, pixels, or empty"),
    ),
)


@signal(PRODUCT, cost=40, optional=True)
def product(subject: Subject) -> dict[str, Any] | None:
    """How much of the frame the product fills. Not measured for photos from before there were inspections."""
    found = subject.photo.inspection
    if found is None:
        return None
    if found.background.plain >= PLAIN:
        seen = found.foreground
        return {"share": seen.share, "extent": seen.extent, "edges": seen.edges, "source": "pixels"}
    boxes = _boxes(subject)
    if not boxes:
        return {"share": 0.0, "extent": 0.0, "edges": 0, "source": ""}
    width, height = float(max(1, subject.seen.width)), float(max(1, subject.seen.height))
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    near = 0.01  # boxes are read off a grid of a thousand steps
    return {
        "share": round(union_share(boxes, width, height), 4),
        "extent": round(min(1.0, max((right - left) / width, (bottom - top) / height)), 4),
        "edges": (left <= near * width)
        + (top <= near * height)
        + (right >= (1 - near) * width)
        + (bottom >= (1 - near) * height),
        "source": "objects",
    }


@signal(PLACED, many=True, cost=350)
def placed_text(subject: Subject) -> list[dict[str, Any]]:
    """Lines of more than one letter with how much of each lies on the product: a label does, an added banner not."""
    return _placed(subject.seen.lines, subject)


@signal(Kind.NUMBER, unit=SHARE, cost=5)
def text_share_outside(subject: Subject) -> float:
    """Share of the picture under text that is not on the product; where nothing says where that is, under all text.

    Of two readers, what the one says that saw more.
    """
    return max(_outside(subject.once(placed_text)), _outside(_placed(subject.seen.second_lines, subject)))


def _outside(placed: list[dict[str, Any]]) -> float:
    return round(min(1.0, sum((line["share"] * (1 - line["inside"]) for line in placed), 0.0)), 6)


def _placed(read: Sequence[TextLine], subject: Subject) -> list[dict[str, Any]]:
    lines = [line for line in read if is_print(line.text)]
    if not lines:
        return []
    source, regions = _where(subject)
    return [
        {
            "text": line.text,
            "quad": list(line.quad),
            "share": round(min(1.0, quad_area(line.quad) / subject.area), 6),
            "inside": round(share_inside(line.quad, regions), 4) if regions else 0.0,
            "source": source,
        }
        for line in lines[:MOST_ITEMS]
    ]


def _where(subject: Subject) -> tuple[str, list[Any]]:
    masks = [answer for _, answer in subject.seen.asked if isinstance(answer, MasksAnswer)]
    polygons = [polygon for answer in masks for mask in answer.masks for polygon in mask.polygons if len(polygon) >= 6]
    if polygons:
        return "mask", [polygon_region(polygon) for polygon in polygons[:MOST_REGIONS]]
    if boxes := _boxes(subject):
        return "objects", [box_region(box) for box in boxes]
    if box := _pixel_box(subject.photo.inspection, subject):
        return "pixels", [box_region(box)]
    return "", []


def _boxes(subject: Subject) -> list[tuple[float, float, float, float]]:
    """Of objects that may be the product, the largest first."""
    boxes = [item.box for item in subject.seen.objects if item.score is None or item.score >= SURE]
    areas = {box: (box[2] - box[0]) * (box[3] - box[1]) / subject.area for box in boxes}
    large = [box for box in dict.fromkeys(boxes) if areas[box] >= SMALLEST]
    return sorted(large, key=lambda box: (-areas[box], box))[:MOST_REGIONS]


def _pixel_box(found: Inspection | None, subject: Subject) -> tuple[float, float, float, float] | None:
    """The largest foreground piece, in the observation's pixels; only on plain ground, and where there is one."""
    if found is None or found.background.plain < PLAIN or not found.foreground.share:
        return None
    left, top, right, bottom = found.foreground.box
    width, height = subject.seen.width, subject.seen.height
    return (left * width, top * height, right * width, bottom * height)
