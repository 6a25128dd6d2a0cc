"""The vision stage with the real ledger and the real observation cache, on a model that notes what it is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, func, select

from domain.jobs import JobState
from domain.observations import Observation, Plan
from domain.photos import StoredPhoto
from domain.ports import Vision
from tests.factories import a_job, a_stored_photo, an_observation
from tests.fakes import FakeVision
from tests.fakes_artifacts import MemoryArtifacts
from tests.integration.storage import a_ledger, accepted
from worker.pipeline import VisionTools
from worker.stages import Pace, run_vision
from worker.storage.database import Database
from worker.storage.observation_cache import SqlObservationCache
from worker.storage.reads import Reads
from worker.storage.tables import observation_cache

pytestmark = pytest.mark.integration

PHOTOS = {name: name * 64 for name in "abc"}


class Stage:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = a_ledger(database)
        self.artifacts = MemoryArtifacts()
        self.cache = SqlObservationCache(database)
        self.model = FakeVision({sha256: an_observation(name, sha256=sha256) for name, sha256 in PHOTOS.items()})

    def send(self, photo: str, product_id: str, tenant: str = "acme", image_id: str = "front") -> str:
        job_id = accepted(self.ledger, a_job(product_id=product_id, tenant=tenant, image_id=image_id))
        (row,) = self.ledger.lease(JobState.RECEIVED, 1)
        key = self.artifacts.put_blob(tenant, photo.encode(), "image/jpeg")
        self.ledger.ready(row.lease, a_stored_photo(sha256=PHOTOS[photo], model_copy_key=key))
        return job_id

    def look(self, batch_size: int = 4, model: Vision | None = None) -> int:
        tools = VisionTools(self.ledger, self.artifacts, model or self.model, Plan(), self.cache)
        return run_vision(tools, Pace(5, 60, batch_size), lambda stage: None)

    def caption(self, job_id: str) -> str:
        job = Reads(self.database).job_view(None, job_id)
        assert job["state"] == "OBSERVED"
        return Observation.from_json(job["observation"]).caption

    def kept(self) -> int:
        with self.database.transaction() as connection:
            return connection.execute(select(func.count()).select_from(observation_cache)).scalar_one()


@pytest.fixture
def stage(database: Database) -> Iterator[Stage]:
    with database.transaction() as connection:
        connection.execute(delete(observation_cache))
    yield Stage(database)


def test_a_photo_sent_again_in_any_way_is_looked_at_once(stage: Stage) -> None:
    sent = [stage.send("a", "sku-1")]
    stage.look()
    sent += [stage.send("a", "sku-2"), stage.send("a", "sku-1", image_id="side"), stage.send("a", "sku-1")]
    stage.look()
    assert stage.model.looked_at == [[PHOTOS["a"]]]
    assert [stage.caption(job_id) for job_id in sent] == ["a"] * 4
    assert stage.kept() == 1


def test_a_batch_sends_only_what_is_new_and_no_answer_is_mixed_up(stage: Stage) -> None:
    stage.send("b", "known")
    stage.look()
    sent = {product: stage.send(product[0], product) for product in ("a1", "b1", "c1", "a2")}
    assert stage.look() == 4
    assert stage.model.looked_at == [[PHOTOS["b"]], [PHOTOS["a"], PHOTOS["c"]]]
    assert {product: stage.caption(job_id) for product, job_id in sent.items()} == {
        product: product[0] for product in sent
    }


def test_a_forgotten_photo_is_looked_at_again_and_other_tenants_keep_theirs(stage: Stage) -> None:
    for tenant in ("acme", "other"):
        stage.send("a", "sku-1", tenant)
    stage.look()
    assert stage.cache.forget("acme", PHOTOS["a"]) == 1
    for tenant in ("acme", "other"):
        stage.send("a", "sku-2", tenant)
    stage.look()
    assert stage.model.looked_at == [[PHOTOS["a"]] * 2, [PHOTOS["a"]]]


def test_two_workers_that_look_at_one_photo_at_once_both_succeed(stage: Stage) -> None:
    both_look = threading.Barrier(2)

    class Slow(FakeVision):
        def observe(
            self, photos: Sequence[tuple[StoredPhoto, bytes]], plan: Plan, adapter: str | None = None
        ) -> list[Observation]:
            both_look.wait(timeout=60)
            return super().observe(photos, plan, adapter)

    models = [Slow(stage.model.seen), Slow(stage.model.seen)]
    sent = [stage.send("a", "sku-1"), stage.send("a", "sku-2")]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda model: stage.look(1, model), models)) == [1, 1]
    assert [model.looked_at for model in models] == [[[PHOTOS["a"]]]] * 2
    assert [stage.caption(job_id) for job_id in sent] == ["a", "a"]
    assert stage.kept() == 1
