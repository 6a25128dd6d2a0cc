"""What this machine can do at most, and how much work the engine has to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Florence2ForConditionalGeneration

from domain.observations import Task
from worker.bench.ways import settle
from worker.vision.florence import DTYPES, Verified, choose_device
from worker.vision.prompts import prompt_for
from worker.vision.text_model import Row, TextModel
from worker.vision.tower import Tower
from worker.vision.vocabulary import Vocabulary

SIDE = {"cpu": 3072, "cuda": 8192}  # of the matrices
ROUNDS = 5


def matmul_gflops() -> dict[str, float]:
    """Billions of floating-point operations a second in a product of two square matrices, by type; the best of a few,
    because it is to be a ceiling."""
    device = choose_device("auto")
    side = SIDE[device.type]
    return {name: round(max(_rates(side, dtype, device))) for name, dtype in DTYPES.items()}


def _rates(side: int, dtype: torch.dtype, device: torch.device) -> list[float]:
    matrix = torch.randn(side, side, device=device).to(dtype)
    torch.matmul(matrix, matrix)
    rates = []
    for _ in range(ROUNDS):
        settle()
        began = time.perf_counter()
        torch.matmul(matrix, matrix)
        settle()
        rates.append(2 * side**3 / (time.perf_counter() - began) / 1e9)
    return rates


def gflop(verified: Verified, lengths: Mapping[Task, int]) -> dict[str, float]:
    """Billions of operations that one photo with these answers takes when its features are shared, by part.

    Counted by PyTorch on a model without weights; products of matrices, convolutions and attention only.
    """
    made: Any = Florence2ForConditionalGeneration
    with torch.device("meta"):
        model = made._from_config(verified.config, attn_implementation="sdpa").eval()
    width, height = verified.resolution
    text, tower = TextModel(model), Tower(model, "off")
    words = Vocabulary(
        verified.processor.tokenizer,
        verified.processor.num_image_tokens,
        verified.config.text_config.max_position_embeddings,
    )
    seen = torch.empty(1, verified.processor.num_image_tokens, verified.config.text_config.d_model, device="meta")
    counted = {"vision": _counted(lambda: tower(torch.empty(1, 3, height, width, device="meta")))}
    counted["encoder"] = counted["decoder"] = 0.0
    for task, length in lengths.items():
        row = Row(tuple(words.encode(prompt_for(task).text)), 0, length)
        counted["encoder"] += _counted(partial(text.remember, seen, [row]))
        counted["decoder"] += length * _step(text, seen, row)
    return {part: round(operations / 1e9, 1) for part, operations in counted.items()}


def _step(text: TextModel, seen: torch.Tensor, row: Row) -> float:
    """One token, looking back at none; the others' share is small."""
    memory = text.remember(seen, [row])
    token = torch.zeros(1, 1, dtype=torch.long, device="meta")
    return _counted(lambda: text.step(memory, token, token[0]))


def _counted(work: Callable[[], object]) -> float:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())
