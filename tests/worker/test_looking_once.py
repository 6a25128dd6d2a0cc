"""What was seen before is not looked at again: the vision stage with its cache, on fakes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.calibration import Calibration, Curve
from domain.errors import Unavailable
from domain.jobs import ImageJob, JobState
from domain.observations import Engine, Observation, Plan, Task
from domain.ports import ObservationKey
from tests.factories import a_job, a_stored_photo, an_engine, an_observation
from tests.fakes import FakeVision, MemoryLedger, MemoryObservationCache
from tests.fakes_artifacts import MemoryArtifacts
from worker.pipeline import VisionTools
from worker.stages import Pace, run_vision
from worker.storage.observation_cache import NoObservationCache

HALF = Curve(((0.0, 0.0), (1.0, 0.5)))
PACE = Pace(heartbeat_seconds=5, limit_seconds=60, batch_size=4)


class Stage:
    """The vision stage alone; photos are named by one letter, which is their hash."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger(tenants=("acme", "other"))
        self.artifacts = MemoryArtifacts()
        self.cache = MemoryObservationCache()
        self.model = FakeVision({})
        self.tools = VisionTools(self.ledger, self.artifacts, self.model, Plan(), self.cache)
        self.sent = 0

    def send(self, photo: str, tenant: str = "acme", copy: bytes = b"copy") -> str:
        """A photo of a product of its own, waiting to be looked at."""
        self.sent += 1
        job_id = self.ledger.accept(a_job(product_id=f"sku-{self.sent}", tenant=tenant), "digest").job_id
        (row,) = self.ledger.lease(JobState.RECEIVED, 1)
        key = self.artifacts.put_blob(tenant, copy + photo.encode(), "image/jpeg")
        self.ledger.ready(row.lease, a_stored_photo(sha256=photo, model_copy_key=key))
        self.model.seen[photo] = an_observation(f"photo {photo}", sha256=photo, engine=self.model.engine)
        return job_id

    def look(self) -> list[list[str]]:
        """Run the stage on all that waits; which photos the model was shown, batch by batch."""
        self.model.looked_at = []
        while run_vision(self.tools, PACE, lambda stage: None):
            pass
        return self.model.looked_at

    def captions(self, *job_ids: str) -> list[str]:
        rows = [self.ledger.rows[job_id] for job_id in job_ids]
        assert all(row.state is JobState.OBSERVED for row in rows)
        return [row.seen.caption for row in rows if row.seen]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_same_photo_of_another_product_is_not_looked_at_again(stage: Stage) -> None:
    stage.send("a")
    assert stage.look() == [["a"]]
    again = stage.send("a")
    assert stage.look() == []
    assert stage.captions(again) == ["photo a"]


def test_scores_are_kept_raw_and_read_by_what_is_known_today(stage: Stage) -> None:
    stage.model.calibration = Calibration("old", {"od": HALF})
    first = stage.send("a")
    stage.look()
    stage.model.calibration = Calibration("new", {"od": HALF})
    again = stage.send("a")
    assert stage.look() == []
    for job_id, version in ((first, "old"), (again, "new")):
        seen = stage.ledger.rows[job_id].seen
        assert seen is not None and seen.calibration is not None and seen.calibration.version == version
        assert seen.objects[0].score == 0.9 and seen.calibrated().objects[0].score == 0.45
    assert all("calibration" not in kept for kept in stage.cache.kept.values())


def test_only_what_was_not_seen_goes_to_the_model_and_each_gets_its_own_answer(stage: Stage) -> None:
    stage.send("b")
    stage.look()
    sent = [stage.send(photo) for photo in "abcb"]
    assert stage.look() == [["a", "c"]]
    assert stage.captions(*sent) == ["photo a", "photo b", "photo c", "photo b"]


def test_one_photo_twice_in_a_batch_is_looked_at_once(stage: Stage) -> None:
    sent = [stage.send(photo) for photo in "aba"]
    assert stage.look() == [["a", "b"]]
    assert stage.captions(*sent) == ["photo a", "photo b", "photo a"]


def test_a_photo_seen_before_is_not_even_fetched(stage: Stage) -> None:
    stage.send("a")
    stage.look()
    stage.artifacts.away = True
    again = stage.ledger.accept(a_job(product_id="again"), "digest").job_id
    (row,) = stage.ledger.lease(JobState.RECEIVED, 1)
    (key,) = stage.artifacts.objects
    stage.ledger.ready(row.lease, a_stored_photo(sha256="a", model_copy_key=key))
    stage.look()
    assert stage.captions(again) == ["photo a"]


def test_another_tenant_has_its_own_look(stage: Stage) -> None:
    stage.send("a")
    stage.send("a", tenant="other")
    assert stage.look() == [["a", "a"]]


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "fake@1"},
        {"adapter": "lora@1"},
        {"revision": "2"},
        {"dtype": "bfloat16"},
        {"second_reader": "rapidocr 0 r1@fake"},
    ],
    ids=str,
)
def test_other_eyes_look_again(stage: Stage, changed: dict[str, Any]) -> None:
    stage.send("a")
    stage.look()
    stage.model.engine = an_engine(**changed)
    stage.send("a")
    assert stage.look() == [["a"]]
    stage.send("a")
    assert stage.look() == []


