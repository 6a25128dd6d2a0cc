"""domain.ports.Vision on an engine: model copies in, observations in full-size pixels out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from domain.calibration import VERIFIED, Calibration
from domain.observations import Engine, Observation, Plan
from domain.photos import StoredPhoto
from worker.vision.engine import Look
from worker.vision.reading import Looker


class Observer:
    def __init__(self, engine: Looker) -> None:
        self.engine = engine

    def engine_for(self, plan: Plan, adapter: str | None = None) -> Engine:
        engine = self.engine.engine_for(adapter)
        return engine if plan.second_reader else replace(engine, second_reader=None)

    def calibration_for(self, plan: Plan, adapter: str | None = None) -> Calibration | None:
        known = self.engine.calibration_for(adapter)
        return known and known.only({*plan.tasks, *(question.task for question in plan.questions), VERIFIED})

    def observe(
        self, photos: Sequence[tuple[StoredPhoto, bytes]], plan: Plan, adapter: str | None = None
    ) -> list[Observation]:
        return self.engine.look([_look(photo, model_copy, plan, adapter) for photo, model_copy in photos])


def _look(photo: StoredPhoto, model_copy: bytes, plan: Plan, adapter: str | None) -> Look:
    # The copy is a JPEG of our own making, so it may be opened outside the sandbox; nothing else may be in it.
    image = Image.open(io.BytesIO(model_copy), formats=["JPEG"])
    return Look(image, photo.sha256, photo.width, photo.height, plan, adapter)
