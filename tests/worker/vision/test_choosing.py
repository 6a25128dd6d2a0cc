"""Choosing among allowed answers, held against the library's own forward pass over each answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from domain.observations import Plan, Task
from worker.training.synth.backgrounds import data_folder
from worker.vision import engine as engine_module
from worker.vision import walk as walk_module
from worker.vision.choosing import Choice, Pick
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.florence import Loaded, load
from worker.vision.images import as_rgb
from worker.vision.prompts import Prompt, prompt_for
from worker.vision.vocabulary import Vocabulary

Pictures = Callable[..., Image.Image]
ANSWERS = ["red", "red mug", "red café mug", "the table", "Locate the objects in the image.", "商品", "a"]
CAPTION = prompt_for(Task.CAPTION)
QUESTION = Prompt(Task.VQA, "What is on the table?")


@pytest.fixture(scope="module")
def loaded(tiny_checkpoint: Path) -> Loaded:
    return load(tiny_checkpoint, device="cpu", dtype="float32", threads=1)


@torch.inference_mode()
def scored_one_by_one(loaded: Loaded, image: Image.Image, prompt: Prompt) -> dict[str, float]:
    """log-probability of each answer, its spellings summed: one forward pass for each."""
    processor, model = loaded.verified.processor, loaded.model
    words = Vocabulary(processor.tokenizer, processor.num_image_tokens, 64)
    pixels = processor.image_processor(images=[as_rgb(image)], return_tensors="pt")["pixel_values"]
    ids = torch.tensor([words.encode(prompt.text)])
    sums: dict[str, float] = {}
    for answer, paths in zip(ANSWERS, words.spellings(ANSWERS), strict=True):
        logs = []
        for path in paths:
            before = torch.tensor([[2, *path[:-1]]])
            logits = model(
                input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, decoder_input_ids=before
            ).logits
            chosen = logits[0].log_softmax(-1)[range(len(path)), list(path)]
            logs.append(chosen.sum())
        sums[answer] = float(torch.stack(logs).logsumexp(0))
    return sums


def expected(sums: dict[str, float]) -> dict[str, float]:
    whole = math.fsum(map(math.exp, sums.values()))
    return {answer: math.exp(value) / whole for answer, value in sums.items()}


def test_probabilities_are_those_of_one_forward_pass_for_each_answer(loaded: Loaded, picture: Pictures) -> None:
    engine = FlorenceEngine.load(loaded.verified.checkpoint.folder, device="cpu", dtype="float32", threads=1)
    picks = [Pick(picture(seed), prompt, engine.tree(ANSWERS)) for seed in (1, 2) for prompt in (CAPTION, QUESTION)]
    choices = engine.choose(picks)
    for pick, choice in zip(picks, choices, strict=True):
        sums = scored_one_by_one(loaded, pick.image, pick.prompt)
        assert dict(choice.ranked) == pytest.approx(expected(sums), rel=1e-2, abs=0)
        assert choice.answer == max(sums, key=lambda answer: sums[answer])
        assert choice.mass == pytest.approx(math.fsum(map(math.exp, sums.values())), rel=1e-2)
        assert choice.unexplored == 0
    seconds = {f"{choice.ranked[1][1]:.2g}" for choice in choices}
    assert len(seconds) == len(choices), "the test model takes all images and prompts alike, so this test shows little"


def test_a_walk_agrees_with_scoring_everything(
    tiny_engine: FlorenceEngine, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    picks = [Pick(picture(seed), QUESTION, tiny_engine.tree(ANSWERS)) for seed in range(4)]
    exact = tiny_engine.choose(picks)
    monkeypatch.setattr(walk_module, "EXACT_TOKENS", 0)
    monkeypatch.setattr(walk_module, "WIDTH", 2)
    for whole, walked in zip(exact, tiny_engine.choose(picks), strict=True):
        true = dict(whole.ranked)
        for answer, probability in walked.ranked:
            assert probability <= true[answer] + 1e-4 <= probability + walked.unexplored + 2e-4


def test_each_pick_is_answered_as_if_alone(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    """Trees of other sizes, other prompts, one image asked twice."""
    image, few = picture(1), tiny_engine.tree(ANSWERS[:2])
    picks = [
        Pick(image, CAPTION, tiny_engine.tree(ANSWERS)),
        Pick(picture(2, 40, 300), QUESTION, few),
        Pick(image, QUESTION, tiny_engine.tree(["mug"])),
    ]
    for together, pick in zip(tiny_engine.choose(picks), picks, strict=True):
        (alone,) = tiny_engine.choose([pick])
        assert together.answer == alone.answer
        assert dict(together.ranked) == pytest.approx(dict(alone.ranked), abs=1e-4)


def test_the_only_answer_is_certain_however_little_the_model_thinks_of_it(
    tiny_engine: FlorenceEngine, picture: Pictures
) -> None:
    (choice,) = tiny_engine.choose([Pick(picture(1), CAPTION, tiny_engine.tree(["mug"]))])
    assert (choice.answer, choice.probability) == ("mug", pytest.approx(1))
    assert choice.mass < 0.5


def test_below_the_threshold_it_abstains(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    pick = Pick(picture(1), CAPTION, tiny_engine.tree(ANSWERS))
    (choice,) = tiny_engine.choose([pick])
    (sure,) = tiny_engine.choose([pick], least=choice.probability - 1e-3)
    (unsure,) = tiny_engine.choose([pick], least=choice.probability + 1e-3)
    assert sure.answer == choice.answer
    assert unsure.answer is None and unsure.ranked[0][0] == choice.answer


def test_nothing_to_choose_is_no_error(tiny_engine: FlorenceEngine) -> None:
    assert tiny_engine.choose([]) == []


def test_an_answer_longer_than_the_model_can_write_is_refused(tiny_engine: FlorenceEngine) -> None:
    with pytest.raises(ValueError, match="Cut it"):
        tiny_engine.tree(["mug " * 80])


def test_small_chunks_change_nothing(
    tiny_engine: FlorenceEngine, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    picks = [Pick(picture(seed), QUESTION, tiny_engine.tree(ANSWERS)) for seed in range(3)]
    whole = tiny_engine.choose(picks)
    monkeypatch.setattr(engine_module, "LOOKS_AT_ONCE", 1)
    assert [choice.answer for choice in tiny_engine.choose(picks)] == [choice.answer for choice in whole]


def test_a_second_question_does_not_encode_the_image_again(tiny_engine: FlorenceEngine, picture: Pictures) -> None:
    image, other = picture(1), picture(2)
    pick, second = (Pick(seen, CAPTION, tiny_engine.tree(ANSWERS)) for seen in (image, other))
    alone = tiny_engine.choose([second, pick])
    looks = [Look(image, "", *image.size, Plan(tasks=(Task.OD,)))]
    with tiny_engine.remembering():
        tiny_engine.look(looks)
        tiny_engine.stopwatch.seconds.clear()
        tiny_engine.choose([pick])
        assert "vision" not in tiny_engine.stopwatch.seconds
        again = tiny_engine.choose([second, pick])
        assert "vision" in tiny_engine.stopwatch.seconds, "the other image was never seen"
    assert [dict(choice.ranked) for choice in again] == [
        pytest.approx(dict(choice.ranked), abs=1e-4) for choice in alone
    ]
    tiny_engine.stopwatch.seconds.clear()
    tiny_engine.choose([pick])
    assert "vision" in tiny_engine.stopwatch.seconds, "it is forgotten at the end"


def taxonomy() -> list[str]:
    file = data_folder() / "taxonomy" / "shopify_categories_2025-08.txt"
    if not file.is_file():
        pytest.skip("the category taxonomy is not at hand")
    lines = [line for line in file.read_text().splitlines() if line.startswith("gid://")]
    return [line.partition(" : ")[2].strip() for line in lines]


def test_a_whole_taxonomy_is_one_tree(shipped: str, picture: Pictures) -> None:
    paths = taxonomy()
    assert len(paths) == 10_595
    engine = FlorenceEngine.load(shipped, device="cpu", dtype="float32", threads=1)
    tree = engine.tree(paths)
    choices: list[Choice] = engine.choose([Pick(picture(seed), CAPTION, tree) for seed in (1, 2)], least=0.5)
    for choice in choices:
        assert choice.ranked and {answer for answer, _ in choice.ranked} <= set(paths)
        assert sum(probability for _, probability in choice.ranked) + choice.unexplored == pytest.approx(1)
        assert (choice.answer is not None) == (choice.probability >= 0.5)
