"""Greedy decoding held against the library's own `generate`, one prompt at a time, each with its image encoded anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain.observations import INPUT_FREE_TASKS
from worker.vision.caches import moves
from worker.vision.decoding import Generated, decode
from worker.vision.florence import Loaded, load
from worker.vision.images import as_rgb
from worker.vision.prompts import SENTENCES
from worker.vision.text_model import Row, TextModel
from worker.vision.vocabulary import Vocabulary

Pictures = Callable[..., Image.Image]
NEAR_TIE = 1e-4  # two answers may part where the best two logits lie this close: sums in another order
SENTENCES_ASKED = [SENTENCES[task] for task in INPUT_FREE_TASKS]


class Bench:
    """A loaded model with both ways of asking it."""

    def __init__(self, loaded: Loaded) -> None:
        processor = loaded.verified.processor
        self.model = loaded.model
        self.text = TextModel(loaded.model)
        self.images = processor.image_processor
        positions = loaded.verified.config.text_config.max_position_embeddings
        self.words = Vocabulary(processor.tokenizer, processor.num_image_tokens, positions)

    def pixels(self, image: Image.Image) -> torch.Tensor:
        pixels: torch.Tensor = self.images(images=[as_rgb(image)], return_tensors="pt")["pixel_values"]
        return pixels.to(self.model.dtype)

    def row(self, prompt: str, image: int, limit: int) -> Row:
        return Row(tuple(self.words.encode(prompt)), image, limit)

    @torch.inference_mode()
    def ours(self, images: Sequence[Image.Image], rows: Sequence[Row]) -> list[Generated]:
        features = [self.model.get_image_features(self.pixels(image)).pooler_output for image in images]
        return decode(self.text, torch.cat(features), rows)

    @torch.inference_mode()
    def usual(self, image: Image.Image, row: Row, **options: Any) -> Generated:
        ids = torch.tensor([row.tokens])
        made = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=self.pixels(image),
            max_new_tokens=row.limit,
            output_scores=True,
            return_dict_in_generate=True,
            **options,
        )
        tokens = made.sequences[0, 1:].tolist()
        scores = [step[0].log_softmax(-1) for step in made.scores]
        return Generated(tuple(tokens), tuple(float(score[token]) for score, token in zip(scores, tokens, strict=True)))


def assert_same(ours: Generated, usual: Generated) -> None:
    """Token for token and number for number, up to where a near tie (if any) lets the two part."""
    for step, (one, other) in enumerate(zip(ours.tokens, usual.tokens, strict=False)):
        assert ours.log_probs[step] == pytest.approx(usual.log_probs[step], abs=NEAR_TIE)
        if one != other:
            return
    assert len(ours.tokens) == len(usual.tokens)


@pytest.fixture(scope="module")
def tiny(tiny_checkpoint: Path) -> Bench:
    return Bench(load(tiny_checkpoint, device="cpu", dtype="float32", threads=1))


def mixed(bench: Bench, prompts: Sequence[str], images: int, limits: Sequence[int]) -> list[Row]:
    """Every prompt about every image, with limits that differ, in no order of length."""
    return [
        bench.row(prompt, image, limits[(number + image) % len(limits)])
        for image in range(images)
        for number, prompt in enumerate(prompts)
    ]


PROMPTS = [*SENTENCES_ASKED, "", "a", "Locate a red café mug 商品 on the table in the image."]


def test_mixed_prompts_images_and_sizes_answer_as_generate_does_alone(tiny: Bench, picture: Pictures) -> None:
    images = [picture(1), picture(2, 40, 300), picture(3, 333, 77)]
    rows = mixed(tiny, PROMPTS, len(images), limits=(40, 63, 7, 1))
    answers = tiny.ours(images, rows)
    for row, answer in zip(rows, answers, strict=True):
        assert_same(answer, tiny.usual(images[row.image], row))
    assert len({len(answer.tokens) for answer in answers}) == 4, "all rows end together, so this test shows little"


def test_the_same_with_the_shipped_weights(shipped: str, picture: Pictures) -> None:
    bench = Bench(load(shipped, device="cpu", dtype="float32", threads=1))
    images = [picture(1), picture(2, 40, 300)]
    rows = mixed(bench, SENTENCES_ASKED, len(images), limits=(60, 45))
    for row, answer in zip(rows, bench.ours(images, rows), strict=True):
        assert_same(answer, bench.usual(images[row.image], row))


def test_every_row_alone_answers_as_in_company(tiny: Bench, picture: Pictures) -> None:
    images = [picture(1), picture(4)]
    rows = mixed(tiny, PROMPTS, len(images), limits=(50,))
    for row, together in zip(rows, tiny.ours(images, rows), strict=True):
        (alone,) = tiny.ours([images[row.image]], [replace(row, image=0)])
        assert_same(together, alone)


def test_an_answer_of_fixed_length_is_generates(tiny: Bench, picture: Pictures) -> None:
    image, length = picture(5), 40
    rows = [replace(tiny.row(prompt, 0, length), least=length) for prompt in SENTENCES_ASKED]
    for row, answer in zip(rows, tiny.ours([image], rows), strict=True):
        assert len(answer.tokens) == length
        assert_same(answer, tiny.usual(image, row, min_new_tokens=length))


def test_types_are_kept(tiny_checkpoint: Path, picture: Pictures) -> None:
    bench = Bench(load(tiny_checkpoint, device="cpu", dtype="bfloat16", threads=1))
    rows = mixed(bench, PROMPTS, 1, limits=(5,))
    for answer in bench.ours([picture(1)], rows):
        assert 0 < len(answer.tokens) <= 5 and max(answer.log_probs) <= 1e-5


@given(st.lists(st.booleans()))
def test_rows_that_ended_give_their_places_to_live_ones(ended: list[bool]) -> None:
    places = list(range(len(ended)))
    sources, targets = moves(ended)
    for source, target in zip(sources, targets, strict=True):
        places[target] = places[source]
    kept = places[: ended.count(False)]
    assert sorted(kept) == [row for row, done in enumerate(ended) if not done]
    assert len(sources) <= ended.count(True), "no more is copied than ended"
