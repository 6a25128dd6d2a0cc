"""How well an engine sees rendered scenes that no training stage met: other seeds, other photographs behind.

Everything goes through `FlorenceEngine.look`, the way of every photo, at 512 pixels.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from domain.observations import (
    Answer,
    Box,
    LinesAnswer,
    MasksAnswer,
    ObjectsAnswer,
    Observation,
    Plan,
    Question,
    Task,
    TextAnswer,
)
from worker.training.measures import Tally, edits, mask_overlap, named, overlap
from worker.training.synth import assets, scenes
from worker.training.synth.scenes import Rendered, Setting
from worker.training.synth.targets import caption
from worker.training.synth.vocabulary import classes
from worker.vision.engine import FlorenceEngine, Look

SEED = 900_001  # training stages use seeds below a thousand, samples and rendered files below 800,000
SIZE = 512
AT_ONCE = 8
HIT = 0.5  # overlap from which a box counts as found

Judge = Callable[[Rendered, Observation, Tally], None]


@dataclass(frozen=True)
class Exam:
    """A kind of scenes, what is asked about each, and how the answers are counted."""

    setting: Setting
    plan: Callable[[Rendered], Plan]
    judge: Judge
    count: int  # scenes


def take(engine: FlorenceEngine, exam: Exam, progress: Callable[[int], None] = lambda _: None) -> Tally:
    """All scenes of an exam, a few at a time; `progress` is told how many were done."""
    tally = Tally()
    for first in range(0, exam.count, AT_ONCE):
        some = [drawn(exam, index) for index in range(first, min(first + AT_ONCE, exam.count))]
        looks = [Look(one.picture, "", *one.picture.size, exam.plan(one)) for one in some]
        for one, seen in zip(some, engine.look(looks), strict=True):
            exam.judge(one, seen, tally)
        progress(len(some))
    return tally


def drawn(exam: Exam, index: int) -> Rendered:
    """Scene `index` of an exam; the same for every engine that takes it."""
    return scenes.render(scenes.sample(SEED, index, exam.setting), SIZE)


def objects_of(answer: Answer) -> list[tuple[str, Box]]:
    return [(item.label, item.box) for item in cast(ObjectsAnswer, answer).objects]


def true_boxes(rendered: Rendered) -> list[tuple[str, Box]]:
    """Names and boxes in pixels, the main object first."""
    width, height = rendered.picture.size
    sides = np.array([width, height, width, height])
    return [
        (item.kind.name, cast(Box, tuple(float(v) for v in box * sides)))
        for item, box in zip(rendered.scene.items, rendered.boxes, strict=True)
    ]


def judge_names_and_places(rendered: Rendered, seen: Observation, tally: Tally) -> None:
    items = rendered.scene.items
    said = named(seen.short_caption)
    main = items[0].kind.name in said
    tally.add("caption_main", main)
    tally.add(f"caption_main_{items[0].style}", main)
    tally.add(f"caption_main_{'photo' if rendered.scene.backdrop.colour is None else 'drawn'}_background", main)
    tally.add("caption_colour_and_name", f" {items[0].phrase} " in f" {seen.short_caption} ".replace(",", " "))
    if len(items) == 1:
        tally.add("caption_single_object", main)
    for item in items:
        tally.add("caption_objects", item.kind.name in said)
    true, found = true_boxes(rendered), objects_of(seen.results[Task.OD])
    for name, box in true:
        tally.add("od_recall", any(name == label and overlap(box, at) >= HIT for label, at in found))
        tally.add("od_recall_any_label", any(overlap(box, at) >= HIT for _, at in found))
    for label, at in found:
        tally.add("od_precision", any(name == label and overlap(box, at) >= HIT for name, box in true))


def judge_reading(rendered: Rendered, seen: Observation, tally: Tally) -> None:
    lines = rendered.scene.lines
    read = cast(TextAnswer, seen.results[Task.OCR]).text
    if not lines:
        tally.add("no_text_is_empty", not read)
        return
    judge_text(" ".join(line.text for line in lines), read, tally)
    found = cast(LinesAnswer, seen.results[Task.OCR_WITH_REGION]).lines
    for line, quad in zip(lines, rendered.quads, strict=True):
        box = box_of_quad(quad, rendered.picture.size)
        near = [one for one in found if overlap(box, box_around(one.quad)) >= HIT]
        tally.add("line_found", bool(near))
        if near:
            closest = min(edits(one.text, line.text) for one in near)
            tally.ratio("line_cer", min(len(line.text), closest), len(line.text))


def judge_text(text: str, read: str, tally: Tally) -> None:
    """One picture's text against what was read; an error rate is at most 1 a picture."""
    tally.ratio("cer", min(len(text), edits(read, text)), len(text))
    tally.ratio("cer_ignoring_case", min(len(text), edits(read.lower(), text.lower())), len(text))
    tally.add("exact", read == text)


