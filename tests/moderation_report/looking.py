"""The real path of a photo without servers: sandboxed decoding, the engine, the second reader, enriching, deciding.

What models answered is kept under .shelfguard/, by their weights and the picture's pixels, because looking is nearly
all of the time; decoding, signals and decisions are always done anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from domain.calibration import Calibration
from domain.enrichment import enrich
from domain.jobs import ImageJob, ImageSource, SourceKind
from domain.moderation import Decision
from domain.observations import Engine, Observation, Plan, Reading, TextReaders
from domain.photos import DecodedPhoto, StoredPhoto
from worker.intake.decode import decode_photo
from worker.policy.engine import PolicyEngine
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.observer import Observer
from worker.vision.reading import Looker, TextReader, TwoReaders

WEIGHTS = Path(__file__).parents[2] / "worker" / "vision" / "shelf_tiny"
CHANNELS = ("google_merchant", "amazon_main", "ebay", "meta", "own_shop")
AT = datetime(2026, 12, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Judged:
    """A photo's signals and decision as one set of readers gives them."""

    seen: Observation
    signals: dict[str, Any]
    decision: Decision


class Kept:
    """JSON answers by key in a directory; without one nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: Sequence[str], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self._folder is None:
            return make()
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        file = self._folder / name[:2] / f"{name}.json"
        if file.is_file():
            found: dict[str, Any] = json.loads(file.read_text())
            return found
        made = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_suffix(f".{id(made)}.part")
        scratch.write_text(json.dumps(made))
        scratch.rename(file)
        return made


class KeptModel:
    """A Looker whose observations are kept."""

    def __init__(self, model: Looker, kept: Kept) -> None:
        self.engine = model.engine
        self._model, self._kept = model, kept

    def calibration_for(self, adapter: str | None) -> Calibration | None:
        return self._model.calibration_for(adapter)

    def engine_for(self, adapter: str | None) -> Engine:
        return self._model.engine_for(adapter)

    def look(self, looks: Sequence[Look]) -> list[Observation]:
        return [self._one(look) for look in looks]

    def _one(self, look: Look) -> Observation:
        key = ("look", _pixels(look.image), json.dumps(self.engine.as_json()), json.dumps(look.plan.as_json()))
        made = self._kept.get(key, lambda: self._model.look([look])[0].as_json())
        # The cache goes by pixels; the file around them may be another one.
        return replace(Observation.from_json(made), sha256=look.sha256)


class KeptReader:
    """A TextReader whose readings are kept."""

    def __init__(self, reader: TextReader, kept: Kept) -> None:
        self.identity = reader.identity
        self._reader, self._kept = reader, kept

    def read(self, image: Image.Image, width: int, height: int) -> Reading:
        def read_now() -> dict[str, Any]:
            reading = self._reader.read(image, width, height)
            engine = Engine("", None, "", "")
            return Observation("", width, height, engine, second_reading=reading).as_json()

        made = self._kept.get(("read", _pixels(image), self.identity, f"{width}x{height}"), read_now)
        reading = Observation.from_json(made).second_reading
        assert reading is not None
        return reading


def _pixels(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


class Eyes:
    """Everything that looks, loaded once.

    readers: who can be asked; without the extra only the model. identity: of the model, the second reader, the policy.
    """

    def __init__(self, policy: PolicyEngine, cache: Path | None) -> None:
        kept = Kept(cache)
        model = KeptModel(FlorenceEngine.load(WEIGHTS, threads=1, dtype="float32", device="cpu"), kept)
        eyes = model.engine
        reader = second_reader()
        self.policy = policy
        self.readers = tuple(TextReaders) if reader else (TextReaders.FLORENCE,)
        self.identity = (
            f"{eyes.model} r{eyes.revision} {eyes.dtype}",
            reader.identity if reader else "",
            policy.policy.version,
        )
        self._observer = Observer(TwoReaders(model, KeptReader(reader, kept)) if reader else model)

    def look(self, photo: DecodedPhoto, *, read: bool) -> Observation:
        """By the model, and by the second reader where the text matters; scores calibrated, as `publish` has them."""
        plan = Plan().read_by(self.readers[-1] if read else TextReaders.FLORENCE)
        (seen,) = self._observer.observe([(stored(photo), photo.model_copy)], plan)
        return replace(seen, calibration=self._observer.calibration_for(plan)).calibrated()

    def judge(self, job: ImageJob, photo: DecodedPhoto, seen: Observation) -> Judged:
        """What `publish` does with an observation, without its transaction."""
        enrich(job, seen)
        decision = self.policy.decide(job, stored(photo), seen, AT)
        return Judged(seen, dict(decision.receipt["signals"]), decision)


def second_reader() -> TextReader | None:
    """None where the extra `ocr` is not installed."""
    from domain.errors import ExtraMissing
    from worker.vision.second_reader import RapidReader

    try:
        return RapidReader.load(threads=1)
    except ExtraMissing:
        return None


def read_by(seen: Observation, reader: TextReaders) -> Observation:
    """The observation as it would be had only these readers been asked."""
    if reader is TextReaders.BOTH:
        return seen
    if reader is TextReaders.FLORENCE:
        return replace(seen, second_reading=None, engine=replace(seen.engine, second_reader=None))
    plan = Plan().read_by(reader)
    return replace(seen, results={task: seen.results[task] for task in plan.tasks})


def decode(data: bytes) -> DecodedPhoto:
    return decode_photo(data)


def stored(photo: DecodedPhoto) -> StoredPhoto:
    return StoredPhoto.of(photo, "report", "report")


def unseen(photo: DecodedPhoto) -> Observation:
    """Of a picture that no model is asked about."""
    return Observation(photo.sha256, photo.width, photo.height, Engine("none", None, "", ""))


def job_of(title: str | None) -> ImageJob:
    source = ImageSource(SourceKind.UPLOAD, "report")
    return ImageJob("report", "report", "front", source, title=title, channels=CHANNELS)
