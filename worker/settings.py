"""Every setting: its type, its unit, and why it has the default it has. Environment: SHELFGUARD_*.

Secrets and addresses have no default: `make up` makes them for a laptop, an operator sets them for a site.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.observations import TextReaders

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class ServerSettings(BaseSettings):
    """Where the three servers are. All required for workers and API; none for `analyze`."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    database_url: SecretStr = Field(description="postgresql+psycopg://user:password@host:port/database")
    redis_url: SecretStr = Field(description="redis://:password@host:port/0 (rediss:// for TLS)")
    s3_bucket: str = Field(description="bucket that holds blobs, records and uploads")
    s3_endpoint_url: str | None = Field(None, description="None = AWS; else any S3-compatible endpoint")
    s3_region: str = Field("us-east-1", description="region used for signing; SeaweedFS accepts any")
    s3_access_key: SecretStr | None = Field(None, description="None = the SDK's own credential chain (IAM roles)")
    s3_secret_key: SecretStr | None = Field(None, description="belongs to s3_access_key")
    s3_source_buckets: tuple[str, ...] = Field(
        (), description="buckets that any tenant may name in image.s3; our own bucket allows {tenant}/uploads/ only"
    )
    secret_key: SecretStr = Field(description="32 url-safe base64 bytes; encrypts webhook secrets at rest")


class LedgerSettings(BaseSettings):
    """Leases and attempts."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    lease_seconds: Seconds = Field(20.0, description="seconds; a killed worker's rows wait this long")
    heartbeat_seconds: Seconds = Field(5.0, description="seconds; a quarter of the lease, so three beats may be lost")
    stage_limit_seconds: Seconds = Field(
        150.0, description="seconds one batch may take before its worker is ended; a batch of 8 at large size on CPU"
    )
    death_cap: Count = Field(3, description="deaths of a worker while holding a row alone, before quarantine")
    failure_cap: Count = Field(5, description="unexpected errors of a row alone, before quarantine")
    unreachable_cap: Count = Field(
        4, description="tries of an address that does not answer before the job is rejected (about 15 s of backoff)"
    )
    tenant_on_first_use: bool = Field(
        False, description="create unknown tenants when they first send a job; `make up` turns it on for a laptop"
    )
    sweep_seconds: Seconds = Field(2.0, description="seconds between sweeps; the design allows 5 at most")


class VisionSettings(BaseSettings):
    """Which model looks, and how."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore", protected_namespaces=())

    model: str = Field("shelf-tiny", description="directory, hub id, or 'shelf-tiny' (shipped)")
    model_revision: str | None = Field(None, description="pinned revision of a hub id; required for hub ids")
    adapter: Path | None = Field(
        None, description="LoRA directory; looks at every photo that no route gives another one; None = base"
    )
    adapters: Path | None = Field(
        None, description="directory whose subdirectories are LoRA adapters that routes may name; None = no others"
    )
    adapter_memory_mb: Count = Field(
        1024,
        description="MB of adapters' ready layers to hold; each takes what the layers take that it changes",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 …")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto = bfloat16 where it is faster (CUDA; CPUs with bfloat16, large models), else float32"
    )
    compile: Literal["off", "auto", "on"] = Field(
        "auto", description="PyTorch's compiler for the vision tower: takes a minute or more at start; auto = on CUDA"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of the model; None = all cores")
    batch_size: Count = Field(4, description="photos leased and decoded together")
    observation_cache: bool = Field(
        True,
        description="reuse what the same model saw in the same photo under the same plan; false looks again in every "
        "batch, to measure the model or while changing it",
    )
    text_reader: TextReaders = Field(
        TextReaders.FLORENCE,
        description="who reads text: florence, rapidocr in its place, or both apart; the last two need the extra 'ocr'",
    )
    text_reader_threads: Count = Field(
        1, description="CPU threads of rapidocr; one never contends with the model's, more pay where a GPU has those"
    )


class IntakeSettings(BaseSettings):
    """Fetching."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    fetch_timeout_seconds: Seconds = Field(10.0, description="seconds in all for one download, redirects included")
    max_image_bytes: Count = Field(20_000_000, description="bytes; Google Merchant's limit is 16 MB")
    fetch_allow_private: bool = Field(
        False, description="allow photo addresses on loopback and private networks; for development only"
    )


class PolicySettings(BaseSettings):
    """Which rules judge."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    policy: Path | None = Field(
        None, description="what judges while nothing is published: a policy file or directory; None = the starter pack"
    )
    taxonomy: Path | None = Field(
        None, description="compact taxonomy from `shelfguard taxonomy load`; None = the shipped one"
    )
    redecide_per_second: Annotated[float, Field(ge=1, le=1000)] = Field(
        20.0, description="photos judged again in a second, in the whole system; new photos share the processors"
    )


