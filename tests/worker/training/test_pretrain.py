"""The trainer: two steps, a resume that changes nothing, and a checkpoint the standard loaders accept."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoProcessor, Florence2ForConditionalGeneration

from worker.training import batches, fresh, grow, muon, pretrain
from worker.training.export import export, export_heads
from worker.training.stages import Stage
from worker.training.synth import asked, assets, scenes
from worker.training.synth.scenes import Setting

TASKS = (("<CAPTION>", 1.0), ("<OD>", 1.0), ("<OCR_WITH_REGION>", 1.0))


@pytest.fixture(scope="module")
def stage() -> Stage:
    if not {"fluent", "twemoji", "noto"} & set(assets.available()):
        pytest.skip("no drawings to render scenes from: run python -m worker.training.synth.assets")
    feed = batches.Feed(
        seed=3, size=64, settings=((Setting(text=1.0, kinds=(1, 0, 0, 0)), 1.0),), tasks=TASKS, prompts=2
    )
    return Stage(feed, batch=2, tower_rate=1e-3, other_rate=1e-3, warmup=1)


def weights(run: pretrain.Run) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def test_a_resumed_run_ends_with_the_same_weights(stage: Stage, tmp_path: Path) -> None:
    straight = pretrain.start(tmp_path / "a", "small", stage, 4, "muon")
    pretrain.train(straight, stage, max_minutes=9, workers=0)
    broken = pretrain.start(tmp_path / "b", "small", stage, 4, "muon")
    broken.total = 2
    pretrain.train(broken, stage, max_minutes=9, workers=0)
    broken.total = 4
    broken.save()
    resumed = pretrain.start(tmp_path / "b", "small", stage, 4, "muon")
    assert resumed.seen == 2
    pretrain.train(resumed, stage, max_minutes=9, workers=0)
    assert torch.equal(weights(straight), weights(resumed))


def test_an_exported_run_loads_with_the_standard_classes(stage: Stage, tmp_path: Path) -> None:
    run = pretrain.start(tmp_path / "run", "small", stage, 2, "adamw")
    pretrain.train(run, stage, max_minutes=9, workers=0)
    export(tmp_path / "run", tmp_path / "shipped")
    processor = AutoProcessor.from_pretrained(tmp_path / "shipped", local_files_only=True)
    model = Florence2ForConditionalGeneration.from_pretrained(
        tmp_path / "shipped", local_files_only=True, use_safetensors=True
    )
    picture = scenes.render(scenes.sample(1, 1), 128).picture
    inputs = processor(text="<CAPTION>", images=picture, return_tensors="pt")
    assert model.generate(**inputs, max_new_tokens=3).shape[0] == 1
    assert (tmp_path / "shipped" / "model.safetensors").stat().st_size < 16_000_000


def test_a_new_run_goes_on_from_what_was_exported(stage: Stage, tmp_path: Path) -> None:
    run = pretrain.start(tmp_path / "run", "small", stage, 2, "adamw")
    pretrain.train(run, stage, max_minutes=9, workers=0)
    export(tmp_path / "run", tmp_path / "shipped")
    export_heads(tmp_path / "run", tmp_path / "heads.safetensors")
    later = pretrain.start(
        tmp_path / "later", "small", stage, 2, "muon", tmp_path / "shipped", tmp_path / "heads.safetensors"
    )
    kept = pretrain.Run.load(tmp_path / "run").averaged_weights()
    for name, tensor in later.model.state_dict().items():
        assert torch.allclose(tensor, kept[name], atol=1e-3), name
    assert torch.allclose(later.heads.whole.weight, run.heads.whole.weight, atol=1e-3)


def test_answers_are_spelt_so_that_they_decode_to_themselves() -> None:
    tokenizer = fresh.build_tokenizer()
    spelling = batches.Spelling(fresh.build_processor(tokenizer, 64))
    for task, text in (
        ("<OCR_WITH_REGION>", "SALE 50%<loc_1><loc_2><loc_3><loc_4><loc_5><loc_6><loc_7><loc_8>x<loc_9>"),
        ("<OD>", "red sneaker<loc_1><loc_20><loc_300><loc_999>"),
    ):
        ids = spelling.answer(task, text)
        assert tokenizer.decode(ids[1:-1], skip_special_tokens=False) == text
    assert spelling.prompt("<CAPTION>") == tokenizer("What does the image describe?")["input_ids"]


def test_a_grown_model_keeps_its_size_and_its_mean_position() -> None:
    model = fresh.build_model(fresh.build_tokenizer(), 64)
    grown = grow.resized(model, 128)
    key = "model.language_model.encoder.embed_positions.weight"
    old, new = model.state_dict()[key], grown.state_dict()[key]
    assert old.shape == new.shape
    assert torch.equal(old[:3], new[:3])
    few, many = (64 // fresh.STRIDE) ** 2, (128 // fresh.STRIDE) ** 2
    assert torch.equal(old[3 + few : few - many], new[3 + many :])


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(muon.orthogonal(torch.randn(2, 16, 48)))
    assert float(values.min()) > 0.5 and float(values.max()) < 1.4


def test_the_rate_rises_and_falls(stage: Stage, tmp_path: Path) -> None:
    stage = dataclasses.replace(stage, warmup=100, least=0.1)
    run = pretrain.start(tmp_path, "small", stage, 1000, "muon")
    rates = []
    for run.seen in (0, 100, 500, 1000):
        run.set_rate()
        rates.append({group["lr"] for optimizer in run.optimizers for group in optimizer.param_groups})
    assert max(rates[0]) < max(rates[2]) < max(rates[1])
    assert max(rates[3]) == pytest.approx(stage.least * stage.tower_rate)


def test_absent_phrases_have_empty_answers() -> None:
    if not assets.available():
        pytest.skip("no drawings to render scenes from")
    rendered = scenes.render(scenes.sample(1, 1), 64)
    answers = {bool(asked.open_vocabulary(rendered, random.Random(seed))[1]) for seed in range(20)}
    assert answers == {True, False}
