"""Checkpoints and engines shared by the vision tests: a tiny one with lively random weights always, the shipped one
where it is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    BartTokenizer,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
)

from worker.vision.engine import FlorenceEngine
from worker.vision.florence import SHELF_TINY, SHIPPED
from worker.vision.prompts import SENTENCES

Pictures = Callable[..., Image.Image]

SIDE = 32  # pixels; two strides of 4 leave a grid of 2 x 2
IMAGE_TOKENS = 5
POSITIONS = 64
WORDS = [*SENTENCES.values(), " a red café mug 商品 on the table < 5 €"] * 9


def _tokenizer(folder: Path) -> BartTokenizer:
    pairs = ByteLevelBPETokenizer()
    frame = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pairs.train_from_iterator(WORDS, vocab_size=360, min_frequency=2, special_tokens=frame, show_progress=False)
    pairs.save_model(str(folder))
    made = BartTokenizer.from_pretrained(folder, extra_special_tokens={"image_token": "<image>"})
    places = [f"<loc_{place}>" for place in range(1000)]
    made.add_special_tokens(
        {"additional_special_tokens": ["<poly>", "</poly>", "<sep>", "<od>", *places]},
        replace_extra_special_tokens=False,
    )
    return made


def _config(words: BartTokenizer) -> Florence2Config:
    vision = {
        "depths": [1, 1],
        "patch_size": [7, 3],
        "patch_stride": [4, 4],
        "patch_padding": [3, 1],
        "patch_prenorm": [False, True],
        "embed_dim": [8, 16],
        "num_heads": [1, 2],
        "num_groups": [1, 2],
        "window_size": 2,
        "projection_dim": 32,
        "max_position_embeddings": 4,
        "max_temporal_embeddings": 1,
    }
    text = {
        "model_type": "bart",
        "vocab_size": len(words) + 6,
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "max_position_embeddings": POSITIONS,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
        "forced_eos_token_id": None,
    }
    image = words.convert_tokens_to_ids("<image>")
    return Florence2Config(vision_config=vision, text_config=text, image_token_id=image)


def _build(folder: Path) -> Path:
    """Write a checkpoint. The weights are larger than a fresh model's, so that its answers differ from row to row."""
    folder.mkdir(parents=True, exist_ok=True)
    words = _tokenizer(folder)
    images = CLIPImageProcessor(size={"height": SIDE, "width": SIDE}, resample=3, do_center_crop=False)
    images.image_seq_length = IMAGE_TOKENS
    torch.manual_seed(7)
    model = Florence2ForConditionalGeneration(_config(words)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 0.35 if "language_model" in name else 0.2)
    for leftover in ("vocab.json", "merges.txt"):
        (folder / leftover).unlink()
    model.save_pretrained(folder)
    Florence2Processor(images, words, post_processor_config={"pure_text": {}}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only: copy it before damaging it."""
    return _build(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture(scope="session")
def tiny_engine(tiny_checkpoint: Path) -> FlorenceEngine:
    return FlorenceEngine.load(tiny_checkpoint, device="cpu", dtype="float32", threads=1)


@pytest.fixture(scope="session")
def shipped() -> str:
    if not (SHIPPED[SHELF_TINY] / "model.safetensors").is_file():
        pytest.skip("shelf-tiny's weights are not in this checkout")
    return SHELF_TINY


@pytest.fixture(scope="session")
def picture() -> Pictures:
    return _picture


def _picture(seed: int, width: int = 120, height: int = 80) -> Image.Image:
    """A gradient with a block in it: different for each seed, the same in every run."""
    image = Image.new("RGB", (width, height), (seed * 53 % 256, seed * 101 % 256, seed * 197 % 256))
    image.paste(
        Image.linear_gradient("L").resize((width // 2, height // 2)).convert("RGB"), (seed * 7 % 40, seed * 5 % 30)
    )
    return image
