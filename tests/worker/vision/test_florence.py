"""Finding and loading a model: names, pinned revisions, devices and types."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from domain.errors import CheckpointRefused
from worker.vision.florence import choose_device, choose_dtype, load, locate

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_names(tiny_checkpoint: Path) -> None:
    assert locate(tiny_checkpoint) == ("tiny", tiny_checkpoint)
    assert locate("shelf-tiny")[1].name == "shelf_tiny"


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:7]])
def test_a_hub_id_needs_a_pinned_commit(revision: str | None) -> None:
    with pytest.raises(CheckpointRefused, match="not pinned"):
        locate("florence-community/Florence-2-base-ft", revision)


@pytest.mark.parametrize(("model", "revision"), [("someone/model", COMMIT), (f"someone/model@{COMMIT}", None)])
def test_a_hub_id_that_was_never_fetched_says_how(
    model: str, revision: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointRefused, match=f"hf download someone/model --revision {COMMIT}"):
        locate(model, revision)


@pytest.mark.parametrize("model", ["no-such-directory", "/no/such/directory", ""])
def test_no_such_directory(model: str) -> None:
    with pytest.raises(CheckpointRefused, match="no such directory"):
        locate(Path(model) if model.startswith("/") else model)


def test_our_generation_config_replaces_the_checkpoints(tiny_checkpoint: Path) -> None:
    ours = load(tiny_checkpoint, device="cpu").model.generation_config
    assert (ours.num_beams, ours.no_repeat_ngram_size, ours.forced_bos_token_id) == (1, 0, None)
    assert (ours.decoder_start_token_id, ours.eos_token_id, ours.pad_token_id) == (2, 2, 1)


def test_types_and_devices(tiny_checkpoint: Path) -> None:
    loaded = load(tiny_checkpoint, device="cpu", dtype="bfloat16")
    assert loaded.model.dtype is torch.bfloat16 and loaded.dtype == "bfloat16"
    assert choose_dtype("auto", torch.device("cpu"), parameters=1000) == "float32"
    assert choose_dtype("float32", torch.device("cpu"), parameters=10**9) == "float32"
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        choose_dtype("float8", torch.device("cpu"), 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown"):
        choose_device("abacus")


@pytest.mark.parametrize(
    ("amx", "avx512", "expected"), [(True, True, "bfloat16"), (False, True, "bfloat16"), (False, False, "float32")]
)
def test_a_large_model_is_narrow_where_the_processor_has_it(
    amx: bool, avx512: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert choose_dtype("auto", torch.device("cpu"), parameters=10**9) == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="no CUDA device"):
        choose_device("cuda")
