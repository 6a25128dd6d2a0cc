"""Past decisions with what they rest on, read in bulk: for backtests and for reports on shadow rules.

One snapshot (`pg_export_snapshot`) serves all processes of a replay, so that they see one state of the tables while
work goes on. Spans are runs of blocks of the decisions' table: every block is read once, in the order of the disk,
where spans of ids would jump about in it. Of each job only the latest decision counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, RowMapping, TextClause, text

from domain.jobs import ImageJob
from domain.observations import Observation
from domain.photos import StoredPhoto
from domain.policies import Bundle
from worker.storage.database import Database
from worker.storage.jobs import job_from_row

# Signals that are looked up before a photo is judged, so that of a decision of the past only its receipt tells them:
# which banks its picture was in, what had been decided of others like it.
RECALLED = ("bank_matches", "near_duplicates")
SPAN_BLOCKS = 128  # of 8 kB each: some hundred to some thousand decisions, a second's work or less
CHUNK = 250  # rows in memory at a time


@dataclass(frozen=True, slots=True)
class Selection:
    """Which decisions; empty = all. since is inclusive, until exclusive, both the moment of the decision.

    without: not those of these tenants.
    limit: at most so many, the newest; with a seed so many drawn by it, the same ones for the same seed.
    """

    tenants: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """One replay's view of the table. Any process may read it while the process that opened it keeps it open."""

    snapshot: str
    selection: Selection
    blocks: int
    cut: tuple[str, ...] | None = None  # where the limit falls

    def spans(self) -> list[tuple[int, int]]:
        """Runs of blocks, ends exclusive, that cover the table."""
        return [(low, min(low + SPAN_BLOCKS, self.blocks)) for low in range(0, self.blocks, SPAN_BLOCKS)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Signals to read from receipts: `few` where the decision is of one of these policy versions, else `all`."""

    all: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision as it was made. signals: those that were wanted and that its receipt has.

    look: which decisions are alike in what can be asked of them: one plan of looking, one kind of intake, the same
    things looked up. recalled: the signals among RECALLED that its receipt has.
    """

    id: str
    job_id: str
    tenant: str
    product_id: str
    image_id: str
    channels: Mapping[str, str]
    findings: Sequence[Mapping[str, Any]]
    policy_version: str | None
    taxonomy: str | None
    recalled: frozenset[str]
    signals: Mapping[str, Any]
    look: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a decision rests on: the job, its photo, and what was seen in it."""

    job: ImageJob
    photo: StoredPhoto
    seen: Observation


class History:
    """Everything raises Unavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def open(self, selection: Selection) -> Iterator[Scan]:
        """Fix a state of the tables until the end of the block."""
        with self._snapshot() as connection:
            name = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            blocks = connection.execute(_BLOCKS).scalar_one()
            yield Scan(name, selection, blocks, _cut(connection, selection))

    @contextmanager
    def reading(self, scan: Scan) -> Iterator[Reader]:
        """Read in the scan's state, from this process."""
        with self._snapshot() as connection:
            # A name that PostgreSQL itself made, in a place where it takes no parameter.
            quoted = scan.snapshot.replace("'", "''")
            connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{quoted}'")
            yield Reader(connection, scan)

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with self._database.transaction(isolation="REPEATABLE READ") as connection:
            yield connection


class Reader:
    """Reads one scan."""

    def __init__(self, connection: Connection, scan: Scan) -> None:
        self._connection = connection
        self._scan = scan

    def chunks(self, span: tuple[int, int], wanted: Wanted) -> Iterator[list[PastDecision]]:
        """The span's decisions, some hundred at a time, by a cursor that stays on the server."""
        statement, values = _query(self._scan, wanted)
        values |= {"low": f"({span[0]},0)", "high": f"({span[1]},0)"}
        streaming = self._connection.execution_options(yield_per=CHUNK)
        with streaming.execute(statement, values) as result:
            for rows in result.mappings().partitions():
                yield [_decision(row) for row in rows]

    def some(self, ids: Sequence[str]) -> list[PastDecision]:
        """These decisions with all their signals, in the order of their ids."""
        statement = text(f"{_SELECT} WHERE d.id = ANY(CAST(:ids AS uuid[])) ORDER BY d.id")
        values: dict[str, Any] = {"ids": list(ids), "all": None, "few": None, "versions": [], "recalled": [*RECALLED]}
        rows = self._connection.execute(statement, values).mappings()
        return [_decision(row) for row in rows]

    def policy(self, version: str) -> Bundle | None:
        """The files of a policy; None where they are not kept."""
        row = self._connection.execute(_POLICY, {"version": version}).first()
        return None if row is None else Bundle(row.entry, row.files)

    def seen(self, job_ids: Sequence[str]) -> dict[str, Seen | Exception]:
        """What the decisions of these jobs rest on, by job. In place of a form that cannot be read, why."""
        rows = self._connection.execute(_SEEN, {"ids": list(job_ids)}).mappings().all()
        return {row["id"]: _seen(row) for row in rows}


_BLOCKS = text("SELECT CAST(pg_relation_size('decisions') / CAST(current_setting('block_size') AS bigint) AS bigint)")
_POLICY = text("SELECT entry, files FROM policy_versions WHERE version = :version")
_SEEN = text(
    "SELECT CAST(j.id AS text) AS id, j.tenant, j.product_id, j.image_id, j.priority, j.idempotency_key, j.body, "
    "j.photo, o.data AS seen FROM jobs j JOIN observations o ON o.job_id = j.id "
    "WHERE j.id = ANY(CAST(:ids AS uuid[]))"
)
# jsonb_to_record opens each large value once; `->` would decompress it anew in every expression.
_FROM = """
FROM decisions d
CROSS JOIN LATERAL jsonb_to_record(d.data) AS x(channels jsonb, findings jsonb, receipt jsonb)
LEFT JOIN LATERAL jsonb_to_record(x.receipt) AS r(policy_version text, taxonomy text, signals jsonb) ON true
LEFT JOIN observations o ON o.job_id = d.job_id
LEFT JOIN jobs j ON j.id = d.job_id
"""
# What tells whether a signal could be observed: the plan of looking, and what intake measured in its time.
_LOOK = """
  COALESCE(o.plan_digest, '') || ':' || COALESCE(
    (SELECT string_agg(p.key, ',' ORDER BY p.key) FROM jsonb_each(j.photo) AS p WHERE p.value <> 'null'), '') AS look"""
_RECALLED = """
  ARRAY(SELECT n.name FROM unnest(CAST(:recalled AS text[])) AS n(name) WHERE r.signals ? n.name) AS recalled"""
_SELECT = f"""
SELECT CAST(d.id AS text) AS id, CAST(d.job_id AS text) AS job_id, d.tenant, d.product_id, d.image_id,
  CAST(x.channels AS text) AS channels, CAST(x.findings AS text) AS findings, r.policy_version,
  r.taxonomy,{_LOOK},{_RECALLED},
  (SELECT jsonb_object_agg(s.key, s.value) FROM jsonb_each(r.signals) AS s
   WHERE CAST(:all AS text[]) IS NULL OR s.key = ANY(
     CASE WHEN r.policy_version = ANY(CAST(:versions AS text[])) THEN CAST(:few AS text[])
          ELSE CAST(:all AS text[]) END)) AS signals
{_FROM}"""  # noqa: S608  # constants of this module; values are bound
_LATEST = (
    "NOT EXISTS (SELECT 1 FROM decisions n WHERE n.job_id = d.job_id AND "
    "(n.created_at > d.created_at OR (n.created_at = d.created_at AND n.id < d.id)))"
)
_DRAWN = "md5(CAST(:seed AS text) || ':' || CAST(d.id AS text))"


def _query(scan: Scan, wanted: Wanted) -> tuple[TextClause, dict[str, Any]]:
    conditions, values = _conditions(scan.selection)
    if scan.cut and scan.selection.seed is None:
        conditions.append("(d.created_at, d.id) >= (CAST(:cut_at AS timestamptz), CAST(:cut_id AS uuid))")
        values |= {"cut_at": scan.cut[0], "cut_id": scan.cut[1]}
    elif scan.cut:
        conditions.append(f"{_DRAWN} <= :cut")
        values |= {"seed": scan.selection.seed, "cut": scan.cut[0]}
    span = ["d.ctid >= CAST(:low AS tid)", "d.ctid < CAST(:high AS tid)"]
    values |= {"all": list(wanted.all), "few": list(wanted.few), "versions": list(wanted.versions)}
    values["recalled"] = list(RECALLED)
    return text(f"{_SELECT} WHERE {' AND '.join([*span, *conditions])}"), values


def _conditions(selection: Selection) -> tuple[list[str], dict[str, Any]]:
    """What makes a decision one of the selected, but for the limit."""
    conditions, values = [_LATEST], dict[str, Any]()
    for name, condition, value in (
        ("tenants", "d.tenant = ANY(CAST(:tenants AS text[]))", list(selection.tenants)),
        ("without", "d.tenant <> ALL(CAST(:without AS text[]))", list(selection.without)),
        ("channels", "d.data->'channels' ?| CAST(:channels AS text[])", list(selection.channels)),
        ("since", "d.created_at >= :since", selection.since),
        ("until", "d.created_at < :until", selection.until),
    ):
        if value:
            conditions.append(condition)
            values[name] = value
    return conditions, values


def _cut(connection: Connection, selection: Selection) -> tuple[str, ...] | None:
    """The last one that the limit lets in; None where it lets in all."""
    if selection.limit is None:
        return None
    conditions, values = _conditions(selection)
    which = f"FROM decisions d WHERE {' AND '.join(conditions)}"
    values["skip"] = selection.limit - 1
    if selection.seed is None:
        newest = f"SELECT CAST(d.created_at AS text), CAST(d.id AS text) {which} ORDER BY d.created_at DESC, d.id DESC"
        row = connection.execute(text(f"{newest} LIMIT 1 OFFSET :skip"), values).first()
    else:
        values["seed"] = selection.seed
        drawn = f"SELECT {_DRAWN} AS drawn {which} ORDER BY drawn LIMIT 1 OFFSET :skip"
        row = connection.execute(text(drawn), values).first()
    return None if row is None else tuple(row)


@lru_cache(maxsize=10_000)
def _repeated(value: str) -> Any:
    """JSON that many rows have alike, read once."""
    return json.loads(value)


def _decision(row: RowMapping) -> PastDecision:
    return PastDecision(
        id=row["id"],
        job_id=row["job_id"],
        tenant=row["tenant"],
        product_id=row["product_id"],
        image_id=row["image_id"],
        channels=_repeated(row["channels"]),
        findings=json.loads(row["findings"]),
        policy_version=row["policy_version"],
        taxonomy=row["taxonomy"],
        recalled=frozenset(row["recalled"]),
        signals=row["signals"] or {},
        look=f"{row['look']}:{','.join(row['recalled'])}",
    )


def _seen(row: RowMapping) -> Seen | Exception:
    try:
        return Seen(job_from_row(row), StoredPhoto.from_json(row["photo"]), Observation.from_json(row["seen"]))
    except Exception as error:  # a form of another time; whoever asked decides what that means
        return error
