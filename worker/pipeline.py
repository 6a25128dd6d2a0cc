"""The whole story of a photo, in three functions. Each is safe to run twice; the ledger's lease fences late holders.

    RECEIVED ──take_in──▶ READY ──observe──▶ OBSERVED ──publish──▶ DONE
        └──────▶ REJECTED (unusable input, with a sentence a seller can act on)

What stops a stage midway (a killed worker, a store that is away) leaves the row where it was: the lease runs out, or
the row is given back, and the stage runs again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from domain.enrichment import enrich
from domain.errors import InputRejected, LeaseLost, Unavailable
from domain.jobs import SourceKind
from domain.moderation import Decision
from domain.observations import Observation, Plan
from domain.opinions import Opinion
from domain.photos import DecodedPhoto, StoredPhoto
from domain.ports import (
    Advice,
    Artifacts,
    AskedPhoto,
    Clock,
    Decoder,
    Fetcher,
    Judge,
    LeasedJob,
    Ledger,
    ObservationCache,
    ObservationKey,
    Route,
    Vision,
)
from domain.records import PhotoEntry, fold
from domain.weighing import weigh
from worker.telemetry import log

UNREACHABLE = "url_unreachable"


@dataclass(frozen=True, slots=True)
class IntakeTools:
    ledger: Ledger
    fetcher: Fetcher
    decode: Decoder
    artifacts: Artifacts
    unreachable_cap: int


@dataclass(frozen=True, slots=True)
class VisionTools:
    ledger: Ledger
    artifacts: Artifacts
    vision: Vision
    plan: Plan
    cache: ObservationCache
    route: Route | None = None  # None: what the engine was loaded with looks at every photo


@dataclass(frozen=True, slots=True)
class PublishTools:
    ledger: Ledger
    artifacts: Artifacts
    judge: Judge
    clock: Clock
    advice: Advice | None = None  # None: nobody gives second opinions, and rules that ask stand as they are


def take_in(row: LeasedJob, tools: IntakeTools) -> None:
    """Fetch the photo, decode it in the sandbox, keep it: RECEIVED → READY or REJECTED."""
    try:
        photo = tools.decode(_fetch(row, tools))
    except InputRejected as why:
        tools.ledger.reject(row.lease, why.code, why.message)
    else:
        tools.ledger.ready(row.lease, _keep(photo, row.job.tenant, tools.artifacts))
    _forget_upload(row, tools.artifacts)


def observe(rows: Sequence[LeasedJob], tools: VisionTools) -> None:
    """Look at those of a batch that were not seen before, each once, all prompts at once: READY → OBSERVED.

    Rows leased together have one adapter.
    """
    adapter = rows[0].adapter if rows else None
    keys = _observation_keys(rows, tools, adapter)
    known = tools.cache.find(keys)
    photos = {key: _photo(row) for key, row in zip(keys, rows, strict=True) if key not in known}
    new = _look(photos, tools, adapter)
    log.info("observed", photos=len(rows), looked_at=len(new), from_cache=sum(key in known for key in keys))
    for row, key in zip(rows, keys, strict=True):
        seen = known[key] if key in known else new[key]
        each(row, tools.ledger, partial(_complete, row, key, seen, tools, keep=key in new))


def publish(row: LeasedJob, tools: PublishTools) -> None:
    """Enrich, decide, fold into the product's record, tell the shop: OBSERVED → DONE or SUPERSEDED."""
    decision = _judged(row, tools)
    _write(row, weigh(decision, _advised(row, decision, tools)), tools)


def publish_all(rows: Sequence[LeasedJob], tools: PublishTools) -> None:
    """Publish a batch: what is decided at once first, the others as their second opinions come in."""
    waiting: dict[str, tuple[LeasedJob, Decision]] = {}
    for row in rows:
        each(row, tools.ledger, partial(_publish_unless_asking, row, tools, waiting))
    if not waiting:
        return
    with ThreadPoolExecutor(len(waiting), thread_name_prefix="opinion") as pool:
        asked = {pool.submit(_advised, *pair, tools): pair for pair in waiting.values()}
        for answer in as_completed(asked):
            row, decision = asked[answer]
            each(row, tools.ledger, partial(_publish_advised, row, decision, answer, tools))


