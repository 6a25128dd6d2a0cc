"""The same model for larger pictures or finer tokens: learnt positions are stretched over the finer grid.

The tower itself has no positions. The projector's rows and columns and the first rows of the encoder's position table
(one for the mean token, then the grid) are interpolated; prompt positions move up behind the longer picture.
"""

from __future__ import annotations

import copy

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional
from transformers import Florence2ForConditionalGeneration

from worker.training.fresh import PATCH_STRIDES, STRIDE

OFFSET = 2  # BART's position table starts with two unused rows


def stretched(table: Tensor, count: int) -> Tensor:
    """Rows of a table as a line, resampled to `count` rows."""
    line = rearrange(table, "n d -> 1 d n")
    return rearrange(functional.interpolate(line, count, mode="linear", align_corners=False), "1 d n -> n d")


def resized(model: Florence2ForConditionalGeneration, resolution: int) -> Florence2ForConditionalGeneration:
    """A copy of the model for square pictures of `resolution` pixels."""
    config = copy.deepcopy(model.config)
    old, new = config.vision_config.max_position_embeddings, resolution // STRIDE
    config.vision_config.max_position_embeddings = new
    config.vision_config.window_size = new
    # Convolutions keep their weights at another stride; what they see lies closer together, which is soon learnt.
    config.vision_config.patch_stride = list(PATCH_STRIDES)
    state = model.state_dict()
    for name in ("row_embeddings", "column_embeddings"):
        key = f"model.multi_modal_projector.image_position_embed.{name}.weight"
        state[key] = stretched(state[key], new)
    key = "model.language_model.encoder.embed_positions.weight"
    state[key] = _encoder_positions(state[key], old, new)
    grown = Florence2ForConditionalGeneration(config)
    grown.load_state_dict(state)
    grown.generation_config = model.generation_config
    return grown


def _encoder_positions(table: Tensor, old: int, new: int) -> Tensor:
    mean, grid, rest = table[: OFFSET + 1], table[OFFSET + 1 : OFFSET + 1 + old**2], table[OFFSET + 1 + old**2 :]
    image = rearrange(grid, "(r c) d -> 1 d r c", r=old)
    finer = rearrange(
        functional.interpolate(image, (new, new), mode="bilinear", align_corners=False), "1 d r c -> (r c) d"
    )
    return (
        torch.cat([mean, finer, rest])[: len(table)]
        if new >= old
        else torch.cat([mean, finer, rest, rest[-1:].expand(old**2 - new**2, -1)])
    )
