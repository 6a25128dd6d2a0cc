"""Checkpoints in Microsoft's original layout, made of random numbers: the layout is real, the knowledge is not.

The names go the other way round from `worker.vision.original_names`, by a table written for these tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import ByteLevelBPETokenizer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Florence2Config, Florence2ForConditionalGeneration

Tensors = dict[str, torch.Tensor]

FRAME = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ADDED = 1024  # <od>, </od>, <ocr>, </ocr>, a thousand places, twenty more

SHARED = "language_model.model.shared.weight"
TOP = {
    "model.multi_modal_projector.image_projection.weight": "image_projection",
    "model.multi_modal_projector.image_proj_norm.weight": "image_proj_norm.weight",
    "model.multi_modal_projector.image_proj_norm.bias": "image_proj_norm.bias",
    "model.multi_modal_projector.image_position_embed.row_embeddings.weight": "image_pos_embed.row_embeddings.weight",
    "model.multi_modal_projector.image_position_embed.column_embeddings.weight": (
        "image_pos_embed.column_embeddings.weight"
    ),
    "model.multi_modal_projector.visual_temporal_embed.pos_idx_to_embed": "visual_temporal_embed.pos_idx_to_embed",
    "model.language_model.shared.weight": SHARED,
    "lm_head.weight": "language_model.lm_head.weight",
}
ATTENTION = {"spatial_block": "window_attn", "channel_block": "channel_attn"}
WRAPPED = {
    "conv1": "conv1.fn.dw",
    "conv2": "conv2.fn.dw",
    "norm2": "ffn.norm",
    "ffn.fc1": "ffn.fn.net.fc1",
    "ffn.fc2": "ffn.fn.net.fc2",
    "window_attn.qkv": "window_attn.fn.qkv",
    "window_attn.proj": "window_attn.fn.proj",
    "channel_attn.qkv": "channel_attn.fn.qkv",
    "channel_attn.proj": "channel_attn.fn.proj",
}

TINY_VISION: dict[str, Any] = {
    "model_type": "davit",
    "drop_path_rate": 0.1,
    "patch_size": [7, 3],
    "patch_stride": [4, 4],
    "patch_padding": [3, 1],
    "patch_prenorm": [False, True],
    "enable_checkpoint": False,
    "dim_embed": [8, 16],
    "num_heads": [1, 2],
    "num_groups": [1, 2],
    "depths": [1, 2],
    "window_size": 2,
    "projection_dim": 24,
    "visual_temporal_embedding": {"type": "COSINE", "max_temporal_embeddings": 3},
    "image_pos_embed": {"type": "learned_abs_2d", "max_pos_embeddings": 4},
    "image_feature_source": ["spatial_avg_pool", "temporal_avg_pool"],
}
TINY_TEXT: dict[str, Any] = {
    "d_model": 24,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 64,
}
BASE_VISION: dict[str, Any] = TINY_VISION | {
    "patch_size": [7, 3, 3, 3],
    "patch_stride": [4, 2, 2, 2],
    "patch_padding": [3, 1, 1, 1],
    "patch_prenorm": [False, True, True, True],
    "dim_embed": [128, 256, 512, 1024],
    "num_heads": [4, 8, 16, 32],
    "num_groups": [4, 8, 16, 32],
    "depths": [1, 1, 9, 1],
    "window_size": 12,
    "projection_dim": 768,
    "visual_temporal_embedding": {"type": "COSINE", "max_temporal_embeddings": 100},
    "image_pos_embed": {"type": "learned_abs_2d", "max_pos_embeddings": 50},
}
BASE_TEXT: dict[str, Any] = TINY_TEXT | {
    "d_model": 768,
    "encoder_layers": 6,
    "decoder_layers": 6,
    "encoder_attention_heads": 12,
    "decoder_attention_heads": 12,
    "encoder_ffn_dim": 3072,
    "decoder_ffn_dim": 3072,
    "max_position_embeddings": 1024,
}
LARGE_VISION: dict[str, Any] = BASE_VISION | {
    "dim_embed": [256, 512, 1024, 2048],
    "num_heads": [8, 16, 32, 64],
    "num_groups": [8, 16, 32, 64],
    "projection_dim": 1024,
}
LARGE_TEXT: dict[str, Any] = BASE_TEXT | {
    "d_model": 1024,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
    "max_position_embeddings": 4096,
}


def original_name(native: str) -> str:
    """What the original calls a tensor of the native class."""
    if native in TOP:
        return TOP[native]
    if native.startswith("model.language_model."):
        return "language_model.model." + native.split(".", 2)[2]
    home, _, parameter = native.rpartition(".")
    parts = home.split(".")[1:]
    if parts[1] == "convs":
        return ".".join([*parts[:3], {"conv": "proj", "norm": "norm"}[parts[3]], parameter])
    block, layer = parts[4], ".".join(parts[5:])
    wrapped = f"{ATTENTION[block]}.norm" if layer == "norm1" else WRAPPED[layer]
    return ".".join([*parts[:5], wrapped, parameter])


def random_weights(vision: Mapping[str, Any], text: Mapping[str, Any], rows: int, seed: int = 11) -> Tensors:
    """Float32 numbers for every tensor of the native class, by native name; lively enough that answers differ."""
    config = Florence2Config(
        vision_config={
            **{key: vision[key] for key in vision if key not in ("model_type", "dim_embed", "enable_checkpoint")},
            "embed_dim": vision["dim_embed"],
            "max_temporal_embeddings": vision["visual_temporal_embedding"]["max_temporal_embeddings"],
            "max_position_embeddings": vision["image_pos_embed"]["max_pos_embeddings"],
        },
        text_config={**text, "model_type": "bart", "vocab_size": rows},
    )
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Florence2ForConditionalGeneration(config).state_dict().items()}
    numbers = torch.Generator().manual_seed(seed)
    made: Tensors = {}
    for name, shape in shapes.items():
        if name == "lm_head.weight" or "embed_tokens" in name:
            continue
        spread = shape[1:].numel() ** -0.5 if len(shape) > 1 else 0.1  # keeps numbers of like size from layer to layer
        made[name] = torch.randn(shape, generator=numbers).mul_(spread)
        if "norm" in name and name.endswith("weight"):
            made[name] += 1
    return made


def as_original(native: Mapping[str, torch.Tensor]) -> Tensors:
    """The same numbers under the original's names, the projection lying the original's way, and the zero bias."""
    made = {original_name(name): tensor for name, tensor in native.items()}
    made["image_projection"] = made["image_projection"].T.contiguous()
    made["language_model.final_logits_bias"] = torch.zeros(1, made[SHARED].shape[0])
    return made


def original_config(vision: Mapping[str, Any], text: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """config.json as published: code references, beam search and bookkeeping among what matters."""
    return {
        "_name_or_path": "florence2",
        "architectures": ["Florence2ForConditionalGeneration"],
        "auto_map": {
            "AutoConfig": "configuration_florence2.Florence2Config",
            "AutoModelForCausalLM": "modeling_florence2.Florence2ForConditionalGeneration",
        },
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
        "ignore_index": -100,
        "model_type": "florence2",
        "projection_dim": vision["projection_dim"],
        "text_config": {
            **text,
            "vocab_size": rows,
            "activation_function": "gelu",
            "add_bias_logits": False,
            "add_final_layer_norm": False,
            "normalize_before": False,
            "attention_dropout": 0.1,
            "bos_token_id": 0,
            "decoder_start_token_id": 2,
            "early_stopping": True,
            "eos_token_id": 2,
            "forced_bos_token_id": 0,
            "forced_eos_token_id": 2,
            "is_encoder_decoder": True,
            "label2id": {"LABEL_0": 0},
            "no_repeat_ngram_size": 3,
            "num_beams": 3,
            "pad_token_id": 1,
            "scale_embedding": False,
        },
        "vision_config": dict(vision),
        "vocab_size": rows,
        "torch_dtype": "float16",
        "transformers_version": "4.41.0.dev0",
        "is_encoder_decoder": True,
    }


def image_settings(side: int, tokens: int) -> dict[str, Any]:
    return {
        "auto_map": {"AutoProcessor": "processing_florence2.Florence2Processor"},
        "_valid_processor_keys": ["images", "do_resize", "size", "resample"],
        "do_convert_rgb": None,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "do_center_crop": False,
        "image_processor_type": "CLIPImageProcessor",
        "image_seq_length": tokens,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "processor_class": "Florence2Processor",
        "resample": 3,
        "size": {"height": side, "width": side},
        "crop_size": {"height": side, "width": side},
    }


def write_tiny_words(folder: Path) -> int:
    """A small tokenizer.json without the added tokens; how many words it has."""
    pairs = ByteLevelBPETokenizer()
    lines = ["What does the image describe?", "Locate the objects with category name in the image.", " red café 商品"]
    pairs.train_from_iterator(lines * 9, vocab_size=330, min_frequency=2, special_tokens=FRAME, show_progress=False)
    pairs.save(str(folder / "tokenizer.json"))
    return pairs.get_vocab_size()


def write_full_words(folder: Path) -> int:
    """vocab.json and merges.txt with as many words as BART's 50,265, made of pairs of bytes."""
    letters = sorted(ByteLevel.alphabet())
    pairs = [(one, other) for one in letters for other in letters][: 50_265 - len(FRAME) - len(letters)]
    words = [*FRAME[:4], *letters, *(one + other for one, other in pairs), FRAME[4]]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{one} {other}\n" for one, other in pairs))
    return len(words)