def _publish_unless_asking(row: LeasedJob, tools: PublishTools, waiting: dict[str, tuple[LeasedJob, Decision]]) -> None:
    decision = _judged(row, tools)
    if tools.advice is not None and decision.asks:
        waiting[row.lease.job_id] = (row, decision)
    else:
        _write(row, decision, tools)


def _publish_advised(
    row: LeasedJob, decision: Decision, answer: Future[Mapping[str, Opinion]], tools: PublishTools
) -> None:
    _write(row, weigh(decision, answer.result()), tools)


def _judged(row: LeasedJob, tools: PublishTools) -> Decision:
    return tools.judge.decide(row.job, _photo(row), _seen(row), tools.clock.now(), row.plan_digest)


def _advised(row: LeasedJob, decision: Decision, tools: PublishTools) -> Mapping[str, Opinion]:
    """Second opinions about what the rules leave open; before the product's row is locked, because it takes seconds."""
    if tools.advice is None or not decision.asks:
        return {}
    photo = _photo(row)
    questions = sorted({asked.question for asked in decision.asks.values()})
    asked = AskedPhoto(row.job, photo, _seen(row).text)
    return tools.advice.ask(asked, questions, partial(tools.artifacts.get, photo.model_copy_key))


def _write(row: LeasedJob, decision: Decision, tools: PublishTools) -> None:
    decision_id = str(uuid4())
    entry = _entry(row, _seen(row), decision, decision_id)
    with tools.ledger.open_product(row) as product:
        if product.newer_published():
            product.supersede()
            return
        photos, said = [*product.photos, entry], product.corrections
        record = fold(row.job.tenant, row.job.product_id, product.revision + 1, photos, said)
        # PUT before commit, under the product's lock: SQL never names an object that is not there.
        key = tools.artifacts.put_record(record.tenant, record.product_id, record.revision, record.as_bytes())
        product.save(record, key, decision_id, decision)


def each(row: LeasedJob, ledger: Ledger, step: Callable[[], None]) -> None:
    """Run one row's step and settle what it raises, so that a row can neither stop a worker nor harm a neighbour."""
    try:
        step()
    except LeaseLost as lost:
        log.warning("lease_lost", job=lost.job_id)
    except Unavailable as why:
        _settle(row, partial(ledger.defer, row.lease, str(why)))
    # MemoryError is caught too: raised through a task it would stop the whole worker (celery/celery#5655).
    except Exception as error:
        log.exception("stage_failed", job=row.lease.job_id)
        _settle(row, partial(ledger.fail, row.lease, _reason(error)))


def all_of(rows: Sequence[LeasedJob], ledger: Ledger, step: Callable[[], None]) -> None:
    """Run a step for a whole batch. If it raises, every row goes back: alone next time unless something was away."""
    try:
        step()
    except Unavailable as why:
        for row in rows:
            _settle(row, partial(ledger.defer, row.lease, str(why)))
    except Exception as error:
        log.exception("batch_failed", jobs=[row.lease.job_id for row in rows])
        for row in rows:
            _settle(row, partial(ledger.fail, row.lease, _reason(error)))


def _fetch(row: LeasedJob, tools: IntakeTools) -> bytes:
    """The bytes as received. An address that still does not answer at the cap is the seller's to mend."""
    try:
        return tools.fetcher.fetch(row.job.image, row.job.tenant)
    except Unavailable:
        if row.job.image.kind is SourceKind.URL and row.deferrals + 1 >= tools.unreachable_cap:
            raise InputRejected(UNREACHABLE, _unreachable_message(row)) from None
        raise


