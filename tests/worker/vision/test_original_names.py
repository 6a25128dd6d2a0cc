"""Names of the original layout, written out by hand from its published source, and LoRA adapters under them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from tests.worker.vision.original import original_name
from worker.vision.adapters import read_adapter
from worker.vision.checkpoint import ADAPTER_WEIGHTS
from worker.vision.florence import load_base, verify
from worker.vision.original_names import ADAPTER_PREFIX, native_adapter_names, native_name

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PAIRS = [
    ("vision_tower.convs.0.proj.weight", "model.vision_tower.convs.0.conv.weight"),
    ("vision_tower.convs.3.norm.bias", "model.vision_tower.convs.3.norm.bias"),
    (
        "vision_tower.blocks.2.8.spatial_block.conv1.fn.dw.weight",
        "model.vision_tower.blocks.2.8.spatial_block.conv1.weight",
    ),
    (
        "vision_tower.blocks.2.8.spatial_block.window_attn.norm.weight",
        "model.vision_tower.blocks.2.8.spatial_block.norm1.weight",
    ),
    (
        "vision_tower.blocks.2.8.spatial_block.window_attn.fn.qkv.bias",
        "model.vision_tower.blocks.2.8.spatial_block.window_attn.qkv.bias",
    ),
    (
        "vision_tower.blocks.0.0.channel_block.channel_attn.norm.bias",
        "model.vision_tower.blocks.0.0.channel_block.norm1.bias",
    ),
    (
        "vision_tower.blocks.0.0.channel_block.channel_attn.fn.proj.weight",
        "model.vision_tower.blocks.0.0.channel_block.channel_attn.proj.weight",
    ),
    (
        "vision_tower.blocks.1.0.channel_block.conv2.fn.dw.bias",
        "model.vision_tower.blocks.1.0.channel_block.conv2.bias",
    ),
    (
        "vision_tower.blocks.1.0.channel_block.ffn.norm.weight",
        "model.vision_tower.blocks.1.0.channel_block.norm2.weight",
    ),
    (
        "vision_tower.blocks.3.0.spatial_block.ffn.fn.net.fc1.weight",
        "model.vision_tower.blocks.3.0.spatial_block.ffn.fc1.weight",
    ),
    (
        "vision_tower.blocks.3.0.spatial_block.ffn.fn.net.fc2.bias",
        "model.vision_tower.blocks.3.0.spatial_block.ffn.fc2.bias",
    ),
    ("image_projection", "model.multi_modal_projector.image_projection.weight"),
    ("image_proj_norm.bias", "model.multi_modal_projector.image_proj_norm.bias"),
    (
        "image_pos_embed.row_embeddings.weight",
        "model.multi_modal_projector.image_position_embed.row_embeddings.weight",
    ),
    (
        "visual_temporal_embed.pos_idx_to_embed",
        "model.multi_modal_projector.visual_temporal_embed.pos_idx_to_embed",
    ),
    ("language_model.model.shared.weight", "model.language_model.shared.weight"),
    (
        "language_model.model.encoder.layers.5.self_attn.q_proj.weight",
        "model.language_model.encoder.layers.5.self_attn.q_proj.weight",
    ),
    (
        "language_model.model.decoder.layers.0.encoder_attn_layer_norm.bias",
        "model.language_model.decoder.layers.0.encoder_attn_layer_norm.bias",
    ),
    ("language_model.lm_head.weight", "lm_head.weight"),
]


@pytest.mark.parametrize(("original", "native"), PAIRS)
def test_names(original: str, native: str) -> None:
    assert native_name(original) == native
    assert original_name(native) == original  # the table the other tests build their checkpoints with


@pytest.mark.parametrize("name", ["model.vision_tower.convs.0.conv.weight", "optimizer", "", "language_model.head"])
def test_names_of_no_layer(name: str) -> None:
    with pytest.raises(ValueError, match="original Florence-2 layout"):
        native_name(name)


TARGETS = r".*(q_proj|out_proj|window_attn\.qkv|channel_attn\.proj|ffn\.fc1|convs\.1\.conv)"


def test_an_adapter_of_the_original_fits_the_native_model(tiny_checkpoint: Path, tmp_path: Path) -> None:
    verified = verify(tiny_checkpoint)
    torch.manual_seed(3)
    trained = get_peft_model(load_base(verified), LoraConfig(r=2, target_modules=TARGETS, init_lora_weights=False))
    folder = tmp_path / "adapter"
    trained.save_pretrained(folder, save_embedding_layers=False)
    native = load_file(folder / ADAPTER_WEIGHTS)
    original = {}
    for name, tensor in native.items():
        layer, _, factor = name.removeprefix(ADAPTER_PREFIX).partition(".lora_")
        original[f"{ADAPTER_PREFIX}{original_name(layer + '.weight').removesuffix('.weight')}.lora_{factor}"] = tensor
    assert any("window_attn.fn.qkv.lora_A" in name for name in original)
    assert original.keys() & native.keys() == set()

    names = native_adapter_names(original)
    save_file({names[name]: tensor for name, tensor in original.items()}, folder / ADAPTER_WEIGHTS)
    adapter, base, expected = read_adapter(folder, verified), load_base(verified), trained.merge_and_unload()
    assert any("convs.1" in layer for layer in adapter.layers)
    for layer in adapter.layers:
        merged = adapter.merged(layer, base.get_submodule(layer).weight)
        assert torch.equal(merged, expected.get_submodule(layer).weight), layer


def test_a_native_adapter_keeps_its_names() -> None:
    names = [
        f"{ADAPTER_PREFIX}model.language_model.encoder.layers.0.fc1.lora_A.weight",
        f"{ADAPTER_PREFIX}lm_head.weight",
    ]
    assert native_adapter_names(names) == {name: name for name in names}


def test_the_output_layer_of_an_adapter() -> None:
    name = f"{ADAPTER_PREFIX}language_model.lm_head.lora_B.weight"
    assert native_adapter_names([name]) == {name: f"{ADAPTER_PREFIX}lm_head.lora_B.weight"}


def test_adapters_that_cannot_be_renamed() -> None:
    native, old = "model.language_model.encoder.fc1", "language_model.model.encoder.fc1"
    with pytest.raises(ValueError, match="mixes two layouts"):
        native_adapter_names([f"{ADAPTER_PREFIX}{native}.lora_A.weight", f"{ADAPTER_PREFIX}{old}.lora_A.weight"])
    with pytest.raises(ValueError, match="bare matrix"):
        native_adapter_names([f"{ADAPTER_PREFIX}image_projection"])
    with pytest.raises(ValueError, match="no name of the original"):
        native_adapter_names([f"{ADAPTER_PREFIX}transformer.h.0.lora_A.weight"])
