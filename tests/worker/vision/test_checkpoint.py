"""Every refusal of a checkpoint directory, each naming the key or file and the remedy."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from domain.errors import CheckpointRefused
from worker.vision.checkpoint import WEIGHTS, WEIGHTS_INDEX, check_files
from worker.vision.florence import verify
from worker.vision.manifest import MANIFEST, write_manifest


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointRefused) as caught:
        verify(folder)
    assert caught.value.remedy
    return str(caught.value)


def test_a_good_checkpoint_passes_and_is_named_by_all_that_an_answer_depends_on(copy: Path) -> None:
    verified = verify(copy)
    assert verified.checkpoint.weights_digest == hashlib.sha256((copy / WEIGHTS).read_bytes()).hexdigest()
    assert verified.checkpoint.digest != verified.checkpoint.weights_digest
    assert verified.identity == f"model@{verified.checkpoint.digest[:12]}" == verify(copy).identity
    assert verified.resolution == (32, 32)


@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"],
)
def test_a_change_beside_the_weights_is_another_model(copy: Path, name: str) -> None:
    before = check_files(copy)
    edit(copy / name, lambda content: content.update(a_word_of_ours=1))
    after = check_files(copy)
    assert after.digest != before.digest and after.weights_digest == before.weights_digest


def test_a_file_that_nobody_reads_beside_the_weights_changes_no_name(copy: Path) -> None:
    before = check_files(copy)
    (copy / "README.md").write_text("A card.")
    (copy / "trainer_state.json").write_text("{}")
    assert check_files(copy) == before


def test_a_file_that_is_read_and_was_not_there_is_another_model(copy: Path) -> None:
    before = check_files(copy).digest
    (copy / "special_tokens_map.json").write_text("{}")
    assert check_files(copy).digest != before


def test_the_shipped_checkpoint_passes(shipped: str) -> None:
    assert verify(shipped).identity.startswith("shelf-tiny@")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_pickled_weights(copy: Path, name: str) -> None:
    (copy / WEIGHTS).rename(copy / name)
    message = refusal(copy)
    assert name in message and "pickle" in message and WEIGHTS in message


def test_a_pickle_beside_the_weights_is_never_read(copy: Path) -> None:
    (copy / "training_args.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    (copy / "modeling_evil.py").write_text("raise SystemExit(1)")
    verified = verify(copy)
    assert verified.parameters > 0
    assert verified.checkpoint.unread == ("modeling_evil.py", "training_args.bin")


def test_an_adapter_in_the_models_directory(copy: Path) -> None:
    """transformers would load the base that the adapter names instead of the model that stands here."""
    (copy / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}))
    message = refusal(copy)
    assert "adapter_config.json" in message and "--adapter" in message


@pytest.mark.parametrize(
    "file", ["config.json", "processor_config.json", "tokenizer_config.json", "generation_config.json"]
)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoModel": "modeling_evil.Evil"}),
        ("_attn_implementation_internal", "someone/kernel"),
        ("_attn_implementation", "someone/kernel"),
        ("attn_implementation", "someone/kernel"),
        ("trust_remote_code", True),
        ("_experts_implementation_internal", "someone/kernel"),
        ("custom_pipelines", {"look": {"impl": "evil.Look"}}),
        ("custom_generate", "someone/decoding"),
        ("quantization_config", {"quant_method": "someones"}),
        ("kernel_config", {"RMSNorm": "someone/kernel"}),
        ("use_kernels", True),
    ],
)
def test_keys_that_run_code(copy: Path, file: str, key: str, value: object) -> None:
    edit(copy / file, lambda content: content.update({key: value}))
    message = refusal(copy)
    assert file in message and key in message


def test_such_a_key_at_depth(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content["text_config"].update(inner=[{"auto_map": {"a": "b.C"}}]))
    assert "auto_map" in refusal(copy)


def test_such_a_key_that_is_off_is_no_reason(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content.update(auto_map=None, use_kernels=False))
    assert check_files(copy).digest


def test_a_harmless_flag_of_older_transformers_is_no_reason(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content["text_config"].update(_attn_implementation_autoset=True))
    assert check_files(copy).digest


def test_a_word_of_the_vocabulary_is_no_key(copy: Path) -> None:
    (copy / "vocab.json").write_text(json.dumps({"auto_map": 17}))
    assert check_files(copy).digest


def test_missing_tensor(copy: Path) -> None:
    edit_tensors(copy, lambda tensors: tensors.pop("model.language_model.decoder.layers.0.fc1.weight"))
    assert "Missing tensors: model.language_model.decoder.layers.0.fc1.weight" in refusal(copy)


def test_unexpected_tensor(copy: Path) -> None:
    edit_tensors(copy, lambda tensors: tensors.update({"vision_tower.convs.0.proj.weight": torch.zeros(1)}))
    message = refusal(copy)
    assert "Unexpected tensors: vision_tower.convs.0.proj.weight" in message and "florence-community" in message


def test_wrong_shape(copy: Path) -> None:
    edit_tensors(
        copy, lambda tensors: tensors.update({"model.language_model.decoder.layers.0.fc1.bias": torch.zeros(3)})
    )
    assert "model.language_model.decoder.layers.0.fc1.bias has shape [3]" in refusal(copy)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_one_number_that_is_not_finite(copy: Path, number: float, kind: torch.dtype) -> None:
    name = "model.language_model.decoder.layers.1.fc2.weight"

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name] = tensors[name].to(kind)
        tensors[name][3, 5] = number

    edit_tensors(copy, spoil)
    assert name in refusal(copy)


@pytest.mark.parametrize(("kind", "name"), [(torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_quantised_weights(copy: Path, kind: torch.dtype, name: str) -> None:
    weight = "model.language_model.decoder.layers.0.fc1.weight"
    edit_tensors(copy, lambda tensors: tensors.update({weight: tensors[weight].to(kind)}))
    message = refusal(copy)
    assert f"{weight} is of type {name}" in message and "quantised" in message


def test_a_file_cut_short(copy: Path) -> None:
    content = (copy / WEIGHTS).read_bytes()
    (copy / WEIGHTS).write_bytes(content[: len(content) // 2])
    assert f"{WEIGHTS} is damaged" in refusal(copy)


def test_a_tokenizer_with_more_words_than_the_model_embeds(copy: Path) -> None:
    def shrink(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.language_model.shared.weight"] = tensors["model.language_model.shared.weight"][:900].clone()

    edit_tensors(copy, shrink)
    edit(copy / "config.json", lambda content: content["text_config"].update(vocab_size=900))
    edit(copy / "config.json", lambda content: content.update(image_token_id=899))
    assert "the model embeds 900" in refusal(copy)


def test_another_image_token(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content.update(image_token_id=5))
    assert "image_token_id is 5" in refusal(copy)


def test_another_end_token(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content["text_config"].update(eos_token_id=3))
    assert "eos_token_id is 3" in refusal(copy)


def test_another_number_of_image_tokens(copy: Path) -> None:
    edit(copy / "processor_config.json", lambda content: content["image_processor"].update(image_seq_length=577))
    assert "image_seq_length is 577, but the vision tower makes 5" in refusal(copy)


def test_place_tokens_that_are_words(copy: Path) -> None:
    def rename(content: dict[str, Any]) -> None:
        for token in content["added_tokens"]:
            token["content"] = token["content"].replace("<loc_7>", "<lok_7>")

    edit(copy / "tokenizer.json", rename)
    edit(
        copy / "tokenizer_config.json",
        lambda content: content.update(
            extra_special_tokens=[token for token in content["extra_special_tokens"] if token != "<loc_7>"]
        ),
    )
    assert "place tokens" in refusal(copy)


def test_another_architecture(copy: Path) -> None:
    edit(copy / "config.json", lambda content: content.update(model_type="bart"))
    assert str(copy) in refusal(copy)


def test_a_config_that_is_no_json(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    assert "config.json cannot be read as JSON" in refusal(copy)


def test_a_manifest_is_held_against_the_files(copy: Path) -> None:
    plain = verify(copy)
    sums = write_manifest(copy)
    assert sums[WEIGHTS] == plain.checkpoint.weights_digest and MANIFEST not in sums
    verified = verify(copy)
    assert verified.checkpoint.manifest and not plain.checkpoint.manifest
    assert verified.identity == plain.identity


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "generation_config.json").write_text("{}"), "generation_config.json differs"),
        (lambda folder: (folder / "tokenizer_config.json").unlink(), "tokenizer_config.json is missing"),
        (lambda folder: (folder / "added_tokens.json").write_text("{}"), "added_tokens.json is not in"),
        (lambda folder: (folder / MANIFEST).write_text("config.json is fine\n"), f"{MANIFEST} line 1"),
        (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe"), f"{MANIFEST} is no text"),
    ],
)
def test_what_differs_from_the_manifest_is_named(copy: Path, change: Callable[[Path], object], words: str) -> None:
    write_manifest(copy)
    change(copy)
    message = refusal(copy)
    assert words in message and f"shelfguard model manifest {copy}" in message


def test_weights_that_changed_by_one_bit(copy: Path) -> None:
    write_manifest(copy)
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    assert f"{WEIGHTS} differs" in refusal(copy)


def test_what_a_file_system_hides_is_not_in_the_manifest(copy: Path) -> None:
    (copy / ".cache").mkdir()
    write_manifest(copy)
    (copy / ".DS_Store").write_bytes(b"x")
    assert verify(copy).checkpoint.manifest


def test_no_weights_and_no_directory(copy: Path) -> None:
    (copy / WEIGHTS).unlink()
    assert f"There is no {WEIGHTS}" in refusal(copy)
    shutil.rmtree(copy)
    assert "There is no such directory" in refusal(copy)


def shard(folder: Path, second: str) -> None:
    """Cut the weights in two files and write the index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[::2], second: names[1::2]}
    for file, members in parts.items():
        if "/" not in file:
            save_file({name: tensors[name] for name in members}, folder / file, metadata={"format": "pt"})
    index = {"weight_map": {name: file for file, members in parts.items() for name in members}}
    (folder / WEIGHTS_INDEX).write_text(json.dumps(index))


def test_weights_in_several_files(copy: Path) -> None:
    shard(copy, "model-2.safetensors")
    assert [file.name for file in verify(copy).checkpoint.weights] == ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize("second", ["../elsewhere.safetensors", "sub/model-2.safetensors"])
def test_an_index_that_points_elsewhere(copy: Path, second: str) -> None:
    shard(copy, second)
    assert second in refusal(copy)


def test_an_index_with_a_pickle_or_a_missing_file(copy: Path) -> None:
    shard(copy, "model-2.safetensors")
    (copy / "model-2.safetensors").unlink()
    assert "There is no model-2.safetensors" in refusal(copy)
    edit(copy / WEIGHTS_INDEX, lambda content: content.update(weight_map={"a": "pytorch_model.bin"}))
    assert "pytorch_model.bin" in refusal(copy)
