"""Tensors: what the safetensors files of a checkpoint hold, against what the model needs.

Every refusal is a CheckpointRefused that names the tensor and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import CONVERT, RENEW, Checkpoint, few

FLOATS = ("F16", "BF16", "F32", "F64")

Shape = tuple[int, ...]


def check_tensors(checkpoint: Checkpoint, wanted: Mapping[str, Shape], tied: Sequence[frozenset[str]] = ()) -> None:
    """Compare the tensors in the files with those of the model: names, shapes, types, finite numbers.

    wanted: shape of every tensor by name. tied: sets of names that are one tensor, of which one in the files is
    enough. Raises CheckpointRefused.
    """
    found = dict(_shapes(checkpoint))
    where = str(checkpoint.folder)
    if unexpected := sorted(found.keys() - wanted.keys()):
        raise CheckpointRefused(where, f"Unexpected tensors: {few(unexpected)}.", CONVERT)
    covered = {name for names in tied if names & found.keys() for name in names}
    if missing := sorted(wanted.keys() - found.keys() - covered):
        raise CheckpointRefused(where, f"Missing tensors: {few(missing)}.", RENEW)
    if wrong := sorted(name for name, shape in found.items() if shape != wanted[name]):
        name = wrong[0]
        raise CheckpointRefused(
            where,
            f"Tensor {name} has shape {list(found[name])}, the configuration says {list(wanted[name])}.",
            "Use the config.json that belongs to these weights.",
        )
    check_types(checkpoint)
    check_finite(checkpoint)


def check_types(checkpoint: Checkpoint) -> None:
    """Raises CheckpointRefused naming the first tensor whose numbers are not plain floating point.

    A quantised weight would be read as if its integers were the weight, without a word.
    """
    for opened in opened_weights(checkpoint.folder, checkpoint.weights):
        for name in opened.keys():  # noqa: SIM118  (a safetensors file is no mapping)
            kind = opened.get_slice(name).get_dtype()
            if kind not in FLOATS:
                raise CheckpointRefused(
                    str(checkpoint.folder),
                    f"Tensor {name} is of type {kind}; only {', '.join(FLOATS)} are served.",
                    "Use the weights before they were quantised.",
                )


def types_of(checkpoint: Checkpoint) -> set[str]:
    """The types that occur, as safetensors names them."""
    return {
        opened.get_slice(name).get_dtype()
        for opened in opened_weights(checkpoint.folder, checkpoint.weights)
        for name in opened.keys()  # noqa: SIM118
    }


def check_finite(checkpoint: Checkpoint) -> None:
    """Raises CheckpointRefused naming the first tensor with a NaN or an infinity."""
    for name, tensor in _tensors(checkpoint):
        if not is_finite(tensor):
            raise CheckpointRefused(
                str(checkpoint.folder),
                f"Tensor {name} holds numbers that are not finite.",
                "Training diverged or the file is damaged: take an earlier checkpoint.",
            )


def is_finite(tensor: Any) -> bool:
    """Whether no number of a floating-point tensor is NaN or infinite.

    By its least and greatest number, which are NaN where one is: tens of times faster than asking every number, and
    every load asks all of them.
    """
    import torch

    return tensor.numel() == 0 or bool(torch.stack(torch.aminmax(tensor)).isfinite().all())


def _shapes(checkpoint: Checkpoint) -> Iterator[tuple[str, Shape]]:
    for opened in opened_weights(checkpoint.folder, checkpoint.weights):
        for name in opened.keys():  # noqa: SIM118  (a safetensors file is no mapping)
            yield name, tuple(opened.get_slice(name).get_shape())


def _tensors(checkpoint: Checkpoint) -> Iterator[tuple[str, Any]]:
    for opened in opened_weights(checkpoint.folder, checkpoint.weights):
        for name in opened.keys():  # noqa: SIM118
            yield name, opened.get_tensor(name)


def opened_weights(folder: Path, weights: Sequence[Path]) -> Iterator[Any]:
    """Each safetensors file, open. Raises CheckpointRefused for a damaged header or a file cut short."""
    from safetensors import SafetensorError, safe_open

    for file in weights:
        try:
            with safe_open(file, framework="pt") as opened:
                yield opened
        except (SafetensorError, OSError) as error:
            raise CheckpointRefused(str(folder), f"{file.name} is damaged ({error}).", RENEW) from error