class ReviewSettings(BaseSettings):
    """How people's decisions are checked, and what their time is reckoned at."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    review_seconds: Seconds = Field(
        30.0, description="seconds a reviewer needs for one photo, until it is measured; prices rules in backtests"
    )
    review_blind_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05, description="0..1 of decided cases that a second person decides too, not knowing of the first"
    )
    review_golden_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="0..1 of claims that are given an item with a known answer, where there is one"
    )


class OpinionSettings(BaseSettings):
    """Second opinions: another model is asked about photos that rules are uncertain of. Off without an address."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore", protected_namespaces=())

    second_opinion_url: str | None = Field(
        None, description="base address of an OpenAI-compatible API (…/v1); None = nobody is asked"
    )
    second_opinion_model: str | None = Field(None, description="the model's name there; required with an address")
    second_opinion_api_key: SecretStr | None = Field(None, description="bearer key of that API; None = it wants none")
    second_opinion_allow_private: bool = Field(
        False, description="allow an address on loopback or a private network, any port and plain http (own vLLM)"
    )
    second_opinion_answer_format: Literal["json_schema", "json_object", "text"] = Field(
        "json_schema", description="what the server is asked to hold the answer to; we check it in any case"
    )
    second_opinion_timeout_seconds: Seconds = Field(20.0, description="seconds for one call; beyond it people look")
    second_opinion_photo_seconds: Seconds = Field(
        40.0, description="seconds for all calls about one photo; below the stage limit"
    )
    second_opinion_concurrency: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="photos that one publish worker leases and asks about at once; answers take seconds, not CPU"
    )
    second_opinion_answer_length: Count = Field(
        300, description="tokens an answer may take; a sentence of reason needs about 100"
    )
    second_opinion_price_in: Annotated[float, Field(ge=0)] = Field(
        0.0, description="price of a million tokens sent, any currency"
    )
    second_opinion_price_out: Annotated[float, Field(ge=0)] = Field(
        0.0, description="price of a million tokens answered"
    )
    second_opinion_reserve_in: Count = Field(
        4000, description="tokens sent that are set aside before a call; a picture takes 300 to 3,000, the text 1,000"
    )
    second_opinion_daily_calls: Annotated[int, Field(ge=0)] = Field(
        1000, description="calls of one tenant in a day (UTC)"
    )
    second_opinion_daily_cost: Annotated[float, Field(ge=0)] = Field(
        10.0, description="cost of one tenant in a day, in the currency of the prices"
    )
    second_opinion_daily_seconds: Annotated[float, Field(ge=0)] = Field(
        7200.0, description="seconds of one tenant's calls in a day, added up"
    )


class ApiSettings(BaseSettings):
    """Where the API listens, and what it takes."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    api_host: str = Field("127.0.0.1", description="address the API listens on; loopback unless a proxy stands before")
    api_port: int = Field(8080, ge=0, le=65535, description="port; 0 = any free one")
    max_body_bytes: Count = Field(28_000_000, description="bytes; a 20 MB photo as base64, plus the seller's words")


class PeopleSettings(BaseSettings):
    """People who log in to the pages."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    argon2_memory_kib: Annotated[int, Field(ge=8192)] = Field(
        65_536, description="KiB of memory for one hash; RFC 9106's second recommended option"
    )
    argon2_passes: Count = Field(3, description="passes over that memory, RFC 9106's; together about 0.1 s")
    argon2_lanes: Count = Field(4, description="lanes, RFC 9106's")
    session_idle_minutes: Count = Field(60, description="minutes without a request after which a session ends")
    session_hours: Count = Field(12, description="hours after which a session ends in any case: a long shift")
    login_window_minutes: Count = Field(15, description="minutes in which tries to log in are counted")
    login_account_tries: Count = Field(10, description="tries for one account in that window")
    login_address_tries: Count = Field(50, description="tries from one address in that window; an office shares one")
    cookies_over_http: bool = Field(
        False, description="session cookies over plain http, heeded on loopback only; `make up` turns it on"
    )
    trusted_hosts: tuple[str, ...] = Field(
        (), description="Host headers that are answered, such as shelfguard.example; empty = all"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses of proxies whose X-Forwarded-For and -Proto are believed; empty = none"
    )


class DeliverySettings(BaseSettings):
    """Webhooks."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    webhook_allow_private: bool = Field(
        False, description="allow webhooks to loopback and private networks, and plain http; `make up` turns it on"
    )
    webhook_timeout_seconds: Seconds = Field(20.0, description="seconds; Standard Webhooks advises 15 to 30")


class LogSettings(BaseSettings):
    """Logs."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="lowest level written")


class ClientSettings(BaseSettings):
    """Where the command line sends jobs. Unset = the local system in .shelfguard/."""

    model_config = SettingsConfigDict(env_prefix="SHELFGUARD_", extra="ignore")

    api_url: str | None = Field(None, description="base address of a Shelfguard API, e.g. https://shelfguard.example")
    api_token: SecretStr | None = Field(
        None, description="bearer token for that API; without an address: for the local system"
    )
    state_dir: Path = Field(Path(".shelfguard"), description="where the local system keeps its state")
