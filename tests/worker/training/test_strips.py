"""Strips: what is learnt on a part of the picture has to hold for the whole."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import BartTokenizer, Florence2ForConditionalGeneration

from worker.training import batches, fresh, strips
from worker.training.grow import OFFSET
from worker.training.language import language_loss
from worker.training.synth import assets
from worker.training.synth.scenes import Setting

SIZE = 96
ROWS = SIZE // fresh.STRIDE


@pytest.fixture(scope="module")
def tokenizer() -> BartTokenizer:
    return fresh.build_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: BartTokenizer) -> Florence2ForConditionalGeneration:
    torch.manual_seed(1)
    return fresh.build_model(tokenizer, SIZE).eval()


def test_a_strip_of_all_rows_is_the_whole_picture_without_its_mean(model: Florence2ForConditionalGeneration) -> None:
    tokens = torch.randn(2, model.config.vision_config.embed_dim[-1], ROWS, ROWS)
    table = model.model.language_model.encoder.embed_positions.weight
    features = strips.project(model, tokens, torch.zeros(2, dtype=torch.long))
    whole = model.model.multi_modal_projector(tokens)[:, 1:]
    # The encoder adds the first positions of its table to whatever it is given.
    seen, wanted = features + table[OFFSET : OFFSET + ROWS**2], whole + table[OFFSET + 1 : OFFSET + 1 + ROWS**2]
    assert torch.allclose(seen, wanted, atol=1e-6)


def test_a_lower_strip_gets_the_places_of_its_rows(model: Florence2ForConditionalGeneration) -> None:
    tokens = torch.randn(1, model.config.vision_config.embed_dim[-1], ROWS, ROWS)
    table = model.model.language_model.encoder.embed_positions.weight
    whole = strips.project(model, tokens, torch.tensor([0])) + table[OFFSET : OFFSET + ROWS**2]
    part = strips.project(model, tokens[:, :, 3:5], torch.tensor([3])) + table[OFFSET : OFFSET + 2 * ROWS]
    assert torch.allclose(part, whole[:, 3 * ROWS : 5 * ROWS], atol=1e-6)


def test_prompts_stand_where_they_stand_behind_a_whole_picture(model: Florence2ForConditionalGeneration) -> None:
    prompts = torch.zeros(1, 4, model.config.text_config.d_model)
    table = model.model.language_model.encoder.embed_positions.weight
    placed = strips.moved(model, prompts, tokens=12, columns=ROWS)[0] + table[OFFSET + 12 : OFFSET + 16]
    assert torch.allclose(placed, table[OFFSET + 1 + ROWS**2 :][:4], atol=1e-6)


def test_windows_of_the_tower_change_and_come_back(model: Florence2ForConditionalGeneration) -> None:
    picture = torch.randn(1, 3, SIZE, SIZE)
    before = model.model.vision_tower(picture).last_hidden_state
    strips.set_window(model, 2)
    assert not torch.allclose(model.model.vision_tower(picture).last_hidden_state, before)
    strips.set_window(model, ROWS)
    assert torch.equal(model.model.vision_tower(picture).last_hidden_state, before)


def test_text_of_a_strip_is_asked_for_where_it_lies_in_the_whole(
    model: Florence2ForConditionalGeneration, tokenizer: BartTokenizer
) -> None:
    if not assets.available():
        pytest.skip("no drawings to render scenes from: run python -m worker.training.synth.assets")
    setting = Setting(objects=(1.0,), text=1.0, aspect=3.0, capitals=(0.2, 0.4), turned=0.0)
    feed = batches.Feed(4, SIZE, ((setting, 1.0),), (("<OCR_WITH_REGION>", 1.0),), prompts=1, strip=32)
    stream = batches.stream(feed, fresh.build_processor(tokenizer, SIZE), start=0, batch=8, workers=0)
    batch = next(stream)
    assert batch["pixels"].shape == (8, 3, 32, SIZE)
    for row, _, answer in batch["pairs"]:
        numbers = [int(place) for place in re.findall(r"<loc_(\d+)>", tokenizer.decode(answer))]
        first = int(batch["first"][row]) * fresh.STRIDE / SIZE * 1000
        assert numbers and all(first - 1 <= y <= first + 32 / SIZE * 1000 + 1 for y in numbers[1::2])
    strips.set_window(model, 2)
    tokens = model.model.vision_tower(batch["pixels"]).last_hidden_state
    losses = language_loss(model, tokens, batch["pairs"], tokenizer, batch["first"])
    strips.set_window(model, ROWS)
    assert losses["language"].isfinite() and losses["language"] > 0
