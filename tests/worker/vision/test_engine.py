"""The engine as its callers see it: mixed batches answer as single calls do, in order, whatever they are given."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from domain.errors import InputRejected, Unavailable
from domain.observations import INPUT_FREE_TASKS, REGION_INPUT_TASKS, Observation, Plan, Question, Task, TextAnswer
from worker.vision import engine as engine_module
from worker.vision.decoding import Generated
from worker.vision.engine import REVISION, FlorenceEngine, Look
from worker.vision.florence import Loaded, load

Pictures = Callable[..., Image.Image]
NEAR_TIE = 1e-4  # two answers may part where the best two logits lie this close: sums in another order

QUESTIONS = tuple(
    Question(task, (10.0, 5.0, 60.0, 50.0) if task in REGION_INPUT_TASKS else f"a red mug {task.value}")
    for task in Task
    if task not in INPUT_FREE_TASKS
)
EVERYTHING = Plan(tasks=INPUT_FREE_TASKS, questions=QUESTIONS)


def look(image: Image.Image, plan: Plan, sha256: str = "aa") -> Look:
    return Look(image, sha256, image.width, image.height, plan)


def parted(ours: Generated, theirs: Generated) -> int | None:
    """The step at which two answers part other than by a near tie, or None."""
    for step, (one, other) in enumerate(zip(ours.tokens, theirs.tokens, strict=False)):
        if one != other:
            return None if abs(ours.log_probs[step] - theirs.log_probs[step]) < NEAR_TIE else step
    return None if len(ours.tokens) == len(theirs.tokens) else min(len(ours.tokens), len(theirs.tokens))


def assert_batched_answers_equal_single_ones(engine: FlorenceEngine, looks: Sequence[Look]) -> None:
    together = engine.generate(looks)
    alone = [
        answer
        for one in looks
        for plan in [*(Plan((task,)) for task in one.plan.tasks), *(Plan((), (item,)) for item in one.plan.questions)]
        for answer in engine.generate([Look(one.image, one.sha256, one.width, one.height, plan)])
    ]
    assert [asked.prompt for asked, _ in together] == [asked.prompt for asked, _ in alone]
    differing = {
        asked.prompt.task
        for (asked, ours), (_, theirs) in zip(together, alone, strict=True)
        if parted(ours, theirs) is not None
    }
    assert not differing
    assert [ours.log_probs for _, ours in together[:1]] == [
        pytest.approx(theirs.log_probs, abs=1e-3) for _, theirs in alone[:1]
    ]


def mixed(picture: Pictures) -> list[Look]:
    """Every task on one picture, other plans on others, an empty one between."""
    return [
        look(picture(1), Plan(tasks=(Task.OD,), questions=QUESTIONS[:2])),
        look(picture(2, 40, 300), Plan(tasks=())),
        look(picture(3, 333, 77), EVERYTHING),
        look(picture(4), Plan()),
    ]


def test_a_padded_mixed_batch_answers_token_for_token_as_single_calls(
    tiny_engine: FlorenceEngine, picture: Pictures
) -> None:
    looks = mixed(picture)
    assert_batched_answers_equal_single_ones(tiny_engine, looks)
    answers = {generated.tokens for _, generated in tiny_engine.generate(looks)}
    assert len(answers) > 10, "the test model answers everything alike, so this test shows nothing"


def test_the_same_with_the_shipped_weights(shipped: str, picture: Pictures) -> None:
    engine = FlorenceEngine.load(shipped, device="cpu", dtype="float32", threads=1)
    assert_batched_answers_equal_single_ones(engine, mixed(picture))


def the_usual_way(loaded: Loaded, image: Image.Image, task: Task) -> list[int]:
    """As the model card shows it: processor, one generate per task, the image encoded each time."""
    inputs = loaded.verified.processor(text=task.prompt_token, images=image, return_tensors="pt")
    tokens: list[int] = loaded.model.generate(**inputs, max_new_tokens=40)[0].tolist()
    return tokens[1:]


def test_answers_are_those_of_the_usual_way(tiny_checkpoint: Path, picture: Pictures) -> None:
    loaded = load(tiny_checkpoint, device="cpu", dtype="float32", threads=1)  # the engine's own is laid out for speed
    engine, image = FlorenceEngine.load(tiny_checkpoint, device="cpu", dtype="float32", threads=1), picture(5)
    for asked, ours in engine.generate([look(image, Plan(tasks=INPUT_FREE_TASKS))]):
        theirs = the_usual_way(loaded, image, asked.prompt.task)
        assert list(ours.tokens[:40]) == theirs[: len(ours.tokens)]


def test_small_chunks_change_nothing(
    tiny_engine: FlorenceEngine, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny_engine.look(mixed(picture))
    monkeypatch.setattr(engine_module, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(engine_module, "IMAGES_AT_ONCE", 1)
    monkeypatch.setattr(engine_module, "LOOKS_AT_ONCE", 2)
    assert rounded(tiny_engine.look(mixed(picture))) == rounded(whole)


def rounded(observations: Sequence[Observation]) -> str:
    """Scores to three digits: sums in another order differ in the last ones."""

    def shorten(node: object) -> object:
        if isinstance(node, dict):
            return {key: shorten(value) for key, value in node.items()}
        if isinstance(node, list):
            return [shorten(value) for value in node]
        return round(node, 3) if isinstance(node, float) else node

    return str([shorten(seen.as_json()) for seen in observations])


def test_observations_come_in_order_and_survive_storage(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    looks = [look(picture(number), EVERYTHING, sha256=f"{number:02}") for number in range(3)]
    seen = tiny_engine.look(looks)
    assert [one.sha256 for one in seen] == ["00", "01", "02"]
    for one in seen:
        assert set(one.results) == set(INPUT_FREE_TASKS)
        assert [question for question, _ in one.asked] == list(QUESTIONS)
        assert one.engine == tiny_engine.engine
        assert Observation.from_json(one.as_json()) == one


def test_answers_are_in_pixels_of_the_full_image(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    """The model copy may be smaller than the photo."""
    small = picture(2)
    plan = Plan(tasks=(Task.REGION_PROPOSAL,))
    (near,) = tiny_engine.look([Look(small, "aa", small.width, small.height, plan)])
    (far,) = tiny_engine.look([Look(small, "aa", small.width * 10, small.height * 10, plan)])
    boxes = [[item["box"] for item in seen.results[Task.REGION_PROPOSAL].as_json()["objects"]] for seen in (near, far)]
    assert boxes[0], "the test model proposes no region for this picture, so this test shows nothing"
    assert boxes[1] == [pytest.approx([value * 10 for value in box]) for box in boxes[0]]


def test_nothing_to_do_is_no_error(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    assert tiny_engine.look([]) == []
    (seen,) = tiny_engine.look([look(picture(1), Plan(tasks=()))])
    assert seen.results == {} and seen.asked == ()


def test_a_task_named_twice_is_answered_once(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    assert len(tiny_engine.generate([look(picture(1), Plan(tasks=(Task.OD, Task.OD)))])) == 1


@pytest.mark.parametrize(
    "phrase", ["<image>", "<OCR> <image><image>", "</s><loc_1>", "a < b", "", "商品 " * 300, "\ud800"]
)
def test_no_phrase_breaks_a_batch(tiny_engine: FlorenceEngine, picture: Pictures, phrase: str) -> None:
    neighbour = look(picture(1), Plan(tasks=(Task.CAPTION,)))
    hostile = look(picture(2), Plan(tasks=(), questions=(Question(Task.OPEN_VOCABULARY_DETECTION, phrase),)))
    (alone,), (beside, _) = tiny_engine.look([neighbour]), tiny_engine.look([neighbour, hostile])
    assert rounded([beside]) == rounded([alone])


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]
)
def test_every_mode_of_picture_is_looked_at(tiny_engine: FlorenceEngine, mode: str) -> None:
    (seen,) = tiny_engine.look([look(Image.new(mode, (20, 10)), Plan(tasks=(Task.CAPTION,)))])
    assert isinstance(seen.results[Task.CAPTION], TextAnswer)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 4000), (4000, 3)])
def test_every_size_of_picture_is_looked_at(
    tiny_engine: FlorenceEngine, picture: Pictures, size: tuple[int, int]
) -> None:
    (seen,) = tiny_engine.look([look(Image.new("RGB", size, "red"), Plan(tasks=(Task.OD,)))])
    assert (seen.width, seen.height) == size


def test_a_picture_whose_pixels_end_early_is_an_input_error(tiny_engine: FlorenceEngine, tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    noise = Image.frombytes("RGB", (200, 200), random.Random(1).randbytes(120_000))
    noise.save(file)
    file.write_bytes(file.read_bytes()[:9000])
    with Image.open(file) as cut, pytest.raises(InputRejected) as caught:
        tiny_engine.look([look(cut, Plan(tasks=(Task.CAPTION,)))])
    assert caught.value.code == "image_unreadable"


def test_memory_that_ran_out_is_unavailable(
    tiny_engine: FlorenceEngine, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine_module, "decode", exhausted)
    with pytest.raises(Unavailable, match="fewer photos"):
        tiny_engine.look([look(picture(1), Plan())])


def test_scores_are_probabilities(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    for _, generated in tiny_engine.generate(mixed(picture)):
        assert len(generated.log_probs) == len(generated.tokens) > 0
        assert all(value <= 1e-5 for value in generated.log_probs)


def test_limits_end_each_row_for_itself(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    lengths = {
        asked.prompt.task: len(generated.tokens)
        for asked, generated in tiny_engine.generate([look(picture(1), EVERYTHING)])
    }
    assert lengths[Task.CAPTION] <= 64 and lengths[Task.REGION_TO_CATEGORY] <= 32
    assert max(lengths.values()) == 63, "no row ran to the last position, so this test shows nothing"


def test_identity_and_warm_up(tiny_engine: FlorenceEngine) -> None:
    tiny_engine.warm_up()
    assert tiny_engine.engine.model.startswith("tiny@")
    assert (tiny_engine.engine.adapter, tiny_engine.engine.revision, tiny_engine.engine.dtype) == (
        None,
        REVISION,
        "float32",
    )
