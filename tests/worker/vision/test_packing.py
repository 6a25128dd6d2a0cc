"""Packed weights multiply to what the plain ones do; where they cannot be packed, they stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from worker.vision import packing
from worker.vision.florence import load
from worker.vision.packing import PackedLinear, pack

TYPES = {"float32": (torch.float32, 1e-5), "bfloat16": (torch.bfloat16, 5e-2)}


@pytest.fixture(params=TYPES)
def kind(request: pytest.FixtureRequest) -> tuple[torch.dtype, float]:
    return TYPES[request.param]


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_layer_is_the_layer(kind: tuple[torch.dtype, float], bias: bool, gelu: bool) -> None:
    dtype, error = kind
    torch.manual_seed(3)
    linear = nn.Linear(48, 80, bias=bias).to(dtype).requires_grad_(False)
    packed = PackedLinear(linear, rows=32, gelu=gelu)
    whole = torch.randn(6, 9, 96).to(dtype)
    for hidden in (whole[..., :48].contiguous(), whole[:, ::3, 48:], whole[:, 0, :48], whole[0, 0, :48][None]):
        expected = linear(hidden)
        torch.testing.assert_close(
            packed(hidden), nn.functional.gelu(expected) if gelu else expected, atol=error, rtol=error
        )


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[model.config.image_token_id] * 5 + [0, 9, 2]])
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(4)).to(model.dtype)
    made = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=pixels,
        decoder_input_ids=torch.tensor([[2, 0, 20, 30]]),
    )
    answer: torch.Tensor = made.logits
    return answer


def packed_layers(model: Any) -> set[str]:
    return {name.split(".")[-1] for name, part in model.named_modules() if isinstance(part, PackedLinear)}


def test_a_packed_model_says_what_the_plain_one_says(tiny_checkpoint: Path) -> None:
    plain, packed = (load(tiny_checkpoint, device="cpu", dtype="float32", threads=1).model for _ in range(2))
    pack(packed, smallest=1)
    pack(packed, smallest=1)  # a second time changes nothing
    assert {"lm_head", "q_proj", "fc1", "fc2"} <= packed_layers(packed)
    torch.testing.assert_close(logits(packed), logits(plain), atol=1e-3, rtol=1e-3)


def test_in_bfloat16_everything_is_packed(tiny_checkpoint: Path) -> None:
    plain, packed = (load(tiny_checkpoint, device="cpu", dtype="bfloat16", threads=1).model for _ in range(2))
    pack(packed, smallest=1)
    assert {"lm_head", "q_proj", "fc1", "qkv", "proj"} <= packed_layers(packed)
    ours, theirs = logits(packed).float().flatten(), logits(plain).float().flatten()
    assert nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.99


def test_the_tower_can_be_left_to_the_compiler(tiny_checkpoint: Path) -> None:
    model = load(tiny_checkpoint, device="cpu", dtype="bfloat16", threads=1).model
    pack(model, tower=False, smallest=1)
    assert not packed_layers(model.model.vision_tower)


def test_small_layers_stay(tiny_checkpoint: Path) -> None:
    model = load(tiny_checkpoint, device="cpu", dtype="bfloat16", threads=1).model
    pack(model)
    assert not packed_layers(model)


def test_where_pytorch_cannot_pack_the_model_stays(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def __init__(self, *_: Any) -> None:
            raise AttributeError("this build has no such operator")

    model = load(tiny_checkpoint, device="cpu", dtype="float32", threads=1).model
    with monkeypatch.context() as patch:
        patch.setattr(packing, "PackedLinear", Missing)
        pack(model, smallest=1)
    assert not packed_layers(model)
