"""Adapters: a LoRA read and checked against the model it is to change, or refused.

PEFT warns about missing keys and goes on, so that an adapter of another model (base on large, remote-code layer
names) would silently change nothing or half of the layers. Here names, shapes and kinds must match exactly. What a
pair of low-rank factors adds to a layer's weight is PEFT's arithmetic; where it is added is swapping.py's matter.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from domain.errors import CheckpointRefused
from worker.vision.calibration import Fitted, load_fitted
from worker.vision.checkpoint import ADAPTER_CONFIG, DIGEST_DIGITS, Checkpoint, check_adapter_files, few, read_json
from worker.vision.tensors import check_tensors

BASE = "base"  # what a look names to be answered by the model without an adapter
OWN_EYES = ("model.vision_tower.", "model.multi_modal_projector.")  # an adapter of these sees with features of its own
FACTORS = (".lora_A.weight", ".lora_B.weight")
_PEFT = "default"  # PEFT's name for the only adapter of a model
# The others compute something from the base's weights, or change them, before training began.
STARTS = (None, True, False, "gaussian")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A checked LoRA. layers: PEFT's, by the name of the layer that each changes; their base weights are not there.
    fitted: how scores of answers with it are read."""

    name: str
    checkpoint: Checkpoint
    layers: Mapping[str, Any]
    fitted: Fitted

    @property
    def identity(self) -> str:
        """Its name in observations, with the first digits of its files' digest."""
        return f"{self.name}@{self.checkpoint.digest[:DIGEST_DIGITS]}"

    @property
    def own_eyes(self) -> bool:
        """Whether image features made under it are its own."""
        return any(layer.startswith(OWN_EYES) for layer in self.layers)

    def merged(self, layer: str, weight: torch.Tensor) -> torch.Tensor:
        """A new tensor: the layer's weight, float32 on the CPU, with what the adapter adds to it."""
        with torch.no_grad():
            added: torch.Tensor = weight + self.layers[layer].get_delta_weight(_PEFT)
        return added


def read_adapter(folder: Path, verified: Any, name: str | None = None) -> Adapter:
    """Read and check an adapter's files against the model of `verified` (florence.Verified). Loads no base weights.

    name: None takes the directory's. Raises CheckpointRefused.
    """
    from safetensors.torch import load_file

    checkpoint = check_adapter_files(folder)
    name = name or folder.resolve().name
    if name == BASE:
        raise _wrong(folder, f"{BASE!r} names the model without an adapter.", "Give the adapter another name.")
    config = _config(folder)
    _check_base(folder, config.base_model_name_or_path, verified.checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tied weights, which swapping.py keeps apart
        model, layers = _fitted(folder, config, verified)
        _check_kinds(folder, layers)
        _check_factors(checkpoint, model)
    tensors = load_file(checkpoint.weights[0])
    for path, layer in layers.items():  # PEFT's own loading moves them to where its base is, which is nowhere
        for factor in ("lora_A", "lora_B"):
            tensor = tensors[f"base_model.model.{path}.{factor}.weight"].float()
            getattr(layer, factor)[_PEFT].weight = nn.Parameter(tensor, requires_grad=False)
    return Adapter(name, checkpoint, layers, load_fitted(folder, verified.checkpoint.digest, checkpoint.digest))


def _config(folder: Path) -> Any:
    from peft import LoraConfig, PeftConfig

    _check_keys(folder, set(LoraConfig.__dataclass_fields__))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that this release does not know; those that matter are refused
            config = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # PEFT raises whatever a wrong field leads to
        raise _wrong(folder, f"{ADAPTER_CONFIG} cannot be used ({error}).") from error
    if not isinstance(config, LoraConfig):
        raise _wrong(folder, f"{ADAPTER_CONFIG} describes no LoRA.")
    if config.init_lora_weights not in STARTS:
        raise _wrong(
            folder,
            f"init_lora_weights is {config.init_lora_weights!r}: it was trained on changed base weights.",
            "Convert it to a plain LoRA with PEFT (path_initial_model_for_weight_conversion).",
        )
    config.inference_mode, config.init_lora_weights = True, True
    return config


def _check_keys(folder: Path, known: set[str]) -> None:
    """A key that means something to another release of PEFT must not be passed over; nor a module to import, which
    nothing here would do."""
    content = read_json(folder / ADAPTER_CONFIG)
    if strange := sorted(key for key, value in content.items() if value and key not in known):
        raise _wrong(folder, f"{ADAPTER_CONFIG} has keys that are not known here: {few(strange)}.")
    mapping = content.get("auto_mapping") or {}
    library = mapping.get("parent_library") if isinstance(mapping, dict) else mapping
    if library is not None and not str(library).startswith("transformers."):
        raise _wrong(folder, f"{ADAPTER_CONFIG} has auto_mapping to {library!r}, foreign code.", "Remove the key.")


def _fitted(folder: Path, config: Any, verified: Any) -> tuple[Any, dict[str, Any]]:
    """PEFT's model around one without weights, and its layers that the adapter changes, by name."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer
    from transformers import Florence2ForConditionalGeneration

    try:
        with torch.device("meta"):
            made: Any = Florence2ForConditionalGeneration
            model: Any = PeftModel(made(verified.config), config, low_cpu_mem_usage=True)
    except Exception as error:  # for example ValueError when target_modules match nothing
        raise _wrong(folder, f"It does not fit this model ({error}).") from error
    network = model.get_base_model()
    return model, {name: layer for name, layer in network.named_modules() if isinstance(layer, LoraLayer)}


def _check_kinds(folder: Path, layers: Mapping[str, Any]) -> None:
    from peft.tuners.lora import Conv2d, Linear

    for name, layer in layers.items():
        if type(layer) not in (Linear, Conv2d):
            what = type(layer).__name__
            raise _wrong(
                folder,
                f"It changes {name}, of kind {what}; only linear layers and convolutions are served. The embedding is "
                "shared by what the model reads and what it writes.",
                "Train it without this layer.",
            )


def _check_factors(checkpoint: Checkpoint, model: Any) -> None:
    from peft import get_peft_model_state_dict

    # "auto" would ask the hub whether the base has the same embeddings.
    wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
    if more := sorted(name for name in wanted if not name.endswith(FACTORS)):
        raise _wrong(
            checkpoint.folder,
            f"It has more than pairs of low-rank factors: {few(more)}.",
            "Train a plain LoRA, without DoRA, biases or modules_to_save.",
        )
    check_tensors(checkpoint, {name: tuple(tensor.shape) for name, tensor in wanted.items()})


def _check_base(folder: Path, base_name: str | None, base: Checkpoint) -> None:
    """What stands after "@" in the base's name must be its digest, of all its files or of its weights."""
    _, at, claimed = (base_name or "").rpartition("@")
    if at and not any(digest.startswith(claimed) for digest in (base.digest, base.weights_digest)):
        loaded = base.digest[:DIGEST_DIGITS]
        raise _wrong(folder, f"It was trained on {base_name}, the model loaded has digest {loaded}.")


def _wrong(folder: Path, why: str, remedy: str = "Load it with the model it was trained on.") -> CheckpointRefused:
    return CheckpointRefused(str(folder), why, remedy)