def write_original(folder: Path, size: str = "tiny", dtype: torch.dtype = torch.float32) -> Tensors:
    """A whole checkpoint, as it would be downloaded; what its tensors are by native name. size: tiny, base, large."""
    vision, text = {
        "tiny": (TINY_VISION, TINY_TEXT),
        "base": (BASE_VISION, BASE_TEXT),
        "large": (LARGE_VISION, LARGE_TEXT),
    }[size]
    folder.mkdir(parents=True)
    words = write_tiny_words(folder) if size == "tiny" else write_full_words(folder)
    side, tokens = (32, 5) if size == "tiny" else (768, 577)
    native = {name: tensor.to(dtype) for name, tensor in random_weights(vision, text, words + ADDED).items()}
    save_file(as_original(native), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", original_config(vision, text, words + ADDED))
    write_json(folder / "preprocessor_config.json", image_settings(side, tokens))
    write_json(folder / "tokenizer_config.json", {"model_max_length": 1024})
    write_json(folder / "generation_config.json", {"num_beams": 3, "no_repeat_ngram_size": 3})
    (folder / "LICENSE").write_text("MIT License\n")
    (folder / "modeling_florence2.py").write_text("raise SystemExit('the code of a checkpoint was run')\n")
    (folder / "pytorch_model.bin").write_bytes(b"cos\n_exit\n(I1\ntR.")
    return native


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2))
