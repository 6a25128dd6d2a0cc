"""Several adapters on one model: each answers as if it were alone, and the base is never touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from domain.errors import CheckpointRefused, Unavailable
from domain.observations import INPUT_FREE_TASKS, Plan, Task
from tests.worker.vision.loras import make_lora
from worker.vision.adapters import read_adapter
from worker.vision.checkpoint import WEIGHTS
from worker.vision.engine import FlorenceEngine, Look, Pick
from worker.vision.florence import DTypeName, load, load_base, verify
from worker.vision.packing import PackedLinear, pack
from worker.vision.prompts import prompt_for
from worker.vision.swapping import Adapters, BaseWeights

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed, and warns of tied weights, the subject here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*tie.*:UserWarning"),
]

Pictures = Callable[..., Image.Image]
SWAPS = 1000
TARGETS = {
    "mugs": r".*language_model.*\.(q_proj|v_proj)",
    "shoes": r".*language_model.*\.(k_proj|fc1|fc2)",
    "eyes": r".*(vision_tower.*\.(qkv|fc1)|image_projection|convs\.1\.conv|language_model.*\.q_proj)",
    "head": r"lm_head",
}
PLAN = Plan(tasks=INPUT_FREE_TASKS)


@pytest.fixture(scope="module")
def folders(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("adapters")
    return {
        name: make_lora(tiny_checkpoint, made / name, targets, seed)
        for seed, (name, targets) in enumerate(TARGETS.items())
    }


def engine_with(base: Path, folders: dict[str, Path], dtype: DTypeName = "float32", memory: int = 1 << 30) -> Any:
    engine = FlorenceEngine.load(base, device="cpu", dtype=dtype, threads=1, adapter_memory=memory)
    for folder in folders.values():
        engine.add_adapter(folder)
    return engine


@pytest.fixture
def engine(tiny_checkpoint: Path, folders: dict[str, Path]) -> FlorenceEngine:
    made: FlorenceEngine = engine_with(tiny_checkpoint, folders)
    return made


def look(image: Image.Image, adapter: str | None, sha256: str = "aa") -> Look:
    return Look(image, sha256, image.width, image.height, PLAN, adapter)


def tokens(engine: FlorenceEngine, looks: Sequence[Look]) -> list[tuple[int, ...]]:
    return [generated.tokens for _, generated in engine.generate(looks)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_mix_of_adapters_gives_each_photo_what_an_engine_of_its_own_gives(
    tiny_checkpoint: Path, folders: dict[str, Path], picture: Pictures, dtype: DTypeName
) -> None:
    names = [None, *folders, "base", *reversed(folders)]
    looks = [look(picture(number, 90 + 11 * number, 80), name, str(number)) for number, name in enumerate(names)]
    together = engine_with(tiny_checkpoint, folders, dtype).look(looks)
    assert len({str(seen.results_json()) for seen in together}) == len(looks), "answers alike show nothing"
    for one, seen in zip(looks, together, strict=True):
        folder = folders.get(one.adapter or "base")
        own = FlorenceEngine.load(tiny_checkpoint, adapter=folder, device="cpu", dtype=dtype, threads=1)
        assert own.look([Look(one.image, one.sha256, one.width, one.height, one.plan)]) == [seen]
        assert seen.engine == own.engine and (seen.engine.adapter is None) == (folder is None)


@pytest.mark.parametrize("name", TARGETS)
def test_an_adapter_answers_as_peft_would_merge_it(tiny_checkpoint: Path, folders: dict[str, Path], name: str) -> None:
    """The same weights to the last bit, but for the tied embedding, which stays the base's."""
    from peft import PeftModel

    loaded = load(tiny_checkpoint, device="cpu", dtype="float32", threads=1)
    base = load_base(loaded.verified)
    base.lm_head.weight = nn.Parameter(base.lm_head.weight.clone())
    merged = PeftModel.from_pretrained(base, folders[name]).merge_and_unload()
    adapters = of(loaded)
    adapters.add(read_adapter(folders[name], loaded.verified))
    adapters.use(adapters.get(name))
    ours, theirs = loaded.model.state_dict(), merged.state_dict()
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def of(loaded: Any, memory: int = 1 << 30) -> Adapters:
    checkpoint = loaded.verified.checkpoint
    return Adapters(
        loaded.model, BaseWeights(checkpoint.folder, checkpoint.weights, loaded.verified.tied), memory=memory
    )


