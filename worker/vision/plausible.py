"""Plausibility: what a right model never answers, whatever is in the picture.

One answer at a time, without knowing what would be true. Each check has a name; what it means when it fails, and what
to do, stands in CHECKS.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.observations import (
    Answer,
    LinesAnswer,
    MasksAnswer,
    ObjectsAnswer,
    Task,
    TextAnswer,
)
from worker.vision.parsing import Reading

CAPTIONS = (Task.CAPTION, Task.DETAILED_CAPTION, Task.MORE_DETAILED_CAPTION)
ALWAYS_WORDS = (*CAPTIONS, Task.REGION_TO_CATEGORY, Task.REGION_TO_DESCRIPTION)

FLAT_SHARE = 0.1  # of an answer's boxes may be without area: a right model draws one now and then
REPEATED_WORDS = 3  # in a row
REPEATED_SHARE = 0.5  # of such runs may have come before
FEW = 8  # words or items in which a repetition means nothing

_AGAIN = (
    "Try SHELFGUARD_DTYPE=float32 to rule precision out, then convert or download the checkpoint again. "
    "A task that was not trained can be left out of the plan."
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a failed check means, and what to do about it."""

    means: str
    remedy: str


CHECKS = {
    "parses": Meaning(
        "Answers do not follow the grammar of their tasks: a task was not trained, or tokenizer and weights disagree.",
        _AGAIN,
    ),
    "ends": Meaning(
        "Answers run on to the limit instead of ending: the decoder is broken, or numbers overflow.", _AGAIN
    ),
    "inside": Meaning(
        "Places lie outside the picture: the tokenizer's place tokens are not those of training.", _AGAIN
    ),
    "not flat": Meaning("Boxes or masks without area: the model does not know places.", _AGAIN),
    "says something": Meaning(
        "Captions or descriptions without a word: a task was not trained, or the decoder is broken.", _AGAIN
    ),
    "no repetition": Meaning(
        "Answers repeat themselves: usual for weights of another model, or of half precision that overflowed.", _AGAIN
    ),
    "printable": Meaning("Text with characters that no text has: the tokenizer is another's.", _AGAIN),
    "scores": Meaning("Scores that are no probabilities: numbers overflow.", "Use SHELFGUARD_DTYPE=float32."),
    "looks": Meaning(
        "Every picture gets the same caption: the picture does not reach the words (vision tower or projector).", _AGAIN
    ),
    "same twice": Meaning(
        "The same pictures got other answers the second time: records would not be reproducible.",
        "Look for faulty memory, or another program that uses the device; then report it.",
    ),
    "batch as single": Meaning(
        "A task in a batch got another answer than alone: neighbours leak into each other.",
        "Do not use this checkpoint in production; report it with this output.",
    ),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """One failed check (a key of CHECKS) of one answer, and what was seen."""

    check: str
    seen: str


def troubles(task: Task, reading: Reading, finished: bool, width: int, height: int) -> list[Trouble]:
    """What is implausible in one answer. width, height: of the picture in pixels, the answer's places are in them."""
    answer = reading.answer
    found = list(_grammar(task, reading, finished)) + list(_scores(answer))
    for words in texts(answer):
        found += _words(words)
    if isinstance(answer, TextAnswer):
        if task in ALWAYS_WORDS and not answer.text.strip():
            found.append(Trouble("says something", "empty"))
    else:
        found += _places(outlines(answer), width, height)
        found += _items(answer)
    return found


def texts(answer: Answer) -> list[str]:
    """Every text in an answer."""
    if isinstance(answer, TextAnswer):
        return [answer.text]
    if isinstance(answer, ObjectsAnswer):
        return [item.label for item in answer.objects]
    if isinstance(answer, LinesAnswer):
        return [line.text for line in answer.lines]
    return [mask.label for mask in answer.masks]


def outlines(answer: Answer) -> list[tuple[float, ...]]:
    """Every outline as flat x, y, x, y: boxes by their two corners."""
    if isinstance(answer, ObjectsAnswer):
        return [item.box for item in answer.objects]
    if isinstance(answer, LinesAnswer):
        return [line.quad for line in answer.lines]
    if isinstance(answer, MasksAnswer):
        return [polygon for mask in answer.masks for polygon in mask.polygons]
    return []


def _grammar(task: Task, reading: Reading, finished: bool) -> Iterator[Trouble]:
    if not finished:
        yield Trouble("ends", "cut off at the limit")
    # In a text answer places are no mistake: the original repeats the region it was asked about.
    broken, whole = len(reading.leftovers), len(reading.certainties)
    if not isinstance(reading.answer, TextAnswer) and broken > whole:
        yield Trouble("parses", f"{broken} groups fit nowhere, {whole} were read: {shortened(reading.leftovers[0])}")


def _scores(answer: Answer) -> Iterator[Trouble]:
    if isinstance(answer, TextAnswer):
        scores = [answer.score]
    elif isinstance(answer, ObjectsAnswer):
        scores = [item.score for item in answer.objects]
    elif isinstance(answer, LinesAnswer):
        scores = [line.score for line in answer.lines]
    else:
        return
    wrong = [score for score in scores if score is not None and not 0 <= score <= 1]
    if wrong or (isinstance(answer, TextAnswer) and answer.score is None):
        yield Trouble("scores", f"{wrong[0] if wrong else 'none'}")


def _words(text: str) -> Iterator[Trouble]:
    strange = sorted({letter for letter in text if letter == "\N{REPLACEMENT CHARACTER}" or not _plain(letter)})
    if strange:
        yield Trouble("printable", f"{''.join(strange)!a} in {shortened(text)}")
    if repeats(text.split(), REPEATED_WORDS):
        yield Trouble("no repetition", shortened(text))


def _plain(letter: str) -> bool:
    # Emoji are joined by a zero-width joiner, which Python does not call printable.
    return letter.isprintable() or letter == "\N{ZERO WIDTH JOINER}"


def repeats(items: Sequence[str], run: int) -> bool:
    """Whether most runs of that many items have come before."""
    runs = [tuple(items[start : start + run]) for start in range(len(items) - run + 1)]
    return len(items) >= FEW and len(set(runs)) < len(runs) * REPEATED_SHARE


def _items(answer: Answer) -> Iterator[Trouble]:
    """The same label at the same place again and again."""
    shown = [f"{text} {outline}" for text, outline in zip(texts(answer), outlines(answer), strict=False)]
    if not isinstance(answer, MasksAnswer) and repeats(shown, 1):
        yield Trouble("no repetition", f"{len(shown)} items, {len(set(shown))} different")


def _places(shapes: Sequence[tuple[float, ...]], width: int, height: int) -> Iterator[Trouble]:
    outside = [shape for shape in shapes if not _inside(shape, width, height)]
    if outside:
        yield Trouble("inside", f"{[round(number, 1) for number in outside[0][:8]]} in {width} x {height}")
    flat = [shape for shape in shapes if _area(shape) <= 0]
    if len(flat) > len(shapes) * FLAT_SHARE:
        yield Trouble("not flat", f"{len(flat)} of {len(shapes)}")


def _inside(shape: Sequence[float], width: int, height: int) -> bool:
    return all(0 <= x <= width for x in shape[::2]) and all(0 <= y <= height for y in shape[1::2])


def _area(shape: Sequence[float]) -> float:
    """Of the upright rectangle around the points; NaN counts as none."""
    area = (max(shape[::2]) - min(shape[::2])) * (max(shape[1::2]) - min(shape[1::2]))
    return area if math.isfinite(area) else 0.0


def shortened(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[:length]}…"
