"""Tensors of an original Florence-2 checkpoint to those of the native class: names, shapes, types, padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import Florence2ForConditionalGeneration

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import CONVERT, RENEW, few
from worker.vision.original_names import EMBEDDINGS, LOGITS_BIAS, NATIVE_EMBEDDING, PROJECTION, native_name
from worker.vision.tensors import is_finite, opened_weights

ROWS_MULTIPLE = 64  # embedding rows are padded to it, as the official converter does; matrix units like it

Progress = Callable[[int, int], None]
Tensors = dict[str, torch.Tensor]

_Model: Any = Florence2ForConditionalGeneration


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


def padded_rows(source: Path, weights: Sequence[Path], words: int) -> int:
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


def native_shapes(source: Path, config: Any) -> dict[str, tuple[int, ...]]:
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
    if not is_finite(tensor):
        raise CheckpointRefused(
            str(source),
            f"Tensor {name} holds numbers that are not finite.",
            "Training diverged or the file is damaged: take an earlier checkpoint.",
        )
    made = tensor.to(dtype)
    if not is_finite(made):
        kind = str(dtype).removeprefix("torch.")
        raise CheckpointRefused(
            str(source), f"Tensor {name} has numbers too large for {kind}.", "Convert with --dtype bfloat16 or float32."
        )
    return made
