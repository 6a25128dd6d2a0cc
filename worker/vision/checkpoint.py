"""Checks before anything of a checkpoint or adapter directory is loaded.

A directory of weights is code's equal: a pickle runs what it likes, and a key in a config file can name a repository
whose code a library then fetches (CVE-2026-4372: `_attn_implementation_internal`). Every refusal is a
CheckpointRefused that names the file or key and the remedy. Where a manifest is there, its files must be as it says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import CheckpointRefused
from worker.vision.manifest import check_manifest, file_sum
from worker.vision.pieces import PLACES

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
# What transformers and PEFT read beside the weights. Named one by one: a card, a log of the training or a calibration
# may change without changing what the model sees.
READ_BESIDE = (
    ADAPTER_CONFIG,
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
DIGEST_DIGITS = 12  # of a digest in a name
PROGRAMS = frozenset({".py", ".so"})

# Keys that make a library run, fetch, import or choose code on the checkpoint's word. `quantization_config` picks a
# package that then replaces layers; PEFT imports the module that goes with `megatron_config`.
CODE_KEYS = re.compile(
    r"auto_map|_?(attn|experts)_implementation.*|_attn_.*|.*remote_code.*|custom_pipelines?|custom_generate"
    r"|custom_objects|use_kernels|kernel_config|quantization_config|megatron_config"
)
CONVERT = (
    "Use a checkpoint in transformers' own Florence-2 layout, such as florence-community/Florence-2-base-ft; "
    "`shelfguard model convert` makes one of Microsoft's original layout."
)
RENEW = "Copy or download the checkpoint again."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A directory that passed the checks of its files.

    digest: sha256 in hexadecimal of everything an answer depends on: of the digests and names of the weights and of
    the files of READ_BESIDE. weights_digest: of the weights alone. manifest: whether its files were compared with one.
    unread: files that could run code; nothing of ours opens them.
    """

    folder: Path
    weights: tuple[Path, ...]
    digest: str
    weights_digest: str
    manifest: bool = False
    unread: tuple[str, ...] = ()


def check_files(folder: Path) -> Checkpoint:
    """Check names, weights' format and configuration keys of a model directory; reads the weights once to hash them.

    Raises CheckpointRefused.
    """
    _check_folder(folder, "config.json")
    if (folder / ADAPTER_CONFIG).is_file():  # transformers would load the base model that this names instead
        raise CheckpointRefused(
            str(folder),
            f"There is an {ADAPTER_CONFIG} beside config.json, so it is unclear which model this is.",
            "Keep a model and its adapters in separate directories and name the adapter with --adapter.",
        )
    return _checked(folder, find_weights(folder))


def check_adapter_files(folder: Path) -> Checkpoint:
    """The same for a PEFT adapter directory, which must hold a LoRA. Raises CheckpointRefused."""
    _check_folder(folder, ADAPTER_CONFIG)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise _no_safetensors(folder, ADAPTER_WEIGHTS)
    kind = read_json(folder / ADAPTER_CONFIG).get("peft_type")
    if kind != "LORA":
        raise CheckpointRefused(
            str(folder), f"{ADAPTER_CONFIG} has peft_type {kind!r}; only LORA is served.", "Train a LoRA adapter."
        )
    return _checked(folder, (folder / ADAPTER_WEIGHTS,))


def find_weights(folder: Path, remedy: str | None = None) -> tuple[Path, ...]:
    """The safetensors files of a model directory. Raises CheckpointRefused; remedy: what to say to a pickle's owner."""
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS,)
    if (folder / WEIGHTS_INDEX).is_file():
        return _shards(folder / WEIGHTS_INDEX)
    raise _no_safetensors(folder, WEIGHTS, remedy)


def unread(folder: Path) -> tuple[str, ...]:
    """Names of files that could run code. They are never opened, only named."""
    return tuple(sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES | PROGRAMS))


def _checked(folder: Path, weights: tuple[Path, ...]) -> Checkpoint:
    known = check_manifest(folder)
    read = [*weights, *(folder / name for name in READ_BESIDE if (folder / name).is_file())]
    sums = {file.name: known.get(file.name) or file_sum(file) for file in read}
    of_weights = {file.name: sums[file.name] for file in weights}
    return Checkpoint(folder, weights, digest(sums), digest(of_weights), bool(known), unread(folder))


