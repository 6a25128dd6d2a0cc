"""`shelfguard policy redecide` and `policy alarms`: judging current photos again, and what needs a person's eye."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from worker.cli.client import ApiClient
from worker.cli.publishing import AsJson, ForTenant


def redecide(
    scope: Annotated[
        str | None,
        typer.Argument(
            help='"all", "tenant=NAME" or "rule=ID". Left out: show how far what was asked for has come.',
            show_default=False,
        ),
    ] = None,
    tenant: ForTenant = None,
    as_json: AsJson = False,
) -> None:
    """Judge current photos again by what is live, in the background, newest first, from what was seen in them.

    Only decisions that change are written. It never reverses a person.
    """
    with ApiClient.find() as client:
        if scope is None:
            _show(client.read("/v1/policies/redecisions", tenant=tenant), as_json)
            return
        wanted = {"scope": scope} | ({"tenant": tenant} if tenant else {})
        asked = client.ask("POST", "/v1/policies/redecisions", wanted)
    if as_json:
        typer.echo(json.dumps(asked, sort_keys=True))
    else:
        typer.echo(f"Asked for as number {asked['id']}. See how far it is: shelfguard policy redecide")


def alarms(tenant: ForTenant = None, as_json: AsJson = False) -> None:
    """List what somebody has to look at: versions that do not load, caps that were reached, rules unlike themselves."""
    with ApiClient.find() as client:
        found = client.read("/v1/policies/alarms", tenant=tenant)
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    for one in found["alarms"]:
        times = f" ({one['times']} times)" if one["times"] > 1 else ""
        typer.echo(f"{one['last_at'][:16].replace('T', ' ')}  {one['kind']}{times}: {one['message']}")
    if not found["alarms"]:
        typer.echo("No alarms.")


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    counts = [Column(name, justify="right") for name in ("judged", "changed", "kept by a person", "failed")]
    table = Table(Column("no.", justify="right"), "asked", "by", "cause", "scope", *counts, "state")
    for one in found["redecisions"]:
        table.add_row(
            str(one["id"]),
            one["asked_at"][:16].replace("T", " "),
            escape(one["asked_by"]),
            one["cause"],
            escape(_scope(one["scope"])),
            *(str(one[name]) for name in ("judged", "changed", "kept_by_person", "failed")),
            "done" if one["finished_at"] else "under way",
        )
    Console().print(table)


def _scope(scope: dict[str, Any]) -> str:
    parts = [f"rule {scope['rule']}"] if scope["rule"] else []
    parts += [f"{name} {', '.join(scope[name])}" for name in ("tenants", "channels") if scope[name] is not None]
    return "; ".join(parts) or "all"
