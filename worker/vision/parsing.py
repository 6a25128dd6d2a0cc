"""Parsing: pieces of a generated answer to a typed answer in pixels of the upright image.

The grammar (Florence-2's, as its processor documents it):

    box task    label <x1><y1><x2><y2> [<x1>...]*        further groups of four repeat the label
    line task   text  <x1><y1> ... <x4><y4>              eight places: a quadrilateral
    mask task   [label] [<poly>] <x><y>... [<sep> <x><y>...] [</poly>]
    text task   words; places among them are no part of the text

Nothing is lost without a trace: whatever fits no answer comes back in `Reading.leftovers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from domain.observations import (
    Answer,
    Box,
    DetectedObject,
    LinesAnswer,
    Mask,
    MasksAnswer,
    ObjectsAnswer,
    Quad,
    Task,
    TextAnswer,
    TextLine,
)
from worker.vision.pieces import PLACES, Kind, Piece
from worker.vision.scores import Certainty, Steps, mean_probability

OBJECT_TASKS = frozenset(
    {
        Task.OD,
        Task.DENSE_REGION_CAPTION,
        Task.REGION_PROPOSAL,
        Task.CAPTION_TO_PHRASE_GROUNDING,
        Task.OPEN_VOCABULARY_DETECTION,
    }
)
MASK_TASKS = frozenset({Task.REFERRING_EXPRESSION_SEGMENTATION, Task.REGION_TO_SEGMENTATION})

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, how sure each of its items is (same order), and the raw pieces that fitted nowhere."""

    answer: Answer
    certainties: tuple[Certainty, ...]
    leftovers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Canvas:
    """Size of the upright image in pixels, and the log-probability of each decoding step (empty: no scores)."""

    width: int
    height: int
    log_probs: Sequence[float] = ()

    def point(self, x: Piece, y: Piece) -> Point:
        """The middle of the two bins, within the image."""
        return (_pixel(x.place, self.width), _pixel(y.place, self.height))

    def points(self, places: Sequence[Piece]) -> list[Point]:
        """Whole pairs only; a last single place is ignored."""
        return [self.point(x, y) for x, y in zip(places[::2], places[1::2], strict=False)]

    def certainty(self, label: Sequence[Steps], places: Sequence[Piece]) -> Certainty:
        return Certainty(
            mean_probability(self.log_probs, label),
            mean_probability(self.log_probs, (place.steps for place in places)),
        )


@dataclass(slots=True)
class Group:
    """A label and everything that follows it up to the next label."""

    label: str = ""
    label_steps: list[Steps] = field(default_factory=list)
    tail: list[Piece] = field(default_factory=list)

    def places(self) -> list[Piece]:
        return [piece for piece in self.tail if piece.kind is Kind.PLACE]

    def raw(self) -> str:
        return self.label + "".join(piece.text for piece in self.tail)


def parse(task: Task, pieces: Sequence[Piece], canvas: Canvas, phrase: str = "") -> Reading:
    """Read one answer. Never raises on what a model may have written.

    `phrase` names masks the model left without a label, as it does for a referring expression.
    """
    if task is Task.OCR_WITH_REGION:
        return _lines(pieces, canvas)
    if task in OBJECT_TASKS:
        return _objects(pieces, canvas, unlabelled=task is Task.REGION_PROPOSAL)
    if task in MASK_TASKS:
        return _masks(pieces, canvas, phrase)
    return _text(pieces, canvas)


def groups(pieces: Sequence[Piece]) -> Iterator[Group]:
    """Cut at every label. White space between places starts no label."""
    group = Group()
    for piece in pieces:
        if piece.kind is not Kind.TEXT:
            group.tail.append(piece)
            continue
        words = one_line(piece.text)
        if not words:
            continue
        if group.tail:
            yield group
            group = Group()
        group.label = f"{group.label} {words}" if group.label else words
        group.label_steps.append(piece.steps)
    if group.label or group.tail:
        yield group


def one_line(text: str) -> str:
    """White space of any kind, line ends too, becomes one space."""
    return " ".join(text.split())


def _text(pieces: Sequence[Piece], canvas: Canvas) -> Reading:
    runs = [piece for piece in pieces if piece.kind is Kind.TEXT]
    text = " ".join(run.text.strip() for run in runs).strip()
    # Saying nothing is an answer too, as sure as the few tokens that said so: start and end.
    spans = [run.steps for run in runs] if text else [(0, len(canvas.log_probs))]
    certainty = Certainty(mean_probability(canvas.log_probs, spans))
    leftovers = tuple(piece.text for piece in pieces if piece.kind is not Kind.TEXT)
    return Reading(TextAnswer(text, certainty.score), (certainty,), leftovers)


