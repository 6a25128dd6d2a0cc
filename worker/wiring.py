"""The composition root: builds the real tools from settings, once for each process.

Every function here is cheap to call again. Nothing is built at import, and nothing survives a fork: a child process
builds its own connections (`forget()` is called when a pool process starts).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from celery import Celery
from pydantic import SecretStr

from domain.errors import CheckpointRefused, InputRejected, SettingsRefused
from domain.observations import Plan, TextReaders
from domain.opinions import Spending
from domain.taxonomy import Taxonomy
from worker.acceptance import AcceptTools
from worker.app import make_app
from worker.delivery import DeliverTools
from worker.intake.decode import decode_photo
from worker.intake.fetch import Fetcher
from worker.intake.limits import DecodeLimits
from worker.net.client import GuardedHttp
from worker.opinion.asking import Bounds, Opinions, Prices
from worker.opinion.endpoint import ChatEndpoint
from worker.opinion.prompt import Wording
from worker.pipeline import IntakeTools, PublishTools, VisionTools
from worker.policy.engine import PolicyEngine
from worker.policy.live import LivePolicies
from worker.policy.recall import Recall
from worker.policy_desk import PolicyDesk
from worker.redeciding import RedecideTools
from worker.review_desk import ReviewDesk
from worker.settings import (
    DeliverySettings,
    IntakeSettings,
    LedgerSettings,
    OpinionSettings,
    PeopleSettings,
    PolicySettings,
    ReviewSettings,
    ServerSettings,
    VisionSettings,
)
from worker.stages import Pace
from worker.storage.accounts import Accounts
from worker.storage.alarms import Alarms
from worker.storage.artifacts import Artifacts, S3Config
from worker.storage.audit import AuditLog
from worker.storage.banks import SqlBanks
from worker.storage.caps import SqlDailyCaps
from worker.storage.database import Database
from worker.storage.dead_letters import DeadLetters
from worker.storage.decided import StoredDecisions
from worker.storage.deliveries import Deliveries
from worker.storage.earlier import SqlEarlierPhotos
from worker.storage.ledger import LedgerLimits, SqlLedger
from worker.storage.match_rates import MatchRates
from worker.storage.observation_cache import NoObservationCache, SqlObservationCache
from worker.storage.opinions import SqlOpinions
from worker.storage.passwords import Passwords
from worker.storage.people import People
from worker.storage.policies import SqlPolicies
from worker.storage.reads import Reads
from worker.storage.redecisions import SqlRedecisions
from worker.storage.resolutions import Resolutions
from worker.storage.review_quality import ReviewQuality
from worker.storage.review_queue import ReviewQueue
from worker.storage.review_views import ReviewViews
from worker.storage.samples import Samples
from worker.storage.sessions import SessionLimits, Sessions
from worker.storage.sweeping import Sweeping
from worker.storage.vault import Vault
from worker.sweeper import Sweeper
from worker.taxonomy.files import compact_or_shipped
from worker.telemetry import log
from worker.upkeep import Upkeep
from worker.wakeups import Wakeups

if TYPE_CHECKING:
    from worker.vision.engine import FlorenceEngine

# Rows that one wake-up of a stage serves; vision's comes from its batch size.
_BATCH = {"intake": 1, "publish": 1, "deliver": 1}
_PUBLISHING_SECONDS = 30.0  # of the stage limit, for what publishing does besides waiting for second opinions


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def forget() -> None:
    """Drop everything built so far: called in a child process right after the fork."""
    for builder in _CACHED:
        builder.cache_clear()


@cache
def servers() -> ServerSettings:
    return ServerSettings()


@cache
def ledger_settings() -> LedgerSettings:
    return LedgerSettings()


@cache
def database() -> Database:
    return Database(servers().database_url.get_secret_value())


@cache
def artifacts() -> Artifacts:
    chosen = servers()
    return Artifacts(
        S3Config(
            bucket=chosen.s3_bucket,
            endpoint_url=chosen.s3_endpoint_url,
            region=chosen.s3_region,
            access_key=_plain(chosen.s3_access_key),
            secret_key=_plain(chosen.s3_secret_key),
        )
    )


@cache
def ledger() -> SqlLedger:
    chosen = ledger_settings()
    return SqlLedger(
        database(),
        LedgerLimits(
            lease_seconds=chosen.lease_seconds,
            failure_cap=chosen.failure_cap,
            tenant_on_first_use=chosen.tenant_on_first_use,
        ),
    )


@cache
def observation_cache() -> SqlObservationCache:
    """What is kept, also where the vision stage is told not to use it."""
    return SqlObservationCache(database())


@cache
def celery_app() -> Celery:
    return make_app(servers().redis_url.get_secret_value(), ledger_settings().stage_limit_seconds)


@cache
def wakeups() -> Wakeups:
    return Wakeups(celery_app())


@cache
def accounts() -> Accounts:
    return Accounts(
        database(), servers().secret_key.get_secret_value(), allow_private=DeliverySettings().webhook_allow_private
    )


@cache
def passwords() -> Passwords:
    chosen = PeopleSettings()
    return Passwords(chosen.argon2_memory_kib, chosen.argon2_passes, chosen.argon2_lanes)


@cache
def people() -> People:
    return People(database(), passwords())


@cache
def sessions() -> Sessions:
    chosen = PeopleSettings()
    limits = SessionLimits(
        idle=timedelta(minutes=chosen.session_idle_minutes),
        absolute=timedelta(hours=chosen.session_hours),
        window=timedelta(minutes=chosen.login_window_minutes),
        account_tries=chosen.login_account_tries,
        address_tries=chosen.login_address_tries,
    )
    return Sessions(database(), passwords(), limits)


@cache
def audit_log() -> AuditLog:
    return AuditLog(database(), artifacts())


@cache
def reads() -> Reads:
    return Reads(database())


@cache
def dead_letters() -> DeadLetters:
    return DeadLetters(database())


@cache
def accept_tools() -> AcceptTools:
    return AcceptTools(ledger=ledger(), uploads=artifacts(), wake=wakeups().wake)


@cache
def intake_tools() -> IntakeTools:
    return IntakeTools(
        ledger=ledger(),
        fetcher=_fetcher(),
        decode=partial(decode_photo, limits=DecodeLimits(max_bytes=IntakeSettings().max_image_bytes)),
        artifacts=artifacts(),
        unreachable_cap=ledger_settings().unreachable_cap,
    )


def _fetcher() -> Fetcher:
    chosen = IntakeSettings()
    http = GuardedHttp(
        allow_private=chosen.fetch_allow_private,
        timeout_s=chosen.fetch_timeout_seconds,
        max_bytes=chosen.max_image_bytes,
    )
    return Fetcher(http, artifacts(), source_buckets=servers().s3_source_buckets, max_bytes=chosen.max_image_bytes)


@cache
def deliver_tools() -> DeliverTools:
    chosen = DeliverySettings()
    http = GuardedHttp(allow_private=chosen.webhook_allow_private, timeout_s=chosen.webhook_timeout_seconds)
    return DeliverTools(
        queue=Deliveries(database()),
        post=http.post,
        open_secret=Vault(servers().secret_key.get_secret_value()).open,
        clock=SystemClock(),
    )


@cache
def taxonomy() -> Taxonomy:
    return compact_or_shipped(PolicySettings().taxonomy)


@cache
def banks() -> SqlBanks:
    return SqlBanks(database())


@cache
def recall() -> Recall:
    return Recall(banks(), SqlEarlierPhotos(database()))


@cache
def publish_tools() -> PublishTools:
    return PublishTools(
        ledger=ledger(), artifacts=artifacts(), judge=live_policies(), clock=SystemClock(), advice=second_opinions()
    )


@cache
def second_opinions() -> Opinions | None:
    """Who is asked before people; None unless an address is set. Asks nobody. Raises SettingsRefused."""
    chosen = OpinionSettings()
    if chosen.second_opinion_url is None:
        return None
    endpoint = _endpoint(chosen)
    if chosen.second_opinion_photo_seconds >= ledger_settings().stage_limit_seconds - _PUBLISHING_SECONDS:
        raise SettingsRefused(
            "SHELFGUARD_SECOND_OPINION_PHOTO_SECONDS",
            "a publish worker would be ended while it waits",
            f"Set it to {_PUBLISHING_SECONDS:g} seconds less than SHELFGUARD_STAGE_LIMIT_SECONDS, or less.",
        )
    daily = Spending(
        chosen.second_opinion_daily_calls,
        int(chosen.second_opinion_daily_cost * 1_000_000),
        int(chosen.second_opinion_daily_seconds * 1_000),
    )
    return Opinions(
        SqlOpinions(database()),
        endpoint,
        Bounds(chosen.second_opinion_timeout_seconds, chosen.second_opinion_photo_seconds, daily),
        Prices(chosen.second_opinion_price_in, chosen.second_opinion_price_out, chosen.second_opinion_reserve_in),
    )


def _endpoint(chosen: OpinionSettings) -> ChatEndpoint:
    name, url = "SHELFGUARD_SECOND_OPINION_URL", chosen.second_opinion_url or ""
    if not chosen.second_opinion_model:
        remedy = "Set it to a vision model's name at that address."
        raise SettingsRefused("SHELFGUARD_SECOND_OPINION_MODEL", f"it is not set, and {name} is", remedy)
    http = GuardedHttp(
        allow_private=chosen.second_opinion_allow_private, timeout_s=chosen.second_opinion_timeout_seconds
    )
    own = "For a server of your own set SHELFGUARD_SECOND_OPINION_ALLOW_PRIVATE=true."
    try:
        target = http.check(url)
    except InputRejected as why:
        raise SettingsRefused(name, why.message, own) from why
    if target.scheme != "https" and not chosen.second_opinion_allow_private:
        raise SettingsRefused(name, "key and photos would travel unencrypted", f"Use https. {own}")
    wording = Wording(
        chosen.second_opinion_model, chosen.second_opinion_answer_format, chosen.second_opinion_answer_length
    )
    return ChatEndpoint(http, url, wording, _plain(chosen.second_opinion_api_key))


@cache
def policies() -> SqlPolicies:
    return SqlPolicies(database())


@cache
def redecisions() -> SqlRedecisions:
    return SqlRedecisions(database())


@cache
def alarms() -> Alarms:
    return Alarms(database())


@cache
def shipped_policy() -> PolicyEngine:
    """What judges while nothing is published. Raises PolicyInvalid."""
    return PolicyEngine.load(PolicySettings().policy, taxonomy(), recall())


@cache
def live_policies() -> LivePolicies:
    return LivePolicies(
        store=policies(),
        shipped=shipped_policy(),
        caps=SqlDailyCaps(database()),
        alarm=alarms().sound,
        taxonomy=taxonomy(),
        memory=recall(),
    )


@cache
def policy_desk() -> PolicyDesk:
    return PolicyDesk(
        store=policies(),
        shipped=shipped_policy,
        redecisions=redecisions(),
        alarms=alarms(),
        decisions=StoredDecisions(database()),
        taxonomy=taxonomy(),
    )


@cache
def review_desk() -> ReviewDesk:
    chosen, reviewed = ReviewSettings(), database()
    return ReviewDesk(
        queue=ReviewQueue(reviewed),
        views=ReviewViews(reviewed),
        resolutions=Resolutions(reviewed, artifacts().put_record, blind_share=chosen.review_blind_share),
        quality=ReviewQuality(reviewed),
        samples=Samples(reviewed),
        golden_share=chosen.review_golden_share,
    )


@cache
def upkeep() -> Upkeep:
    return Upkeep(
        redecisions=redecisions(),
        live=live_policies(),
        tools=RedecideTools(redecisions(), artifacts(), live_policies(), SystemClock()),
        per_second=PolicySettings().redecide_per_second,
        kept_since=policies().kept_since,
        rates=MatchRates(database()),
        sound=alarms().sound,
        seal=audit_log().seal,
    )


@cache
def vision_tools() -> VisionTools:
    """Loads the model: seconds, and the only place that leads to torch."""
    from worker.vision.engine import FlorenceEngine
    from worker.vision.observer import Observer
    from worker.vision.reading import with_reader

    chosen = VisionSettings()
    engine = FlorenceEngine.load(
        chosen.model,
        revision=chosen.model_revision,
        adapter=chosen.adapter,
        device=chosen.device,
        dtype=chosen.dtype,
        threads=chosen.threads,
        compiling=chosen.compile,
        adapter_memory=chosen.adapter_memory_mb << 20,
    )
    _add_adapters(engine, chosen.adapters)
    engine.warm_up()
    looker = with_reader(engine, chosen.text_reader, chosen.text_reader_threads)
    plan = Plan().read_by(chosen.text_reader)
    cache = observation_cache() if chosen.observation_cache else NoObservationCache()
    return VisionTools(ledger=ledger(), artifacts=artifacts(), vision=Observer(looker), plan=plan, cache=cache)


def _add_adapters(engine: FlorenceEngine, folder: Path | None) -> None:
    """All in a folder. One that is refused is left out: its photos wait, those of the others do not."""
    if folder is not None and not folder.is_dir():
        raise CheckpointRefused(str(folder), "There is no such directory.", "Check SHELFGUARD_ADAPTERS.")
    for found in sorted(folder.iterdir()) if folder is not None else ():
        if found.is_dir() and not found.name.startswith("."):
            try:
                engine.add_adapter(found)
            except CheckpointRefused as why:
                log.error("adapter_left_out", why=str(why))


def check_text_reader() -> str:
    """Who reads text. Loads nothing. Raises ExtraMissing or CheckpointRefused when the second reader cannot be had."""
    from worker.vision.rapidocr_models import installed_models

    chosen = VisionSettings().text_reader
    if chosen is TextReaders.FLORENCE:
        return chosen.value
    models = installed_models()
    return f"{chosen.value} (rapidocr {models.version}, its own models)"


def pace() -> Pace:
    chosen = ledger_settings()
    return Pace(chosen.heartbeat_seconds, chosen.stage_limit_seconds)


def vision_pace() -> Pace:
    chosen = ledger_settings()
    return Pace(chosen.heartbeat_seconds, chosen.stage_limit_seconds, VisionSettings().batch_size)


def publish_pace() -> Pace:
    """One photo at a time, unless photos wait for answers from elsewhere: then several wait together."""
    chosen = ledger_settings()
    together = OpinionSettings().second_opinion_concurrency if OpinionSettings().second_opinion_url else 1
    return Pace(chosen.heartbeat_seconds, chosen.stage_limit_seconds, together)


@cache
def sweeping() -> Sweeping:
    return Sweeping(database(), ledger_settings().death_cap)


@cache
def sweeper() -> Sweeper:
    return Sweeper(
        sweeping(),
        wakeups(),
        batch=_BATCH | {"vision": VisionSettings().batch_size},
    )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


_CACHED = [
    servers,
    ledger_settings,
    database,
    artifacts,
    ledger,
    observation_cache,
    celery_app,
    wakeups,
    accounts,
    passwords,
    people,
    sessions,
    audit_log,
    reads,
    dead_letters,
    accept_tools,
    intake_tools,
    deliver_tools,
    taxonomy,
    banks,
    recall,
    publish_tools,
    second_opinions,
    policies,
    redecisions,
    alarms,
    shipped_policy,
    live_policies,
    policy_desk,
    review_desk,
    upkeep,
    vision_tools,
    sweeping,
    sweeper,
]
