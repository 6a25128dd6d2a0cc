"""shelfguard bank: known pictures by perceptual hash, to block or to allow what looks like them."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from domain.banks import LEAST_QUALITY, MOST_THRESHOLD, USUAL_THRESHOLD, BankKind, BankMatch, settle
from domain.errors import InputRejected, NotFound
from domain.inspection import PerceptualHash, pdq_digits
from worker.cli.client import read_up
from worker.intake.decode import close_sandbox, decode_photo
from worker.policy.hash_index import HashIndex
from worker.storage.banks import SqlBanks, read_csv, write_csv
from worker.storage.database import Database

bank_app = typer.Typer(help="Known pictures, to block or to allow what looks like them.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Bank = Annotated[str, typer.Argument(help="Its name.")]
By = Annotated[str | None, typer.Option(help="Who does it. Default: your user name.", show_default=False)]
Source = Annotated[str, typer.Option(help="Where the hashes come from, e.g. a case number or an exchange.")]
Threshold = Annotated[
    int | None, typer.Option(min=0, max=MOST_THRESHOLD, help="Bits that may differ. Default: the bank's.")
]
BANK_COLUMNS = ("name", "kind", "entries", "threshold", "tenant", "enabled", "set_aside", "note")
ENTRY_COLUMNS = ("id", "hash", "note", "source", "added_by", "added_at", "enabled", "set_aside")
MOST_SHOWN = 5  # nearest entries that do not match, for whoever asks why not


class Kind(StrEnum):
    BLOCK = "block"
    ALLOW = "allow"


@bank_app.command()
def add(
    bank: Bank,
    pictures: Annotated[
        list[str] | None, typer.Argument(help="Photos, or PDQ hashes of 64 hexadecimal digits.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Make the bank, of this kind, if there is none.")] = None,
    tenant: Annotated[str | None, typer.Option(help="A new bank: for this tenant only. Default: for all.")] = None,
    threshold: Threshold = None,
    note: Annotated[str, typer.Option(help="Why; shown with every match.")] = "",
    source: Source = "command line",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Make a bank, or add pictures to one, or both."""
    hashes = [_hash_of(picture) for picture in pictures or ()]
    poor = [name for name, found in zip(pictures or (), hashes, strict=True) if found.quality < LEAST_QUALITY]
    if poor:
        why = f"{', '.join(poor)}: too little structure (quality under {LEAST_QUALITY}); its hash would match nothing."
        raise InputRejected("poor_hash", why)
    pairs = [(found.hex, note) for found in hashes]
    with _open_banks() as banks:
        if kind is not None and not _is_bank(banks, bank):
            usual = USUAL_THRESHOLD if threshold is None else threshold
            banks.add_bank(bank, BankKind(kind.value), note, usual, tenant)
        done = banks.add_entries(bank, pairs, by=by or getpass.getuser(), source=source, threshold=threshold)
    _say(done | {"bank": bank}, f"{bank}: {done['added']} added, {done['known']} known already.", as_json)