def _forget_upload(row: LeasedJob, artifacts: Artifacts) -> None:
    """The bytes as received hold what must not be kept (GPS, personal EXIF); once the stage is committed they go.

    Where the store is away just now they become an orphan, and are collected with the others.
    """
    if row.job.image.kind is SourceKind.UPLOAD:
        with suppress(Unavailable):
            artifacts.delete(row.job.image.value)


def plan_digest(plan: Plan) -> str:
    return hashlib.sha256(_bytes(plan.as_json())).hexdigest()


def _observation_keys(rows: Sequence[LeasedJob], tools: VisionTools, adapter: str | None) -> list[ObservationKey]:
    engine, digest = tools.vision.engine_for(tools.plan, adapter), plan_digest(tools.plan)
    photos = [(row.job.tenant, _photo(row)) for row in rows]
    return [ObservationKey(tenant, photo.sha256, photo.model_copy_key, engine, digest) for tenant, photo in photos]


def _look(
    photos: Mapping[ObservationKey, StoredPhoto], tools: VisionTools, adapter: str | None
) -> dict[ObservationKey, Observation]:
    if not photos:
        return {}
    copies = [(photo, tools.artifacts.get(photo.model_copy_key)) for photo in photos.values()]
    return dict(zip(photos, tools.vision.observe(copies, tools.plan, adapter), strict=True))


def _complete(row: LeasedJob, key: ObservationKey, seen: Observation, tools: VisionTools, *, keep: bool) -> None:
    # What is known of its scores today goes with it, also with one that was seen before it was known.
    calibration = tools.vision.calibration_for(tools.plan, row.adapter)
    tools.ledger.observed(row.lease, replace(seen, calibration=calibration), key.plan_digest)
    # Kept only once the ledger took it: who has lost the lease may hold a photo that was deleted meanwhile.
    if keep and not (seen.second_reading and seen.second_reading.failed):  # another try may read it
        _remember(key, seen, tools.cache)


def _remember(key: ObservationKey, seen: Observation, cache: ObservationCache) -> None:
    """The row is done by now, so a store that is away costs no more than a later look."""
    try:
        cache.keep(key, seen)
    except Unavailable as why:
        log.warning("observation_not_kept", why=str(why))


def _settle(row: LeasedJob, give_back: Callable[[], None]) -> None:
    """Give a row back; where even that fails the lease runs out by itself."""
    try:
        give_back()
    except (LeaseLost, Unavailable) as why:
        log.warning("give_back_failed", job=row.lease.job_id, why=str(why))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _keep(photo: DecodedPhoto, tenant: str, artifacts: Artifacts) -> StoredPhoto:
    return StoredPhoto.of(
        photo,
        original_key=artifacts.put_blob(tenant, photo.original, f"image/{photo.format.lower()}"),
        model_copy_key=artifacts.put_blob(tenant, photo.model_copy, "image/jpeg"),
    )


def _entry(row: LeasedJob, seen: Observation, decision: Decision, decision_id: str) -> PhotoEntry:
    photo = _photo(row)
    return PhotoEntry(
        image_id=row.job.image_id,
        job_id=row.lease.job_id,
        version=row.version,
        sha256=photo.sha256,
        width=photo.width,
        height=photo.height,
        original_key=photo.original_key,
        model_copy_key=photo.model_copy_key,
        engine=seen.engine.as_json(),
        fields=enrich(row.job, seen).as_json(),
        decision_id=decision_id,
        channels=decision.channels,
    )


def _photo(row: LeasedJob) -> StoredPhoto:
    assert row.photo is not None, "the ledger hands out READY and OBSERVED rows with their photo"
    return row.photo


def _seen(row: LeasedJob) -> Observation:
    """What was observed, its scores calibrated: stored raw, read here."""
    assert row.seen is not None, "the ledger hands out OBSERVED rows with their observation"
    return row.seen.calibrated()


def _unreachable_message(row: LeasedJob) -> str:
    return (
        f"The address of the photo did not answer after {row.deferrals + 1} tries. "
        "Check that the address opens in a browser without logging in, then send the job again."
    )


def _bytes(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
