"""Smoke test of a checkpoint: every task on pictures, and whether the answers can be those of a model that works.

For people who bring weights of their own. It knows no right answers; it notices weights, tokenizer and configuration
that do not belong together, broken conversions and precision that overflows. It goes through the engine's public
doors only, so what it sees is what a worker would get.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

import worker
from domain.observations import (
    INPUT_FREE_TASKS,
    REGION_INPUT_TASKS,
    Answer,
    Box,
    Engine,
    Plan,
    Question,
    Task,
    TextAnswer,
)
from worker.vision.decoding import Generated
from worker.vision.engine import Asked, Look
from worker.vision.parsing import Reading
from worker.vision.plausible import CHECKS, Trouble, shortened, troubles

SAMPLES = Path(worker.__file__).parent / "samples"
PICTURES = 4
TOGETHER = 4  # pictures in one call
# Two answers may part where the two likeliest tokens are that close: sums in another order. Natural log.
NEAR_TIE = {"float32": 1e-3, "bfloat16": 0.2}
HALF = math.log(0.5)

PHRASE_TASKS = (
    Task.CAPTION_TO_PHRASE_GROUNDING,
    Task.OPEN_VOCABULARY_DETECTION,
    Task.REFERRING_EXPRESSION_SEGMENTATION,
)
ASKED_TASKS = (*PHRASE_TASKS, *REGION_INPUT_TASKS)


class Eyes(Protocol):
    """What is needed of worker.vision.engine.FlorenceEngine."""

    engine: Engine

    def generate(self, looks: Sequence[Look]) -> list[tuple[Asked, Generated]]: ...

    def read(self, look: Look, item: Asked, generated: Generated) -> Reading: ...

    def finished(self, generated: Generated) -> bool: ...


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to look at, and what to ask about it: a phrase, a region in its pixels."""

    name: str
    image: Image.Image
    sha256: str
    phrase: str
    region: Box


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of one picture. asked: the phrase or region, None for a task without one."""

    picture: str
    task: Task
    asked: str | Box | None
    answer: Answer
    troubles: tuple[Trouble, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "picture": self.picture,
            "task": self.task.value,
            "input": list(self.asked) if isinstance(self.asked, tuple) else self.asked,
            **self.answer.as_json(),
            "failed": [{"check": trouble.check, "seen": trouble.seen} for trouble in self.troubles],
        }


@dataclass(slots=True)
class Smoke:
    """All answers, and what failed where. failures: by check, one line for each place where it failed."""

    engine: Engine
    answers: list[Answered] = field(default_factory=list)
    failures: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.failures

    def fail(self, check: str, where: str) -> None:
        assert check in CHECKS
        self.failures.setdefault(check, []).append(where)

    def as_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "engine": self.engine.as_json(),
            "checks": [
                {
                    "name": name,
                    "ok": name not in self.failures,
                    "failed": self.failures.get(name, []),
                    "means": meaning.means,
                    "remedy": meaning.remedy,
                }
                for name, meaning in CHECKS.items()
            ],
            "answers": [answer.as_json() for answer in self.answers],
        }


def sample_pictures(count: int = PICTURES, folder: Path = SAMPLES) -> list[Picture]:
    """That many of the shipped pictures, spread over all of them; each asked about the thing that is in it.

    Raises ValueError for a count below one.
    """
    if count < 1:
        raise ValueError("At least one picture is needed.")
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    chosen = [rows[number * len(rows) // min(count, len(rows))] for number in range(min(count, len(rows)))]
    return [_picture(folder / row["file"], row["expect"]["objects"][0]) for row in chosen]


def _picture(file: Path, thing: dict[str, Any]) -> Picture:
    content = file.read_bytes()
    x1, y1, x2, y2 = thing["box"]
    return Picture(
        file.name, Image.open(file).convert("RGB"), hashlib.sha256(content).hexdigest(), thing["name"], (x1, y1, x2, y2)
    )


def smoke(eyes: Eyes, pictures: Sequence[Picture], progress: Callable[[int, int], None] | None = None) -> Smoke:
    """Run every task on every picture, some of it again, and check what comes out.

    progress: called with the engine's calls done and in all. Raises what FlorenceEngine.look raises.
    """
    looks = [_look(picture) for picture in pictures]
    chunks = [looks[start : start + TOGETHER] for start in range(0, len(looks), TOGETHER)]
    single = list(_one_by_one(looks[0]))
    calls = [*chunks, chunks[0], *([look] for look in single)]
    generated: list[list[tuple[Asked, Generated]]] = []
    for number, call in enumerate(calls, start=1):
        generated.append(eyes.generate(call))
        if progress is not None:
            progress(number, len(calls))
    again, alone = generated[len(chunks)], [answer for call in generated[len(chunks) + 1 :] for answer in call]
    result = Smoke(eyes.engine)
    for start, seen in zip(range(0, len(looks), TOGETHER), generated[: len(chunks)], strict=True):
        for item, tokens in seen:
            _judge(eyes, result, pictures[start + item.look], looks[start + item.look], item, tokens)
    _compare(result, "same twice", pictures, generated[0], again, near_tie=0.0)
    first = [(item, tokens) for item, tokens in generated[0] if item.look == 0]
    _compare(result, "batch as single", pictures, first, alone, near_tie=NEAR_TIE[eyes.engine.dtype])
    _check_looking(result)
    return result


def _one_by_one(look: Look) -> Iterator[Look]:
    """The look with one task or question at a time, in the engine's order."""
    plans = [Plan((task,)) for task in look.plan.tasks] + [Plan((), (question,)) for question in look.plan.questions]
    for plan in plans:
        yield replace(look, plan=plan)


