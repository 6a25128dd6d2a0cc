"""Protocols: what the story (worker/pipeline.py) needs from the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from domain.banks import BankEntry, EarlierDecision, Recalled
from domain.calibration import Calibration
from domain.corrections import Standing
from domain.jobs import ImageJob, ImageSource, JobState
from domain.moderation import Decision
from domain.observations import Engine, Observation, Plan
from domain.opinions import Opinion, Spending
from domain.photos import DecodedPhoto, StoredPhoto
from domain.policies import Bundle, CapState, Draft, Live, Person, Proposal, Publication, Scope
from domain.records import PhotoEntry, ProductRecord


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to change one ledger row until the deadline. `size` is how many rows were leased together."""

    job_id: str
    token: UUID
    size: int


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A ledger row under lease, with what earlier stages found."""

    lease: Lease
    job: ImageJob
    version: int  # order among submissions of the same photo; the newest wins
    deferrals: int  # how often this stage was put off because something was unavailable
    photo: StoredPhoto | None = None
    seen: Observation | None = None
    plan_digest: str | None = None  # of the plan that it was seen under
    adapter: str | None = None  # with which the photo is to be looked at, decided when the row was leased


# Which adapter looks at a job's photo: a name, "base" for the model without one, None for what the engine was loaded
# with. The same answer for the same job while the routes stay as they are (a canary's share goes by hash).
Route = Callable[[ImageJob], str | None]


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted job. `created` is False when the same job had been accepted before."""

    job_id: str
    state: JobState
    created: bool


class Ledger(Protocol):
    """The SQL truth about jobs. Every completing call raises LeaseLost when the lease is no longer ours."""

    def accept(self, job: ImageJob, body_digest: str) -> Accepted:
        """Commit the row. Raises Conflict for a reused key with another body, NotFound for an unknown tenant."""

    def lease(self, state: JobState, limit: int, route: Route | None = None) -> list[LeasedJob]:
        """Take up to `limit` waiting rows, best priority and oldest first; one row when it has to run alone.

        route: rows are leased with their adapter, and all with that of the first.
        """

    def renew(self, leases: Sequence[Lease]) -> None:
        """Push the deadline of the leases that are still ours."""

    def ready(self, lease: Lease, photo: StoredPhoto) -> None: ...

    def observed(self, lease: Lease, seen: Observation, plan_digest: str) -> None: ...

    def reject(self, lease: Lease, code: str, message: str) -> None: ...

    def defer(self, lease: Lease, why: str) -> None:
        """Give the row back for a later try; costs the row nothing but time."""

    def fail(self, lease: Lease, why: str) -> None:
        """Give the row back after an unexpected error: alone next time, quarantined at the cap."""

    def open_product(self, row: LeasedJob) -> AbstractContextManager[ProductUpdate]:
        """One transaction with the product's row locked and the lease checked; commits on a clean exit."""


class ProductUpdate(Protocol):
    """What one publishing transaction may see and do."""

    revision: int  # of the record before this update; 0 = none yet
    photos: Sequence[PhotoEntry]  # the product's current photos, without the one being published
    corrections: Sequence[Standing]  # what people said of the product and of any photo under this one's hash

    def newer_published(self) -> bool:
        """Whether a newer submission of the same photo has been published."""

    def supersede(self) -> None: ...

    def save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        """Write record, revision, decision, review case and outbox event, and end the job as DONE."""


class Fetcher(Protocol):
    def fetch(self, source: ImageSource, tenant: str) -> bytes:
        """The bytes as received. Raises InputRejected or Unavailable."""


class Decoder(Protocol):
    def __call__(self, data: bytes) -> DecodedPhoto:
        """Decode in the sandbox. Raises InputRejected."""


