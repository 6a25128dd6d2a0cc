"""The vision tower laid out for speed gives the features of the library's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from worker.vision.florence import load, verify
from worker.vision.tower import Tower, compiles


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def model_of(checkpoint: Path | str, dtype: Any = "float32") -> Any:
    return load(checkpoint, device="cpu", dtype=dtype, threads=1).model


@torch.inference_mode()
def usual(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    features: torch.Tensor = model.get_image_features(pixels).pooler_output
    return features


@pytest.mark.parametrize("images", [1, 3])
def test_features_are_the_librarys(tiny_checkpoint: Path, pixels: torch.Tensor, images: int) -> None:
    expected = usual(model_of(tiny_checkpoint), pixels[:images])
    with torch.inference_mode():
        ours = Tower(model_of(tiny_checkpoint))(pixels[:images])
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_features_of_the_shipped_weights_are_the_librarys(shipped: str) -> None:
    width, height = verify(shipped).resolution
    pixels = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(2))
    expected = usual(model_of(shipped), pixels)
    with torch.inference_mode():
        ours = Tower(model_of(shipped))(pixels)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)


def test_bfloat16_features_are_near(tiny_checkpoint: Path, pixels: torch.Tensor) -> None:
    expected = usual(model_of(tiny_checkpoint), pixels)
    with torch.inference_mode():
        ours = Tower(model_of(tiny_checkpoint, "bfloat16"))(pixels)
    assert ours.dtype is torch.bfloat16
    similarity = torch.nn.functional.cosine_similarity(ours.float().flatten(), expected.flatten(), dim=0)
    assert similarity > 0.99


def test_where_the_compiler_pays() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [compiles("auto", device) for device in (cpu, cuda)] == [False, True]
    assert compiles("on", cpu) and not compiles("off", cuda)


def test_a_compiler_that_fails_is_done_without(
    tiny_checkpoint: Path, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiled(_: Callable[..., Any], **__: Any) -> Callable[..., Any]:
        def failing(*_: Any) -> None:
            raise RuntimeError("no C++ compiler found")

        return failing

    monkeypatch.setattr(torch, "compile", compiled)
    tower = Tower(model_of(tiny_checkpoint), "on")
    assert tower.compiled
    with torch.inference_mode():
        features = tower(pixels)
    assert not tower.compiled
    torch.testing.assert_close(features, usual(model_of(tiny_checkpoint), pixels), atol=1e-5, rtol=1e-4)


def test_memory_that_ran_out_is_not_the_compilers_fault(
    tiny_checkpoint: Path, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "compile", lambda _, **__: exhausted)
    tower = Tower(model_of(tiny_checkpoint), "on")
    with pytest.raises(torch.OutOfMemoryError):
        tower(pixels)
