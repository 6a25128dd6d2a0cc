"""Conversion: a checkpoint in Microsoft's original (remote-code) Florence-2 layout to transformers' native layout.

Neither the repository's code nor a pickle is read: safetensors and JSON in, safetensors and JSON out. The result is
checked like any checkpoint before it takes its place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import WEIGHTS, find_weights
from worker.vision.convert_config import left_out, native_config, read_original
from worker.vision.convert_processor import native_processor, native_tokenizer
from worker.vision.convert_tensors import Progress, native_shapes, native_tensors, padded_rows
from worker.vision.decoding import greedy_config
from worker.vision.florence import verify
from worker.vision.manifest import write_manifest

WeightsType = Literal["float16", "bfloat16", "float32"]
TYPES: Mapping[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}
# Papers that belong to the weights and go with them.
PAPERS = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE")


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of a conversion. left_out: settings of the original without a place in the native files."""

    folder: Path
    digest: str  # sha256 of the weights
    parameters: int
    tensors: int
    dtype: str
    size: int  # bytes of the weights
    left_out: tuple[str, ...]


def convert(
    source: Path,
    destination: Path,
    *,
    dtype: WeightsType = "float16",
    force: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Write a native checkpoint made of an original one, with a manifest.

    The folder appears whole or not at all: it is made beside `destination`, verified, then renamed. progress: called
    with tensors done and tensors in all. Raises CheckpointRefused naming what is wrong and the remedy.
    """
    source, destination = source.resolve(), destination.resolve()
    _check_places(source, destination, force)
    new = destination.with_name(f".{destination.name}.{os.getpid()}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        converted = _convert(source, new, dtype, progress or (lambda done, total: None))
        _take_place(new, destination)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return replace(converted, folder=destination)


def _convert(source: Path, new: Path, dtype: WeightsType, progress: Progress) -> Converted:
    """Everything into the folder `new`."""
    original = read_original(source)
    weights = find_weights(
        source,
        "Download model.safetensors of the same repository, or use florence-community/Florence-2-base-ft, which is "
        "converted already.",
    )
    tokenizer = native_tokenizer(source)
    rows = padded_rows(source, weights, len(tokenizer))
    config = native_config(source, original, image_token_id=tokenizer.image_token_id, rows=rows, dtype=dtype)
    processor = native_processor(source, tokenizer, config)
    tensors = native_tensors(source, weights, native_shapes(source, config), TYPES[dtype], progress)
    save_file(tensors, new / WEIGHTS, metadata={"format": "pt"})
    config.save_pretrained(new)
    processor.save_pretrained(new)
    greedy_config(config.text_config).save_pretrained(new)
    _copy_papers(source, new)
    for file in new.iterdir():
        file.chmod(0o644)
    try:
        verified = verify(new)
    except CheckpointRefused as refused:
        raise CheckpointRefused(str(source), refused.why, refused.remedy) from refused
    write_manifest(new)
    size = (new / WEIGHTS).stat().st_size
    digest = verified.checkpoint.digest
    return Converted(new, digest, verified.parameters, len(tensors), dtype, size, left_out(original))


def _copy_papers(source: Path, new: Path) -> None:
    for name in PAPERS:
        if (source / name).is_file():
            shutil.copyfile(source / name, new / name)


def _check_places(source: Path, destination: Path, force: bool) -> None:
    """Nothing is overwritten without --force, and nothing but a checkpoint with it."""
    if not source.is_dir():
        raise CheckpointRefused(str(source), "There is no such directory.", "Check the path.")
    if not (source / "config.json").is_file():
        raise CheckpointRefused(str(source), "There is no config.json.", "Check that this is the right directory.")
    if source == destination or source in destination.parents or destination in source.parents:
        raise CheckpointRefused(str(destination), "Source and destination overlap.", "Give a directory elsewhere.")
    if not destination.exists():
        return
    if not force:
        raise CheckpointRefused(
            str(destination), "It is there already.", "Give another name, or --force to replace it."
        )
    if not destination.is_dir() or (any(destination.iterdir()) and not (destination / "config.json").is_file()):
        raise CheckpointRefused(str(destination), "It is no checkpoint, so it is not replaced.", "Give another name.")


def _take_place(new: Path, destination: Path) -> None:
    """Rename; what was there is removed when the new one stands."""
    old = destination.with_name(f".{destination.name}.{os.getpid()}.old")
    if destination.exists():
        destination.rename(old)
    try:
        new.rename(destination)
    except OSError:
        if old.exists():
            old.rename(destination)
        raise
    shutil.rmtree(old, ignore_errors=True)