def bits(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_thousand_swaps_leave_the_base_as_it_was(
    tiny_checkpoint: Path, folders: dict[str, Path], dtype: DTypeName
) -> None:
    loaded = load(tiny_checkpoint, device="cpu", dtype=dtype, threads=1)
    before, modules = bits(loaded.model), dict(loaded.model.named_modules())
    adapters = of(loaded, memory=20_000)
    for folder in folders.values():
        adapters.add(read_adapter(folder, loaded.verified))
    names = [*folders, "base"]
    seen: dict[str, dict[str, torch.Tensor]] = {}
    for number in range(SWAPS):
        name = names[number * 7 % len(names)]
        adapters.use(adapters.get(name))
        if number % 50 < len(names):
            after = bits(loaded.model)
            first = seen.setdefault(name, after)
            assert all(torch.equal(after[key], first[key]) for key in first), (number, name)
    assert len(seen) == len(names)
    adapters.use(None)
    after = bits(loaded.model)
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert dict(loaded.model.named_modules()) == modules


def test_packed_layers_follow_a_swap(tiny_checkpoint: Path, folders: dict[str, Path]) -> None:
    loaded = load(tiny_checkpoint, device="cpu", dtype="bfloat16", threads=1)
    pack(loaded.model, smallest=1)
    plain = load(tiny_checkpoint, device="cpu", dtype="bfloat16", threads=1)
    hidden = torch.randn(8, 32, generator=torch.Generator().manual_seed(1)).bfloat16()
    path = "model.language_model.decoder.layers.1.fc1"  # packed with its GELU
    of_packed, of_plain = of(loaded), of(plain)
    products = []
    for name in ("shoes", "base", "shoes"):
        for adapters, verified in ((of_packed, loaded.verified), (of_plain, plain.verified)):
            adapters.add(read_adapter(folders["shoes"], verified))
            adapters.use(adapters.get(name))
        layer = loaded.model.get_submodule(path)
        assert type(layer) is PackedLinear
        products.append(layer(hidden))
        expected = nn.functional.gelu(plain.model.get_submodule(path)(hidden))
        torch.testing.assert_close(products[-1], expected, atol=5e-2, rtol=5e-2)
    assert torch.equal(products[0], products[2]) and not torch.equal(products[0], products[1])


def test_an_adapter_of_the_head_leaves_the_tied_input_embedding_alone(
    tiny_checkpoint: Path, folders: dict[str, Path]
) -> None:
    loaded = load(tiny_checkpoint, device="cpu", dtype="float32", threads=1)
    embedding = loaded.model.get_input_embeddings().weight
    assert loaded.model.lm_head.weight is embedding, "not tied, so this test shows nothing"
    before, adapters = embedding.clone(), of(loaded)
    adapters.add(read_adapter(folders["head"], loaded.verified))
    adapters.use(adapters.get("head"))
    assert torch.equal(embedding, before) and loaded.model.get_input_embeddings().weight is embedding
    assert not torch.equal(loaded.model.lm_head.weight, before)
    adapters.use(None)
    assert loaded.model.lm_head.weight is embedding


def towers(engine: FlorenceEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images went through the tower, call by call."""
    counted: list[int] = []
    tower = engine._tower

    def counting(pixels: torch.Tensor, eager: bool = False) -> torch.Tensor:
        counted.append(len(pixels))
        return tower(pixels, eager)

    monkeypatch.setattr(engine, "_tower", counting)
    return counted


def test_an_image_is_encoded_once_for_all_adapters_that_leave_the_tower_alone(
    engine: FlorenceEngine, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, image = towers(engine, monkeypatch), picture(1)
    apart = [tokens(engine, [look(image, name)]) for name in ("base", "mugs", "shoes", "eyes")]
    assert sum(counted) == 4
    together = tokens(engine, [look(image, name) for name in ("base", "mugs", "shoes", "eyes")])
    assert together == [answer for answers in apart for answer in answers]
    assert sum(counted) == 4 + 2  # once for those three, once with the adapter's own eyes


def test_choices_are_made_with_the_adapter_that_a_pick_names(engine: FlorenceEngine, picture: Pictures) -> None:
    tree, prompt = engine.tree(["a red mug", "the table"]), prompt_for(Task.CAPTION)
    picks = [Pick(picture(1), prompt, tree, name) for name in ("mugs", None, "shoes", "mugs")]
    first, base, other, again = engine.choose(picks)
    assert first == again and len({first.probability, base.probability, other.probability}) == 3
    assert [engine.choose([pick])[0] for pick in picks] == [first, base, other, again]


def test_ready_layers_stay_within_their_bound(
    tiny_checkpoint: Path, folders: dict[str, Path], picture: Pictures
) -> None:
    loaded = load(tiny_checkpoint, device="cpu", dtype="float32", threads=1)
    wide, narrow = of(loaded), of(loaded, memory=1)
    for adapters in (wide, narrow):
        for folder in folders.values():
            adapters.add(read_adapter(folder, loaded.verified))
        for name in folders:
            adapters.use(adapters.get(name))
    wide.use(None)
    assert 0 < narrow.held < wide.held


def test_a_name_that_was_not_added_is_unavailable_before_anything_is_computed(
    engine: FlorenceEngine, picture: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = towers(engine, monkeypatch)
    with pytest.raises(Unavailable, match=r"hats.*SHELFGUARD_ADAPTERS"):
        engine.look([look(picture(1), None), look(picture(2), "hats")])
    assert counted == []


def test_an_adapter_of_the_same_name_takes_the_place_of_the_one_before(
    engine: FlorenceEngine, folders: dict[str, Path], picture: Pictures
) -> None:
    one = [look(picture(1), "mugs")]
    before, identity = tokens(engine, one), engine.engine_for("mugs").adapter
    assert engine.add_adapter(folders["shoes"], "mugs") == "mugs"
    assert tokens(engine, one) == tokens(engine, [look(picture(1), "shoes")]) != before
    assert engine.engine_for("mugs").adapter != identity
    engine.add_adapter(folders["mugs"])
    assert tokens(engine, one) == before and engine.engine_for("mugs").adapter == identity


def test_no_adapter_is_called_base(tiny_checkpoint: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(CheckpointRefused, match="another name"):
        read_adapter(folders["mugs"], verify(tiny_checkpoint), "base")


@pytest.fixture
def changing(tiny_checkpoint: Path, tmp_path: Path) -> Iterator[Path]:
    import shutil

    yield Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def test_base_weights_that_changed_on_disk_are_not_merged(changing: Path, folders: dict[str, Path]) -> None:
    loaded = load(changing, device="cpu", dtype="float32", threads=1)
    adapters = of(loaded)
    adapters.add(read_adapter(folders["mugs"], loaded.verified))
    before = bits(loaded.model)
    content = (changing / WEIGHTS).read_bytes()
    (changing / WEIGHTS).unlink()
    (changing / WEIGHTS).write_bytes(content + b" ")
    with pytest.raises(CheckpointRefused, match=r"changed after the model was loaded.*anew"):
        adapters.use(adapters.get("mugs"))
    after = bits(loaded.model)
    assert adapters.current is None and all(torch.equal(after[key], before[key]) for key in before)
