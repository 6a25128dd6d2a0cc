"""Scenes: short descriptions of a photo in a rule's inline tests, turned into what the rule would really be given.

A scene goes through the same signals as a photo from a shop, so a test also covers the vocabulary and the word lists.
What a scene leaves out is an unremarkable product photo without text.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from domain.banks import Recalled
from domain.jobs import ImageJob, ImageSource, SourceKind
from domain.observations import (
    Answer,
    Box,
    DetectedObject,
    Engine,
    LinesAnswer,
    ObjectsAnswer,
    Observation,
    Quad,
    Reading,
    Task,
    TextAnswer,
    TextLine,
    TextReaders,
)
from domain.photos import PixelSignals, StoredPhoto
from worker.policy.scene_memory import SceneEarlier, SceneKnown, recalled
from worker.policy.scene_pixels import SceneInspection

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ScenePixels(_Strict):
    sharpness: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 400.0
    brightness: Share = 0.7
    contrast: Share = 0.25
    white_border: Share = 1.0


class SceneImage(_Strict):
    width: Annotated[int, Field(ge=1)] = 1200
    height: Annotated[int, Field(ge=1)] = 1200
    format: str = "JPEG"


class SceneObject(_Strict):
    """share: of the picture's area, as a centred square."""

    label: str
    score: Share = 0.95
    share: Share = 0.36


class SceneLine(_Strict):
    """share: of the picture's area, as a strip over the whole width."""

    text: str
    share: Share = 0.05


class SceneSeller(_Strict):
    title: str | None = None
    description: str | None = None
    category: str | None = None
    condition: str | None = None
    attributes: dict[str, str] = {}
    locale: str | None = None


class Scene(_Strict):
    """objects and text may be plain words, or words with their score and share.

    second_text: what a second reader read. text_incomplete: it could not read everything. inspection: what intake
    measured; null for a photo from before there were inspections. known, earlier: what banks and earlier decisions say.
    """

    caption: str = "a product on a white background"
    objects: list[str | SceneObject] = []
    text: list[str | SceneLine] = []
    second_text: list[str | SceneLine] = []
    text_incomplete: bool = False
    seller: SceneSeller = SceneSeller()
    image: SceneImage = SceneImage()
    pixels: ScenePixels = ScenePixels()
    inspection: SceneInspection | None = SceneInspection()
    known: list[SceneKnown] = []
    earlier: list[SceneEarlier] = []

    def job(self) -> ImageJob:
        said = self.seller
        return ImageJob(
            tenant="scene",
            product_id="scene",
            image_id="scene",
            image=ImageSource(SourceKind.UPLOAD, "scene"),
            title=said.title,
            description=said.description,
            category=said.category,
            attributes=dict(said.attributes),
            condition=said.condition,
            locale=said.locale,
        )

    def photo(self) -> StoredPhoto:
        pixels = self.pixels
        return StoredPhoto(
            sha256=SHA256_OF_NOTHING,
            original_key="scene",
            model_copy_key="scene",
            format=self.image.format,
            width=self.image.width,
            height=self.image.height,
            dhash="0" * 16,
            pixels=PixelSignals(
                pixels.sharpness, pixels.brightness, pixels.contrast, pixels.white_border, (128, 128, 128)
            ),
            inspection=None if self.inspection is None else self.inspection.found(),
        )

    def recalled(self) -> Recalled:
        return recalled(self.known, self.earlier)

    def seen(self) -> Observation:
        results: dict[Task, Answer] = {
            Task.CAPTION: TextAnswer(self.caption),
            Task.OD: ObjectsAnswer(tuple(map(self._object, self.objects))),
            Task.OCR_WITH_REGION: LinesAnswer(tuple(map(self._line, self.text))),
        }
        engine = Engine(model="scene", adapter=None, revision="scene", dtype="scene")
        return Observation(
            SHA256_OF_NOTHING,
            self.image.width,
            self.image.height,
            engine,
            results,
            second_reading=self._second_reading(),
        )

    def _second_reading(self) -> Reading | None:
        if not self.second_text and not self.text_incomplete:
            return None
        incomplete = "more text than is read" if self.text_incomplete else None
        return Reading(TextReaders.RAPIDOCR.value, tuple(map(self._line, self.second_text)), incomplete)

    def _object(self, given: str | SceneObject) -> DetectedObject:
        item = SceneObject(label=given) if isinstance(given, str) else given
        return DetectedObject(item.label, self._box(item.share), item.score)

    def _line(self, given: str | SceneLine) -> TextLine:
        line = SceneLine(text=given) if isinstance(given, str) else given
        width, height = float(self.image.width), self.image.height * line.share
        quad: Quad = (0.0, 0.0, width, 0.0, width, height, 0.0, height)
        return TextLine(line.text, quad, 0.95)

    def _box(self, share: float) -> Box:
        side = share**0.5
        width, height = self.image.width, self.image.height
        left, top = (1 - side) / 2 * width, (1 - side) / 2 * height
        return (left, top, left + side * width, top + side * height)
