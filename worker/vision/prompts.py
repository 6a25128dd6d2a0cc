"""Prompts: a task and its input to the sentence that Florence-2 was trained on, and the length its answer may have.

The sentences are those of `Florence2Processor`; a test compares them. We send them ourselves because the processor
finds tasks by substring, so that a phrase holding `<OCR>` raises and one holding `<image>` breaks the whole batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from domain.observations import REGION_INPUT_TASKS, Box, Question, Task
from worker.vision.pieces import PLACES

SENTENCES: Mapping[Task, str] = {
    Task.CAPTION: "What does the image describe?",
    Task.DETAILED_CAPTION: "Describe in detail what is shown in the image.",
    Task.MORE_DETAILED_CAPTION: "Describe with a paragraph what is shown in the image.",
    Task.OCR: "What is the text in the image?",
    Task.OCR_WITH_REGION: "What is the text in the image, with regions?",
    Task.OD: "Locate the objects with category name in the image.",
    Task.DENSE_REGION_CAPTION: "Locate the objects in the image, with their descriptions.",
    Task.REGION_PROPOSAL: "Locate the region proposals in the image.",
    Task.CAPTION_TO_PHRASE_GROUNDING: "Locate the phrases in the caption: {input}",
    Task.OPEN_VOCABULARY_DETECTION: "Locate {input} in the image.",
    Task.REFERRING_EXPRESSION_SEGMENTATION: "Locate {input} in the image with mask",
    Task.REGION_TO_SEGMENTATION: "What is the polygon mask of region {input}",
    Task.REGION_TO_CATEGORY: "What is the region {input}?",
    Task.REGION_TO_DESCRIPTION: "What does the region {input} describe?",
    Task.REGION_TO_OCR: "What text is in the region {input}?",
    Task.VQA: "{input}",  # the processor knows no such task: the question itself is the prompt
}

# Tokens an answer may have. Generous: a cut answer loses words, and a row that ended costs nothing.
# None means as many as the model has positions.
LIMITS: Mapping[Task, int | None] = {
    Task.CAPTION: 64,
    Task.DETAILED_CAPTION: 128,
    Task.MORE_DETAILED_CAPTION: 256,
    Task.REGION_TO_CATEGORY: 32,
    Task.REGION_TO_DESCRIPTION: 64,
    Task.REGION_TO_OCR: 128,
    Task.VQA: 64,
}

# Tokens an answer commonly has. Nothing depends on it but which rows are decoded together: rows that end at about the
# same step keep a batch full until its end.
USUAL: Mapping[Task, int] = {
    Task.CAPTION: 15,
    Task.DETAILED_CAPTION: 50,
    Task.MORE_DETAILED_CAPTION: 90,
    Task.OCR: 75,
    Task.OCR_WITH_REGION: 75,
    Task.OD: 60,
    Task.DENSE_REGION_CAPTION: 70,
    Task.REGION_PROPOSAL: 60,
    Task.CAPTION_TO_PHRASE_GROUNDING: 30,
    Task.OPEN_VOCABULARY_DETECTION: 15,
    Task.REFERRING_EXPRESSION_SEGMENTATION: 90,
    Task.REGION_TO_SEGMENTATION: 90,
    Task.REGION_TO_CATEGORY: 8,
    Task.REGION_TO_DESCRIPTION: 15,
    Task.REGION_TO_OCR: 15,
    Task.VQA: 8,
}

_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row of a batch before it becomes tokens. `phrase` is the cleaned phrase, empty for other tasks."""

    task: Task
    text: str
    phrase: str = ""

    def limit(self, positions: int) -> int:
        """Tokens the answer may have in a decoder with that many positions (one is the start token's)."""
        return min(LIMITS.get(self.task) or positions, positions - 1)


def prompt_for(task: Task) -> Prompt:
    """The prompt of a task without input. Raises ValueError for one that needs an input."""
    sentence = SENTENCES[task]
    if "{input}" in sentence:
        raise ValueError(f"Task {task.value} needs a phrase or a region; ask it as a question.")
    return Prompt(task, sentence)


def prompt_for_question(question: Question, width: int, height: int) -> Prompt:
    """The prompt of a task with input; a region is pixels of the upright image of that size.

    Raises ValueError when the task takes no input, or the other kind of input.
    """
    sentence = SENTENCES[question.task]
    if "{input}" not in sentence:
        raise ValueError(f"Task {question.task.value} takes no input; put it among the plan's tasks.")
    if question.task in REGION_INPUT_TASKS:
        if isinstance(question.input, str):
            raise ValueError(f"Task {question.task.value} asks about a region: give x1,y1,x2,y2 in pixels.")
        return Prompt(question.task, sentence.replace("{input}", place_tokens(question.input, width, height)))
    if not isinstance(question.input, str):
        raise ValueError(f"Task {question.task.value} asks about a phrase, not a region.")
    phrase = clean_phrase(question.input)
    return Prompt(question.task, sentence.replace("{input}", phrase), phrase)


def clean_phrase(phrase: str) -> str:
    """A seller's or a rule's words without anything that could be a special token: every `<...>` goes.

    Repeated until nothing changes, because `<im<x>age>` would leave `<image>` behind. A lone `<` stays.
    """
    text = phrase.encode("utf-8", "ignore").decode("utf-8")
    while (shorter := _TAG.sub(" ", text)) != text:
        text = shorter
    return " ".join(text.split())


def place_tokens(box: Box, width: int, height: int) -> str:
    """A region as four place tokens. Raises ValueError on no numbers."""
    return "".join(f"<loc_{place}>" for place in places_of(box, width, height))


def places_of(box: Box, width: int, height: int) -> tuple[int, ...]:
    """A region as four places: floor(x / (W / 1000)) clamped to 0..999. Raises ValueError on no numbers."""
    if not all(math.isfinite(value) for value in box):
        raise ValueError(f"A region needs four finite numbers, not {box}.")
    sides = (width, height, width, height)
    return tuple(
        min(max(math.floor(value * PLACES / side), 0), PLACES - 1) for value, side in zip(box, sides, strict=True)
    )
