"""Adapters: put a LoRA on a loaded base, or refuse it.

PEFT warns about missing keys and goes on, so that an adapter of another model (base on large, remote-code layer
names) would silently change nothing or half of the layers. Here names and shapes must match exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import ADAPTER_CONFIG, Checkpoint, check_adapter_files
from worker.vision.tensors import check_tensors


def merge_adapter(base: Any, folder: Path, base_digest: str) -> tuple[Any, Checkpoint]:
    """The base with the adapter's weights added in (no extra operation is left), and the adapter's identity.

    base: Florence2ForConditionalGeneration in float32; it is changed. base_digest: of the base's weights; an adapter
    whose `base_model_name_or_path` ends in "@" and a digest must agree with it. Raises CheckpointRefused.
    """
    from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    checkpoint = check_adapter_files(folder)
    try:
        config = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # PEFT raises whatever a wrong field leads to
        raise _wrong(folder, f"{ADAPTER_CONFIG} cannot be used ({error}).") from error
    if not isinstance(config, LoraConfig):
        raise _wrong(folder, f"{ADAPTER_CONFIG} describes no LoRA.")
    _check_base(folder, config.base_model_name_or_path, base_digest)
    config.inference_mode = True
    try:
        model = PeftModel(base, config)
    except Exception as error:  # as above: for example ValueError when target_modules match nothing
        raise _wrong(folder, f"It does not fit this model ({error}).") from error
    # "auto" would ask the hub whether the base has the same embeddings.
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
    check_tensors(checkpoint, {name: tuple(tensor.shape) for name, tensor in wanted.items()})
    set_peft_model_state_dict(model, load_file(checkpoint.weights[0]))
    return model.merge_and_unload(), checkpoint


def _check_base(folder: Path, base_name: str | None, base_digest: str) -> None:
    _, at, claimed = (base_name or "").rpartition("@")
    if at and not base_digest.startswith(claimed):
        raise _wrong(folder, f"It was trained on {base_name}, the model loaded has digest {base_digest[:12]}.")


def _wrong(folder: Path, why: str) -> CheckpointRefused:
    return CheckpointRefused(str(folder), why, "Load it with the model it was trained on.")
