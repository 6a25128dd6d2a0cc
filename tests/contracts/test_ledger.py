"""The ledger's promises, kept by PostgreSQL and by the fake alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

import pytest
from sqlalchemy import select

from domain.errors import Conflict, LeaseLost, NotFound
from domain.jobs import ImageJob, JobState, Priority
from domain.moderation import Verdict
from domain.ports import Accepted, LeasedJob, Ledger
from domain.records import PhotoEntry, fold
from tests.factories import a_decision, a_job, a_stored_photo, an_observation
from tests.fakes import MemoryLedger
from tests.real import emptied
from worker.storage.database import Database
from worker.storage.ledger import LedgerLimits, SqlLedger
from worker.storage.sweeping import Sweeping
from worker.storage.tables import jobs, outbox, products, review_cases, tenants

LEASE_SECONDS = 0.5


class Bench(Protocol):
    """A ledger with windows to look through."""

    ledger: Ledger

    def state(self, job_id: str) -> JobState: ...
    def reap(self) -> None: ...
    def events(self, job_id: str) -> list[str]: ...
    def product_revision(self) -> int: ...


class MemoryBench:
    def __init__(self) -> None:
        self.memory = MemoryLedger(lease_seconds=LEASE_SECONDS, failure_cap=2, death_cap=2)
        self.ledger: Ledger = self.memory

    def state(self, job_id: str) -> JobState:
        return self.memory.rows[job_id].state

    def reap(self) -> None:
        self.memory.reap()

    def events(self, job_id: str) -> list[str]:
        return [kind.value for kind, about in self.memory.events if about == job_id]

    def product_revision(self) -> int:
        return next((product.revision for product in self.memory.products.values()), 0)


class SqlBench:
    def __init__(self, database: Database) -> None:
        self.database = database
        limits = LedgerLimits(lease_seconds=LEASE_SECONDS, failure_cap=2)
        self.ledger: Ledger = SqlLedger(database, limits)

    def state(self, job_id: str) -> JobState:
        with self.database.transaction() as connection:
            return JobState(connection.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one())

    def reap(self) -> None:
        Sweeping(self.database, death_cap=2).reap()

    def events(self, job_id: str) -> list[str]:
        with self.database.transaction() as connection:
            rows = connection.execute(select(outbox.c.kind, outbox.c.data).order_by(outbox.c.seq))
            return [row.kind for row in rows if row.data["job_id"] == job_id]

    def product_revision(self) -> int:
        with self.database.transaction() as connection:
            return connection.execute(select(products.c.revision)).scalar() or 0


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.integration)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        yield MemoryBench()
        return
    database = Database(request.getfixturevalue("database_url"))
    with emptied(database).transaction() as connection:
        connection.execute(tenants.insert().values(id="acme", name="Acme"))
    yield SqlBench(database)
    database.close()


def accept(bench: Bench, **changes: Any) -> Accepted:
    return bench.ledger.accept(a_job(**changes), "digest")


def lease_one(bench: Bench, state: JobState = JobState.RECEIVED) -> LeasedJob:
    (row,) = bench.ledger.lease(state, 1)
    return row


def to_observed(bench: Bench) -> LeasedJob:
    """Take the oldest received row through intake and vision, and lease it for publishing."""
    bench.ledger.ready(lease_one(bench).lease, a_stored_photo())
    bench.ledger.observed(lease_one(bench, JobState.READY).lease, an_observation(), "plan")
    return lease_one(bench, JobState.OBSERVED)


def publish(bench: Bench, row: LeasedJob, verdict: Verdict = Verdict.APPROVE) -> None:
    with bench.ledger.open_product(row) as product:
        if product.newer_published():
            product.supersede()
            return
        decision_id = str(uuid4())
        entry = PhotoEntry(
            image_id=row.job.image_id,
            job_id=row.lease.job_id,
            version=row.version,
            sha256="a" * 64,
            width=64,
            height=48,
            original_key="k1",
            model_copy_key="k2",
            engine={},
            fields={},
            decision_id=decision_id,
            channels={"own_shop": verdict},
        )
        record = fold(row.job.tenant, row.job.product_id, product.revision + 1, [*product.photos, entry])
        product.save(record, f"key/{record.revision}", decision_id, a_decision(verdict))


def test_a_job_is_accepted_once_for_its_key(bench: Bench) -> None:
    first = accept(bench, idempotency_key="k")
    again = accept(bench, idempotency_key="k")
    assert first.created and not again.created
    assert again.job_id == first.job_id


def test_a_key_with_another_body_is_a_conflict(bench: Bench) -> None:
    accept(bench, idempotency_key="k")
    with pytest.raises(Conflict):
        bench.ledger.accept(a_job(idempotency_key="k"), "another digest")


def test_an_unknown_tenant_is_refused(bench: Bench) -> None:
    with pytest.raises(NotFound):
        accept(bench, tenant="nobody")


def test_better_priority_first_then_older(bench: Bench) -> None:
    bulk, normal, high, later = (
        accept(bench, image_id=str(number), priority=priority).job_id
        for number, priority in enumerate([Priority.BULK, Priority.NORMAL, Priority.HIGH, Priority.HIGH])
    )
    leased = [row.lease.job_id for row in bench.ledger.lease(JobState.RECEIVED, 10)]
    assert leased == [high, later, normal, bulk]


def test_rows_leased_together_have_the_adapter_of_the_first(bench: Bench) -> None:
    def route(job: ImageJob) -> str | None:
        return {"sku-0": None, "sku-1": "mugs", "sku-2": "mugs"}[job.product_id]

    ids = [accept(bench, product_id=f"sku-{number % 3}", image_id=str(number)).job_id for number in range(6)]
    leased = [bench.ledger.lease(JobState.RECEIVED, 3, route) for _ in range(4)]
    assert [[ids.index(row.lease.job_id) for row in rows] for rows in leased] == [[0, 3], [1, 2, 4], [5], []]
    assert [{row.adapter for row in rows} for rows in leased] == [{None}, {"mugs"}, {"mugs"}, set()]
    assert [{row.lease.size for row in rows} for rows in leased] == [{2}, {3}, {1}, set()]


def test_without_a_route_rows_have_no_adapter(bench: Bench) -> None:
    accept(bench)
    assert lease_one(bench).adapter is None


def test_a_leased_row_is_not_leased_again(bench: Bench) -> None:
    accept(bench)
    assert len(bench.ledger.lease(JobState.RECEIVED, 5)) == 1
    assert bench.ledger.lease(JobState.RECEIVED, 5) == []


def test_each_stage_hands_on_what_it_found(bench: Bench) -> None:
    job: ImageJob = a_job(attributes={"size": "42"}, channels=("ebay", "meta"), source_version=7)
    bench.ledger.accept(job, "digest")
    row = to_observed(bench)
    assert row.photo == a_stored_photo()
    assert row.seen == an_observation()
    assert (row.job.attributes, row.job.channels, row.version) == ({"size": "42"}, ("ebay", "meta"), 7)


def test_a_late_holder_changes_nothing(bench: Bench) -> None:
    job_id = accept(bench).job_id
    late = lease_one(bench)
    time.sleep(LEASE_SECONDS + 0.1)
    bench.reap()
    current = lease_one(bench)
    with pytest.raises(LeaseLost):
        bench.ledger.ready(late.lease, a_stored_photo())
    assert bench.state(job_id) is JobState.RECEIVED
    bench.ledger.ready(current.lease, a_stored_photo())
    assert bench.state(job_id) is JobState.READY


def test_a_renewed_lease_outlives_its_first_deadline(bench: Bench) -> None:
    accept(bench)
    row = lease_one(bench)
    for _ in range(3):
        time.sleep(LEASE_SECONDS / 2)
        bench.ledger.renew([row.lease])
    bench.reap()
    bench.ledger.ready(row.lease, a_stored_photo())


def test_a_death_in_a_batch_blames_nobody_and_the_rows_run_alone(bench: Bench) -> None:
    ids = {accept(bench, image_id=str(number)).job_id for number in range(3)}
    assert len(bench.ledger.lease(JobState.RECEIVED, 3)) == 3
    time.sleep(LEASE_SECONDS + 0.1)
    bench.reap()
    alone = [bench.ledger.lease(JobState.RECEIVED, 3) for _ in range(3)]
    assert [len(rows) for rows in alone] == [1, 1, 1]
    assert {rows[0].lease.job_id for rows in alone} == ids


def test_only_deaths_while_alone_lead_to_quarantine(bench: Bench) -> None:
    poison = accept(bench, image_id="poison").job_id
    neighbour = accept(bench, image_id="neighbour").job_id
    bench.ledger.lease(JobState.RECEIVED, 2)
    time.sleep(LEASE_SECONDS + 0.1)
    bench.reap()
    for _ in range(2):
        row = lease_one(bench)
        if row.lease.job_id == neighbour:
            bench.ledger.ready(row.lease, a_stored_photo())
            row = lease_one(bench)
        assert row.lease.job_id == poison
        time.sleep(LEASE_SECONDS + 0.1)
        bench.reap()
        # The neighbour waits behind the poison row; it is taken in the second round at the latest.
    assert bench.state(poison) is JobState.QUARANTINED
    assert bench.events(poison) == ["job.quarantined"]
    assert bench.state(neighbour) in (JobState.RECEIVED, JobState.READY)


def test_an_error_in_a_batch_counts_only_once_alone(bench: Bench) -> None:
    first, second = (accept(bench, image_id=name).job_id for name in ("a", "b"))
    for row in bench.ledger.lease(JobState.RECEIVED, 2):
        bench.ledger.fail(row.lease, "boom")
    assert {bench.state(first), bench.state(second)} == {JobState.RECEIVED}
    time.sleep(1.1)
    for _ in range(2):
        bench.ledger.fail(lease_one(bench).lease, "boom")
    time.sleep(1.1)
    for _ in range(2):
        bench.ledger.fail(lease_one(bench).lease, "boom")
    assert {bench.state(first), bench.state(second)} == {JobState.QUARANTINED}


def test_a_deferred_row_comes_back_later_and_remembers(bench: Bench) -> None:
    accept(bench)
    bench.ledger.defer(lease_one(bench).lease, "the store is away")
    assert bench.ledger.lease(JobState.RECEIVED, 1) == []
    time.sleep(1.7)
    assert lease_one(bench).deferrals == 1


def test_a_rejection_is_recorded_and_told(bench: Bench) -> None:
    job_id = accept(bench).job_id
    bench.ledger.reject(lease_one(bench).lease, "not_an_image", "Send a JPEG.")
    assert bench.state(job_id) is JobState.REJECTED
    assert bench.events(job_id) == ["job.rejected"]


def test_publishing_makes_one_revision_and_one_event(bench: Bench) -> None:
    job_id = accept(bench).job_id
    publish(bench, to_observed(bench))
    assert bench.state(job_id) is JobState.DONE
    assert bench.product_revision() == 1
    assert bench.events(job_id) == ["record.published"]


def test_an_older_submission_that_finishes_last_changes_nothing(bench: Bench) -> None:
    older = accept(bench).job_id
    old_row = to_observed(bench)
    newer = accept(bench).job_id
    publish(bench, to_observed(bench))
    publish(bench, old_row)
    assert (bench.state(older), bench.state(newer)) == (JobState.SUPERSEDED, JobState.DONE)
    assert bench.product_revision() == 1


def test_the_shops_own_version_decides_the_order(bench: Bench) -> None:
    newest = accept(bench, source_version=20).job_id
    publish(bench, to_observed(bench))
    stale = accept(bench, source_version=10).job_id
    publish(bench, to_observed(bench))
    unversioned = accept(bench).job_id
    publish(bench, to_observed(bench))
    assert bench.state(newest) is JobState.DONE
    assert bench.state(stale) is JobState.SUPERSEDED
    assert bench.state(unversioned) is JobState.DONE


def test_photos_of_one_product_are_folded(bench: Bench) -> None:
    for image_id in ("front", "back"):
        accept(bench, image_id=image_id)
        publish(bench, to_observed(bench))
    accept(bench, image_id="side")
    row = to_observed(bench)
    with bench.ledger.open_product(row) as product:
        assert sorted(photo.image_id for photo in product.photos) == ["back", "front"]
        assert product.revision == 2
        product.supersede()


def test_a_failure_inside_publishing_leaves_no_trace(bench: Bench) -> None:
    job_id = accept(bench).job_id
    row = to_observed(bench)
    with suppress(RuntimeError), bench.ledger.open_product(row) as product:
        product.supersede()
        raise RuntimeError("the power went")
    assert bench.state(job_id) is JobState.OBSERVED
    assert bench.events(job_id) == []
    publish(bench, row)
    assert bench.state(job_id) is JobState.DONE


@pytest.mark.integration
def test_a_flagged_photo_opens_one_case_and_a_newer_photo_closes_it(database_url: str) -> None:
    database = Database(database_url)
    with emptied(database).transaction() as connection:
        connection.execute(tenants.insert().values(id="acme", name="Acme"))
    bench = SqlBench(database)
    for verdict in (Verdict.REVIEW, Verdict.REJECT, Verdict.APPROVE):
        accept(bench)
        publish(bench, to_observed(bench), verdict)
    with database.transaction() as connection:
        cases = connection.execute(select(review_cases.c.verdict, review_cases.c.state)).all()
    database.close()
    assert sorted(tuple(case) for case in cases) == [("reject", "superseded"), ("review", "superseded")]


@pytest.mark.integration
def test_a_hundred_sends_of_one_key_make_one_job(database_url: str) -> None:
    database = Database(database_url)
    ledger = SqlLedger(database, LedgerLimits(tenant_on_first_use=True))
    job = a_job(tenant="crowd", idempotency_key="same")
    with ThreadPoolExecutor(10) as pool:
        accepted = list(pool.map(lambda _: ledger.accept(job, "digest"), range(100)))
    database.close()
    assert len({answer.job_id for answer in accepted}) == 1
    assert sum(answer.created for answer in accepted) == 1
