"""Steady: a batch laid out so that a row's answer does not hang on its neighbours, bit for bit.

A processor's matrix kernel is picked by the shape of the product, and another kernel adds in another order: in
float32 a row alone differs from the same row among many in its last digits, and where two tokens are nearly as likely
the answer parts (in bfloat16 much oftener). So nothing here has a shape that the batch decides: pictures and prompts
are encoded one by one, a prompt is padded to a length of its own, and decoding steps, whose rows come and go, are
filled up to a multiple of so many rows that the kernels of this machine agree (seen in PyTorch 2.15 on Zen 4: 4 with
one thread, 8 with two, because each thread takes its share). Attention, one product for each row and head, does not
depend on the number of rows.

On CUDA pictures and prompts stay in batches, because one at a time would waste the device: there answers agree but for
sums in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from worker.vision.packing import PackedLinear

MOST_ROWS = 32
BLOCKS = (4, 8, 16, MOST_ROWS)  # the last always holds: batches have no more rows, so all have as many
PROMPT_ROOM = 32  # a prompt's tokens are padded to a multiple of this


def rounded_up(number: int, block: int) -> int:
    return -(-number // block) * block


@torch.inference_mode()
def row_block(model: Any) -> int:
    """Of how many rows a decoding step's batch must be a multiple, on this machine with its threads: found by trying
    every kind of layer that a step goes through. 1 on another device than a CPU.

    model: Florence2ForConditionalGeneration, laid out as it will be used.
    """
    if model.device.type != "cpu":
        return 1
    kinds = list(_kinds(model))
    return next(block for block in BLOCKS if block == MOST_ROWS or all(_agrees(layer, block, model) for layer in kinds))


def _kinds(model: Any) -> Iterator[nn.Module]:
    """One layer of each shape and layout."""
    seen = set()
    for layer in [*model.model.language_model.decoder.modules(), model.lm_head]:
        if isinstance(layer, nn.Linear | PackedLinear):
            kind = (type(layer), layer.in_features, layer.out_features)
            if kind not in seen:
                seen.add(kind)
                yield layer


def _agrees(layer: Any, block: int, model: Any) -> bool:
    generator = torch.Generator().manual_seed(block)
    hidden = torch.randn(MOST_ROWS, 1, layer.in_features, generator=generator).to(model.dtype)
    whole = layer(hidden)
    return all(torch.equal(layer(hidden[:rows]), whole[:rows]) for rows in range(block, MOST_ROWS, block))
