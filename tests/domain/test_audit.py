"""Every kind of tampering with the audit log is found, and where."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.audit import GENESIS, Actor, Entry, find_faults

ADA = Actor("person", "1", "Ada")


def a_log(length: int = 6) -> list[Entry]:
    log: list[Entry] = []
    for number in range(1, length + 1):
        at = datetime(2026, 11, 24, tzinfo=UTC) + timedelta(minutes=number)
        entry = Entry(
            number, at, ADA, "login", f"person:{number}", None, {"n": number}, log[-1].hash if log else GENESIS
        )
        log.append(replace(entry, hash=entry.link()))
    return log


def faults(log: list[Entry], heads: dict[int, str] | None = None) -> list[tuple[int, str]]:
    return [(fault.number, fault.kind) for fault in find_faults(log, heads or {})]


def heads_of(log: list[Entry]) -> dict[int, str]:
    return {entry.number: entry.hash for entry in (log[2], log[-1])}


def test_what_was_written_has_no_faults() -> None:
    assert faults(a_log(), heads_of(a_log())) == []
    assert faults([]) == []


@pytest.mark.parametrize(
    "change",
    [{"subject": "x"}, {"actor": Actor("person", "2", "Bea")}, {"data": {}}, {"act": "logout"}, {"tenant": "a"}],
)
def test_a_changed_entry(change: dict[str, object]) -> None:
    log = a_log()
    log[3] = replace(log[3], **change)  # type: ignore[arg-type]
    assert faults(log) == [(4, "changed")]


def test_a_changed_entry_whose_hash_was_written_anew_shows_in_the_next() -> None:
    log = a_log()
    changed = replace(log[3], subject="x")
    log[3] = replace(changed, hash=changed.link())
    assert faults(log) == [(5, "reordered")]


def test_removed_entries() -> None:
    log = a_log()
    assert faults(log[:2] + log[4:]) == [(3, "removed")]
    assert faults(log[1:]) == [(1, "removed")]


def test_two_entries_in_each_others_place() -> None:
    log = a_log()
    log[2], log[3] = replace(log[3], number=3), replace(log[2], number=4)
    assert [number for number, _ in faults(log)] == [3, 4, 5][: len(faults(log))]
    assert faults(log)


def test_a_log_cut_short_needs_the_kept_head() -> None:
    log = a_log()
    assert faults(log[:4]) == []
    assert faults(log[:4], heads_of(log)) == [(5, "truncated")]
    assert faults([], heads_of(log)) == [(1, "truncated")]


def test_a_log_written_anew_from_one_entry_on_does_not_fit_its_heads() -> None:
    kept = heads_of(a_log())
    forged = a_log(1)
    for entry in a_log()[1:]:
        new = replace(entry, actor=Actor("person", "2", "Bea"), previous=forged[-1].hash)
        forged.append(replace(new, hash=new.link()))
    assert faults(forged) == []
    assert faults(forged, kept) == [(3, "rewritten"), (6, "rewritten")]
