"""The vision tower against an implementation by other people: timm's DaViT, with its own renaming of the original.

One set of random numbers under the original's names goes both ways, through timm's names and through ours, so that a
wrong name, a wrong order of operations or a wrong constant in either would show.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.davit import checkpoint_filter_fn
from transformers import Florence2VisionConfig
from transformers.models.florence2.modeling_florence2 import Florence2VisionBackbone

from tests.worker.vision import original
from worker.vision.original_names import native_name

CLOSE = 1e-4  # in float32, of the features' spread

pytestmark = pytest.mark.integration  # 90 million numbers each


@pytest.fixture(scope="module")
def towers() -> tuple[Any, Any]:
    """timm's and the native tower of base size, 90 million numbers each."""
    native_numbers = original.random_weights(original.BASE_VISION, original.TINY_TEXT | {"d_model": 768}, rows=8)
    numbers = {name: tensor for name, tensor in original.as_original(native_numbers).items() if "vision_tower" in name}
    theirs = timm.create_model("davit_base_fl", pretrained=False).eval()
    loading = theirs.load_state_dict(checkpoint_filter_fn(numbers, theirs), strict=False)
    assert not loading.unexpected_keys
    assert {name.split(".")[0] for name in loading.missing_keys} <= {"head"}, "features come before it"
    ours = Florence2VisionBackbone(Florence2VisionConfig(drop_path_rate=0.0)).eval()
    ours.load_state_dict({native_name(name).removeprefix("model.vision_tower."): numbers[name] for name in numbers})
    return theirs, ours


def difference(towers: tuple[Any, Any], side: int) -> float:
    """The largest difference of any feature, as a share of the features' standard deviation."""
    theirs, ours = towers
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected = theirs.forward_features(pixels)
        features = ours(pixels).last_hidden_state
    assert features.shape == expected.shape == (1, 1024, side // 32, side // 32)
    return float((features - expected).abs().max() / expected.std())


@pytest.mark.parametrize("side", [192, 384])  # the last stage pads its windows at 192 and fills one at 384
def test_the_native_tower_sees_what_timms_davit_sees(towers: tuple[Any, Any], side: int) -> None:
    assert difference(towers, side) < CLOSE


@pytest.mark.soak
def test_the_native_tower_sees_what_timms_davit_sees_at_full_size(towers: tuple[Any, Any]) -> None:
    assert difference(towers, 768) < CLOSE


def test_a_tower_with_one_name_mixed_up_is_noticed(towers: tuple[Any, Any]) -> None:
    """The tolerance is tight enough to tell one swapped pair of layers."""
    block = towers[1].blocks[2][4].spatial_block
    block.norm1, block.norm2 = block.norm2, block.norm1
    try:
        assert difference(towers, 192) > 10 * CLOSE
    finally:
        block.norm1, block.norm2 = block.norm2, block.norm1