def digest(sums: Mapping[str, str]) -> str:
    """sha256 of "digest  name" lines of several files; of one file its own."""
    if len(sums) == 1:
        return next(iter(sums.values()))
    lines = "".join(f"{value}  {name}\n" for name, value in sums.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def check_vocabulary(folder: Path, config: Any, processor: Any) -> None:
    """Check that tokenizer, processor and model speak of the same tokens. Raises CheckpointRefused.

    config: Florence2Config; processor: Florence2Processor.
    """
    tokenizer = processor.tokenizer
    rows = config.text_config.vocab_size
    if len(tokenizer) > rows:
        raise _mismatch(folder, f"The tokenizer has {len(tokenizer)} tokens, the model embeds {rows}.")
    if tokenizer.image_token_id != config.image_token_id:
        raise _mismatch(
            folder,
            f"image_token_id is {config.image_token_id} in config.json, {tokenizer.image_token_id} in the tokenizer.",
        )
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        ours, theirs = getattr(config.text_config, name), getattr(tokenizer, name)
        if ours != theirs:
            raise _mismatch(folder, f"{name} is {ours} in config.json and {theirs} in the tokenizer.")
    numbers = {tokenizer.convert_tokens_to_ids(f"<loc_{place}>") for place in range(PLACES)}
    if len(numbers) < PLACES or tokenizer.unk_token_id in numbers:
        raise _mismatch(folder, f"The tokenizer lacks some of the {PLACES} place tokens <loc_0> to <loc_{PLACES - 1}>.")
    promised, made = processor.num_image_tokens, image_tokens(config.vision_config, processor.image_processor.size)
    if promised != made:
        raise _mismatch(folder, f"image_seq_length is {promised}, but the vision tower makes {made} image tokens.")


def image_tokens(vision: Any, size: Any) -> int:
    """Tokens of one picture: the grid after all strides, and one for its mean."""
    sides: list[int] = [size["height"], size["width"]]
    for kernel, stride, padding in zip(vision.patch_size, vision.patch_stride, vision.patch_padding, strict=True):
        sides = [(side + 2 * padding - kernel) // stride + 1 for side in sides]
    return sides[0] * sides[1] + 1


def _check_folder(folder: Path, config_name: str) -> None:
    if not folder.is_dir():
        raise CheckpointRefused(str(folder), "There is no such directory.", "Check the path.")
    if not (folder / config_name).is_file():
        raise CheckpointRefused(str(folder), f"There is no {config_name}.", "Check that this is the right directory.")
    for file in sorted(folder.glob("*.json")):
        for key, value in _keys(read_json(file)):
            if CODE_KEYS.fullmatch(key) and not _harmless(key, value):
                raise CheckpointRefused(
                    str(folder), f"{file.name} has the key {key!r}, which can make a library run foreign code.", CONVERT
                )


def _harmless(key: str, value: Any) -> bool:
    """What is off, or a whole number: a word's place in a vocabulary. `_attn_implementation_autoset` is a flag without
    effect that some releases of transformers wrote into every config."""
    if value is None or value is False:
        return True
    return key == "_attn_implementation_autoset" if value is True else isinstance(value, int)


def _keys(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield from node.items()
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointRefused(str(file.parent), f"{file.name} cannot be read as JSON ({error}).", RENEW) from error
    if not isinstance(content, dict):
        raise CheckpointRefused(str(file.parent), f"{file.name} holds no JSON object.", RENEW)
    return content


def _no_safetensors(folder: Path, name: str, remedy: str | None = None) -> CheckpointRefused:
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in PICKLES)
    if pickles:
        return CheckpointRefused(
            str(folder),
            f"The weights are a pickle ({few(pickles)}), which can run any code when it is loaded.",
            remedy or f"Get them as {name}.",
        )
    return CheckpointRefused(str(folder), f"There is no {name}.", RENEW)


def _shards(index: Path) -> tuple[Path, ...]:
    """The files an index names, which must be safetensors beside it."""
    shards = read_json(index).get("weight_map")
    names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointRefused(
                str(index.parent), f"{index.name} names {name!r}, which is no safetensors file beside it.", RENEW
            )
        if not (index.parent / name).is_file():
            raise CheckpointRefused(str(index.parent), f"There is no {name}, which {index.name} names.", RENEW)
    if not names:
        raise CheckpointRefused(str(index.parent), f"{index.name} names no files.", RENEW)
    return tuple(index.parent / name for name in names)


def few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _mismatch(folder: Path, why: str) -> CheckpointRefused:
    return CheckpointRefused(str(folder), why, "Use the tokenizer and processor files that belong to these weights.")
