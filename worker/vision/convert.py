"""Conversion: a checkpoint in Microsoft's original (remote-code) Florence-2 layout to transformers' native layout.

Neither the repository's code nor a pickle is read: safetensors and JSON in, safetensors and JSON out. The result is
checked like any checkpoint before it takes its place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from transformers import Florence2ForConditionalGeneration

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import CONVERT, RENEW, WEIGHTS, few, find_weights
from worker.vision.convert_config import left_out, native_config, native_processor, native_tokenizer, read_original
from worker.vision.decoding import greedy_config
from worker.vision.florence import verify
from worker.vision.manifest import write_manifest
from worker.vision.original_names import EMBEDDINGS, LOGITS_BIAS, NATIVE_EMBEDDING, PROJECTION, native_name
from worker.vision.tensors import opened_weights

WeightsType = Literal["float16", "bfloat16", "float32"]
TYPES: Mapping[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}
ROWS_MULTIPLE = 64  # embedding rows are padded to it, as the official converter does; matrix units like it
# Papers that belong to the weights and go with them.
PAPERS = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE")

Progress = Callable[[int, int], None]
Tensors = dict[str, torch.Tensor]

_Model: Any = Florence2ForConditionalGeneration


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
    rows = _rows(source, weights, len(tokenizer))
    config = native_config(source, original, image_token_id=tokenizer.image_token_id, rows=rows, dtype=dtype)
    processor = native_processor(source, tokenizer, config)
    tensors = native_tensors(source, weights, _wanted(source, config), TYPES[dtype], progress)
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


def native_tensors(
    source: Path,
    weights: Sequence[Path],
    wanted: Mapping[str, tuple[int, ...]],
    dtype: torch.dtype,
    progress: Progress = lambda done, total: None,
) -> Tensors:
    """The original's tensors by native name, in `dtype`, one embedding for its four names, its rows padded.

    wanted: shape of every tensor of the native model; one file is open at a time and one tensor read at a time.
    Raises CheckpointRefused naming tensors that are unknown, missing, of another shape, not finite or too large.
    """
    names = [name for opened in opened_weights(source, weights) for name in opened.keys()]  # noqa: SIM118
    _check_names(source, names, wanted)
    made: Tensors = {}
    embedding: torch.Tensor | None = None
    for done, (name, tensor) in enumerate(_each(source, weights), start=1):
        if name == LOGITS_BIAS:
            _check_no_bias(source, tensor)
        elif name in EMBEDDINGS:
            if embedding is not None and not torch.equal(tensor, embedding):
                raise CheckpointRefused(
                    str(source),
                    f"{name} differs from the other embedding; the model has one matrix for {', '.join(EMBEDDINGS)}.",
                    "Save the checkpoint again with its weights tied, as the original class does.",
                )
            embedding = tensor
        else:
            plain = tensor.T.contiguous() if name == PROJECTION else tensor
            made[native_name(name)] = _fitted(source, name, plain, wanted[native_name(name)], dtype)
        progress(done, len(names))
    assert embedding is not None, "_check_names saw one"
    shape = wanted[NATIVE_EMBEDDING]
    made[NATIVE_EMBEDDING] = _fitted(source, EMBEDDINGS[0], padded(embedding, shape[0]), shape, dtype)
    return made


def padded(embedding: torch.Tensor, rows: int) -> torch.Tensor:
    """(rows, width): the words' vectors and, below them, their mean for every row that no word has.

    The mean's logit is the mean of all logits, so no such row can ever be the likeliest token; zeros could.
    """
    missing = rows - embedding.shape[0]
    if missing <= 0:
        return embedding
    mean = embedding.float().mean(dim=0, keepdim=True).to(embedding.dtype)
    return torch.cat([embedding, mean.expand(missing, -1)])


def _rows(source: Path, weights: Sequence[Path], words: int) -> int:
    """Rows of the padded embedding. words: of the tokenizer, `<image>` among them as the last."""
    for opened in opened_weights(source, weights):
        for name in opened.keys():  # noqa: SIM118
            if name in EMBEDDINGS:
                found = int(opened.get_slice(name).get_shape()[0])
                if found < words - 1:
                    raise CheckpointRefused(
                        str(source),
                        f"The tokenizer has {words - 1} tokens, the weights embed {found}.",
                        "Use the tokenizer files that belong to these weights.",
                    )
                return -(-max(found, words) // ROWS_MULTIPLE) * ROWS_MULTIPLE
    raise CheckpointRefused(str(source), f"There is no word embedding ({EMBEDDINGS[0]}).", RENEW)


def _wanted(source: Path, config: Any) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of the native model, tied ones under their first name only."""
    try:
        with torch.device("meta"):
            skeleton = _Model(config)
    except Exception as error:
        raise CheckpointRefused(str(source), f"config.json makes no model ({error}).", RENEW) from error
    tied = {native_name(name) for name in EMBEDDINGS} - {NATIVE_EMBEDDING}
    return {name: tuple(tensor.shape) for name, tensor in skeleton.state_dict().items() if name not in tied}


def _check_names(source: Path, names: Sequence[str], wanted: Mapping[str, tuple[int, ...]]) -> None:
    if any(name.startswith("model.vision_tower.") for name in names):
        raise CheckpointRefused(str(source), "Its weights are in the native layout already.", "Use it as it is.")
    found, unknown = {NATIVE_EMBEDDING}, []
    for name in names:
        if name in EMBEDDINGS or name == LOGITS_BIAS:
            continue
        try:
            native = native_name(name)
        except ValueError:
            native = ""
        found.add(native)
        if native not in wanted:
            unknown.append(name)
    if unknown:
        raise CheckpointRefused(str(source), f"Unexpected tensors: {few(sorted(unknown))}.", CONVERT)
    if missing := sorted(wanted.keys() - found):
        raise CheckpointRefused(str(source), f"Nothing in the weights becomes {few(missing)}.", RENEW)


def _each(source: Path, weights: Sequence[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    for opened in opened_weights(source, weights):
        for name in opened.keys():  # noqa: SIM118
            yield name, opened.get_tensor(name)


def _check_no_bias(source: Path, bias: torch.Tensor) -> None:
    if bias.count_nonzero():
        raise CheckpointRefused(
            str(source),
            f"{LOGITS_BIAS} is not zero, and the native class has no such bias.",
            "Such a checkpoint cannot be converted without changing its answers.",
        )


def _fitted(source: Path, name: str, tensor: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """In the wanted type; refused when its shape or its numbers do not fit."""
    if tuple(tensor.shape) != shape:
        raise CheckpointRefused(
            str(source),
            f"Tensor {name} has shape {list(tensor.shape)}, the configuration says {list(shape)}.",
            "Use the config.json that belongs to these weights.",
        )
    if not torch.isfinite(tensor).all():
        raise CheckpointRefused(
            str(source),
            f"Tensor {name} holds numbers that are not finite.",
            "Training diverged or the file is damaged: take an earlier checkpoint.",
        )
    made = tensor.to(dtype)
    if not torch.isfinite(made).all():
        kind = str(dtype).removeprefix("torch.")
        raise CheckpointRefused(
            str(source), f"Tensor {name} has numbers too large for {kind}.", "Convert with --dtype bfloat16 or float32."
        )
    return made


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
