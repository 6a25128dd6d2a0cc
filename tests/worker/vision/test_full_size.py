"""The published sizes, with random numbers: 0.23 and 0.77 billion of them, converted, verified, loaded, asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from domain.observations import Plan, Task, TextAnswer
from tests.worker.vision import original
from worker.vision.checkpoint import WEIGHTS
from worker.vision.convert import convert
from worker.vision.engine import FlorenceEngine, Look
from worker.vision.florence import load_base, verify

Pictures = Callable[..., Image.Image]

WORDS, ROWS, IMAGE = 51_289, 51_328, 51_289
EMBEDDING = "model.language_model.shared.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Emptied at once: pytest would keep gigabytes for three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.integration
def test_a_checkpoint_of_base_size_arrives_whole(folder: Path) -> None:
    native = original.write_original(folder / "microsoft", "base", torch.float32)
    converted = convert(folder / "microsoft", folder / "native")
    assert 230e6 < converted.parameters < 233e6 and converted.dtype == "float16"
    assert converted.size == pytest.approx(2 * converted.parameters, rel=0.01)
    verified = verify(converted.folder)
    tokenizer, text = verified.processor.tokenizer, verified.config.text_config
    assert (len(tokenizer), tokenizer.image_token_id, text.vocab_size) == (WORDS + 1, IMAGE, ROWS)
    assert [tokenizer.convert_tokens_to_ids(word) for word in ("<od>", "<loc_0>", "<and>")] == [50_265, 50_269, 51_288]
    loaded = load_base(verified).state_dict()
    for name, tensor in native.items():
        rows = loaded[name][:WORDS] if name == EMBEDDING else loaded[name]
        assert torch.equal(rows, tensor.half().float()), name
    with safe_open(converted.folder / WEIGHTS, framework="pt") as weights:
        assert set(weights.keys()) == set(native)


@pytest.mark.soak
def test_a_checkpoint_of_large_size_loads_and_answers(folder: Path, picture: Pictures) -> None:
    original.write_original(folder / "microsoft", "large", torch.float16)
    converted = convert(folder / "microsoft", folder / "native")
    shutil.rmtree(folder / "microsoft")
    assert 765e6 < converted.parameters < 785e6
    engine = FlorenceEngine.load(converted.folder, device="cpu")
    (seen,) = engine.look([Look(picture(1), "aa", 120, 80, Plan((Task.CAPTION,)))])
    answer = seen.results[Task.CAPTION]
    assert isinstance(answer, TextAnswer) and answer.score is not None
