"""Microsoft's layout to the native one: every number arrives, nothing else of the checkpoint does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from domain.errors import CheckpointRefused
from domain.observations import INPUT_FREE_TASKS, Plan, Question, Task
from tests.worker.vision import original
from worker.vision.checkpoint import WEIGHTS, WEIGHTS_INDEX
from worker.vision.convert import Converted, convert
from worker.vision.convert_processor import ADDED_TOKENS
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.florence import load_base, verify
from worker.vision.manifest import MANIFEST

EMBEDDING = "model.language_model.shared.weight"


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """Read-only: the checkpoint and its tensors by native name."""
    folder = tmp_path_factory.mktemp("original") / "microsoft"
    return folder, original.write_original(folder)


@pytest.fixture
def source(originals: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals[0], tmp_path / "source"))


@pytest.fixture(scope="session")
def converted(originals: tuple[Path, dict[str, torch.Tensor]], tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Read-only."""
    return convert(originals[0], tmp_path_factory.mktemp("converted") / "native", dtype="float32")


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def refusal(source: Path, **options: Any) -> str:
    """The sentence; nothing may be left where the result would have been."""
    destination = source.parent / "native"
    before = sorted(source.parent.iterdir())
    with pytest.raises(CheckpointRefused) as caught:
        convert(source, destination, **options)
    assert sorted(source.parent.iterdir()) == before
    assert caught.value.remedy
    return str(caught.value)


def test_every_number_arrives_where_the_native_class_looks_for_it(
    originals: tuple[Path, dict[str, torch.Tensor]], converted: Converted
) -> None:
    model = load_base(verify(converted.folder))
    loaded = model.state_dict()
    wanted = originals[1]
    for name, tensor in wanted.items():
        if name != EMBEDDING:
            assert torch.equal(loaded[name], tensor), name
    rows = wanted[EMBEDDING].shape[0]
    for name in (EMBEDDING, "lm_head.weight", "model.language_model.encoder.embed_tokens.weight"):
        assert torch.equal(loaded[name][:rows], wanted[EMBEDDING]), name
    untested = loaded.keys() - wanted.keys()
    assert {name for name in untested if "embed_tokens" not in name} == {"lm_head.weight"}


def test_rows_without_a_word_can_never_be_the_likeliest(
    originals: tuple[Path, dict[str, torch.Tensor]], converted: Converted
) -> None:
    made = load_file(converted.folder / WEIGHTS)[EMBEDDING]
    words = originals[1][EMBEDDING]
    assert made.shape[0] % 64 == 0 and words.shape[0] < made.shape[0] <= words.shape[0] + 64
    states = torch.randn(50, made.shape[1])
    logits = states @ made.T
    assert (logits.argmax(dim=1) < words.shape[0]).all()


def test_image_is_the_first_word_after_those_the_weights_know(
    originals: tuple[Path, dict[str, torch.Tensor]], converted: Converted
) -> None:
    tokenizer = verify(converted.folder).processor.tokenizer
    words = Tokenizer.from_file(str(originals[0] / "tokenizer.json"))
    base = words.get_vocab_size()
    assert tokenizer.convert_tokens_to_ids(list(ADDED_TOKENS)) == list(range(base, base + original.ADDED))
    assert tokenizer.image_token_id == base + original.ADDED == originals[1][EMBEDDING].shape[0]
    text = "Locate the objects, a red café 商品 < 5 €"
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == words.encode(text).ids
    assert tokenizer("<loc_7>", add_special_tokens=False)["input_ids"] == [base + 4 + 7]


def test_the_converted_model_answers_every_task(converted: Converted, picture: Callable[..., Image.Image]) -> None:
    engine = FlorenceEngine.load(converted.folder, device="cpu", dtype="float32")
    asked = (Question(Task.VQA, "what?"), Question(Task.REGION_TO_OCR, (1, 2, 30, 40)))
    plan = Plan(INPUT_FREE_TASKS, asked)
    seen = engine.look([Look(picture(number), "aa", 120, 80, plan) for number in range(2)])
    assert set(seen[0].results) == set(INPUT_FREE_TASKS) and len(seen[1].asked) == 2


def test_nothing_that_could_run_code_is_carried_over(converted: Converted) -> None:
    files = sorted(file.name for file in converted.folder.iterdir())
    assert files == sorted(
        [
            *("LICENSE", MANIFEST, WEIGHTS, "config.json", "generation_config.json", "processor_config.json"),
            *("tokenizer.json", "tokenizer_config.json"),
        ]
    )
    for file in converted.folder.glob("*.json"):
        for word in ("auto_map", "Microsoft", "modeling_florence2", 'no_repeat_ngram_size": 3'):
            assert word not in file.read_text(), file.name
    assert {"auto_map", "text_config.num_beams", "text_config.no_repeat_ngram_size"} <= set(converted.left_out)
    assert not {"vision_config.dim_embed", "text_config.d_model"} & set(converted.left_out)


