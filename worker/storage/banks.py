"""Hash banks in PostgreSQL: adding, importing, revoking, and counting matches so that a flood is noticed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from domain.banks import (
    FLOOD_LEAST_OF_BANK,
    FLOOD_LEAST_OF_ENTRY,
    MOST_THRESHOLD,
    USUAL_THRESHOLD,
    BankEntry,
    BankKind,
    is_flood,
)
from domain.errors import InputRejected, NotFound
from domain.inspection import pdq_digits, plain_text
from worker.storage.database import Database
from worker.storage.ids import plain, printable, uuid_of
from worker.storage.tables import bank_entries, bank_matches, bank_version, hash_banks, tenants

MOST_ENTRIES = 100_000  # of all banks; the index in memory is measured up to here
BATCH = 1_000  # rows in one statement
MOST_TEXT = 500  # characters of a note or a source
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class SqlBanks:
    """domain.ports.BankStore, and what people do with banks. Everything raises Unavailable without the database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # what workers need -----------------------------------------------------------------------------------------------

    def version(self) -> str:
        with self.database.transaction() as connection:
            return _version(connection)

    def entries(self) -> tuple[str, Sequence[BankEntry]]:
        with self.database.transaction() as connection:
            # The version first: a change in between is then read twice, never missed.
            version = _version(connection)
            rows = connection.execute(_entries().where(bank_entries.c.enabled, hash_banks.c.enabled)).mappings().all()
        return version, [_entry(row) for row in rows]

    def count(self, matched: Mapping[str, str]) -> Sequence[str]:
        with self.database.transaction() as connection:
            hour = func.date_trunc("hour", func.now())
            for entry_id in sorted(matched):  # in one order, so that two workers never wait for each other
                counted = upsert(bank_matches).values(entry_id=entry_id, hour=hour, matches=1)
                connection.execute(
                    counted.on_conflict_do_update(
                        index_elements=[bank_matches.c.entry_id, bank_matches.c.hour],
                        set_={"matches": bank_matches.c.matches + 1},
                    )
                )
            flooded = [name for id in sorted(matched) for name in _set_aside_entry(connection, id)]
            flooded += [name for bank in sorted(set(matched.values())) for name in _set_aside_bank(connection, bank)]
            if flooded:
                _changed(connection)
        return flooded

    # what people do --------------------------------------------------------------------------------------------------

    def add_bank(
        self, name: str, kind: BankKind, note: str = "", threshold: int = USUAL_THRESHOLD, tenant: str | None = None
    ) -> dict[str, Any]:
        """Raises InputRejected for a name that is taken or a threshold out of range, NotFound for an unknown tenant."""
        if not _NAME.fullmatch(name):
            raise InputRejected("bad_bank", "The bank's name may have lower-case letters, digits, '-' and '_' only.")
        values = {"kind": kind.value, "note": _text(note), "threshold": _threshold(threshold), "tenant": tenant}
        with self.database.transaction() as connection:
            if tenant is not None:
                _check_tenant(connection, tenant)
            made = connection.execute(
                upsert(hash_banks).values(name=name, **values).on_conflict_do_nothing().returning(hash_banks)
            )
            row = made.mappings().first()
            if row is None:
                raise InputRejected("bank_exists", f"There is a bank {name!r} already; choose another name.")
            _changed(connection)
        return _bank_json(row, 0)

    def add_entries(
        self, bank: str, hashes: Iterable[tuple[str, str]], *, by: str, source: str, threshold: int | None = None
    ) -> dict[str, int]:
        """(hash, note) pairs, all or none. A hash that the bank has already stays as it is; a revoked one comes back.

        Raises InputRejected that names the first hash that is none, NotFound for an unknown bank.
        """
        rows = {
            digits: _text(note) for digits, note in (_checked(number, pair) for number, pair in enumerate(hashes, 1))
        }
        limit = None if threshold is None else _threshold(threshold)
        common = {"bank": bank, "added_by": _text(by), "source": _text(source), "threshold": limit}
        added = 0
        with self.database.transaction() as connection:
            _check_bank(connection, bank)
            known = connection.execute(select(func.count()).select_from(bank_entries)).scalar_one()
            if known + len(rows) > MOST_ENTRIES:
                raise InputRejected(
                    "banks_full", f"All banks together hold {MOST_ENTRIES} hashes; revoking frees none."
                )
            for some in _batched(rows.items()):
                statement = upsert(bank_entries).values(
                    [{**common, "pdq": digits, "note": note} for digits, note in some]
                )
                anew = {name: statement.excluded[name] for name in (*common, "note") if name != "bank"}
                again = {**anew, "enabled": True, "revoked_at": None, "revoked_by": None, "set_aside": None}
                changed = statement.on_conflict_do_update(
                    index_elements=[bank_entries.c.bank, bank_entries.c.pdq],
                    set_=again,
                    where=bank_entries.c.enabled.is_(False),
                )
                added += len(connection.execute(changed.returning(bank_entries.c.id)).all())
            _changed(connection)
        return {"added": added, "known": len(rows) - added}

    def revoke(self, entry_id: str, by: str) -> dict[str, Any]:
        """An entry matches nothing from now on; it stays on record. Raises NotFound."""
        values = {"enabled": False, "revoked_at": func.now(), "revoked_by": _text(by)}
        return self._change_entry(entry_id, values)

    def release(self, entry_id: str) -> dict[str, Any]:
        """End an entry's quarantine. Raises NotFound."""
        return self._change_entry(entry_id, {"set_aside": None})

    def change_bank(self, name: str, **values: Any) -> dict[str, Any]:
        """Set `enabled` or `set_aside` of a bank. Raises NotFound."""
        with self.database.transaction() as connection:
            changed = connection.execute(
                update(hash_banks)
                .where(hash_banks.c.name == plain("bank", name))
                .values(**values)
                .returning(hash_banks)
            )
            row = changed.mappings().first()
            if row is None:
                raise NotFound("bank", printable(name))
            _changed(connection)
        return _bank_json(row, None)

    def list_banks(self) -> list[dict[str, Any]]:
        counts = select(bank_entries.c.bank, func.count().label("entries")).where(bank_entries.c.enabled)
        counted = counts.group_by(bank_entries.c.bank).subquery()
        query = (
            select(hash_banks, func.coalesce(counted.c.entries, 0).label("entries"))
            .outerjoin(counted, counted.c.bank == hash_banks.c.name)
            .order_by(hash_banks.c.name)
        )
        with self.database.transaction() as connection:
            return [_bank_json(row, row["entries"]) for row in connection.execute(query).mappings()]

    def list_entries(self, bank: str) -> list[dict[str, Any]]:
        """Revoked ones included. Raises NotFound."""
        with self.database.transaction() as connection:
            _check_bank(connection, bank)
            query = select(bank_entries).where(bank_entries.c.bank == bank)
            ordered = query.order_by(bank_entries.c.created_at, bank_entries.c.id)
            return [_entry_json(row) for row in connection.execute(ordered).mappings()]

    def _change_entry(self, entry_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        with self.database.transaction() as connection:
            changed = connection.execute(
                update(bank_entries)
                .where(bank_entries.c.id == uuid_of("bank entry", entry_id))
                .values(**values)
                .returning(bank_entries)
            )
            row = changed.mappings().first()
            if row is None:
                raise NotFound("bank entry", printable(entry_id))
            _changed(connection)
        return _entry_json(row)


def read_csv(text: str) -> list[tuple[str, str]]:
    """(hash, note) pairs from CSV with or without a head line "hash,note"; the note may be missing."""
    rows = [row for row in csv.reader(io.StringIO(text)) if row and row[0].strip()]
    if rows and rows[0][0].strip().lower() == "hash":
        rows = rows[1:]
    return [(row[0].strip(), row[1].strip() if len(row) > 1 else "") for row in rows]


def write_csv(entries: Iterable[Mapping[str, Any]]) -> str:
    """What `read_csv` reads, of entries in force."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["hash", "note"])
    writer.writerows([entry["hash"], entry["note"]] for entry in entries if entry["enabled"])
    return out.getvalue()


def _entries() -> Any:
    return (
        select(
            bank_entries,
            hash_banks.c.kind,
            hash_banks.c.tenant,
            func.coalesce(bank_entries.c.threshold, hash_banks.c.threshold).label("limit"),
            func.coalesce(hash_banks.c.set_aside, bank_entries.c.set_aside).label("aside"),
        )
        .join(hash_banks, hash_banks.c.name == bank_entries.c.bank)
        .order_by(bank_entries.c.id)
    )


def _entry(row: RowMapping) -> BankEntry:
    return BankEntry(
        id=row["id"],
        bank=row["bank"],
        kind=BankKind(row["kind"]),
        pdq=row["pdq"],
        threshold=row["limit"],
        note=row["note"],
        source=row["source"],
        added_by=row["added_by"],
        added_at=row["created_at"],
        tenant=row["tenant"],
        set_aside=row["aside"],
    )


def _version(connection: Connection) -> str:
    version = connection.execute(select(bank_version.c.version)).scalar_one_or_none()
    return "" if version is None else str(version)


def _changed(connection: Connection) -> None:
    counted = upsert(bank_version).values(single=True, version=1)
    connection.execute(
        counted.on_conflict_do_update(
            index_elements=[bank_version.c.single], set_={"version": bank_version.c.version + 1}
        )
    )


def _set_aside_entry(connection: Connection, entry_id: str) -> list[str]:
    this_entry = bank_matches.c.entry_id == entry_id
    since = select(bank_entries.c.created_at).where(bank_entries.c.id == entry_id)
    if not (why := _flood(connection, this_entry, since, FLOOD_LEAST_OF_ENTRY)):
        return []
    done = connection.execute(
        update(bank_entries)
        .where(bank_entries.c.id == entry_id, bank_entries.c.set_aside.is_(None))
        .values(set_aside=why)
    )
    return [f"entry {entry_id}: {why}"] if done.rowcount else []


def _set_aside_bank(connection: Connection, bank: str) -> list[str]:
    of_bank = bank_matches.c.entry_id.in_(select(bank_entries.c.id).where(bank_entries.c.bank == bank))
    since = select(hash_banks.c.created_at).where(hash_banks.c.name == bank)
    if not (why := _flood(connection, of_bank, since, FLOOD_LEAST_OF_BANK)):
        return []
    done = connection.execute(
        update(hash_banks).where(hash_banks.c.name == bank, hash_banks.c.set_aside.is_(None)).values(set_aside=why)
    )
    return [f"bank {bank}: {why}"] if done.rowcount else []


def _flood(connection: Connection, which: Any, since: Any, least: int) -> str:
    """Why this is a flood, or an empty string."""
    hour = func.date_trunc("hour", func.now())
    sums = select(
        func.coalesce(func.sum(bank_matches.c.matches).filter(bank_matches.c.hour == hour), 0).label("now"),
        func.coalesce(func.sum(bank_matches.c.matches).filter(bank_matches.c.hour < hour), 0).label("before"),
        (func.extract("epoch", func.now() - since.scalar_subquery()) / 3600).label("hours"),
    ).where(which)
    row = connection.execute(sums).one()
    if not is_flood(int(row.now), int(row.before), float(row.hours), least):
        return ""
    usual = int(row.before) / max(1.0, float(row.hours))
    return f"{row.now} matches in one hour, {usual:.1f} are usual ({datetime.now(UTC):%Y-%m-%d %H:%M} UTC)"


def _check_bank(connection: Connection, bank: str) -> None:
    if not connection.execute(select(hash_banks.c.name).where(hash_banks.c.name == plain("bank", bank))).first():
        raise NotFound("bank", printable(bank))


def _check_tenant(connection: Connection, tenant: str) -> None:
    if not connection.execute(select(tenants.c.id).where(tenants.c.id == plain("tenant", tenant))).first():
        raise NotFound("tenant", printable(tenant))


def _checked(number: int, pair: tuple[str, str]) -> tuple[str, str]:
    digits, note = pair
    try:
        return pdq_digits(digits.strip()), note
    except ValueError as error:
        raise InputRejected(
            "bad_hash", f"Hash {number} ({printable(digits)}): {error}; correct or remove it."
        ) from error


def _threshold(bits: int) -> int:
    if not 0 <= bits <= MOST_THRESHOLD:
        raise InputRejected(
            "bad_threshold", f"threshold: send a number of bits from 0 to {MOST_THRESHOLD}; 31 is usual."
        )
    return bits


def _text(text: str) -> str:
    return plain_text(text)[:MOST_TEXT]


def _batched(rows: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    left = iter(rows)
    while some := list(islice(left, BATCH)):
        yield some


def _bank_json(row: RowMapping, entries: int | None) -> dict[str, Any]:
    out = {name: row[name] for name in ("name", "tenant", "kind", "threshold", "note", "enabled", "set_aside")}
    out["created_at"] = row["created_at"].isoformat()
    return out if entries is None else out | {"entries": entries}


def _entry_json(row: RowMapping) -> dict[str, Any]:
    revoked = row["revoked_at"]
    return {
        "id": row["id"],
        "bank": row["bank"],
        "hash": row["pdq"],
        "threshold": row["threshold"],
        "note": row["note"],
        "source": row["source"],
        "added_by": row["added_by"],
        "added_at": row["created_at"].isoformat(),
        "enabled": row["enabled"],
        "revoked_at": revoked.isoformat() if revoked else None,
        "revoked_by": row["revoked_by"],
        "set_aside": row["set_aside"],
    }
