"""What a right model never answers: one case for each check, and the odd but right answers beside it."""

from __future__ import annotations

import pytest

from domain.observations import (
    Answer,
    DetectedObject,
    LinesAnswer,
    Mask,
    MasksAnswer,
    ObjectsAnswer,
    Task,
    TextAnswer,
    TextLine,
)
from worker.vision.parsing import Reading
from worker.vision.plausible import CHECKS, troubles
from worker.vision.scores import Certainty

WIDTH, HEIGHT = 200, 100
MUG = DetectedObject("mug", (10.0, 10.0, 60.0, 50.0), 0.9)


def failed(task: Task, answer: Answer, *, leftovers: tuple[str, ...] = (), finished: bool = True) -> set[str]:
    items = getattr(answer, "objects", getattr(answer, "lines", getattr(answer, "masks", ())))
    reading = Reading(answer, (Certainty(),) * len(items), leftovers)
    found = {trouble.check for trouble in troubles(task, reading, finished, WIDTH, HEIGHT)}
    assert found <= set(CHECKS)
    return found


def mugs(*boxes: tuple[float, float, float, float]) -> ObjectsAnswer:
    return ObjectsAnswer(tuple(DetectedObject("mug", box, 0.9) for box in boxes))


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (Task.CAPTION, TextAnswer("a red café mug — 商品 👩‍🍳 < 5 €", 0.9)),
        (Task.OCR, TextAnswer("", 1.0)),
        (Task.OD, ObjectsAnswer(())),
        (Task.OD, ObjectsAnswer((MUG,) * 3)),
        (Task.REGION_PROPOSAL, ObjectsAnswer((DetectedObject("", (0.0, 0.0, 200.0, 100.0), None),))),
        (Task.OCR_WITH_REGION, LinesAnswer((TextLine("SALE", (0, 0, 9, 0, 9, 9, 0, 9), 0.5),))),
        (Task.REFERRING_EXPRESSION_SEGMENTATION, MasksAnswer((Mask("mug", ((0, 0, 9, 0, 9, 9),)),))),
        (Task.DETAILED_CAPTION, TextAnswer("a cup on a table and a cup on a chair and a cup on a shelf", 0.5)),
    ],
)
def test_right_answers(task: Task, answer: Answer) -> None:
    assert failed(task, answer) == set()


def test_an_answer_that_never_ends() -> None:
    assert failed(Task.CAPTION, TextAnswer("a mug", 0.9), finished=False) == {"ends"}


def test_answers_that_fit_no_grammar() -> None:
    assert failed(Task.OD, ObjectsAnswer(()), leftovers=("mug<loc_1>",)) == {"parses"}
    assert failed(Task.OD, ObjectsAnswer((MUG,)), leftovers=("mug<loc_1>",)) == set()
    assert failed(Task.REGION_TO_CATEGORY, TextAnswer("mug", 0.9), leftovers=("<loc_1>", "<loc_2>")) == set()


@pytest.mark.parametrize("task", [Task.CAPTION, Task.MORE_DETAILED_CAPTION, Task.REGION_TO_DESCRIPTION])
def test_captions_without_a_word(task: Task) -> None:
    assert failed(task, TextAnswer(" ", 0.9)) == {"says something"}


@pytest.mark.parametrize("text", ["the " * 12, "a mug on a table, " * 8])
def test_captions_that_repeat_themselves(text: str) -> None:
    assert failed(Task.CAPTION, TextAnswer(text, 0.9)) == {"no repetition"}


def test_the_same_box_again_and_again() -> None:
    assert failed(Task.OD, ObjectsAnswer((MUG,) * 9)) == {"no repetition"}
    different = [(float(left), 10.0, left + 20.0, 50.0) for left in range(9)]
    assert failed(Task.OD, mugs(*different)) == set()


@pytest.mark.parametrize("text", ["caf\N{REPLACEMENT CHARACTER}", "mug\x00", "a\x1b[31mmug"])
def test_characters_that_no_text_has(text: str) -> None:
    assert failed(Task.OCR, TextAnswer(text, 0.9)) == {"printable"}
    assert failed(Task.OD, ObjectsAnswer((DetectedObject(text, MUG.box, 0.9),))) == {"printable"}


@pytest.mark.parametrize("box", [(-1.0, 10.0, 60.0, 50.0), (10.0, 10.0, 60.0, 101.0), (10.0, 10.0, float("nan"), 50.0)])
def test_places_outside_the_picture(box: tuple[float, float, float, float]) -> None:
    assert "inside" in failed(Task.OD, mugs(box))


def test_boxes_without_area_beyond_one_in_ten() -> None:
    flat = (10.0, 10.0, 10.0, 50.0)
    good = [(float(left), 10.0, left + 20.0, 50.0) for left in range(10)]
    assert failed(Task.OD, mugs(flat)) == {"not flat"}
    assert failed(Task.OD, mugs(*good, flat)) == set()
    quad = (5.0, 5.0, 9.0, 5.0, 9.0, 5.0, 5.0, 5.0)
    assert failed(Task.OCR_WITH_REGION, LinesAnswer((TextLine("SALE", quad, 0.5),))) == {"not flat"}


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan")])
def test_scores_that_are_no_probabilities(score: float) -> None:
    assert failed(Task.CAPTION, TextAnswer("a mug", score)) == {"scores"}
    assert failed(Task.OD, ObjectsAnswer((DetectedObject("mug", MUG.box, score),))) == {"scores"}


def test_a_caption_without_any_score() -> None:
    """The engine leaves it out when the numbers overflowed."""
    assert failed(Task.CAPTION, TextAnswer("a mug", None)) == {"scores"}
