"""Configuration of an original Florence-2 checkpoint to that of the native class: config.json, processor, tokenizer.

Explicit whitelisting: a value reaches the new files only if it is named here. What is named nowhere is left out and
reported, `auto_map` and everything else that could run code with it. Missing values are the original classes' own
defaults (`configuration_florence2.py` as published with microsoft/Florence-2-large), because its `save_pretrained`
leaves out what equals them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import BartTokenizer, CLIPImageProcessor, Florence2Config, Florence2Processor

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import RENEW, image_tokens, read_json
from worker.vision.pieces import PLACES

Json = dict[str, Any]

# Added to BART's words by the original's processor each time it starts; their order is their numbers.
ADDED_TOKENS = (
    *("<od>", "</od>", "<ocr>", "</ocr>"),
    *(f"<loc_{place}>" for place in range(PLACES)),
    *("<cap>", "</cap>", "<ncap>", "</ncap>", "<dcap>", "</dcap>", "<grounding>", "</grounding>", "<seg>", "</seg>"),
    *("<sep>", "<region_cap>", "</region_cap>", "<region_to_desciption>", "</region_to_desciption>"),
    *("<proposal>", "</proposal>", "<poly>", "</poly>", "<and>"),
)
IMAGE_TOKEN = "<image>"  # noqa: S105  (a word, not a secret)

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
_IMAGE_KEYS = (
    "do_resize",
    "size",
    "resample",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)

# For other readers of the checkpoint; our own parser needs none of it. Words that phrase grounding never grounds are
# pronouns, determiners and words for the picture itself.
_PRONOUNS = (
    "I me mine my myself you your yours yourself yourselves he him his himself she her hers herself it its itself "
    "we us our ours ourselves they them their theirs themselves one oneself this that these those who whom whose "
    "which what all another any anybody anyone anything each everybody everyone everything few many nobody none "
    "several some somebody someone something"
)
POST_PROCESSING: dict[str, Json] = {
    "ocr": {"PATTERN": "(.+?)" + r"<loc_(\d+)>" * 8, "AREA_THRESHOLD": 0.0},
    "phrase_grounding": {
        "banned_grounding_tokens": [
            *_PRONOUNS.split(),
            *("each other", "one another", "the", "a", "an", "the image", "image", "images"),
            *("a group", "other objects", "lots", "a set"),
        ]
    },
    "pure_text": {},
    "description_with_bboxes": {},
    "description_with_polygons": {},
    "polygons": {},
    "bboxes": {},
    "description_with_bboxes_or_polygons": {},
}

# Untyped in transformers.
_Config: Any = Florence2Config
_Tokenizer: Any = BartTokenizer
_Images: Any = CLIPImageProcessor
_Processor: Any = Florence2Processor


def read_original(folder: Path) -> Json:
    """config.json of the original layout. Raises CheckpointRefused for anything else, the native layout too."""
    config = read_json(folder / "config.json")
    vision, text = config.get("vision_config"), config.get("text_config")
    if config.get("model_type") != "florence2" or not isinstance(vision, dict) or not isinstance(text, dict):
        raise _refused(folder, "config.json describes no Florence-2.", "Give a Florence-2 directory.")
    if "embed_dim" in vision:
        raise _refused(folder, "It is in the native layout already.", "Use it as it is.")
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
            raise _refused(folder, f"config.json lacks {name}.", "Use the config.json that belongs to these weights.")
        vision[native] = flat[name]
    text = {name: flat.get(f"text_config.{name}", usual) for name, usual in _TEXT.items()}
    if vision["projection_dim"] != text["d_model"]:
        raise _refused(
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
        raise _refused(folder, f"config.json cannot be translated ({error}).", RENEW) from error


def left_out(original: Json) -> tuple[str, ...]:
    """Names of the settings that have no place in the native files, such as `auto_map` and beam search."""
    names = (name.removesuffix(".") for name in _flat(original, whole=("auto_map", "label2id", "id2label")))
    return tuple(sorted(name for name in names if name not in _UNDERSTOOD))


def native_processor(folder: Path, tokenizer: Any, config: Any) -> Any:
    """Florence2Processor with the checkpoint's image settings. config: the native one. Raises CheckpointRefused."""
    return _Processor(_image_processor(folder, config), tokenizer, post_processor_config=POST_PROCESSING)


def native_tokenizer(folder: Path) -> Any:
    """BART's words, the added tokens, `<image>` last.

    From the words alone: tokenizer.json, or vocab.json with merges.txt; of tokenizer_config.json only the longest
    length. Raises CheckpointRefused.
    """
    files = ["tokenizer.json"] if (folder / "tokenizer.json").is_file() else ["vocab.json", "merges.txt"]
    with tempfile.TemporaryDirectory() as name:
        words = Path(name)
        for file in files:
            if not (folder / file).is_file():
                raise _refused(folder, f"There is no {file}, so the words are unknown.", RENEW)
            (words / file).write_bytes((folder / file).read_bytes())
        try:
            made = _Tokenizer.from_pretrained(words)
            made.add_special_tokens(
                {"additional_special_tokens": list(ADDED_TOKENS)}, replace_extra_special_tokens=False
            )
            made.save_pretrained(words)
            (words / "tokenizer_config.json").unlink()
            # Only now, so that it is the last word: the weights have rows for all others.
            return _Tokenizer.from_pretrained(
                words, extra_special_tokens={"image_token": IMAGE_TOKEN}, model_max_length=_longest(folder)
            )
        except Exception as error:  # tokenizers raises plain Exception on a damaged file
            raise _refused(folder, f"{files[0]} cannot be used ({error}).", RENEW) from error


def _longest(folder: Path) -> int:
    """Tokens in a prompt and an answer, as the tokenizer's own configuration says."""
    usual = 1024
    if not (folder / "tokenizer_config.json").is_file():
        return usual
    length = read_json(folder / "tokenizer_config.json").get("model_max_length", usual)
    return length if isinstance(length, int) and 0 < length < 1_000_000 else usual


def _image_processor(folder: Path, config: Any) -> Any:
    if not (folder / "preprocessor_config.json").is_file():
        raise _refused(folder, "There is no preprocessor_config.json.", RENEW)
    given = read_json(folder / "preprocessor_config.json")
    size = given.get("size")
    if not isinstance(size, dict) or set(size) != {"height", "width"}:
        raise _refused(
            folder,
            f"preprocessor_config.json has size {size!r}; Florence-2 squashes pictures to a height and a width.",
            "Use the preprocessor_config.json that belongs to these weights.",
        )
    if given.get("do_center_crop"):
        raise _refused(
            folder,
            "preprocessor_config.json has do_center_crop: cropping would move every place.",
            "Use the preprocessor_config.json that belongs to these weights.",
        )
    try:
        made = _Images(
            **{key: given[key] for key in _IMAGE_KEYS if key in given}, do_center_crop=False, do_convert_rgb=True
        )
        made(images=[Image.new("RGB", (8, 8))], return_tensors="pt")  # its values are looked at only when it works
    except Exception as error:
        raise _refused(folder, f"preprocessor_config.json cannot be used ({error}).", RENEW) from error
    made.image_seq_length = given.get("image_seq_length") or image_tokens(config.vision_config, size)
    return made


def _check_only(folder: Path, flat: Json) -> None:
    for name, value in _ONLY.items():
        found = flat.get(name, value if name in _OPTIONAL_ONLY else None)
        if found != value:
            raise _refused(
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


def _refused(folder: Path, why: str, remedy: str) -> CheckpointRefused:
    return CheckpointRefused(str(folder), why, remedy)
