"""A photo's answers do not hang on what else is in its batch: equal to the last bit, scores too.

On the shipped weights and the shipped photos, in both types, in random mixes of plans, sizes and adapters. Nothing is
rounded here, and no near tie is let pass.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import worker
from domain.observations import INPUT_FREE_TASKS, REGION_INPUT_TASKS, Plan, Question, Task
from tests.worker.vision.loras import make_lora
from worker.vision.engine import FlorenceEngine, Look, Pick
from worker.vision.florence import DTypeName, load
from worker.vision.prompts import prompt_for
from worker.vision.steady import row_block

PHOTOS = sorted((Path(worker.__file__).parent / "samples").glob("*.jpg"))[:24]
MIXES = 1
SEED = 20261124
PHRASES = ("a red mug", "a watch", "the large blue suitcase on the left of the two chairs, or what looks like it " * 2)
ASKED = tuple(task for task in Task if task not in INPUT_FREE_TASKS)


# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def adapters(shipped: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One that leaves the eyes alone, one that does not."""
    made = tmp_path_factory.mktemp("adapters")
    targets = {"words": r".*language_model.*\.(q_proj|fc1)", "eyes": r".*vision_tower.*\.qkv"}
    return [make_lora(shipped, made / name, layers, 5, strength=0.1) for name, layers in targets.items()]


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def engine(request: pytest.FixtureRequest, shipped: str, adapters: list[Path]) -> FlorenceEngine:
    made = FlorenceEngine.load(shipped, device="cpu", dtype=request.param, threads=1)
    for folder in adapters:
        made.add_adapter(folder)
    return made


def a_plan(rng: random.Random) -> Plan:
    tasks = tuple(rng.sample(INPUT_FREE_TASKS, rng.randint(0, 2)))
    return Plan(tasks, tuple(map(a_question, rng.sample(ASKED, 1 if tasks else 2), [rng] * 2)))


def a_question(task: Task, rng: random.Random) -> Question:
    if task not in REGION_INPUT_TASKS:
        return Question(task, rng.choice(PHRASES))
    x, y = rng.uniform(0, 40), rng.uniform(0, 40)
    return Question(task, (x, y, x + rng.uniform(5, 50), y + rng.uniform(5, 50)))


def looks(rng: random.Random) -> Iterator[Look]:
    for file in PHOTOS:
        with Image.open(file) as photo:
            image = photo.convert("RGB").resize((rng.randint(90, 700), rng.randint(90, 700)))
        adapter = rng.choice([None, "words", "eyes"])
        yield Look(image, file.stem, image.width, image.height, a_plan(rng), adapter)


def test_a_mixed_batch_gives_each_photo_exactly_what_it_gives_alone(engine: FlorenceEngine) -> None:
    rng = random.Random(SEED)
    mix = list(looks(rng))
    assert len(mix) >= 24 and {look.adapter for look in mix} == {None, "words", "eyes"}
    alone = {look.sha256: engine.look([look])[0] for look in mix}
    assert len({str(seen.results_json()) for seen in alone.values()}) == len(alone), "answers alike show nothing"
    for _ in range(MIXES):
        some = rng.sample(mix, rng.randint(len(mix) // 2, len(mix)))
        for seen in engine.look(some):
            assert seen == alone[seen.sha256]


def test_tokens_and_probabilities_are_the_same_numbers(engine: FlorenceEngine) -> None:
    """Of one photo's plan taken apart: every prompt alone, against all of them together."""
    (look, *_) = looks(random.Random(SEED))
    image, plan = look.image, Plan(INPUT_FREE_TASKS)
    together = engine.generate([Look(image, "aa", image.width, image.height, plan)])
    for asked, generated in together:
        ((_, alone),) = engine.generate([Look(image, "aa", image.width, image.height, Plan((asked.prompt.task,)))])
        assert alone == generated


def test_choices_do_not_hang_on_their_neighbours(engine: FlorenceEngine) -> None:
    images = [look.image for look in looks(random.Random(SEED))][:4]
    trees = [engine.tree([f"a {word}" for word in words.split()]) for words in ("mug cup", "shoe bag watch", "ring")]
    picks = [Pick(image, prompt_for(Task.CAPTION), tree) for image in images for tree in trees]
    assert engine.choose(picks) == [engine.choose([pick])[0] for pick in picks]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_are_filled_up_to_a_number_that_this_machines_kernels_agree_about(shipped: str, dtype: DTypeName) -> None:
    """A layer asked directly: whatever number of rows is alive, a row's product is the same."""
    model = load(shipped, device="cpu", dtype=dtype, threads=1).model
    block = row_block(model)
    layer = model.model.language_model.decoder.layers[0].fc1
    hidden = torch.randn(32, 1, layer.in_features, generator=torch.Generator().manual_seed(1)).to(model.dtype)
    with torch.inference_mode():
        whole = layer(hidden)
        for rows in range(block, 33, block):
            assert torch.equal(layer(hidden[:rows]), whole[:rows])
    assert 1 < block <= 32