@pytest.mark.parametrize("plan", [Plan(tasks=(Task.CAPTION,)), Plan(second_reader=True)], ids=["tasks", "readers"])
def test_another_plan_looks_again(stage: Stage, plan: Plan) -> None:
    stage.send("a")
    stage.look()
    stage.tools = replace(stage.tools, plan=plan)
    stage.send("a")
    assert stage.look() == [["a"]]


def test_another_copy_made_of_the_same_bytes_is_looked_at(stage: Stage) -> None:
    stage.send("a")
    stage.look()
    stage.send("a", copy=b"made by another release")
    assert stage.look() == [["a"]]


def test_what_cannot_be_read_any_more_is_looked_at_and_replaced(stage: Stage) -> None:
    stage.send("a")
    stage.look()
    (key,) = stage.cache.kept
    stage.cache.kept[key] = '{"form": "of another time"}'
    sent = stage.send("a")
    assert stage.look() == [["a"]]
    assert stage.captions(sent) == ["photo a"]
    stage.send("a")
    assert stage.look() == []


def test_switched_off_it_looks_again(stage: Stage) -> None:
    stage.tools = replace(stage.tools, cache=NoObservationCache())
    for _ in range(2):
        stage.send("a")
        assert stage.look() == [["a"]]


def test_a_cache_that_cannot_keep_costs_the_photo_nothing(stage: Stage) -> None:
    class Forgetful(MemoryObservationCache):
        def keep(self, key: ObservationKey, seen: Observation) -> None:
            self.away = True
            super().keep(key, seen)

    stage.tools = replace(stage.tools, cache=Forgetful())
    sent = stage.send("a")
    stage.look()
    assert stage.captions(sent) == ["photo a"]


def test_a_cache_that_is_away_puts_the_photo_off_without_blame(stage: Stage) -> None:
    stage.cache.away = True
    sent = stage.send("a")
    stage.look()
    row = stage.ledger.rows[sent]
    assert (row.state, row.deferrals, row.failures) == (JobState.READY, 1, 0)


def test_who_lost_the_lease_keeps_nothing(stage: Stage) -> None:
    class Slow(FakeVision):
        engine: Engine = an_engine()

        def observe(self, photos: Any, plan: Plan, adapter: str | None = None) -> list[Observation]:
            stage.ledger.rows[sent].token = None  # the sweeper took the row back, somebody deleted the photo
            return super().observe(photos, plan, adapter)

    sent = stage.send("a")
    stage.tools = replace(stage.tools, vision=Slow(stage.model.seen))
    run_vision(stage.tools, PACE, lambda stage: None)
    assert stage.cache.kept == {}


def test_the_log_says_how_many_came_from_the_cache(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage.send("a")
    stage.look()
    for photo in "aab":
        stage.send(photo)
    capsys.readouterr()
    stage.look()
    said = capsys.readouterr()
    (line,) = [line for line in (said.out + said.err).splitlines() if "from_cache" in line]
    assert all(part in line for part in ("observed", "photos", "3", "looked_at", "1", "from_cache", "2"))


def canary(job: ImageJob) -> str | None:
    """As a route by the product's number: the even ones are looked at with an adapter."""
    return "mugs" if int(job.product_id.removeprefix("sku-")) % 2 == 0 else None


def test_a_batch_has_one_adapter_and_the_observation_names_it(stage: Stage) -> None:
    jobs = [stage.send(photo) for photo in "abcdef"]
    stage.tools = replace(stage.tools, route=canary)
    assert stage.look() == [["a", "c", "e"], ["b", "d", "f"]]
    assert stage.model.adapters == [None, "mugs"]
    seen = [stage.ledger.rows[job_id].seen for job_id in jobs]
    assert [one.engine.adapter for one in seen if one] == [None, "mugs@0"] * 3


def test_what_was_seen_with_one_adapter_is_not_another_ones_answer(stage: Stage) -> None:
    stage.send("a")
    stage.look()
    stage.tools = replace(stage.tools, route=canary)
    stage.send("a")  # of an even product
    assert stage.look() == [["a"]]
    stage.send("a"), stage.send("a")
    assert stage.look() == [], "both are known by now"


def test_a_row_whose_adapter_is_not_loaded_waits(stage: Stage) -> None:
    class WithoutMugs(FakeVision):
        engine: Engine = an_engine()

        def engine_for(self, plan: Plan, adapter: str | None = None) -> Engine:
            if adapter is not None:
                raise Unavailable(f"adapter {adapter!r}", "it is not loaded")
            return super().engine_for(plan)

    one, two = stage.send("a"), stage.send("b")
    stage.tools = replace(stage.tools, vision=WithoutMugs(stage.model.seen), route=canary)
    for _ in range(2):
        run_vision(stage.tools, PACE, lambda stage: None)
    rows = stage.ledger.rows
    assert rows[one].state is JobState.OBSERVED
    assert (rows[two].state, rows[two].deferrals, rows[two].failures) == (JobState.READY, 1, 0)
