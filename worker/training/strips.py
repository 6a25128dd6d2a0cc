"""Strips of a picture: its full width, a few rows of tokens high, seen as if all the rest were covered.

Reading is learnt on them at a fraction of the cost of whole pictures. A strip keeps the places it would have in the
whole: the model's position tables are not touched, only fewer of their rows are used.
"""

from __future__ import annotations

import dataclasses

import torch
from einops import rearrange
from torch import Tensor
from transformers import Florence2ForConditionalGeneration

from worker.training.fresh import STRIDE
from worker.training.grow import OFFSET
from worker.training.synth.scenes import Rendered


def placed(rendered: Rendered, first: int, size: int) -> Rendered:
    """The strip's boxes and quads as shares of the picture of `size` pixels in which it starts at row `first`."""
    scale, start = rendered.picture.height / size, first * STRIDE / size
    boxes, quads = rendered.boxes.copy(), rendered.quads.copy()
    for table in (boxes, quads):
        table[:, 1::2] = table[:, 1::2] * scale + start
    return dataclasses.replace(rendered, boxes=boxes, quads=quads)


def set_window(model: Florence2ForConditionalGeneration, tokens: int) -> None:
    """The tower's attention windows as high as what it is shown, so that nothing is padded; no weight depends on it."""
    for module in model.model.vision_tower.modules():
        if isinstance(getattr(module, "window_size", None), int):
            module.window_size = tokens


def project(model: Florence2ForConditionalGeneration, tokens: Tensor, first: Tensor) -> Tensor:
    """Image features of strips (scenes x tokens x width), moved to their places in the encoder's position table.

    `tokens` are the tower's (scenes x channels x rows x columns), `first` the row of the whole at which each starts.
    There is no mean token: it belongs to whole pictures.
    """
    projector = model.model.multi_modal_projector
    rows, columns = tokens.shape[2:]
    places = projector.image_position_embed(tokens.new_zeros(1, tokens.shape[1], columns, columns))[0]
    taken = first[:, None] + torch.arange(rows)
    here = rearrange(places[:, taken], "d b r c -> b (r c) d")
    flat = rearrange(tokens, "b d r c -> b (r c) d") + here
    flat = flat + projector.visual_temporal_embed(flat[:, :1])
    features: Tensor = projector.image_proj_norm(projector.image_projection(flat))
    table: Tensor = model.model.language_model.encoder.embed_positions.weight
    whole = OFFSET + 1 + rearrange(taken[..., None] * columns + torch.arange(columns), "b r c -> b (r c)")
    return features + table[whole] - table[OFFSET : OFFSET + rows * columns]


def moved(model: Florence2ForConditionalGeneration, prompts: Tensor, tokens: int, columns: int) -> Tensor:
    """Embedded prompts (prompts x length x width) as they would stand behind a whole picture, not behind `tokens`."""
    table: Tensor = model.model.language_model.encoder.embed_positions.weight
    length, whole, here = prompts.shape[1], OFFSET + 1 + columns**2, OFFSET + tokens
    return prompts + table[whole : whole + length] - table[here : here + length]