def test_the_architecture_is_translated(converted: Converted) -> None:
    config = verify(converted.folder).config
    vision, text = config.vision_config, config.text_config
    assert (vision.embed_dim, vision.depths, vision.max_position_embeddings) == ([8, 16], [1, 2], 4)
    assert (vision.max_temporal_embeddings, vision.projection_dim, vision.window_size) == (3, 24, 2)
    assert (text.decoder_ffn_dim, text.encoder_ffn_dim, text.max_position_embeddings) == (40, 48, 64)
    assert text.forced_eos_token_id is None
    greedy = json.loads((converted.folder / "generation_config.json").read_text())
    assert (greedy["num_beams"], greedy["no_repeat_ngram_size"], greedy["decoder_start_token_id"]) == (1, 0, 2)


def test_settings_left_out_of_a_saved_checkpoint_are_the_originals_defaults(source: Path) -> None:
    """`save_pretrained` of the original writes only what differs; its defaults are not the native class's."""

    def forget(config: dict[str, Any]) -> None:
        for name in ("num_heads", "dim_embed", "num_groups", "depths", "projection_dim"):
            del config["vision_config"][name]

    edit(source / "config.json", forget)
    assert "vision_config.projection_dim is 1024" in refusal(source)


@pytest.mark.parametrize(("dtype", "kind"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_half_precision_is_the_nearest_number(
    source: Path, originals: tuple[Path, dict[str, torch.Tensor]], dtype: Any, kind: torch.dtype
) -> None:
    made = convert(source, source.parent / "native", dtype=dtype)
    tensors = load_file(made.folder / WEIGHTS)
    name = "model.vision_tower.blocks.1.1.channel_block.ffn.fc2.weight"
    assert torch.equal(tensors[name], originals[1][name].to(kind))
    assert made.dtype == dtype and made.size == (made.folder / WEIGHTS).stat().st_size


def test_progress_counts_every_tensor(source: Path) -> None:
    told: list[tuple[int, int]] = []
    convert(source, source.parent / "native", progress=lambda done, total: told.append((done, total)))
    total = len(load_file(source / WEIGHTS))
    assert told == [(done, total) for done in range(1, total + 1)]


@pytest.mark.parametrize("present", [original.SHARED, "language_model.lm_head.weight"])
def test_any_of_the_embeddings_four_names_is_enough(source: Path, present: str) -> None:
    edit_tensors(source, lambda tensors: tensors.update({present: tensors.pop(original.SHARED)}))
    assert convert(source, source.parent / "native").parameters > 0


def test_all_four_names_with_the_same_numbers(source: Path) -> None:
    def spell_out(tensors: dict[str, torch.Tensor]) -> None:
        for name in ("lm_head", "model.encoder.embed_tokens", "model.decoder.embed_tokens"):
            tensors[f"language_model.{name}.weight"] = tensors[original.SHARED].clone()

    edit_tensors(source, spell_out)
    assert convert(source, source.parent / "native").parameters > 0


def test_weights_in_several_files(source: Path, converted: Converted) -> None:
    tensors = load_file(source / WEIGHTS)
    (source / WEIGHTS).unlink()
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, members in parts.items():
        save_file({name: tensors[name] for name in members}, source / file)
    original.write_json(source / WEIGHTS_INDEX, {"weight_map": {n: file for file, m in parts.items() for n in m}})
    assert convert(source, source.parent / "native", dtype="float32").digest == converted.digest


def test_a_checkpoint_that_was_fine_tuned_and_saved_again(source: Path, converted: Converted) -> None:
    """Its tokenizer has the added tokens already, in vocab order, and its embedding may be padded."""
    shutil.copyfile(converted.folder / "tokenizer.json", source / "tokenizer.json")

    def pad(tensors: dict[str, torch.Tensor]) -> None:
        rows = tensors[original.SHARED]
        tensors[original.SHARED] = torch.cat([rows, torch.zeros(10, rows.shape[1])])

    edit_tensors(source, pad)
    made = convert(source, source.parent / "native")
    before, after = verify(converted.folder).processor.tokenizer, verify(made.folder).processor.tokenizer
    assert len(before) == len(after) and before.image_token_id == after.image_token_id


def test_a_pickle_is_refused_with_the_remedy(source: Path) -> None:
    (source / WEIGHTS).unlink()
    message = refusal(source)
    assert "pytorch_model.bin" in message and "Download model.safetensors" in message


def test_an_existing_destination_is_replaced_only_by_force(source: Path) -> None:
    destination = source.parent / "native"
    first = convert(source, destination, dtype="float32")
    assert "--force" in refusal(source)
    second = convert(source, destination, dtype="float16", force=True)
    assert second.folder == first.folder and second.digest != first.digest
    assert sorted(file.name for file in source.parent.iterdir()) == ["native", "source"]


def test_force_never_replaces_what_is_no_checkpoint(source: Path) -> None:
    (source.parent / "native").mkdir()
    (source.parent / "native" / "thesis.tex").write_text("years of work")
    assert "no checkpoint" in refusal(source, force=True)
    assert (source.parent / "native" / "thesis.tex").is_file()


def test_source_and_destination_may_not_overlap(source: Path) -> None:
    for destination in (source, source / "native", source.parent):
        with pytest.raises(CheckpointRefused, match="overlap"):
            convert(source, destination, force=True)
    assert (source / WEIGHTS).is_file()


def test_a_native_checkpoint_needs_no_conversion(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefused, match="native layout already"):
        convert(tiny_checkpoint, tmp_path / "native")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.update({"vision_tower.head.weight": torch.ones(2)}), "vision_tower.head.weight"),
        (lambda tensors: tensors.update({"optimizer.step": torch.ones(1)}), "Unexpected tensors: optimizer.step"),
        (lambda tensors: tensors.pop("image_proj_norm.bias"), "image_proj_norm.bias"),
        (lambda tensors: tensors.pop(original.SHARED), "no word embedding"),
        (lambda tensors: tensors.update({"image_projection": torch.ones(2, 3)}), "image_projection has shape [3, 2]"),
        (lambda tensors: tensors["image_projection"].fill_(float("nan")), "image_projection holds numbers that"),
        (lambda tensors: tensors["image_projection"].fill_(1e6), "--dtype bfloat16 or float32"),
        (lambda tensors: tensors["language_model.final_logits_bias"].fill_(1), "final_logits_bias is not zero"),
        (
            lambda tensors: tensors.update({"language_model.lm_head.weight": tensors[original.SHARED] + 1}),
            "differs from the other embedding",
        ),
        (
            lambda tensors: tensors.update({original.SHARED: tensors[original.SHARED][:1200]}),
            "tokens, the weights embed 1200",
        ),
    ],
)
def test_tensors_that_do_not_fit(source: Path, change: Callable[[dict[str, torch.Tensor]], object], words: str) -> None:
    edit_tensors(source, change)
    assert words in refusal(source)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("config.json", lambda c: c["vision_config"].update(image_feature_source=["last_frame"]), "last_frame"),
        ("config.json", lambda c: c["vision_config"]["image_pos_embed"].update(type="sine"), "image_pos_embed.type"),
        ("config.json", lambda c: c["vision_config"].pop("visual_temporal_embedding"), "visual_temporal_embedding"),
        ("config.json", lambda c: c["vision_config"]["image_pos_embed"].pop("max_pos_embeddings"), "lacks"),
        ("config.json", lambda c: c["text_config"].update(normalize_before=True), "normalize_before"),
        ("config.json", lambda c: c["text_config"].update(d_model="wide"), "d_model"),
        ("config.json", lambda c: c["text_config"].update(encoder_layers="six"), "cannot be translated"),
        ("config.json", lambda c: c["text_config"].update(decoder_attention_heads=5), "makes no model"),
        ("config.json", lambda c: c.update(model_type="bart"), "no Florence-2"),
        ("config.json", lambda c: c["text_config"].update(eos_token_id=3), "eos_token_id is 3"),
        ("preprocessor_config.json", lambda c: c.update(size={"shortest_edge": 32}), "size {'shortest_edge': 32}"),
        ("preprocessor_config.json", lambda c: c.update(do_center_crop=True), "do_center_crop"),
        ("preprocessor_config.json", lambda c: c.update(image_seq_length=577), "image_seq_length is 577"),
        ("preprocessor_config.json", lambda c: c.update(image_mean="grey"), "preprocessor_config.json cannot be used"),
        ("tokenizer.json", lambda c: c.pop("model"), "tokenizer.json cannot be used"),
    ],
)
def test_settings_that_do_not_fit(
    source: Path, file: str, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    edit(source / file, change)
    assert words in refusal(source)


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json", "tokenizer.json"])
def test_files_that_are_missing(source: Path, file: str) -> None:
    (source / file).unlink()
    assert "There is no" in refusal(source)


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    assert "no such directory" in refusal(tmp_path / "nowhere")
