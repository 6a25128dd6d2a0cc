"""What the vision stage relies on from any observation cache, held against PostgreSQL and against the fake."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

import pytest
from sqlalchemy import delete, func, select, update

from domain.observations import (
    Mask,
    MasksAnswer,
    Observation,
    Question,
    Reading,
    Task,
    TextAnswer,
    TextLine,
)
from domain.ports import ObservationCache, ObservationKey
from tests.factories import an_engine, an_observation
from tests.fakes import MemoryObservationCache
from worker.storage.database import Database
from worker.storage.observation_cache import SqlObservationCache
from worker.storage.tables import observation_cache

PHOTO = "a" * 64


class Bench(Protocol):
    """A cache with windows to look through."""

    cache: ObservationCache

    def rows(self) -> int: ...
    def spoil(self, data: Any) -> None:
        """Put another stored form in the place of all that is kept."""


class MemoryBench:
    def __init__(self) -> None:
        self.memory = MemoryObservationCache()
        self.cache: ObservationCache = self.memory

    def rows(self) -> int:
        return len(self.memory.kept)

    def spoil(self, data: Any) -> None:
        self.memory.kept = dict.fromkeys(self.memory.kept, json.dumps(data))


class SqlBench:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.cache: ObservationCache = SqlObservationCache(database)

    def rows(self) -> int:
        with self.database.transaction() as connection:
            return connection.execute(select(func.count()).select_from(observation_cache)).scalar_one()

    def spoil(self, data: Any) -> None:
        with self.database.transaction() as connection:
            connection.execute(update(observation_cache).values(data=data))


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.integration)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        yield MemoryBench()
        return
    database = Database(request.getfixturevalue("database_url"))
    with database.transaction() as connection:
        connection.execute(delete(observation_cache))
    yield SqlBench(database)
    database.close()


def a_key(**changes: Any) -> ObservationKey:
    values: dict[str, Any] = {
        "tenant": "acme",
        "sha256": PHOTO,
        "model_copy_key": "acme/blobs/copy",
        "engine": an_engine(),
        "plan_digest": "plan",
    }
    return ObservationKey(**values | changes)


OTHERS = [
    a_key(tenant="other"),
    a_key(sha256="b" * 64),
    a_key(model_copy_key="acme/blobs/another"),
    a_key(engine=an_engine(model="fake@1")),
    a_key(engine=an_engine(adapter="lora@1")),
    a_key(engine=an_engine(revision="2")),
    a_key(engine=an_engine(dtype="bfloat16")),
    a_key(engine=an_engine(second_reader="rapidocr 3 r1@f")),
    a_key(plan_digest="another"),
]


def test_nothing_is_there_at_first(bench: Bench) -> None:
    assert bench.cache.find([a_key()]) == {}
    assert bench.cache.find([]) == {}


def test_what_is_kept_is_found_as_it_was(bench: Bench) -> None:
    quad = (0.5, 1.0, 3.0, 1.0, 3.0, 2.0, 0.5, 2.0)
    seen = an_observation(
        lines=("SALE é 中 🙂", ""),
        asked=(
            (Question(Task.VQA, "what is it?"), TextAnswer("", None)),
            (Question(Task.REGION_TO_SEGMENTATION, (1.0, 2.0, 3.5, 4.0)), MasksAnswer((Mask("", ((1.0, 2.0),)),))),
        ),
        second_reading=Reading("rapidocr", (TextLine("SALE", quad, 1e-7),), "2 of 3 lines were too many to read"),
    )
    bench.cache.keep(a_key(), seen)
    assert bench.cache.find([a_key()]) == {a_key(): seen}


@pytest.mark.parametrize("other", OTHERS, ids=lambda key: f"{key.tenant} {key.engine} {key.plan_digest}"[-60:])
def test_it_is_found_under_no_other_key(bench: Bench, other: ObservationKey) -> None:
    bench.cache.keep(a_key(), an_observation())
    assert bench.cache.find([other]) == {}
    bench.cache.keep(other, _seen(other))
    assert bench.cache.find([other]) == {other: _seen(other)}


def test_many_are_found_at_once_and_the_missing_left_out(bench: Bench) -> None:
    keys = [key for key in (a_key(), *OTHERS) if key.model_copy_key == a_key().model_copy_key]
    for key in keys[::2]:
        bench.cache.keep(key, _seen(key))
    assert bench.cache.find([*keys, keys[0]]) == {key: _seen(key) for key in keys[::2]}


def test_keeping_again_replaces(bench: Bench) -> None:
    for caption in ("first", "second", "second"):
        bench.cache.keep(a_key(), an_observation(caption))
    assert bench.cache.find([a_key()]) == {a_key(): an_observation("second")}
    assert bench.rows() == 1


def test_the_newest_copy_of_a_photo_takes_the_place_of_the_one_before(bench: Bench) -> None:
    newer = a_key(model_copy_key="acme/blobs/newer")
    for key in (a_key(), newer):
        bench.cache.keep(key, an_observation())
    assert bench.cache.find([a_key(), newer]) == {newer: an_observation()}
    assert bench.rows() == 1


def test_many_that_looked_at_once_all_succeed_and_one_row_remains(bench: Bench) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: bench.cache.keep(a_key(), an_observation()), range(20)))
    assert bench.rows() == 1
    assert bench.cache.find([a_key()]) == {a_key(): an_observation()}


@pytest.mark.parametrize(
    "form",
    [
        {},
        [],
        "text",
        None,
        {"sha256": PHOTO, "width": 64, "height": 48, "results": {}},
        an_observation().as_json() | {"engine": an_engine().as_json() | {"precision": "fp32"}},
        an_observation().as_json() | {"engine": None},
        an_observation().as_json() | {"results": {"a task of before": {"text": "x"}}},
        an_observation().as_json() | {"results": {"caption": "a plain text"}},
        an_observation().as_json() | {"results": {"od": {"objects": [{"label": "mug", "box": [1, 2]}]}}},
        an_observation(sha256="b" * 64).as_json(),
        an_observation(engine=an_engine(revision="0")).as_json(),
    ],
    ids=lambda form: str(form)[-40:],
)
def test_a_form_of_another_time_is_missing_until_it_is_replaced(bench: Bench, form: Any) -> None:
    bench.cache.keep(a_key(), an_observation())
    bench.spoil(form)
    assert bench.cache.find([a_key()]) == {}
    bench.cache.keep(a_key(), an_observation())
    assert bench.cache.find([a_key()]) == {a_key(): an_observation()}


def test_a_photo_is_forgotten_whoever_saw_it_and_for_its_tenant_only(bench: Bench) -> None:
    others = [a_key(tenant="other"), a_key(sha256="b" * 64)]
    own = [a_key(), a_key(plan_digest="another"), a_key(engine=an_engine(model="fake@1"))]
    for key in (*others, *own):
        bench.cache.keep(key, _seen(key))
    assert bench.cache.forget("acme", PHOTO) == 3
    assert bench.cache.forget("acme", PHOTO) == 0
    assert set(bench.cache.find([*others, *own])) == set(others)


def _seen(key: ObservationKey) -> Observation:
    return replace(an_observation(), sha256=key.sha256, engine=key.engine)