def _objects(pieces: Sequence[Piece], canvas: Canvas, unlabelled: bool) -> Reading:
    found: list[DetectedObject] = []
    certainties: list[Certainty] = []
    leftovers: list[str] = []
    for group in groups(pieces):
        if not group.label and not unlabelled:
            leftovers.append(group.raw())
            continue
        whole, rest = _outlines(group)
        for places in whole:
            certainty = canvas.certainty(group.label_steps, places)
            found.append(DetectedObject(group.label, _around(canvas.points(places)), certainty.score))
            certainties.append(certainty)
        if rest or not whole:
            leftovers.append((group.label if not whole else "") + "".join(piece.text for piece in rest))
    return Reading(ObjectsAnswer(tuple(found)), tuple(certainties), tuple(leftovers))


def _outlines(group: Group) -> tuple[list[list[Piece]], list[Piece]]:
    """The places of each object of a group, and those left over.

    Where the model drew polygons instead of boxes (open vocabulary may), each instance is one outline.
    """
    if any(piece.kind is Kind.MARK for piece in group.tail):
        outlines = [[place for polygon in instance for place in polygon] for instance in _instances(group.tail)]
        whole = [places for places in outlines if len(places) >= 4]
        return whole, [place for places in outlines if len(places) < 4 for place in places]
    return _chunks(group.places(), 4)


def _lines(pieces: Sequence[Piece], canvas: Canvas) -> Reading:
    found: list[TextLine] = []
    certainties: list[Certainty] = []
    leftovers: list[str] = []
    for group in groups(pieces):
        if not group.label:
            leftovers.append(group.raw())
            continue
        whole, rest = _chunks(group.places(), 8)
        for places in whole or [rest]:
            certainty = canvas.certainty(group.label_steps, places)
            found.append(TextLine(group.label, _quad(places, canvas), certainty.score))
            certainties.append(certainty)
        if rest:
            leftovers.append("".join(piece.text for piece in rest))
    return Reading(LinesAnswer(tuple(found)), tuple(certainties), tuple(leftovers))


def _quad(places: Sequence[Piece], canvas: Canvas) -> Quad:
    """The quadrilateral of eight places. Of a broken group: the rectangle around the points that are there, or the
    whole image when there is none, because words that were read must reach the rules even if their place did not."""
    if len(places) == 8:
        return cast(Quad, tuple(value for point in canvas.points(places) for value in point))
    points = canvas.points(places)
    left, top, right, bottom = _around(points) if points else (0.0, 0.0, float(canvas.width), float(canvas.height))
    return (left, top, right, top, right, bottom, left, bottom)


def _masks(pieces: Sequence[Piece], canvas: Canvas, phrase: str) -> Reading:
    found: list[Mask] = []
    certainties: list[Certainty] = []
    leftovers: list[str] = []
    for group in groups(pieces):
        drawn = _instances(group.tail)
        instances = [kept for instance in drawn if (kept := [polygon for polygon in instance if len(polygon) >= 6])]
        for polygons in instances:
            outlines = (canvas.points(polygon) for polygon in polygons)
            flat = tuple(tuple(value for point in outline for value in point) for outline in outlines)
            found.append(Mask(group.label or phrase, flat))
            every_place = [place for polygon in polygons for place in polygon]
            certainties.append(canvas.certainty(group.label_steps, every_place))
        short = [place for instance in drawn for polygon in instance if len(polygon) < 6 for place in polygon]
        if short or not instances:
            leftovers.append((group.label if not instances else "") + "".join(piece.text for piece in short))
    return Reading(MasksAnswer(tuple(found)), tuple(certainties), tuple(leftovers))


def _instances(tail: Sequence[Piece]) -> list[list[list[Piece]]]:
    """Instances of polygons of places: <poly> and </poly> part instances, <sep> parts polygons."""
    instances: list[list[list[Piece]]] = [[[]]]
    for piece in tail:
        if piece.kind is Kind.PLACE:
            instances[-1][-1].append(piece)
        elif piece.text == "<sep>":
            instances[-1].append([])
        else:
            instances.append([[]])
    return instances


def _chunks(places: list[Piece], size: int) -> tuple[list[list[Piece]], list[Piece]]:
    whole = len(places) - len(places) % size
    return [places[start : start + size] for start in range(0, whole, size)], places[whole:]


def _pixel(place: int, side: int) -> float:
    return min(max((place + 0.5) * side / PLACES, 0.0), float(side))


def _around(points: Sequence[Point]) -> Box:
    """The upright rectangle around points; also puts the corners of a turned box in order."""
    across, down = zip(*points, strict=True)
    return (min(across), min(down), max(across), max(down))
