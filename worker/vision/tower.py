"""The vision tower, as fast as it goes without changing what it computes.

DaViT (arXiv:2204.03645) changes between pictures (rows, columns) for its convolutions and lists of tokens for
everything else. With the channels last in memory the two are the same bytes; as stored by default, two fifths of the
tower's time on a CPU are copies between them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

log = logging.getLogger(__name__)

CompileName = Literal["off", "auto", "on"]
ATTENTION = "shelfguard_tower"
_register: Any = AttentionInterface.register  # untyped in transformers
_library: Any = sdpa_attention_forward


class Tower:
    """Vision tower and projector of a Florence2ForConditionalGeneration. compiled: whether PyTorch's compiler runs it;
    turns false when it cannot."""

    def __init__(self, model: Any, compiling: CompileName = "auto") -> None:
        self._model = model
        network = model.model.vision_tower
        network.to(memory_format=torch.channels_last)
        network.config._attn_implementation = ATTENTION
        self.compiled = compiles(compiling, model.device)
        self._forward: Callable[[torch.Tensor], torch.Tensor] = self._eager
        if self.compiled:
            # Freezing lays the weights out for a CPU's kernels: a tenth of the tower's time.
            self._forward = torch.compile(self._eager, options={"freezing": model.device.type == "cpu"})

    def __call__(self, pixels: torch.Tensor, eager: bool = False) -> torch.Tensor:
        """pixels: (images, 3, height, width) as the processor made them; (images, image tokens, width).

        eager: without the compiled program, which was made of the base's layers; so it need not be made anew where
        an adapter brings others.
        """
        pixels = pixels.to(device=self._model.device, dtype=self._model.dtype, memory_format=torch.channels_last)
        if eager or not self.compiled:
            return self._eager(pixels)
        try:
            return self._forward(pixels)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever the compiler or its C++ compiler raise: the answer does not hang on it
            log.warning("vision.not_compiled %s; going on without", str(error).strip().splitlines()[:1])
            self.compiled, self._forward = False, self._eager
            return self._eager(pixels)

    def _eager(self, pixels: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self._model.get_image_features(pixels).pooler_output)


def compiles(compiling: CompileName, device: torch.device) -> bool:
    """auto: on CUDA. On a CPU the compiler takes a minute or two in every process, and what it saves are mostly the
    copies that channels last saves too: at base size in bfloat16 on two Zen 4 cores 1.16 s an image with it, 1.29 s
    without.
    """
    return compiling == "on" or (compiling == "auto" and device.type == "cuda")


def attend(module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **options: Any) -> Any:
    """The tower's attentions: windows by the library's kernel, channels by two products of our own.

    Channel attention has few channels and very many tokens, (images, groups, channels, tokens) with the channels next
    to each other in memory. The library's kernel wants tokens there and copies everything twice.
    """
    if type(module).__name__ != "Florence2VisionChannelAttention":
        return _library(module, query, key, value, *rest, **options)
    likeness = torch.matmul(query, key.transpose(-1, -2)).float() * options["scaling"]
    weights = likeness.softmax(dim=-1).to(value.dtype)
    mixed = torch.matmul(value.transpose(-1, -2), weights.transpose(-1, -2))  # images, groups, tokens, channels
    return mixed.permute(0, 3, 1, 2), None


_register(ATTENTION, attend)