@bank_app.command("import")
def import_csv(
    bank: Bank,
    file: Annotated[Path, typer.Argument(help="CSV with the columns hash and note; a head line may stand above.")],
    source: Source,
    threshold: Threshold = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Add the hashes of a CSV file to a bank, all or none."""
    try:
        pairs = read_csv(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputRejected("bad_csv", f"{file} cannot be read ({error}); give a CSV file in UTF-8.") from error
    with _open_banks() as banks:
        done = banks.add_entries(bank, pairs, by=by or getpass.getuser(), source=source, threshold=threshold)
    _say(done | {"bank": bank}, f"{bank}: {done['added']} added, {done['known']} known already.", as_json)


@bank_app.command("list")
def list_(
    bank: Annotated[str | None, typer.Argument(help="Its entries; left out: the banks.", show_default=False)] = None,
    csv: Annotated[bool, typer.Option("--csv", help="A bank's entries in force, as `import` takes them.")] = False,
    as_json: AsJson = False,
) -> None:
    """List banks, or the entries of one with their provenance; or export them."""
    with _open_banks() as banks:
        items = banks.list_banks() if bank is None else banks.list_entries(bank)
    columns = ENTRY_COLUMNS if bank else BANK_COLUMNS
    if csv:
        typer.echo(write_csv(items if bank else ()), nl=False)
    elif as_json:
        typer.echo(json.dumps({"entries" if bank else "banks": items}))
    else:
        _print_table(columns, items)


@bank_app.command()
def match(
    picture: Annotated[str, typer.Argument(help="A photo, or a PDQ hash of 64 hexadecimal digits.")],
    tenant: Annotated[str, typer.Option(help="Whose banks are asked, beside everybody's.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Say what a picture matches and why, what outweighs what, and what it nearly matches."""
    found = _hash_of(picture)
    with _open_banks() as banks:
        version, entries = banks.entries()
    index = HashIndex(entries)
    matches = index.near(found, tenant)
    kept = settle(matches)
    near = sorted(zip(index.distances(found).tolist(), entries, strict=True), key=lambda pair: (pair[0], pair[1].id))
    shown = {one.entry.id for one in matches}
    others = [BankMatch(entry, distance) for distance, entry in near if entry.id not in shown][:MOST_SHOWN]
    document = {
        "hash": found.hex,
        "quality": found.quality,
        "usable": found.quality >= LEAST_QUALITY,
        "bank_version": version,
        "matches": [one.as_json() | {"outweighed": one not in kept} for one in matches],
        "nearest_others": [one.as_json() for one in others],
    }
    if as_json:
        typer.echo(json.dumps(document))
        return
    _explain(document)


@bank_app.command()
def revoke(
    entry: Annotated[str, typer.Argument(help="Id of an entry, from `bank list BANK`; or a bank's name.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """End an entry, or switch off a whole bank. It stays on record with who did it."""
    with _open_banks() as banks:
        whole = _is_bank(banks, entry)
        done = banks.change_bank(entry, enabled=False) if whole else banks.revoke(entry, by or getpass.getuser())
    _say(done, f"{entry} matches nothing any more.", as_json)


@bank_app.command()
def release(
    entry: Annotated[str, typer.Argument(help="Id of an entry, or a bank's name, that was set aside or switched off.")],
    as_json: AsJson = False,
) -> None:
    """End the quarantine of an entry or a bank that matched suddenly far more than usual; switch a bank on again."""
    with _open_banks() as banks:
        whole = _is_bank(banks, entry)
        done = banks.change_bank(entry, set_aside=None, enabled=True) if whole else banks.release(entry)
    _say(done, f"{entry} is in force again.", as_json)


@contextmanager
def _open_banks() -> Iterator[SqlBanks]:
    """On SHELFGUARD_DATABASE_URL, else on the local system's database."""
    url = os.environ.get("SHELFGUARD_DATABASE_URL")
    database = Database(url or read_up(Path(os.environ.get("SHELFGUARD_STATE_DIR", ".shelfguard")))["database"])
    try:
        yield SqlBanks(database)
    finally:
        database.close()


def _is_bank(banks: SqlBanks, name: str) -> bool:
    return name in {one["name"] for one in banks.list_banks()}


def _hash_of(picture: str) -> PerceptualHash:
    """Of a photo, decoded in the sandbox; a typed hash is taken at its word. Raises InputRejected, NotFound."""
    path = Path(picture)
    if path.is_file():
        try:
            found = decode_photo(path.read_bytes()).inspection
        finally:
            close_sandbox()
        assert found is not None, "a photo that was decoded just now has been inspected"
        return found.pdq
    try:
        return PerceptualHash(pdq_digits(picture), 100)
    except ValueError:
        raise NotFound("photo or PDQ hash", picture) from None


def _explain(document: dict[str, Any]) -> None:
    typer.echo(f"PDQ {document['hash']}, quality {document['quality']}, banks at version {document['bank_version']}")
    if not document["usable"]:
        typer.echo(f"Quality is under {LEAST_QUALITY}: the picture has too little structure to be matched at all.")
    columns = ("bank", "kind", "distance", "threshold", "entry", "note", "source", "added_by", "added_at")
    if document["matches"]:
        typer.echo("It matches:")
        _print_table((*columns, "outweighed"), document["matches"])
    else:
        typer.echo("It matches nothing.")
    if document["nearest_others"]:
        typer.echo("Nearest of the others:")
        _print_table(columns, document["nearest_others"])


def _print_table(columns: Sequence[str], items: Sequence[dict[str, Any]]) -> None:
    table = Table(*(Column(name.replace("_", " "), overflow="fold") for name in columns))
    for item in items:
        table.add_row(*(escape("" if item[name] is None else str(item[name])) for name in columns))
    Console().print(table)


def _say(document: dict[str, Any], sentence: str, as_json: bool) -> None:
    typer.echo(json.dumps(document) if as_json else sentence)
