"""draw(): what was seen, drawn on the picture. Boxes, text outlines and findings with their labels.

Each kind has one solid colour, so that a picture can be checked against its observation: pixels of that colour lie
exactly along the stored edges, and no label ever covers an edge.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from domain.moderation import Finding
from domain.observations import Observation

Colour = tuple[int, int, int]
Point = tuple[float, float]

OBJECT_COLOUR: Colour = (0, 200, 0)
TEXT_COLOUR: Colour = (0, 80, 255)
SECOND_TEXT_COLOUR: Colour = (160, 0, 200)  # a second reader's opinion of the text
FINDING_COLOUR: Colour = (255, 0, 0)

QUALITY = 90
LONGEST_LABEL = 40  # characters
LINE_SHARE = 250  # a line is 1/250 of the longer side, 2 px at least
FONT_SHARE = 45  # a label is 1/45 of the longer side high, 11 px at least


@dataclass(frozen=True, slots=True)
class Outline:
    """A closed shape to draw, in pixels of the picture; corners in order."""

    corners: tuple[Point, ...]
    label: str
    colour: Colour

    @property
    def left(self) -> float:
        return min(x for x, _ in self.corners)

    @property
    def top(self) -> float:
        return min(y for _, y in self.corners)

    @property
    def bottom(self) -> float:
        return max(y for _, y in self.corners)


def draw(image_bytes: bytes, seen: Observation, findings: Sequence[Finding]) -> bytes:
    """The picture with everything seen drawn on it, as a JPEG (quality 90, 4:4:4) of the picture's own size.

    Coordinates of `seen` are scaled when the picture has another size than was observed (a model copy of a large
    photo). Findings are drawn where their evidence names a place: "box" [x1, y1, x2, y2] or "quad" [8 numbers].
    """
    with Image.open(io.BytesIO(image_bytes), formats=["JPEG", "PNG"]) as opened:
        picture = opened.convert("RGB")
    shapes = outlines(seen, findings, picture.size)
    _draw_labels(picture, shapes)
    _draw_edges(picture, shapes)  # last, so that no label can cover an edge
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def line_width(size: tuple[int, int]) -> int:
    """Pixels of an edge on a picture of this size."""
    return max(2, round(max(size) / LINE_SHARE))


def outlines(seen: Observation, findings: Sequence[Finding], size: tuple[int, int]) -> list[Outline]:
    """Every shape as it is drawn on a picture of this size: objects, then text (a second reader's after
    the first's), then findings.

    Findings lie one line further in than what they are about, so that both stay visible.
    """
    scale = (size[0] / max(1, seen.width), size[1] / max(1, seen.height))
    width = line_width(size)
    shapes = [Outline(_corners(item.box), _labelled(item.label, item.score), OBJECT_COLOUR) for item in seen.objects]
    for lines, colour in ((seen.lines, TEXT_COLOUR), (seen.second_lines, SECOND_TEXT_COLOUR)):
        shapes += [Outline(_corners(line.quad), _labelled(line.text, line.score), colour) for line in lines]
    placed = [_within(_scaled(shape, scale), size, width // 2) for shape in shapes]
    found = [Outline(corners, label, FINDING_COLOUR) for corners, label in _places(findings)]
    return placed + [_shrunk(_within(_scaled(shape, scale), size, width // 2), width + 1) for shape in found]


def _corners(numbers: Sequence[float]) -> tuple[Point, ...]:
    """Four corners of a box (4 numbers) or a quad (8)."""
    if len(numbers) == 4:
        x1, y1, x2, y2 = numbers
        return ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _places(findings: Iterable[Finding]) -> list[tuple[tuple[Point, ...], str]]:
    """Where findings point at, each place once even if several channels name it."""
    places: dict[tuple[tuple[Point, ...], str], None] = {}
    for finding in findings:
        for evidence in finding.evidence:
            numbers = _place(evidence)
            if numbers is not None:
                places[(_corners(numbers), finding.policy_code)] = None
    return list(places)


def _place(evidence: Mapping[str, Any]) -> Sequence[float] | None:
    for name, count in (("quad", 8), ("box", 4)):
        value = evidence.get(name)
        if isinstance(value, list | tuple) and len(value) == count:
            return [float(number) for number in value]
    return None


def _labelled(text: str, score: float | None) -> str:
    """One line of printable text with its score; what was read in a picture is hostile data."""
    clean = "".join(letter if letter.isprintable() else " " for letter in text)
    short = clean if len(clean) <= LONGEST_LABEL else clean[: LONGEST_LABEL - 1] + "…"
    return short if score is None else f"{short} {score:.2f}"


def _scaled(shape: Outline, scale: tuple[float, float]) -> Outline:
    corners = tuple((x * scale[0], y * scale[1]) for x, y in shape.corners)
    return Outline(corners, shape.label, shape.colour)


def _within(shape: Outline, size: tuple[int, int], inset: int) -> Outline:
    """Moved into the picture, so that edges at its border keep their full width."""
    right, bottom = size[0] - 1 - inset, size[1] - 1 - inset
    corners = tuple((min(max(x, inset), right), min(max(y, inset), bottom)) for x, y in shape.corners)
    return Outline(corners, shape.label, shape.colour)


def _shrunk(shape: Outline, by: float) -> Outline:
    """Every corner moved towards the middle, by at most a third of the way."""
    middle = [sum(corner[axis] for corner in shape.corners) / len(shape.corners) for axis in (0, 1)]

    def inward(value: float, centre: float) -> float:
        step = min(by, abs(centre - value) / 3)
        return value + step if value < centre else value - step

    return Outline(
        tuple((inward(x, middle[0]), inward(y, middle[1])) for x, y in shape.corners), shape.label, shape.colour
    )


def _draw_edges(picture: Image.Image, shapes: Sequence[Outline]) -> None:
    canvas = ImageDraw.Draw(picture)
    width = line_width(picture.size)
    for shape in shapes:
        for start, end in pairwise([*shape.corners, shape.corners[0]]):
            canvas.line([start, end], fill=shape.colour, width=width)


def _draw_labels(picture: Image.Image, shapes: Sequence[Outline]) -> None:
    """White words on the shape's colour darkened: never the solid colour itself, which stands for edges alone."""
    canvas = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(11, round(max(picture.size) / FONT_SHARE)))
    margin = line_width(picture.size)
    taken: list[tuple[float, float, float, float]] = []
    for shape in shapes:
        if not shape.label:
            continue
        left, top, right, bottom = canvas.textbbox((0, 0), shape.label, font=font)
        plate = _free_plate(shape, right - left + 6, bottom - top + 6, margin, picture.size, taken)
        taken.append(plate)
        canvas.rectangle(plate, fill=(shape.colour[0] * 2 // 5, shape.colour[1] * 2 // 5, shape.colour[2] * 2 // 5))
        canvas.text((plate[0] + 3 - left, plate[1] + 3 - top), shape.label, fill="white", font=font)


def _free_plate(
    shape: Outline,
    width: float,
    height: float,
    margin: int,
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """A place for a label above, below or inside its shape that hides no other label, as far as there is one."""
    left = min(max(0.0, shape.left), max(0.0, size[0] - width))
    candidates = (shape.top - margin - height, shape.bottom + margin, shape.top + margin)
    plates = [
        (left, top, left + width, top + height)
        for top in (min(max(0.0, candidate), max(0.0, size[1] - height)) for candidate in candidates)
    ]
    return next((plate for plate in plates if not any(_overlap(plate, other) for other in taken)), plates[-1])


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
