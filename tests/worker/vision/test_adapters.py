"""LoRA adapters: one that fits changes the answers, one that does not is refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file, save_file

from domain.errors import CheckpointRefused
from domain.observations import INPUT_FREE_TASKS, Plan
from worker.vision.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.florence import load_base, verify
from worker.vision.manifest import write_manifest

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture
def adapter(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A LoRA of the language model's attention with weights that do something."""
    model = get_peft_model(
        load_base(verify(tiny_checkpoint)),
        LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj)"),
    )
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.5)
    model.save_pretrained(tmp_path / "mugs")
    return tmp_path / "mugs"


def load(base: Path, adapter: Path | None) -> FlorenceEngine:
    return FlorenceEngine.load(base, adapter=adapter, device="cpu", dtype="float32")


def refusal(base: Path, adapter: Path) -> str:
    with pytest.raises(CheckpointRefused) as caught:
        load(base, adapter)
    assert caught.value.remedy
    return str(caught.value)


def test_an_adapter_changes_the_answers_and_is_named(
    tiny_checkpoint: Path, tiny_engine: FlorenceEngine, adapter: Path, picture: Callable[..., Image.Image]
) -> None:
    engine = load(tiny_checkpoint, adapter)
    assert engine.engine.adapter is not None and engine.engine.adapter.startswith("mugs@")
    assert engine.engine.model == tiny_engine.engine.model
    looks = [Look(picture(1), "aa", 120, 80, Plan(tasks=INPUT_FREE_TASKS))]
    assert [tokens for _, tokens in engine.generate(looks)] != [tokens for _, tokens in tiny_engine.generate(looks)]


def test_missing_keys(tiny_checkpoint: Path, adapter: Path) -> None:
    tensors = load_file(adapter / ADAPTER_WEIGHTS)
    name = sorted(tensors)[0]
    del tensors[name]
    save_file(tensors, adapter / ADAPTER_WEIGHTS)
    assert f"Missing tensors: {name}" in refusal(tiny_checkpoint, adapter)


def test_keys_of_another_layout(tiny_checkpoint: Path, adapter: Path) -> None:
    tensors = load_file(adapter / ADAPTER_WEIGHTS)
    renamed = {name.replace("model.language_model", "language_model.model"): value for name, value in tensors.items()}
    save_file(renamed, adapter / ADAPTER_WEIGHTS)
    assert "Unexpected tensors" in refusal(tiny_checkpoint, adapter)


def test_numbers_that_are_not_finite(tiny_checkpoint: Path, adapter: Path) -> None:
    tensors = load_file(adapter / ADAPTER_WEIGHTS)
    name = sorted(tensors)[-1]
    tensors[name].fill_(float("nan"))
    save_file(tensors, adapter / ADAPTER_WEIGHTS)
    assert name in refusal(tiny_checkpoint, adapter)


def edit(adapter: Path, **changes: object) -> None:
    file = adapter / ADAPTER_CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_another_base_by_digest(tiny_checkpoint: Path, adapter: Path) -> None:
    edit(adapter, base_model_name_or_path="tiny@ffffffffffff")
    assert "tiny@ffffffffffff" in refusal(tiny_checkpoint, adapter)


def test_the_same_base_by_digest(tiny_checkpoint: Path, tiny_engine: FlorenceEngine, adapter: Path) -> None:
    edit(adapter, base_model_name_or_path=tiny_engine.engine.model)
    assert load(tiny_checkpoint, adapter).engine.adapter is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"auto_map": {"x": "y.Z"}}, "auto_map"),
        ({"megatron_config": {"a": 1}, "megatron_core": "someones.module"}, "megatron_config"),
        ({"target_modules": ["no_such_layer"]}, "does not fit this model"),
        ({"r": -1}, "positive integer"),
        ({"use_dora": True}, "more than pairs of low-rank factors"),
        ({"modules_to_save": ["lm_head"]}, "more than pairs of low-rank factors"),
        ({"target_modules": r".*(shared|embed_tokens)"}, "only linear layers and convolutions"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"a_key_of_another_release": {"rank": 3}}, "a_key_of_another_release"),
        ({"auto_mapping": {"parent_library": "someones.module", "base_model_class": "Model"}}, "auto_mapping"),
    ],
)
def test_configurations_that_are_refused(
    tiny_checkpoint: Path, adapter: Path, changes: dict[str, object], words: str
) -> None:
    edit(adapter, **changes)
    assert words in refusal(tiny_checkpoint, adapter)


def test_a_manifest_is_held_against_an_adapters_files_too(tiny_checkpoint: Path, adapter: Path) -> None:
    write_manifest(adapter)
    assert load(tiny_checkpoint, adapter).engine.adapter is not None
    edit(adapter, lora_alpha=1)
    assert f"{ADAPTER_CONFIG} differs" in refusal(tiny_checkpoint, adapter)


def test_pickled_adapter(tiny_checkpoint: Path, adapter: Path) -> None:
    (adapter / ADAPTER_WEIGHTS).rename(adapter / "adapter_model.bin")
    assert "adapter_model.bin" in refusal(tiny_checkpoint, adapter)
