"""SHELFGUARD_TEXT_READER asks for what may not be there: doctor and worker say so before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from domain.errors import ExtraMissing
from worker import wiring
from worker.cli.checks import Check, run_checks
from worker.cli.operate import worker_app
from worker.vision import rapidocr_models

SERVERS = {
    "DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/nothing",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "S3_BUCKET": "nothing",
    "SECRET_KEY": "not used",
}


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*SERVERS, "TEXT_READER"):
        monkeypatch.delenv(f"SHELFGUARD_{name}", raising=False)
    wiring.forget()
    yield
    wiring.forget()


def doctor() -> Check:
    return next(check for check in run_checks() if check.name == "text reader")


def test_the_model_reads_unless_told_otherwise() -> None:
    assert doctor() == Check("text reader", True, "florence")


def test_an_installed_second_reader_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFGUARD_TEXT_READER", "both")
    check = doctor()
    assert check.ok and check.detail.startswith("both (rapidocr 3.")


def test_the_doctor_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFGUARD_TEXT_READER", "rapidocr")
    monkeypatch.setattr(rapidocr_models, "find_spec", lambda name: None)
    check = doctor()
    assert not check.ok and "pip install 'shelfguard[ocr]'" in check.detail
    assert "SHELFGUARD_TEXT_READER" in check.remedy


def test_a_reader_that_does_not_exist_is_named_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELFGUARD_TEXT_READER", "tesseract")
    assert "SHELFGUARD_TEXT_READER" in doctor().detail


def test_a_vision_worker_does_not_start_without_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVERS.items():
        monkeypatch.setenv(f"SHELFGUARD_{name}", value)
    monkeypatch.setenv("SHELFGUARD_TEXT_READER", "both")
    monkeypatch.setattr(rapidocr_models, "find_spec", lambda name: None)
    result = CliRunner().invoke(worker_app, ["vision"])
    assert isinstance(result.exception, ExtraMissing)
    assert "pip install 'shelfguard[ocr]'" in str(result.exception)
