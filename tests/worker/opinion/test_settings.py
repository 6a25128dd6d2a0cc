"""Settings of second opinions: off by default, and what cannot work is said before a photo waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from domain.errors import SettingsRefused
from worker import wiring
from worker.cli.checks import _second_opinions as check
from worker.settings import OpinionSettings

SetUp = Callable[..., None]
OWN = {"URL": "http://10.1.2.3:8000/v1", "MODEL": "vlm", "ALLOW_PRIVATE": "true"}


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetUp]:
    for name in OpinionSettings.model_fields:
        monkeypatch.delenv(f"SHELFGUARD_{name.upper()}", raising=False)
    monkeypatch.setenv("SHELFGUARD_DATABASE_URL", "postgresql+psycopg://nobody:x@127.0.0.1:1/none")
    monkeypatch.setenv("SHELFGUARD_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SHELFGUARD_S3_BUCKET", "none")
    monkeypatch.setenv("SHELFGUARD_SECRET_KEY", "none")
    wiring.forget()

    def set_them(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"SHELFGUARD_SECOND_OPINION_{name}", value)
        wiring.forget()

    yield set_them
    wiring.forget()


def test_nobody_is_asked_by_default(set_up: SetUp) -> None:
    set_up(MODEL="vlm")
    assert wiring.second_opinions() is None
    assert (check(), wiring.publish_pace().batch_size) == ("off", 1)


def test_an_address_turns_it_on_with_its_limits(set_up: SetUp) -> None:
    set_up(**OWN, DAILY_CALLS="7", DAILY_COST="0.5", CONCURRENCY="3", API_KEY="secret")
    assert check().startswith("vlm, at most 7 calls, 0.5 of cost and 7200 seconds")
    assert wiring.publish_pace().batch_size == 3
    assert "secret" not in repr(wiring.second_opinions())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"MODEL": ""}, "SECOND_OPINION_MODEL: it is not set"),
        ({"ALLOW_PRIVATE": "false"}, "ALLOW_PRIVATE=true"),
        ({"ALLOW_PRIVATE": "false", "URL": "http://api.example/v1"}, "unencrypted"),
        ({"URL": "api.example"}, "SECOND_OPINION_URL"),
        ({"URL": "https://user:pass@api.example/v1"}, "user name or password"),
        ({"PHOTO_SECONDS": "140"}, "would be ended while it waits"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(set_up: SetUp, changes: dict[str, str], why: str) -> None:
    set_up(**OWN | changes)
    with pytest.raises(SettingsRefused, match=why):
        check()
