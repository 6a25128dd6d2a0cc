"""A second reader of text beside the model: what one has to give, and the engine that asks both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from PIL import Image

from domain.calibration import Calibration
from domain.observations import Engine, Observation, Reading, TextReaders
from worker.vision.engine import FlorenceEngine, Look


class TextReader(Protocol):
    """Reads the text of one picture at a time. Its name, version and weights are its `identity`."""

    identity: str

    def read(self, image: Image.Image, width: int, height: int) -> Reading:
        """Lines in pixels of the upright image of that size, of which `image` shows all, maybe smaller.

        Deterministic. A picture it cannot read gives a Reading that says so, so that no neighbour suffers. Raises
        InputRejected (the pixels cannot be had) and Unavailable.
        """


class Looker(Protocol):
    """Looks at pictures: the model alone, or the model and a second reader."""

    engine: Engine

    def calibration_for(self, adapter: str | None) -> Calibration | None:
        """How the model's scores are read with this adapter. Raises Unavailable."""

    def engine_for(self, adapter: str | None) -> Engine:
        """Which eyes look with this adapter (as in Look). Raises Unavailable."""

    def look(self, looks: Sequence[Look]) -> list[Observation]:
        """One observation for each look, in order. Raises InputRejected, Unavailable, ValueError."""


class TwoReaders:
    """A Looker that also has pictures read by a second reader where their plan says so.

    The two run one after the other, so that they do not compete for the same cores.
    """

    def __init__(self, model: Looker, reader: TextReader) -> None:
        self.engine = replace(model.engine, second_reader=reader.identity)
        self._model = model
        self._reader = reader

    def engine_for(self, adapter: str | None) -> Engine:
        return replace(self._model.engine_for(adapter), second_reader=self._reader.identity)

    def calibration_for(self, adapter: str | None) -> Calibration | None:
        return self._model.calibration_for(adapter)

    def look(self, looks: Sequence[Look]) -> list[Observation]:
        seen = self._model.look(looks)
        return [
            self._read(look, one) if look.plan.second_reader else one for look, one in zip(looks, seen, strict=True)
        ]

    def _read(self, look: Look, seen: Observation) -> Observation:
        reading = self._reader.read(look.image, look.width, look.height)
        return replace(seen, engine=self.engine_for(look.adapter), second_reading=reading)


def with_reader(model: FlorenceEngine, readers: TextReaders, threads: int) -> Looker:
    """The model, and the second reader loaded where one is asked for.

    Raises ExtraMissing or CheckpointRefused when the second reader cannot be had.
    """
    if readers is TextReaders.FLORENCE:
        return model
    from worker.vision.second_reader import RapidReader

    return TwoReaders(model, RapidReader.load(threads))
