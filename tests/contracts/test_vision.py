"""What the story relies on from any `Vision`, held against the engine with the shipped weights."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from domain.errors import Unavailable
from domain.observations import Observation, Plan, Question, Task, TextReaders
from domain.photos import PixelSignals, StoredPhoto
from domain.ports import Vision
from worker.vision.engine import FlorenceEngine
from worker.vision.florence import SHELF_TINY, SHIPPED
from worker.vision.observer import Observer


@pytest.fixture(scope="module")
def vision() -> Vision:
    if not (SHIPPED[SHELF_TINY] / "model.safetensors").is_file():
        pytest.skip("shelf-tiny's weights are not in this checkout")
    return Observer(FlorenceEngine.load(SHELF_TINY, device="cpu", dtype="float32", threads=1))


def photo(name: str, width: int, height: int, shown: tuple[int, int]) -> tuple[StoredPhoto, bytes]:
    """A stored photo of one size whose model copy has another."""
    buffer = io.BytesIO()
    Image.new("RGB", shown, name).save(buffer, "JPEG")
    signals = PixelSignals(0.0, 0.5, 0.0, 0.0, (0, 0, 0))
    return StoredPhoto(name, "original", "copy", "JPEG", width, height, "0" * 16, signals), buffer.getvalue()


PHOTOS = [photo("red", 3000, 2000, (150, 100)), photo("green", 64, 64, (64, 64)), photo("blue", 10, 900, (10, 900))]
PLAN = Plan(questions=(Question(Task.OPEN_VOCABULARY_DETECTION, "a <image> mug"),))


def test_one_observation_for_each_photo_in_order(vision: Vision) -> None:
    seen = vision.observe(PHOTOS, PLAN)
    assert [(one.sha256, one.width, one.height) for one in seen] == [
        ("red", 3000, 2000),
        ("green", 64, 64),
        ("blue", 10, 900),
    ]


def test_every_task_and_question_of_the_plan_is_answered(vision: Vision) -> None:
    for seen in vision.observe(PHOTOS, PLAN):
        assert set(seen.results) == set(PLAN.tasks)
        assert tuple(question for question, _ in seen.asked) == PLAN.questions
        assert seen.engine.revision and seen.engine.dtype and "@" in seen.engine.model


def test_it_says_beforehand_which_engine_will_have_looked(vision: Vision) -> None:
    for plan in (PLAN, Plan().read_by(TextReaders.BOTH)):
        assert {seen.engine for seen in vision.observe(PHOTOS[:1], plan)} == {vision.engine_for(plan)}


def test_an_observation_survives_storage(vision: Vision) -> None:
    for seen in vision.observe(PHOTOS[:1], PLAN):
        assert Observation.from_json(seen.as_json()) == seen


def test_looking_twice_sees_the_same(vision: Vision) -> None:
    assert vision.observe(PHOTOS[:2], PLAN) == vision.observe(PHOTOS[:2], PLAN)


def test_nothing_to_look_at(vision: Vision) -> None:
    assert vision.observe([], PLAN) == []
    assert vision.observe(PHOTOS[:1], Plan(tasks=()))[0].results == {}


def test_base_is_the_model_without_an_adapter_and_one_that_is_not_loaded_is_unavailable(vision: Vision) -> None:
    assert vision.observe(PHOTOS[:1], PLAN, "base") == vision.observe(PHOTOS[:1], PLAN)
    for call in (lambda: vision.observe(PHOTOS[:1], PLAN, "hats"), lambda: vision.engine_for(PLAN, "hats")):
        with pytest.raises(Unavailable, match="hats"):
            call()
