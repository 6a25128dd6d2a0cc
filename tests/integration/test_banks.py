"""Hash banks and look-alikes in a real database, and the commands over them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from domain.banks import FLOOD_LEAST_OF_ENTRY, BankKind
from domain.errors import InputRejected, NotFound
from domain.inspection import PerceptualHash
from domain.jobs import JobState
from domain.moderation import Verdict
from domain.photos import StoredPhoto
from tests.factories import INSPECTION, a_decision, a_job, a_stored_photo, an_observation
from tests.integration.storage import a_ledger, accepted, publish
from tests.worker.intake.pictures import colours, encode
from tests.worker.intake.test_pdq import patches
from worker.cli.main import app
from worker.storage.banks import SqlBanks, read_csv, write_csv
from worker.storage.database import Database
from worker.storage.earlier import SqlEarlierPhotos

pytestmark = pytest.mark.integration
KNOWN = "0f" * 32


def photo_with(pdq: str = KNOWN, quality: int = 100) -> StoredPhoto:
    return a_stored_photo(inspection=dataclasses.replace(INSPECTION, pdq=PerceptualHash(pdq, quality)))


def flipped(bits: int, pdq: str = KNOWN) -> str:
    return f"{int(pdq, 16) ^ sum(1 << 17 * place % 256 for place in range(bits)):064x}"


def test_entries_keep_who_why_and_where_from(database: Database) -> None:
    banks = SqlBanks(database)
    banks.add_bank("provenance", BankKind.BLOCK, "stolen photos", threshold=20)
    before = banks.version()
    done = banks.add_entries("provenance", [(KNOWN.upper(), "case 7\x00"), (flipped(9), "")], by="ann", source="police")
    assert done == {"added": 2, "known": 0}
    assert banks.version() != before
    version, entries = banks.entries()
    mine = {entry.pdq: entry for entry in entries if entry.bank == "provenance"}
    entry = mine[KNOWN]
    assert version == banks.version()
    assert (entry.kind, entry.threshold, entry.note, entry.source, entry.added_by) == (
        BankKind.BLOCK,
        20,
        "case 7 ",
        "police",
        "ann",
    )


def test_an_entry_comes_once_is_revoked_on_record_and_comes_back(database: Database) -> None:
    banks = SqlBanks(database)
    banks.add_bank("again", BankKind.ALLOW)
    banks.add_entries("again", [(KNOWN, "first")], by="ann", source="a")
    assert banks.add_entries("again", [(KNOWN, "second")], by="bob", source="b") == {"added": 0, "known": 1}
    (entry,) = banks.list_entries("again")
    assert (entry["note"], entry["added_by"]) == ("first", "ann")
    assert banks.revoke(entry["id"], "eve")["revoked_by"] == "eve"
    assert [one for one in banks.entries()[1] if one.bank == "again"] == []
    assert banks.add_entries("again", [(KNOWN, "third")], by="bob", source="b") == {"added": 1, "known": 0}
    (entry,) = banks.list_entries("again")
    assert (entry["note"], entry["enabled"], entry["revoked_by"]) == ("third", True, None)


def test_what_makes_no_sense_is_refused_and_nothing_of_it_kept(database: Database) -> None:
    banks = SqlBanks(database)
    banks.add_bank("strict", BankKind.BLOCK)
    with pytest.raises(InputRejected, match="Hash 2"):
        banks.add_entries("strict", [(KNOWN, ""), ("xyz", "")], by="ann", source="a")
    assert banks.list_entries("strict") == []
    for call, error in (
        (lambda: banks.add_bank("strict", BankKind.BLOCK), InputRejected),
        (lambda: banks.add_bank("No Name", BankKind.BLOCK), InputRejected),
        (lambda: banks.add_bank("wide", BankKind.BLOCK, threshold=64), InputRejected),
        (lambda: banks.add_bank("theirs", BankKind.BLOCK, tenant="nobody"), NotFound),
        (lambda: banks.add_entries("none", [(KNOWN, "")], by="a", source="a"), NotFound),
        (lambda: banks.revoke("00000000-0000-0000-0000-000000000000", "a"), NotFound),
        (lambda: banks.list_entries("none"), NotFound),
    ):
        with pytest.raises(error):
            call()


def test_csv_goes_out_and_comes_in_the_same(database: Database) -> None:
    banks = SqlBanks(database)
    for name in ("out", "in"):
        banks.add_bank(name, BankKind.BLOCK)
    banks.add_entries("out", [(KNOWN, 'with "quotes", commas'), (flipped(3), "")], by="ann", source="a")
    banks.add_entries("in", read_csv(write_csv(banks.list_entries("out"))), by="bob", source="out")
    pairs = [{(one["hash"], one["note"]) for one in banks.list_entries(name)} for name in ("out", "in")]
    assert pairs[0] == pairs[1] and len(pairs[0]) == 2


def test_an_entry_that_floods_is_set_aside_and_can_be_released(database: Database) -> None:
    banks = SqlBanks(database)
    banks.add_bank("flooding", BankKind.BLOCK)
    banks.add_entries("flooding", [(KNOWN, "a white square"), (flipped(40), "steady")], by="ann", source="a")
    ids = {one["note"]: one["id"] for one in banks.list_entries("flooding")}
    hit = {ids["a white square"]: "flooding"}
    before = banks.version()
    for _ in range(FLOOD_LEAST_OF_ENTRY):
        assert banks.count(hit) == []
    assert banks.version() == before
    (alarm,) = banks.count(hit)
    assert "matches in one hour" in alarm
    assert banks.version() != before
    assert banks.count(hit) == []  # told once
    aside = {one.note: one.set_aside for one in banks.entries()[1] if one.bank == "flooding"}
    assert aside["a white square"] and aside["steady"] is None
    banks.release(hit.popitem()[0])
    assert all(one.set_aside is None for one in banks.entries()[1] if one.bank == "flooding")


def decided(
    database: Database, product: str, pdq: str, verdict: Verdict, tenant: str = "acme", quality: int = 100
) -> str:
    ledger = a_ledger(database)
    job_id = accepted(ledger, a_job(product_id=product, tenant=tenant))
    ledger.ready(ledger.lease(JobState.RECEIVED, 1)[0].lease, photo_with(pdq, quality))
    ledger.observed(ledger.lease(JobState.READY, 1)[0].lease, an_observation(), "plan")
    publish(ledger, ledger.lease(JobState.OBSERVED, 1)[0], a_decision(verdict))
    return job_id


def test_look_alikes_of_the_same_tenant_are_found_with_their_decision(database: Database) -> None:
    near, nearer = (
        decided(database, "p-12", flipped(12), Verdict.REJECT),
        decided(database, "p-3", flipped(3), Verdict.APPROVE),
    )
    decided(database, "p-30", flipped(30), Verdict.REJECT)
    decided(database, "theirs", KNOWN, Verdict.REJECT, tenant="other")
    decided(database, "poor", flipped(1), Verdict.REJECT, quality=10)
    decided(database, "sku-1", KNOWN, Verdict.REJECT)  # this very photo, sent before
    earlier = SqlEarlierPhotos(database)
    found = earlier.near(a_job(), photo_with())
    assert [(one.job_id, one.product_id, one.verdict, one.distance) for one in found] == [
        (nearer, "p-3", "approve", 3),
        (near, "p-12", "reject", 12),
    ]
    first, *_ = earlier.near(a_job(product_id="new"), photo_with())
    assert first.product_id == "sku-1"
    assert earlier.near(a_job(), photo_with(quality=10)) == []
    assert earlier.near(a_job(), a_stored_photo(inspection=None)) == []


def test_a_photo_that_is_not_decided_yet_is_no_precedent(database: Database) -> None:
    ledger = a_ledger(database)
    accepted(ledger, a_job(product_id="waiting", tenant="slow"))
    ledger.ready(ledger.lease(JobState.RECEIVED, 1)[0].lease, photo_with())
    assert SqlEarlierPhotos(database).near(a_job(tenant="slow"), photo_with()) == []


# -- Commands ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(database: Database, monkeypatch: pytest.MonkeyPatch) -> Any:
    address = database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("SHELFGUARD_DATABASE_URL", address)

    def call(*argv: str) -> Any:
        result = CliRunner().invoke(app, ["bank", *argv, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return call


def test_a_photo_is_added_matched_explained_outweighed_and_revoked(run: Any, tmp_path: Path) -> None:
    original, copy = tmp_path / "a.png", tmp_path / "b.jpg"
    picture = Image.fromarray(patches(11, 400, 600))
    original.write_bytes(encode(picture, "PNG"))
    copy.write_bytes(encode(picture.resize((450, 300)), "JPEG", quality=60))
    assert run("add", "cli", str(original), "--kind", "block", "--note", "stolen")["added"] == 1
    answer = run("match", str(copy))
    (match,) = answer["matches"]
    assert (match["bank"], match["kind"], match["note"], match["outweighed"]) == ("cli", "block", "stolen", False)
    assert match["distance"] <= 31 and answer["usable"] and answer["bank_version"]
    run("add", "cli-fine", answer["hash"], "--kind", "allow", "--threshold", "5")
    both = {one["bank"]: one for one in run("match", str(copy))["matches"]}
    assert both["cli"]["outweighed"] is (both["cli"]["distance"] > 0)
    assert run("revoke", match["entry"])["enabled"] is False
    assert "cli" not in {one["bank"] for one in run("match", str(copy))["matches"]}
    assert run("revoke", "cli-fine")["enabled"] is False
    assert run("match", str(copy))["matches"] == []
    assert run("release", "cli-fine")["enabled"] is True


def test_a_csv_is_imported_and_a_picture_of_nothing_is_not(run: Any, tmp_path: Path) -> None:
    table, blank = tmp_path / "hashes.csv", tmp_path / "blank.png"
    table.write_text(f"hash,note\n{flipped(77)},one\n{flipped(78)},two\n")
    blank.write_bytes(encode(colours().resize((64, 64)).point(lambda _: 255), "PNG"))
    run("add", "imported", "--kind", "block")
    assert run("import", "imported", str(table), "--source", "exchange") == {"added": 2, "known": 0, "bank": "imported"}
    assert {one["source"] for one in run("list", "imported")["entries"]} == {"exchange"}
    assert {one["name"]: one["entries"] for one in run("list")["banks"]}["imported"] == 2
    with pytest.raises(InputRejected, match="too little structure"):
        run("add", "imported", str(blank))
    with pytest.raises(NotFound, match="photo or PDQ hash"):
        run("match", "nothing.jpg")
