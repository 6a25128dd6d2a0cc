"""`shelfguard audit`: who did what, and whether the log still says what was written."""

from __future__ import annotations

import json
from typing import Annotated

import typer

audit_app = typer.Typer(help="The audit log: who did what, when.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@audit_app.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Check every hash, and the heads kept in the object store. Exit 1 with what was tampered with, and where."""
    from worker import wiring

    entries, faults = wiring.audit_log().verify()
    if as_json:
        typer.echo(json.dumps({"entries": entries, "faults": [fault.as_json() for fault in faults]}))
    else:
        for fault in faults:
            typer.echo(f"{fault.kind}: {fault.message}")
        typer.echo(f"{entries} entries, {len(faults)} faults.")
    if faults:
        raise typer.Exit(1)


@audit_app.command("list")
def list_entries(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    before: Annotated[int | None, typer.Option(help="Only entries below this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List entries, newest first."""
    from worker import wiring

    found = wiring.audit_log().page((tenant,) if tenant else None, before, limit)
    if as_json:
        typer.echo(json.dumps({"entries": [entry.as_json() for entry in found]}))
        return
    for entry in found:
        who = "".join(letter if letter.isprintable() else "?" for letter in entry.actor.name)
        typer.echo(f"{entry.number}  {entry.at:%Y-%m-%d %H:%M:%S}  {who}  {entry.act}  {entry.subject}")
