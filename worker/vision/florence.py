"""The only model loader: a checkpoint directory or hub id to a native Florence-2 that is ready to answer.

Nothing is fetched and no foreign code runs: transformers' own class, safetensors only, files from this machine only.
Training loads its base through `load_base` too, so that both name layers alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoProcessor, Florence2Config, Florence2ForConditionalGeneration
from transformers.utils import logging as transformers_logging

from domain.errors import CheckpointRefused
from worker.vision.calibration import UNFITTED, Fitted, load_fitted
from worker.vision.checkpoint import DIGEST_DIGITS, RENEW, Checkpoint, check_files, check_vocabulary
from worker.vision.decoding import greedy_config
from worker.vision.tensors import check_tensors

SHELF_TINY = "shelf-tiny"
SHIPPED = {SHELF_TINY: Path(__file__).with_name("shelf_tiny")}

DTypeName = Literal["auto", "float32", "bfloat16"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Below this size the conversions of bfloat16 cost a CPU more than the narrower products save.
BFLOAT16_PARAMETERS = 50_000_000

# Their signatures in transformers are untyped or say less than they return.
_Model: Any = Florence2ForConditionalGeneration
_Processor: Any = AutoProcessor
_quiet: Any = transformers_logging.disable_progress_bar

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Verified:
    """A checkpoint that passed every check, before any of its weights were put into a model."""

    name: str
    checkpoint: Checkpoint
    config: Any  # Florence2Config
    processor: Any  # Florence2Processor
    parameters: int
    tied: tuple[frozenset[str], ...] = ()  # sets of names that are one tensor

    @property
    def identity(self) -> str:
        """The model's name in observations: directory or hub id, '@', first digits of its files' digest."""
        return f"{self.name}@{self.checkpoint.digest[:DIGEST_DIGITS]}"

    @property
    def resolution(self) -> tuple[int, int]:
        """Width and height in pixels of what the vision tower sees."""
        size = self.processor.image_processor.size
        return size["width"], size["height"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory, without an adapter (adapters.py, swapping.py). fitted: how to read its scores."""

    verified: Verified
    model: Any  # Florence2ForConditionalGeneration
    device: torch.device
    dtype: str
    fitted: Fitted = UNFITTED


def locate(model: Path | str, revision: str | None = None) -> tuple[str, Path]:
    """Name and directory of a model: "shelf-tiny", a directory, or a hub id in the local cache.

    A hub id needs a pinned commit, as `revision` or after '@' in the id. Raises CheckpointRefused.
    """
    text = str(model)
    if text in SHIPPED:
        return text, SHIPPED[text]
    if text and Path(text).is_dir():
        return Path(text).resolve().name, Path(text)
    hub_id, at, pinned = text.partition("@")
    if not _HUB_ID.fullmatch(hub_id):
        raise CheckpointRefused(text, "There is no such directory.", 'Give a directory, a hub id or "shelf-tiny".')
    return hub_id, _cached(hub_id, pinned if at else revision)


def _cached(hub_id: str, revision: str | None) -> Path:
    """Directory of a hub checkpoint that was fetched before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if revision is None or not _COMMIT.fullmatch(revision):
        raise CheckpointRefused(
            hub_id,
            f"Its revision is not pinned ({revision!r}), so its weights could change under us.",
            f"Name the full commit: {hub_id}@<40 hexadecimal digits>.",
        )
    try:
        return Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise CheckpointRefused(
            hub_id,
            f"Revision {revision} is not in this machine's cache, and nothing is fetched while running.",
            f"Fetch it once with `hf download {hub_id} --revision {revision}`, or give a directory.",
        ) from error


def verify(model: Path | str, revision: str | None = None) -> Verified:
    """Every check of checkpoint.py on a model, without loading it. Raises CheckpointRefused."""
    name, folder = locate(model, revision)
    checkpoint = check_files(folder)
    try:
        config = Florence2Config.from_pretrained(folder, local_files_only=True)
        processor = _Processor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            skeleton = _Model(config)
    except Exception as error:  # the libraries raise whatever a damaged file leads to
        raise CheckpointRefused(str(folder), f"Its configuration cannot be used ({error}).", RENEW) from error
    if type(processor).__name__ != "Florence2Processor" or config.model_type != "florence2":
        raise CheckpointRefused(str(folder), "This is no Florence-2 checkpoint.", "Give a Florence-2 directory.")
    check_vocabulary(folder, config, processor)
    tied = _tied(skeleton)
    check_tensors(checkpoint, {key: tuple(t.shape) for key, t in skeleton.state_dict().items()}, tied)
    parameters = sum(p.numel() for p in skeleton.parameters())
    return Verified(name, checkpoint, config, processor, parameters, tuple(tied))


def _tied(model: torch.nn.Module) -> list[frozenset[str]]:
    """Sets of names that share one tensor."""
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return [frozenset(group) for group in names.values() if len(group) > 1]


def load_base(verified: Verified) -> Any:
    """The model in float32 on the CPU, in evaluation mode, with our own generation config."""
    _quiet()  # a worker's log and `--json` are no place for bars
    model, loading = _Model.from_pretrained(
        verified.checkpoint.folder,
        local_files_only=True,
        use_safetensors=True,
        dtype=torch.float32,
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    if trouble := {kind: names for kind, names in loading.items() if names}:
        raise CheckpointRefused(str(verified.checkpoint.folder), f"Loading was not clean: {trouble}.", RENEW)
    model.generation_config = greedy_config(model.config.text_config)
    model.eval()
    return model


def load(
    model: Path | str,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: DTypeName = "auto",
    threads: int | None = None,
) -> Loaded:
    """Check, load, move to device and type.

    threads: of PyTorch in this process; None leaves them. Raises CheckpointRefused, and ValueError for an unknown
    device or type.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    where = choose_device(device)
    verified = verify(model, revision)
    network = load_base(verified)
    fitted = load_fitted(verified.checkpoint.folder, verified.checkpoint.digest)
    dtype_name = choose_dtype(dtype, where, verified.parameters)
    network = network.to(device=where, dtype=DTYPES[dtype_name]).requires_grad_(False)
    return Loaded(verified, network, where, dtype_name, fitted)


def choose_device(device: str) -> torch.device:
    """For "auto" the first CUDA device, else the CPU. Raises ValueError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"Device {device!r} is unknown; give auto, cpu or cuda.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"Device {device!r} was asked for, but PyTorch sees no CUDA device here; give cpu or auto.")
    return chosen


def choose_dtype(dtype: DTypeName, device: torch.device, parameters: int) -> str:
    """bfloat16 where the machine multiplies it faster than float32: CUDA from Ampere on, CPUs with AMX (ten times as
    fast) or AVX-512's bfloat16 (on Zen 4 2.3 times, the vision tower 1.8 times).

    Asked of the processor and not timed: machines of one kind must agree whatever else they are doing, because answers
    of one type are not reused for the other.
    """
    if dtype != "auto":
        if dtype not in DTYPES:
            raise ValueError(f"Type {dtype!r} is unknown; give auto, {' or '.join(DTYPES)}.")
        return dtype
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    narrow = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if device.type == "cpu" and narrow and parameters >= BFLOAT16_PARAMETERS else "float32"
