"""What `shelfguard doctor` looks at. Each check says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from domain.errors import ShelfguardError

_SERVERS = (
    "Set SHELFGUARD_DATABASE_URL, SHELFGUARD_REDIS_URL and SHELFGUARD_S3_* (README, 'Real servers'), or use `make up`."
)


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "remedy": self.remedy}


def run_checks() -> list[Check]:
    """All checks, in the order in which one needs the other."""
    return [
        _check("settings", _settings, _SERVERS),
        _check("database", _database, "Start PostgreSQL 14 or newer, or correct SHELFGUARD_DATABASE_URL."),
        _check("schema", _schema, "Run `shelfguard migrate`."),
        _check("broker", _broker, "Start Redis 7 or newer (or Valkey), or correct SHELFGUARD_REDIS_URL."),
        _check("object store", _objects, "Create the bucket or correct SHELFGUARD_S3_*; allow get, put, delete."),
        _check(
            "secret key",
            _secret_key,
            "Make one: python -c 'from cryptography.fernet import Fernet as F; "
            "print(F.generate_key().decode())' and set SHELFGUARD_SECRET_KEY.",
        ),
        _check(
            "model", _model, "Set SHELFGUARD_MODEL to a Florence-2 directory, or unset it for the shipped shelf-tiny."
        ),
        _check(
            "text reader",
            _text_reader,
            "Install it (pip install 'shelfguard[ocr]'), or unset SHELFGUARD_TEXT_READER to read with the model.",
        ),
        _check("policy", _policy, "Run `shelfguard policy check` on the file that SHELFGUARD_POLICY names."),
        _check(
            "published policies",
            _published,
            "Publish a corrected policy, or go back: `shelfguard policy rollback` (see `policy list --versions`).",
        ),
        _check(
            "second opinions",
            _second_opinions,
            "Correct SHELFGUARD_SECOND_OPINION_*, or unset SHELFGUARD_SECOND_OPINION_URL to ask nobody.",
        ),
        _check("sandbox", _sandbox, "The decode sandbox needs fork and setrlimit (Linux or macOS)."),
    ]


def _check(name: str, look: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(name, True, look())
    except ValidationError as error:
        missing = ", ".join(f"SHELFGUARD_{str(item['loc'][0]).upper()}" for item in error.errors())
        return Check(name, False, f"missing or wrong: {missing}", _SERVERS)
    except ShelfguardError as error:
        return Check(name, False, str(error), remedy)
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}", remedy)


def _settings() -> str:
    from worker import wiring

    wiring.servers()
    wiring.ledger_settings()
    return "complete"


def _database() -> str:
    from sqlalchemy import text

    from worker import wiring

    with wiring.database().transaction() as connection:
        number = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if number < 140_000:
        raise ValueError(f"PostgreSQL {number // 10_000} is too old")
    return f"PostgreSQL {number // 10_000} answers"


def _schema() -> str:
    from worker import wiring
    from worker.storage.schema import current_and_head

    current, head = current_and_head(wiring.servers().database_url.get_secret_value())
    if current != head:
        raise ValueError(f"the schema is at {current}, this code needs {head}")
    return f"at revision {current}"


def _broker() -> str:
    from worker import wiring

    with wiring.celery_app().connection_for_write(connect_timeout=3) as connection:
        info = connection.default_channel.client.info()
    policy = info.get("maxmemory_policy")
    if policy not in (None, "noeviction"):
        raise ValueError(f"maxmemory-policy is {policy}: the broker may drop messages; set it to noeviction")
    return f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version')} answers"


def _objects() -> str:
    from worker import wiring

    store = wiring.artifacts()
    key = store.put_blob("doctor", b"shelfguard doctor", "text/plain")
    if store.get(key) != b"shelfguard doctor":
        raise ValueError("what was written does not read back")
    store.delete(key)
    return f"bucket {wiring.servers().s3_bucket} can be written, read and deleted"


def _secret_key() -> str:
    from cryptography.fernet import Fernet

    from worker import wiring

    Fernet(wiring.servers().secret_key.get_secret_value().encode())
    return "usable"


def _model() -> str:
    from worker.settings import VisionSettings
    from worker.vision.florence import verify

    chosen = VisionSettings()
    return verify(chosen.model, chosen.model_revision).identity


def _text_reader() -> str:
    from worker import wiring

    return wiring.check_text_reader()


def _policy() -> str:
    from worker import wiring

    shipped = wiring.shipped_policy().policy
    return f"{shipped.id}, {len(shipped.rules)} rules"


def _published() -> str:
    from worker import wiring
    from worker.policy.engine import PolicyEngine

    live = [one for one in wiring.policies().live().scopes.values() if one.version is not None]
    for one in live:
        PolicyEngine.of_bundle(wiring.policies().bundle(str(one.version)), wiring.taxonomy()).rehearsed()
    return f"{len(live)} published, each loads and passes its tests" if live else "none; what is shipped judges"


def _second_opinions() -> str:
    from worker import wiring

    advice = wiring.second_opinions()
    if advice is None:
        return "off"
    daily = advice.bounds.daily
    return (
        f"{advice.endpoint.wording.model}, at most {daily.calls} calls, {daily.micros / 1e6:g} of cost and "
        f"{daily.milliseconds / 1e3:g} seconds a tenant and day (nobody was asked just now)"
    )


def _sandbox() -> str:
    import io

    from PIL import Image

    from worker.intake.decode import close_sandbox, decode_photo

    out = io.BytesIO()
    Image.new("RGB", (32, 32), "white").save(out, "PNG")
    photo = decode_photo(out.getvalue())
    close_sandbox()
    return f"decodes ({photo.width}x{photo.height})"