class Artifacts(Protocol):
    """Objects in S3. Everything raises Unavailable when the store is away."""

    def put_blob(self, tenant: str, data: bytes, content_type: str) -> str: ...

    def put_record(self, tenant: str, product_id: str, revision: int, data: bytes) -> str: ...

    def get(self, key: str) -> bytes: ...

    def delete(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ObservationKey:
    """What an answer depends on: under equal keys a second look would see the same.

    The model's copy is made by intake from the received bytes. Another release of intake may make another one, which
    the model has not seen yet.
    """

    tenant: str
    sha256: str  # of the bytes as received
    model_copy_key: str  # the object the model looks at; named for its content
    engine: Engine
    plan_digest: str

    def fits(self, seen: Observation) -> bool:
        return (seen.sha256, seen.engine) == (self.sha256, self.engine)


class ObservationCache(Protocol):
    """What was seen before, so that nobody has to look again. Everything raises Unavailable when the store is away."""

    def find(self, keys: Sequence[ObservationKey]) -> Mapping[ObservationKey, Observation]:
        """What is kept under these keys. A key is missing where nothing is kept, or nothing that can be read today."""

    def keep(self, key: ObservationKey, seen: Observation) -> None:
        """Keep it in the place of what was kept under the same key, which happens when two looked at once."""

    def forget(self, tenant: str, sha256: str) -> int:
        """Delete all that was seen in a tenant's photo, by any engine; returns how many there were.

        Remove the photo's open jobs first: a stage that holds one keeps what it sees.
        """


class Vision(Protocol):
    def engine_for(self, plan: Plan, adapter: str | None = None) -> Engine:
        """The engine that an observation under this plan and adapter will name; known without looking.

        adapter: as a Route answers. Raises Unavailable for one that is not loaded.
        """

    def calibration_for(self, plan: Plan, adapter: str | None = None) -> Calibration | None:
        """How scores seen under this plan and adapter are read today; None where nothing was fitted to the weights.

        Raises what `engine_for` raises.
        """

    def observe(
        self, photos: Sequence[tuple[StoredPhoto, bytes]], plan: Plan, adapter: str | None = None
    ) -> list[Observation]:
        """Look at model copies; one observation for each, in order, scores raw. Raises what `engine_for` raises."""


class Judge(Protocol):
    def decide(
        self, job: ImageJob, photo: StoredPhoto, seen: Observation, at: datetime, plan: str | None = None
    ) -> Decision:
        """Judge for each channel of the job; `plan` is the digest of what was asked, for the receipt.

        Never raises for a rule that fails: that photo goes to review. Raises Unavailable while no policy can be had.
        """


@dataclass(frozen=True, slots=True)
class AskedPhoto:
    """What another model may be told about a photo besides the question. text: what was read in the picture."""

    job: ImageJob
    photo: StoredPhoto
    text: str


class Advice(Protocol):
    """Second opinions."""

    def ask(self, asked: AskedPhoto, questions: Sequence[str], picture: Callable[[], bytes]) -> Mapping[str, Opinion]:
        """An opinion for each question, its failure included; takes seconds, so hold no lock. Safe between threads.

        picture: fetches the model's copy, called only when somebody is asked. Raises Unavailable when our own stores
        are away, never for the other model's failure.
        """


@dataclass(frozen=True, slots=True)
class OpinionKey:
    """What an opinion depends on. digest: of the whole request, the picture named by its content."""

    tenant: str
    sha256: str  # of the photo as received, so that it can be forgotten
    digest: str


class OpinionStore(Protocol):
    """Opinions heard before, and what tenants have spent on them. Everything raises Unavailable when it is away."""

    def find(self, key: OpinionKey) -> Opinion | None: ...

    def keep(self, key: OpinionKey, opinion: Opinion) -> None: ...

    def forget(self, tenant: str, sha256: str) -> int:
        """Delete what was said about a tenant's photo; returns how many there were."""

    def reserve(self, tenant: str, day: date, wanted: Spending, limit: Spending) -> bool:
        """Count `wanted` as spent unless anything would pass its limit; exact, however many ask at once."""

    def settle(self, tenant: str, day: date, reserved: Spending, used: Spending) -> None:
        """Put what was used in the place of what was reserved."""

    def spent(self, tenant: str, day: date) -> Spending: ...


class Policies(Protocol):
    """Published policies. Everything raises Unavailable when the store is away."""

    def keep(self, bundle: Bundle, policy: str) -> None:
        """Keep all files of a version, so that its receipts can be run again. Harmless when it is kept already."""

    def find(self, version: str) -> str:
        """The version that begins so. Raises NotFound, InputRejected when there are several."""

    def bundle(self, version: str) -> Bundle:
        """The files of a whole version. Raises NotFound."""

    def propose(self, draft: Draft) -> Proposal:
        """Raises NotFound (tenant), InputRejected when that version is live there already."""

    def proposals(self) -> list[Proposal]:
        """Those that nobody has approved, newest first."""

    def proposal(self, number: int) -> Proposal:
        """Raises NotFound."""

    def approve(self, number: int, person: Person) -> Publication:
        """Put a proposal live. Raises NotFound, Forbidden for its author, InputRejected when it is out of date."""

    def publish_alone(self, draft: Draft, reason: str | None) -> Publication:
        """Put a draft live without a second person. Raises InputRejected without a reason."""

    def roll_back(
        self, tenant: str | None, person: Person, reason: str, wanted: str | None, redecide: Scope | None = None
    ) -> Publication:
        """Put back what was live before, or what is wanted. Raises InputRejected: see rollback_target."""

    def latest(self) -> int:
        """The newest publication's number, 0 before the first. Cheap: asked every few seconds by every worker."""

    def live(self) -> Live: ...

    def history(self, tenant: str | None) -> list[Publication]:
        """Of one scope, oldest first."""

    def publications(self) -> list[Publication]:
        """Of all scopes, newest first."""


class DailyCaps(Protocol):
    """Automatic rejections by rules that have a cap, counted by tenant, rule and day (UTC)."""

    def take(self, tenant: str, day: date, subject: str, limits: Mapping[str, int]) -> Mapping[str, CapState]:
        """Take a place under each rule's limit for a photo; asking again for the same photo takes no second one.

        Raises Unavailable.
        """


@dataclass(frozen=True, slots=True)
class DecidedPhoto:
    """A current photo with its decision and everything it can be judged again from."""

    job_id: str
    job: ImageJob
    photo: StoredPhoto
    seen: Observation
    plan_digest: str
    decision_id: str
    decision: Decision


class DecidedPhotos(Protocol):
    def open_decided(self, decided: DecidedPhoto) -> AbstractContextManager[ProductRedecision]:
        """One transaction with the product's row locked; commits on a clean exit."""


class ProductRedecision(Protocol):
    """What one transaction that judges a photo anew may see and do."""

    revision: int
    photos: Sequence[PhotoEntry]  # the product's other current photos
    corrections: Sequence[Standing]

    def current(self) -> PhotoEntry | None:
        """The photo's entry; None when another submission or decision came in between."""

    def held_by_person(self) -> bool:
        """Whether a person has decided on this look at the photo; a machine never reverses that."""

    def save(self, record: ProductRecord, record_key: str, decision_id: str, decision: Decision) -> None:
        """Write record, revision, decision, review case and outbox event."""


class BankStore(Protocol):
    """Hash banks. Everything raises Unavailable when the store is away."""

    def version(self) -> str:
        """Changes whenever any bank does; cheap to ask."""

    def entries(self) -> tuple[str, Sequence[BankEntry]]:
        """The version, and every entry in force under it, those set aside included."""

    def count(self, matched: Mapping[str, str]) -> Sequence[str]:
        """Count a match of each entry (id -> bank) and set aside what is flooding; says what was set aside just now."""


class EarlierPhotos(Protocol):
    """Photos that were decided before, by what they look like. Raises Unavailable when the store is away."""

    def near(self, job: ImageJob, photo: StoredPhoto) -> Sequence[EarlierDecision]:
        """Of the same tenant, nearest first, without this very photo of this very product."""


class Memory(Protocol):
    def look_up(self, job: ImageJob, photo: StoredPhoto) -> Recalled:
        """What banks and earlier decisions say about a photo. Raises Unavailable when they cannot be asked."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware, UTC."""
