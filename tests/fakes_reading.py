"""A model and a second reader of text that see what is really in a picture, as long as it is one dark block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageOps

from domain.calibration import Calibration
from domain.observations import (
    Answer,
    Engine,
    LinesAnswer,
    ObjectsAnswer,
    Observation,
    Reading,
    Task,
    TextAnswer,
    TextLine,
)
from tests.factories import an_engine
from worker.vision.engine import Look
from worker.vision.images import as_rgb


def dark_block(image: Image.Image, text: str, width: int, height: int, score: float) -> tuple[TextLine, ...]:
    """One line where the picture is dark, in pixels of the full size; none in a light picture."""
    found = ImageOps.invert(as_rgb(image).convert("L")).point(lambda level: 255 if level > 127 else 0).getbbox()
    if found is None:
        return ()
    left, right = (side * width / image.width for side in found[0::2])
    top, bottom = (side * height / image.height for side in found[1::2])
    return (TextLine(text, (left, top, right, top, right, bottom, left, bottom), score),)


@dataclass
class FakeReader:
    """worker.vision.reading.TextReader. A picture of the size `fails_on` cannot be read; `error` is raised instead."""

    text: str = "SALE"
    identity: str = "rapidocr 0 r1@fake"
    fails_on: tuple[int, int] | None = None
    error: Exception | None = None

    def read(self, image: Image.Image, width: int, height: int) -> Reading:
        if self.error is not None:
            raise self.error
        if image.size == self.fails_on:
            return Reading("rapidocr", incomplete="rapidocr failed on this picture (FakeError)")
        return Reading("rapidocr", dark_block(image, self.text, width, height, 0.9))


@dataclass
class FakeModel:
    """worker.vision.reading.Looker: the model alone. `plans` are those it was asked."""

    text: str = "SALE"
    engine: Engine = field(default_factory=an_engine)
    plans: list[tuple[Task, ...]] = field(default_factory=list)
    calibration: Calibration | None = None

    def calibration_for(self, adapter: str | None) -> Calibration | None:
        return self.calibration

    def engine_for(self, adapter: str | None) -> Engine:
        return self.engine

    def look(self, looks: Sequence[Look]) -> list[Observation]:
        return [self._look(look) for look in looks]

    def _look(self, look: Look) -> Observation:
        self.plans.append(look.plan.tasks)
        answers: dict[Task, Answer] = {
            Task.CAPTION: TextAnswer("a poster", 0.8),
            Task.DETAILED_CAPTION: TextAnswer("a poster on a wall", 0.8),
            Task.OD: ObjectsAnswer(),
            Task.OCR_WITH_REGION: LinesAnswer(dark_block(look.image, self.text, look.width, look.height, 0.7)),
        }
        results = {task: answers[task] for task in look.plan.tasks}
        return Observation(look.sha256, look.width, look.height, self.engine, results)
