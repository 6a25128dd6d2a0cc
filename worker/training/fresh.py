"""A fresh model in Florence-2's own layout: small tokenizer, processor, random weights.

Run as: python -m worker.training.fresh DIR [--resolution 256]

Everything is written in the standard files, so that `AutoProcessor` and `Florence2ForConditionalGeneration` load it
like any other Florence-2 checkpoint, offline and without remote code.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    BartTokenizer,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    GenerationConfig,
)

from worker.training.synth.vocabulary import BACKDROPS, MATERIALS, PATTERNS, SHOP_WORDS, classes
from worker.vision import convert_processor

# The three strides of the tower; their product is the pixels of the input to one image token. The last stage keeps the
# grid of the one before: at 32 pixels a token would have to hold eight letters of a line, at 16 it holds two or three.
PATCH_STRIDES = (8, 2, 1)
STRIDE = math.prod(PATCH_STRIDES)
RESOLUTION = 256
BPE_SIZE = 1400
PAD, EOS, DECODER_START = 1, 2, 2
TOKEN_IDS = {"bos_token_id": 0, "pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": DECODER_START}
# Nothing is forced into an answer: it would be learnt as a part of it.
SPECIAL: dict[str, int | None] = {**TOKEN_IDS, "forced_eos_token_id": None, "forced_bos_token_id": None}

STRUCTURE_TOKENS = [
    "<od>",
    "</od>",
    "<ocr>",
    "</ocr>",
    "<cap>",
    "</cap>",
    "<ncap>",
    "</ncap>",
    "<dcap>",
    "</dcap>",
    "<grounding>",
    "</grounding>",
    "<seg>",
    "</seg>",
    "<sep>",
    "<region_cap>",
    "</region_cap>",
    "<region_to_desciption>",
    "</region_to_desciption>",
    "<proposal>",
    "</proposal>",
    "<poly>",
    "</poly>",
    "<and>",
]
LOCATION_TOKENS = [f"<loc_{place}>" for place in range(1000)]

# Pronouns and the like that Florence-2 never grounds; the list of the original processor, shortened.
NOT_GROUNDED = [
    "it",
    "I",
    "they",
    "them",
    "he",
    "him",
    "she",
    "her",
    "this",
    "that",
    "these",
    "those",
    "us",
    "we",
    "you",
    "the",
    "image",
    "image",
    "photo",
    "picture",
]
POST_PROCESSING = convert_processor.POST_PROCESSING | {"phrase_grounding": {"banned_grounding_tokens": NOT_GROUNDED}}


def image_tokens(resolution: int) -> int:
    """Tokens of one picture: the grid and one for its mean, as the projector makes them."""
    return (resolution // STRIDE) ** 2 + 1


def corpus() -> list[str]:
    """Lines the byte pairs are learnt from: frequent words often, so that they become single tokens."""
    prompts = [
        "What does the image describe?",
        "Describe in detail what is shown in the image.",
        "Describe with a paragraph what is shown in the image.",
        "Locate the objects with category name in the image.",
        "Locate the objects in the image, with their descriptions.",
        "Locate the region proposals in the image.",
        "Locate the phrases in the caption: with mask",
        "What is the polygon mask of region",
        "What text is in the region",
        "What is the text in the image, with regions?",
    ]
    places = [f" at the {row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "right", "")]
    frame = [
        " a an and on in with the text background gradient image shows two three objects one object large small centre",
        " lies reads front of some many behind beside over under near left right upper lower",
    ]
    names = [f" {kind.name} {kind.group}" for kind in classes()]
    colours = [f" {colour} {pattern}" for colour in BACKDROPS for pattern in PATTERNS]
    words = [f" {word}" for word in [*SHOP_WORDS, *MATERIALS]]
    return prompts * 60 + places * 40 + frame * 60 + names * 40 + colours * 10 + words * 4


def build_tokenizer() -> BartTokenizer:
    """A BART tokenizer over our own byte pairs, then structure tokens, places and the image token."""
    pairs = ByteLevelBPETokenizer()
    pairs.train_from_iterator(
        corpus(), vocab_size=BPE_SIZE, min_frequency=4, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    )
    with tempfile.TemporaryDirectory() as folder:
        pairs.save_model(folder)
        tokenizer: BartTokenizer = BartTokenizer.from_pretrained(
            folder, extra_special_tokens={"image_token": "<image>"}, model_max_length=512
        )
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [*STRUCTURE_TOKENS, *LOCATION_TOKENS]}, replace_extra_special_tokens=False
    )
    return tokenizer


def build_processor(tokenizer: BartTokenizer, resolution: int, tokens: int | None = None) -> Florence2Processor:
    """The standard processor: squash to a square, bicubic, ImageNet statistics, no crop.

    tokens: of one picture, where the tower is not ours.
    """
    images = CLIPImageProcessor(
        do_resize=True,
        size={"height": resolution, "width": resolution},
        resample=3,
        do_center_crop=False,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    images.image_seq_length = tokens or image_tokens(resolution)
    return Florence2Processor(image_processor=images, tokenizer=tokenizer, post_processor_config=POST_PROCESSING)


def build_config(tokenizer: BartTokenizer, resolution: int) -> Florence2Config:
    """Three-stage tower of 64-128-256 and a BART of 192: about six and a half million parameters."""
    grid = resolution // STRIDE
    vision = {
        "depths": [1, 3, 1],
        "patch_size": [11, 3, 3],
        "patch_stride": list(PATCH_STRIDES),
        "patch_padding": [5, 1, 1],
        "patch_prenorm": [False, True, True],
        "embed_dim": [64, 128, 256],
        "num_heads": [2, 4, 8],
        "num_groups": [2, 4, 8],
        # The window grows with the picture, so that it covers the same share of it and the last stage stays global.
        "window_size": grid,
        "drop_path_rate": 0.0,
        "projection_dim": 192,
        "max_position_embeddings": grid,
        "max_temporal_embeddings": 1,
    }
    text = {
        "model_type": "bart",
        "vocab_size": len(tokenizer),
        "d_model": 192,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 6,
        "decoder_attention_heads": 6,
        "encoder_ffn_dim": 768,
        "decoder_ffn_dim": 768,
        "max_position_embeddings": 512,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "scale_embedding": False,
    } | SPECIAL
    return Florence2Config(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        **TOKEN_IDS,
    )


def build_generation() -> GenerationConfig:
    """Greedy, nothing banned, nothing forced."""
    return GenerationConfig(
        **TOKEN_IDS,
        max_new_tokens=192,
        num_beams=1,
        do_sample=False,
        no_repeat_ngram_size=0,
        early_stopping=False,
    )


def smooth_locations(width: int, count: int = 1000, waves: int = 24) -> torch.Tensor:
    """Start values for the place tokens: near places begin alike, so that one example teaches its neighbours."""
    place = torch.linspace(0, 1, count).unsqueeze(1)
    frequency = 2 ** torch.linspace(0, 6, waves)
    angles = math.pi * place * frequency
    features = torch.cat([angles.sin(), angles.cos()], dim=1)
    return features @ torch.randn(2 * waves, width) * (0.03 / math.sqrt(waves))


def build_model(tokenizer: BartTokenizer, resolution: int, seed: int = 0) -> Florence2ForConditionalGeneration:
    """Random weights from a seed."""
    torch.manual_seed(seed)
    model = Florence2ForConditionalGeneration(build_config(tokenizer, resolution))
    first = tokenizer.convert_tokens_to_ids("<loc_0>")
    with torch.no_grad():
        shared = model.get_input_embeddings().weight
        shared[first : first + 1000] = smooth_locations(shared.shape[1])
    model.generation_config = build_generation()
    return model


def save(
    folder: Path,
    model: Florence2ForConditionalGeneration,
    processor: Florence2Processor,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write weights as float16 (half the size; the answers stay the same) and everything beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    model.to(dtype).save_pretrained(folder)
    processor.save_pretrained(folder)
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text())
    # Loaders may take this as the type to compute in; half precision on a CPU is slow and not what we measured.
    config["dtype"] = config["text_config"]["dtype"] = config["vision_config"]["dtype"] = "float32"
    config_file.write_text(json.dumps(config, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resolution", type=int, default=RESOLUTION)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, options.resolution, options.seed)
    save(options.folder, model, build_processor(tokenizer, options.resolution))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens in {options.folder}")


if __name__ == "__main__":
    main()
