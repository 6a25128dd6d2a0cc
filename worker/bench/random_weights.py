"""Checkpoints of Florence-2's real sizes with random weights, for speed and memory where the real ones lack.

Layout, widths and depths are those of `florence-community/Florence-2-base-ft` and `-large-ft`; the tokenizer is ours,
with the embedding table of theirs, so that every matrix has its real size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import Florence2Config, Florence2ForConditionalGeneration

from worker.training import fresh

PIXELS = 768
ROWS = 51_328  # of the embedding table: BART's tokens, places, structure tokens, padding
SEED = 0


@dataclass(frozen=True, slots=True)
class Size:
    embed_dim: tuple[int, ...]
    heads: tuple[int, ...]
    width: int
    layers: int
    attention_heads: int
    positions: int


SIZES = {
    "base": Size((128, 256, 512, 1024), (4, 8, 16, 32), 768, 6, 12, 1024),
    "large": Size((256, 512, 1024, 2048), (8, 16, 32, 64), 1024, 12, 16, 4096),
}


def config(size: Size) -> Florence2Config:
    """The configuration of one size; special tokens are numbered as our tokenizer numbers them."""
    tokenizer = fresh.build_tokenizer()
    vision = {
        "embed_dim": list(size.embed_dim),
        "num_heads": list(size.heads),
        "num_groups": list(size.heads),
        "projection_dim": size.width,
        "drop_path_rate": 0.0,
    }
    text = {
        "model_type": "bart",
        "vocab_size": ROWS,
        "d_model": size.width,
        "encoder_layers": size.layers,
        "decoder_layers": size.layers,
        "encoder_attention_heads": size.attention_heads,
        "decoder_attention_heads": size.attention_heads,
        "encoder_ffn_dim": 4 * size.width,
        "decoder_ffn_dim": 4 * size.width,
        "max_position_embeddings": size.positions,
        "dropout": 0.0,
    } | fresh.SPECIAL
    return Florence2Config(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        **fresh.TOKEN_IDS,
    )


def write(folder: Path, size: str) -> None:
    """A loadable checkpoint in float32: about 1 GB for base, 3 GB for large."""
    torch.manual_seed(SEED)
    model = Florence2ForConditionalGeneration(config(SIZES[size]))
    processor = fresh.build_processor(fresh.build_tokenizer(), PIXELS, tokens=(PIXELS // 32) ** 2 + 1)
    fresh.save(folder, model, processor, dtype=torch.float32)