def box_of_quad(quad: np.ndarray[tuple[int, ...], np.dtype[np.float32]], size: tuple[int, int]) -> Box:
    """The upright rectangle in pixels around a quad in shares of a picture of that size."""
    return box_around(cast("tuple[float, ...]", tuple((quad.reshape(4, 2) * np.array(size)).flatten())))


def box_around(quad: tuple[float, ...]) -> Box:
    """The upright rectangle around flat x, y points."""
    return (min(quad[::2]), min(quad[1::2]), max(quad[::2]), max(quad[1::2]))


def questions(rendered: Rendered) -> tuple[Question, ...]:
    """One present and one absent phrase, and every other task with an input about the main object."""
    rng = random.Random(rendered.scene.seed * 31 + rendered.scene.index)
    item, (name, box) = rendered.scene.items[0], true_boxes(rendered)[0]
    there = {one.kind.name for one in rendered.scene.items}
    absent = rng.choice([kind.name for kind in classes() if kind.name not in there])
    return (
        Question(Task.OPEN_VOCABULARY_DETECTION, absent),
        Question(Task.OPEN_VOCABULARY_DETECTION, name),
        Question(Task.CAPTION_TO_PHRASE_GROUNDING, caption(rendered)),
        Question(Task.REFERRING_EXPRESSION_SEGMENTATION, item.phrase),
        Question(Task.REGION_TO_SEGMENTATION, box),
        Question(Task.REGION_TO_CATEGORY, box),
        Question(Task.REGION_TO_DESCRIPTION, box),
    )


def judge_questions(rendered: Rendered, seen: Observation, tally: Tally) -> None:
    answers: Mapping[int, Answer] = {place: answer for place, (_, answer) in enumerate(seen.asked)}
    name, box = true_boxes(rendered)[0]
    tally.add("absent_phrase_is_empty", not objects_of(answers[0]))
    tally.add("present_phrase_is_found", any(overlap(box, at) >= HIT for _, at in objects_of(answers[1])))
    grounded = objects_of(answers[2])
    for true_name, true_box in true_boxes(rendered):
        hit = any(true_name in label and overlap(true_box, at) >= HIT for label, at in grounded)
        tally.add("grounding_recall", hit)
    mask = rendered.instances == 1
    for place, task in ((3, "referring_mask_iou"), (4, "region_mask_iou")):
        polygons = [polygon for one in cast(MasksAnswer, answers[place]).masks for polygon in one.polygons]
        tally.add(task, mask_overlap(polygons, mask))
    tally.add("region_category", cast(TextAnswer, answers[5]).text == name)
    tally.add("region_description_names", name in named(cast(TextAnswer, answers[6]).text))


def _all_free(_: Rendered) -> Plan:
    return Plan(tasks=(Task.CAPTION, Task.OD))


def _reading(_: Rendered) -> Plan:
    return Plan(tasks=(Task.OCR, Task.OCR_WITH_REGION))


def _asking(rendered: Rendered) -> Plan:
    return Plan(tasks=(), questions=questions(rendered))


FULL = Setting(held_out=True)
# "30 pixels or more": the height of capitals in a picture of 512.
LEVEL_TEXT = Setting(held_out=True, text=1.0, turned=0.0, capitals=(30 / 512, 0.2))


def exams(count: int) -> dict[str, Exam]:
    """What `shelfguard bench model` measures, with `count` scenes in the largest exam."""
    return {
        "scenes": Exam(FULL, _all_free, judge_names_and_places, count),
        "single": Exam(
            Setting(held_out=True, objects=(1.0,), text=0.2), _all_free, judge_names_and_places, max(1, count // 2)
        ),
        "unseen_style": Exam(
            Setting(held_out=True, objects=(1.0,), text=0.2, styles=(assets.UNSEEN,)),
            _all_free,
            judge_names_and_places,
            max(1, count // 2),
        ),
        "level_text": Exam(LEVEL_TEXT, _reading, judge_reading, max(1, count // 2)),
        "any_text": Exam(FULL, _reading, judge_reading, max(1, count // 2)),
        "questions": Exam(FULL, _asking, judge_questions, max(1, count // 2)),
    }
