"""Configuration of an original Florence-2 checkpoint to that of the native class: config.json.

Explicit whitelisting: a value reaches the new files only if it is named here. What is named nowhere is left out and
reported, `auto_map` and everything else that could run code with it. Missing values are the original classes' own
defaults (`configuration_florence2.py` as published with microsoft/Florence-2-large), because its `save_pretrained`
leaves out what equals them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import Florence2Config

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import RENEW, read_json

Json = dict[str, Any]

# Original name, native name, default.
_VISION = (
    ("depths", "depths", [1, 1, 9, 1]),
    ("dim_embed", "embed_dim", [256, 512, 1024, 2048]),
    ("num_heads", "num_heads", [8, 16, 32, 64]),
    ("num_groups", "num_groups", [8, 16, 32, 64]),
    ("patch_size", "patch_size", [7, 3, 3, 3]),
    ("patch_stride", "patch_stride", [4, 2, 2, 2]),
    ("patch_padding", "patch_padding", [3, 1, 1, 1]),
    ("patch_prenorm", "patch_prenorm", [False, True, True, True]),
    ("window_size", "window_size", 12),
    ("drop_path_rate", "drop_path_rate", 0.1),
    ("projection_dim", "projection_dim", 1024),
)
_TEXT: Json = {
    "d_model": 1024,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
    "max_position_embeddings": 1024,
    "activation_function": "gelu",
    "scale_embedding": False,
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "classifier_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "init_std": 0.02,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
# What the original can be told and the native class cannot do, and the only value that means the same.
_ONLY = {
    "vision_config.image_feature_source": ["spatial_avg_pool", "temporal_avg_pool"],
    "vision_config.image_pos_embed.type": "learned_abs_2d",
    "vision_config.visual_temporal_embedding.type": "COSINE",
    "text_config.normalize_before": False,
    "text_config.add_final_layer_norm": False,
    "text_config.add_bias_logits": False,
}
_OPTIONAL_ONLY = {name for name in _ONLY if not name.endswith(".type")}
# Needed to read a checkpoint, or said otherwise in the native files.
_UNDERSTOOD = {
    "model_type",
    "architectures",
    "vocab_size",
    "projection_dim",
    "is_encoder_decoder",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "vision_config.model_type",
    "text_config.model_type",
    "text_config.vocab_size",
    "text_config.is_encoder_decoder",
    "vision_config.image_pos_embed.max_pos_embeddings",
    "vision_config.visual_temporal_embedding.max_temporal_embeddings",
    *(f"vision_config.{original}" for original, _, _ in _VISION),
    *(f"text_config.{name}" for name in _TEXT),
    *_ONLY,
}
_Config: Any = Florence2Config  # untyped in transformers


def read_original(folder: Path) -> Json:
    """config.json of the original layout. Raises CheckpointRefused for anything else, the native layout too."""
    config = read_json(folder / "config.json")
    vision, text = config.get("vision_config"), config.get("text_config")
    if config.get("model_type") != "florence2" or not isinstance(vision, dict) or not isinstance(text, dict):
        raise refused(folder, "config.json describes no Florence-2.", "Give a Florence-2 directory.")
    if "embed_dim" in vision:
        raise refused(folder, "It is in the native layout already.", "Use it as it is.")
    return config


def native_config(folder: Path, original: Json, *, image_token_id: int, rows: int, dtype: str) -> Any:
    """Florence2Config with the same architecture; rows: of the embedding matrix. Raises CheckpointRefused."""
    flat = _flat(original)
    _check_only(folder, flat)
    vision: Json = {native: flat.get(f"vision_config.{name}", usual) for name, native, usual in _VISION}
    for native, name in (
        ("max_position_embeddings", "vision_config.image_pos_embed.max_pos_embeddings"),
        ("max_temporal_embeddings", "vision_config.visual_temporal_embedding.max_temporal_embeddings"),
    ):
        if name not in flat:
            raise refused(folder, f"config.json lacks {name}.", "Use the config.json that belongs to these weights.")
        vision[native] = flat[name]
    text = {name: flat.get(f"text_config.{name}", usual) for name, usual in _TEXT.items()}
    if vision["projection_dim"] != text["d_model"]:
        raise refused(
            folder,
            f"vision_config.projection_dim is {vision['projection_dim']}, text_config.d_model {text['d_model']}; "
            "images and words would not have the same width.",
            "Use the config.json that belongs to these weights.",
        )
    ends = {name: text[name] for name in ("bos_token_id", "pad_token_id", "eos_token_id", "decoder_start_token_id")}
    try:
        return _Config(
            vision_config=vision,
            text_config=text | {"model_type": "bart", "vocab_size": rows, "forced_eos_token_id": None},
            image_token_id=image_token_id,
            architectures=["Florence2ForConditionalGeneration"],
            dtype=dtype,
            **ends,
        )
    except Exception as error:  # a value of the wrong type raises whatever the library makes of it
        raise refused(folder, f"config.json cannot be translated ({error}).", RENEW) from error


def left_out(original: Json) -> tuple[str, ...]:
    """Names of the settings that have no place in the native files, such as `auto_map` and beam search."""
    names = (name.removesuffix(".") for name in _flat(original, whole=("auto_map", "label2id", "id2label")))
    return tuple(sorted(name for name in names if name not in _UNDERSTOOD))


def _check_only(folder: Path, flat: Json) -> None:
    for name, value in _ONLY.items():
        found = flat.get(name, value if name in _OPTIONAL_ONLY else None)
        if found != value:
            raise refused(
                folder,
                f"config.json has {name} {found!r}; the native class can only do {value!r}.",
                "Such a checkpoint cannot be converted; use one with the usual architecture.",
            )


def _flat(node: Mapping[str, Any], prefix: str = "", whole: Sequence[str] = ()) -> Json:
    """Nested settings by dotted names; those in `whole` are not looked into."""
    flat: Json = {}
    for key, value in node.items():
        if isinstance(value, dict) and key not in whole:
            flat |= _flat(value, f"{prefix}{key}.", whole)
        else:
            flat[prefix + key] = value
    return flat


def refused(folder: Path, why: str, remedy: str) -> CheckpointRefused:
    return CheckpointRefused(str(folder), why, remedy)
