"""The vision worker's adapters from settings: what routes may name, and what happens to one that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from domain.errors import CheckpointRefused, Unavailable
from domain.observations import Plan
from tests.worker.vision.loras import make_lora
from worker import wiring
from worker.vision.florence import SHELF_TINY, SHIPPED

# PEFT 0.21 reads an attribute that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    if not (SHIPPED[SHELF_TINY] / "model.safetensors").is_file():
        pytest.skip("shelf-tiny's weights are not in this checkout")
    settings = {
        "ADAPTERS": str(tmp_path / "adapters"),
        "DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/nothing",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "S3_BUCKET": "nothing",
        "SECRET_KEY": Fernet.generate_key().decode(),
        "MODEL": SHELF_TINY,
        "DEVICE": "cpu",
        "THREADS": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"SHELFGUARD_{name}", value)
    wiring.forget()
    yield tmp_path / "adapters"
    wiring.forget()


def test_routes_may_name_the_adapters_of_a_folder_and_one_that_is_refused_is_left_out(folder: Path) -> None:
    make_lora(SHELF_TINY, folder / "mugs", r".*decoder.*q_proj", seed=1)
    (folder / "damaged").mkdir()
    vision = wiring.vision_tools().vision
    named = vision.engine_for(Plan(), "mugs").adapter
    assert named is not None and named.startswith("mugs@")
    assert vision.engine_for(Plan()).adapter is None
    with pytest.raises(Unavailable, match="loaded: mugs"):
        vision.engine_for(Plan(), "damaged")


def test_a_folder_that_is_not_there_is_said_at_the_start(folder: Path) -> None:
    with pytest.raises(CheckpointRefused, match="SHELFGUARD_ADAPTERS"):
        wiring.vision_tools()
