"""In-memory parts that pass the same contract suites as the real ones (tests/contracts)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from domain.calibration import Calibration
from domain.corrections import Standing
from domain.errors import Conflict, LeaseLost, NotFound, Unavailable
from domain.events import EventKind
from domain.jobs import ImageJob, ImageSource, JobState
from domain.moderation import Decision
from domain.observations import Engine, Observation, Plan
from domain.photos import DecodedPhoto, StoredPhoto
from domain.ports import Accepted, Lease, LeasedJob, ObservationKey, Route
from domain.records import PhotoEntry, ProductRecord
from worker.storage.observation_cache import readable


@dataclass
class Row:
    job: ImageJob
    digest: str
    version: int
    accepted: int
    state: JobState = JobState.RECEIVED
    token: UUID | None = None
    until: float = 0.0
    size: int = 0
    alone: bool = False
    deaths: int = 0
    failures: int = 0
    deferrals: int = 0
    not_before: float = 0.0
    photo: StoredPhoto | None = None
    seen: Observation | None = None
    code: str | None = None
    message: str | None = None


@dataclass
class Product:
    last_version: int = 0
    revision: int = 0
    record: ProductRecord | None = None
    photos: dict[str, PhotoEntry] = field(default_factory=dict)
    corrections: list[Standing] = field(default_factory=list)


class MemoryLedger:
    """domain.ports.Ledger in one process: same rules, same errors."""

    def __init__(
        self, tenants: Sequence[str] = ("acme",), lease_seconds: float = 20.0, failure_cap: int = 5, death_cap: int = 3
    ) -> None:
        self.tenants = set(tenants)
        self.lease_seconds = lease_seconds
        self.failure_cap = failure_cap
        self.death_cap = death_cap
        self.rows: dict[str, Row] = {}
        self.products: dict[tuple[str, str], Product] = {}
        self.events: list[tuple[EventKind, str]] = []

    def accept(self, job: ImageJob, body_digest: str) -> Accepted:
        if job.tenant not in self.tenants:
            raise NotFound("tenant", job.tenant)
        for job_id, row in self.rows.items():
            if job.idempotency_key and (row.job.tenant, row.job.idempotency_key) == (job.tenant, job.idempotency_key):
                if row.digest != body_digest:
                    raise Conflict(job.idempotency_key)
                return Accepted(job_id, row.state, created=False)
        product = self.products.setdefault((job.tenant, job.product_id), Product())
        version = job.source_version if job.source_version is not None else product.last_version + 1
        product.last_version = max(product.last_version, version)
        job_id = str(uuid4())
        self.rows[job_id] = Row(job, body_digest, version, accepted=len(self.rows))
        return Accepted(job_id, JobState.RECEIVED, created=True)

    def lease(self, state: JobState, limit: int, route: Route | None = None) -> list[LeasedJob]:
        now = time.monotonic()
        waiting = sorted(
            (
                (job_id, row)
                for job_id, row in self.rows.items()
                if row.state is state and row.token is None and row.not_before <= now
            ),
            key=lambda pair: (pair[1].job.priority.rank, pair[1].accepted),
        )
        if not waiting:
            return []
        head = waiting[0]
        adapter = route(head[1].job) if route else None
        alike = [pair for pair in waiting[1:] if route is None or route(pair[1].job) == adapter]
        others = [pair for pair in alike if not pair[1].alone]
        picked = [head] if head[1].alone else [head, *others][:limit]
        for _, row in picked:
            row.token, row.until, row.size = uuid4(), now + self.lease_seconds, len(picked)
        return [
            LeasedJob(
                Lease(job_id, row.token, row.size),
                row.job,
                row.version,
                row.deferrals,
                row.photo,
                row.seen,
                adapter=adapter,
            )
            for job_id, row in picked
            if row.token is not None
        ]

    def renew(self, leases: Sequence[Lease]) -> None:
        tokens = {lease.token for lease in leases}
        for row in self.rows.values():
            if row.token in tokens:
                row.until = time.monotonic() + self.lease_seconds

    def ready(self, lease: Lease, photo: StoredPhoto) -> None:
        self._go_on(self._let_go(lease), JobState.READY).photo = photo

    def observed(self, lease: Lease, seen: Observation, plan_digest: str) -> None:
        self._go_on(self._let_go(lease), JobState.OBSERVED).seen = seen

    def reject(self, lease: Lease, code: str, message: str) -> None:
        row = self._go_on(self._let_go(lease), JobState.REJECTED)
        row.code, row.message = code, message
        self.events.append((EventKind.JOB_REJECTED, lease.job_id))

    def defer(self, lease: Lease, why: str) -> None:
        row = self._let_go(lease)
        row.not_before = time.monotonic() + min(2.0**row.deferrals, 60.0)
        row.deferrals += 1

    def fail(self, lease: Lease, why: str) -> None:
        row = self._let_go(lease)
        row.alone = True
        row.not_before = time.monotonic() + 1.0
        row.failures += lease.size == 1
        if row.failures >= self.failure_cap:
            self._quarantine(lease.job_id)

    @contextmanager
    def open_product(self, row: LeasedJob) -> Iterator[MemoryProductUpdate]:
        held = self.rows[row.lease.job_id]
        if held.token != row.lease.token:
            raise LeaseLost(row.lease.job_id)
        product = self.products[(row.job.tenant, row.job.product_id)]
        before = replace(product, photos=dict(product.photos)), replace(held), list(self.events)
        try:
            yield MemoryProductUpdate(self, row, product)
        except BaseException:
            self.products[(row.job.tenant, row.job.product_id)] = before[0]
            self.rows[row.lease.job_id], self.events = before[1], before[2]
            raise

    def reap(self) -> None:
        for job_id, row in self.rows.items():
            if row.token is not None and row.until < time.monotonic():
                row.deaths += row.size == 1
                row.token, row.alone = None, True
                if row.deaths >= self.death_cap:
                    self._quarantine(job_id)

    def _let_go(self, lease: Lease) -> Row:
        row = self.rows[lease.job_id]
        if row.token != lease.token:
            raise LeaseLost(lease.job_id)
        row.token = None
        return row

    def _go_on(self, row: Row, state: JobState) -> Row:
        row.state, row.alone, row.deaths, row.failures, row.deferrals, row.not_before = state, False, 0, 0, 0, 0.0
        return row

    def _quarantine(self, job_id: str) -> None:
        self.rows[job_id].state = JobState.QUARANTINED
        self.rows[job_id].token = None
        self.events.append((EventKind.JOB_QUARANTINED, job_id))


class MemoryProductUpdate:
    def __init__(self, ledger: MemoryLedger, row: LeasedJob, product: Product) -> None:
        self._ledger, self._row, self._product = ledger, row, product
        self.revision = product.revision
        self.photos = [entry for image_id, entry in product.photos.items() if image_id != row.job.image_id]
        self.corrections = list(product.corrections)

    def newer_published(self) -> bool:
        published = self._product.photos.get(self._row.job.image_id)
        return published is not None and published.version > self._row.version

    def supersede(self) -> None:
        self._end(JobState.SUPERSEDED, EventKind.JOB_SUPERSEDED)

    def save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        self._product.revision, self._product.record = record.revision, record
        for entry in record.photos:
            self._product.photos[entry.image_id] = entry
        self._end(JobState.DONE, EventKind.RECORD_PUBLISHED)

    def _end(self, state: JobState, kind: EventKind) -> None:
        row = self._ledger.rows[self._row.lease.job_id]
        row.state, row.token = state, None
        self._ledger.events.append((kind, self._row.lease.job_id))


class MemoryObservationCache:
    """domain.ports.ObservationCache in a dict, which holds the stored form as JSON does; `away` as a store may be."""

    def __init__(self) -> None:
        self.kept: dict[ObservationKey, str] = {}
        self.away = False

    def find(self, keys: Sequence[ObservationKey]) -> Mapping[ObservationKey, Observation]:
        self._answer()
        kept = {key: json.loads(self.kept[key]) for key in keys if key in self.kept}
        return {key: seen for key, data in kept.items() if (seen := readable(key, data))}

    def keep(self, key: ObservationKey, seen: Observation) -> None:
        self._answer()
        same_but_for_the_copy = {replace(key, model_copy_key=other.model_copy_key) for other in self.kept}
        self.kept = {other: data for other, data in self.kept.items() if other not in same_but_for_the_copy}
        self.kept[key] = json.dumps(seen.as_json())

    def forget(self, tenant: str, sha256: str) -> int:
        self._answer()
        gone = [key for key in self.kept if (key.tenant, key.sha256) == (tenant, sha256)]
        for key in gone:
            del self.kept[key]
        return len(gone)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("the observation cache", "away")


class FakeFetcher:
    """Hands out bytes by address; an exception in their place is raised."""

    def __init__(self, answers: dict[str, bytes | Exception]) -> None:
        self.answers = answers

    def fetch(self, source: ImageSource, tenant: str) -> bytes:
        answer = self.answers[source.value]
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeDecoder:
    def __init__(self, photo: DecodedPhoto | Exception) -> None:
        self.photo = photo

    def __call__(self, data: bytes) -> DecodedPhoto:
        if isinstance(self.photo, Exception):
            raise self.photo
        return self.photo


class FakeVision:
    """Answers each photo with the observation kept for its hash; `looked_at` are the hashes, batch by batch."""

    engine = Engine("fake@0", None, "1", "float32")

    def __init__(self, seen: dict[str, Observation | Exception]) -> None:
        self.seen = seen
        self.looked_at: list[list[str]] = []
        self.calibration: Calibration | None = None
        self.adapters: list[str | None] = []  # one for each batch

    def calibration_for(self, plan: Plan, adapter: str | None = None) -> Calibration | None:
        return self.calibration

    def engine_for(self, plan: Plan, adapter: str | None = None) -> Engine:
        return self.engine if adapter is None else replace(self.engine, adapter=f"{adapter}@0")

    def observe(
        self, photos: Sequence[tuple[StoredPhoto, bytes]], plan: Plan, adapter: str | None = None
    ) -> list[Observation]:
        self.looked_at.append([photo.sha256 for photo, _ in photos])
        self.adapters.append(adapter)
        answers: list[Observation] = []
        for photo, _ in photos:
            answer = self.seen[photo.sha256]
            if isinstance(answer, Exception):
                raise answer
            answers.append(
                replace(answer, engine=replace(answer.engine, adapter=f"{adapter}@0")) if adapter else answer
            )
        return answers


class FakeJudge:
    def __init__(self, decision: Decision) -> None:
        self.decision = decision

    def decide(
        self, job: ImageJob, photo: StoredPhoto, seen: Observation, at: datetime, plan: str | None = None
    ) -> Decision:
        return self.decision


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 22, 12, tzinfo=UTC)
