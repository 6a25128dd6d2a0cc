"""The smoke test of a checkpoint: on eyes that answer as they are told, on random weights, and on the shipped ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from domain.observations import INPUT_FREE_TASKS, Engine, Task
from worker.vision.decoding import Generated
from worker.vision.engine import Asked, FlorenceEngine, Look
from worker.vision.parsing import Canvas, Reading, parse
from worker.vision.pieces import pieces_of
from worker.vision.plausible import CHECKS
from worker.vision.prompts import prompt_for, prompt_for_question
from worker.vision.smoke import ASKED_TASKS, Picture, Smoke, parted, sample_pictures, smoke

END = 0
BOX = "<loc_100><loc_200><loc_600><loc_700>"
ANSWERS = {
    Task.OCR: "",
    Task.OCR_WITH_REGION: f"SALE{BOX}{BOX}",
    Task.REGION_PROPOSAL: BOX,
    Task.OD: f"mug{BOX}",
    Task.DENSE_REGION_CAPTION: f"a red mug{BOX}",
    Task.CAPTION_TO_PHRASE_GROUNDING: f"mug{BOX}",
    Task.OPEN_VOCABULARY_DETECTION: f"mug{BOX}",
    Task.REFERRING_EXPRESSION_SEGMENTATION: f"{BOX}<loc_1><loc_2>",
    Task.REGION_TO_SEGMENTATION: f"{BOX}<loc_1><loc_2>",
    Task.REGION_TO_OCR: "",
}
Say = Callable[[Look, Task], str]


def usual(look: Look, task: Task) -> str:
    return ANSWERS.get(task, f"a mug of {look.sha256[:6]}")


class Told:
    """Eyes that say what they are told; letters are their tokens. calls: what was asked of them."""

    def __init__(self, say: Say = usual) -> None:
        self.engine = Engine("told@1", None, "1", "float32")
        self.calls: list[Sequence[Look]] = []
        self._say = say

    def generate(self, looks: Sequence[Look]) -> list[tuple[Asked, Generated]]:
        self.calls.append(looks)
        return [(item, self._answer(looks[item.look], item)) for item in asked(looks)]

    def _answer(self, look: Look, item: Asked) -> Generated:
        tokens = (*map(ord, self._say(look, item.prompt.task)), END)
        return Generated(tokens, tuple(-(token % 97) / 100 for token in tokens))  # other letters, other numbers

    def read(self, look: Look, item: Asked, generated: Generated) -> Reading:
        raw = "".join(map(chr, generated.tokens[:-1]))
        steps = (0, len(generated.tokens))
        pieces = [replace(piece, steps=steps) for piece in pieces_of(raw)]
        return parse(item.prompt.task, pieces, Canvas(look.width, look.height, generated.log_probs), item.prompt.phrase)

    def finished(self, generated: Generated) -> bool:
        return generated.tokens[-1:] == (END,)


def asked(looks: Sequence[Look]) -> list[Asked]:
    items = []
    for number, look in enumerate(looks):
        items += [Asked(number, prompt_for(task), None) for task in look.plan.tasks]
        items += [
            Asked(number, prompt_for_question(question, look.width, look.height), question)
            for question in look.plan.questions
        ]
    return items


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return sample_pictures(3)


def test_a_model_that_answers_sensibly_passes(pictures: list[Picture]) -> None:
    result = smoke(Told(), pictures)
    assert result.ok and not result.failures
    assert [item.task for item in result.answers] == [*INPUT_FREE_TASKS, *ASKED_TASKS] * 3
    document = result.as_json()
    assert document["ok"] and {check["name"] for check in document["checks"]} == set(CHECKS)
    detection = next(item for item in document["answers"] if item["task"] == "open_vocabulary_detection")
    assert detection["input"] == pictures[0].phrase and detection["objects"][0]["label"] == "mug"


def test_it_looks_twice_together_and_once_task_by_task(pictures: list[Picture]) -> None:
    eyes = Told()
    told: list[tuple[int, int]] = []
    smoke(eyes, pictures, lambda done, total: told.append((done, total)))
    assert [len(call) for call in eyes.calls] == [3, 3, *[1] * 15]
    assert told == [(done, 17) for done in range(1, 18)]


def failures(pictures: list[Picture], say: Say) -> Smoke:
    result = smoke(Told(say), pictures)
    assert not result.ok and not result.as_json()["ok"]
    return result


def test_an_implausible_answer_is_named_with_its_picture_and_task(pictures: list[Picture]) -> None:
    second = pictures[1]

    def say(look: Look, task: Task) -> str:
        return "" if look.sha256 == second.sha256 and task is Task.CAPTION else usual(look, task)

    result = failures(pictures, say)
    assert list(result.failures) == ["says something"]
    assert result.failures["says something"] == [f"{second.name} caption: empty"]
    failed = [item for item in result.as_json()["answers"] if item["failed"]]
    assert [(item["picture"], item["task"]) for item in failed] == [(second.name, "caption")]


def test_a_model_that_does_not_look(pictures: list[Picture]) -> None:
    result = failures(pictures, lambda look, task: ANSWERS.get(task, "a mug on a table"))
    assert set(result.failures) == {"looks"}


def test_a_model_that_answers_otherwise_the_second_time(pictures: list[Picture]) -> None:
    moods = iter([*["calm"] * 45, *["cross"] * 1000])

    def say(look: Look, task: Task) -> str:
        mood = next(moods)
        return f"a mug for {look.sha256[:4]}, {mood}" if task is Task.MORE_DETAILED_CAPTION else usual(look, task)

    result = failures(pictures, say)
    assert set(result.failures) == {"same twice", "batch as single"}
    assert "more_detailed_caption: from token" in result.failures["same twice"][0]


def test_a_model_whose_neighbours_leak(pictures: list[Picture]) -> None:
    def say(look: Look, task: Task) -> str:
        alone = len(look.plan.tasks) + len(look.plan.questions) == 1
        return f"sword{BOX}" if task is Task.OD and alone else usual(look, task)

    result = failures(pictures, say)
    assert result.failures == {"batch as single": [f"{pictures[0].name} od: from token 1 on"]}


def test_answers_may_part_at_a_near_tie() -> None:
    ours, theirs = Generated((5, 6), (-0.5, -0.7)), Generated((5, 7), (-0.5, -0.7001))
    assert parted(ours, theirs, near_tie=1e-3) is None
    assert parted(ours, theirs, near_tie=0.0) == 1
    assert parted(ours, replace(theirs, log_probs=(-0.5, -2.0)), near_tie=1e-3) == 1
    assert parted(ours, Generated((5,), (-0.5,)), near_tie=1e-3) == 1


def test_two_answers_that_are_both_sure_are_no_tie() -> None:
    assert parted(Generated((6,), (-0.01,)), Generated((7,), (-0.01,)), near_tie=1e-3) == 0


def test_random_weights_run_through_every_task_and_are_reproducible(
    tiny_engine: FlorenceEngine, pictures: list[Picture]
) -> None:
    result = smoke(tiny_engine, pictures[:2])
    assert len(result.answers) == 30
    assert not {"same twice", "batch as single"} & set(result.failures)
    assert "parses" in result.failures or "ends" in result.failures, "noise should not pass"


def test_the_shipped_weights_look_and_end(shipped: str, pictures: list[Picture]) -> None:
    result = smoke(FlorenceEngine.load(shipped, device="cpu", dtype="float32", threads=1), pictures)
    assert not {"looks", "ends", "same twice", "batch as single", "scores", "printable"} & set(result.failures)


def test_sample_pictures_are_spread_and_can_be_asked_about() -> None:
    assert [picture.name[:2] for picture in sample_pictures(4)] == ["01", "09", "17", "25"]
    assert len(sample_pictures(1000)) == len(list((Path(__file__).parents[3] / "worker/samples").glob("*.jpg")))
    with pytest.raises(ValueError, match="At least one"):
        sample_pictures(0)