def _judge(eyes: Eyes, result: Smoke, picture: Picture, look: Look, item: Asked, tokens: Generated) -> None:
    reading = eyes.read(look, item, tokens)
    task = item.prompt.task
    found = tuple(troubles(task, reading, eyes.finished(tokens), look.width, look.height))
    asked = item.question.input if item.question else None
    result.answers.append(Answered(picture.name, task, asked, reading.answer, found))
    for trouble in found:
        result.fail(trouble.check, f"{picture.name} {task.value}: {trouble.seen}")


def _compare(
    result: Smoke,
    check: str,
    pictures: Sequence[Picture],
    ours: Sequence[tuple[Asked, Generated]],
    theirs: Sequence[tuple[Asked, Generated]],
    near_tie: float,
) -> None:
    for (item, one), (_, other) in zip(ours, theirs, strict=True):
        step = parted(one, other, near_tie)
        if step is not None:
            result.fail(check, f"{pictures[item.look].name} {item.prompt.task.value}: from token {step + 1} on")


def parted(one: Generated, other: Generated, near_tie: float) -> int | None:
    """The step at which two answers part, other than by a near tie of the chosen tokens; None if they do not."""
    steps = zip(one.tokens, other.tokens, one.log_probs, other.log_probs, strict=False)
    for step, (ours, theirs, our_log, their_log) in enumerate(steps):
        if ours != theirs:
            # Two tokens that tie share the probability: neither can have much more than half of it.
            tied = abs(our_log - their_log) < near_tie and max(our_log, their_log) < HALF + near_tie
            return None if tied else step
    return None if len(one.tokens) == len(other.tokens) else min(len(one.tokens), len(other.tokens))


def _check_looking(result: Smoke) -> None:
    captions = [
        item.answer.text
        for item in result.answers
        if isinstance(item.answer, TextAnswer) and item.task is Task.DETAILED_CAPTION
    ]
    if len(captions) > 1 and len(set(captions)) == 1:
        result.fail("looks", f"{len(captions)} pictures: {shortened(captions[0])}")


def _look(picture: Picture) -> Look:
    questions = [Question(task, picture.phrase if task in PHRASE_TASKS else picture.region) for task in ASKED_TASKS]
    plan = Plan(INPUT_FREE_TASKS, tuple(questions))
    return Look(picture.image, picture.sha256, picture.image.width, picture.image.height, plan)
