"""`shelfguard policy publish|approve|rollback` and `list --versions`: what judges, and who put it there.

They talk to the API only, also on a site's own machine: the token that the API authenticates is the person, which a
process with the database's password could make up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from domain.errors import PolicyInvalid
from domain.policies import short
from worker.cli.chosen import chosen_taxonomy
from worker.cli.client import ApiClient, pointing_to
from worker.policy.engine import PolicyEngine

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ForTenant = Annotated[
    str | None, typer.Option("--tenant", help="Of this tenant alone; left out: of all without a policy of their own.")
]
Redecide = Annotated[
    str | None,
    typer.Option(help='Judge current photos again afterwards: "all", "tenant=NAME" or "rule=ID".', show_default=False),
]
_TENANTS = "Those there are: `shelfguard tenant list`."


def publish(
    path: Annotated[Path, typer.Argument(help="Policy file, or a directory with policy.yaml.")],
    tenant: ForTenant = None,
    note: Annotated[str, typer.Option(help="What changed, for those who read the history.")] = "",
    alone: Annotated[bool, typer.Option("--alone", help="Put it live without a second person.")] = False,
    reason: Annotated[str | None, typer.Option(help="With --alone: why nobody else can approve it.")] = None,
    redecide: Redecide = None,
    as_json: AsJson = False,
) -> None:
    """Check a policy, run its tests, and propose it for a second person to approve; or put it live with --alone.

    A policy that is refused changes nothing: what is live stays. Exit 1 with every problem.
    """
    try:
        bundle = PolicyEngine.load(path, chosen_taxonomy()).loaded.bundle
    except PolicyInvalid as error:
        _refuse(error, as_json)
    wanted = {
        "entry": bundle.entry,
        "files": dict(bundle.files),
        "tenant": tenant,
        "note": note,
        "alone": alone,
        "reason": reason,
        "redecide": redecide,
    }
    with ApiClient.find() as client:
        answer = client.ask(
            "POST", "/v1/policies", {name: value for name, value in wanted.items() if value is not None}
        )
    if as_json:
        typer.echo(json.dumps(answer, sort_keys=True))
    elif answer["state"] == "published":
        _say_live(answer)
    else:
        typer.echo(f"Version {short(answer['version'])} is proposal {answer['proposal']}; nothing has changed yet.")
        typer.echo(f"A second person, with a token of their own: shelfguard policy approve {answer['proposal']}")


def approve(
    proposal: Annotated[int, typer.Argument(help="Its number, from `publish` or `list --versions`.")],
    as_json: AsJson = False,
) -> None:
    """Put a proposal of somebody else live. Look at `shelfguard policy diff` with its version first."""
    with ApiClient.find() as client, pointing_to("Those that wait: `shelfguard policy list --versions`."):
        answer = client.ask("POST", f"/v1/policies/proposals/{proposal}/approve")
    _tell(answer, as_json)


def rollback(
    version: Annotated[
        str | None,
        typer.Argument(
            help='Number or version to go back to, or "shipped"; left out: what was live before.', show_default=False
        ),
    ] = None,
    tenant: ForTenant = None,
    reason: Annotated[str, typer.Option(help="Why, for those who read the history.")] = "rolled back",
    redecide: Redecide = None,
    as_json: AsJson = False,
) -> None:
    """Put back, at once, what was live before. One person is enough: it was approved when it was published."""
    wanted = {"to": version, "tenant": tenant, "reason": reason, "redecide": redecide}
    with ApiClient.find() as client, pointing_to(_TENANTS):
        given = {name: value for name, value in wanted.items() if value is not None}
        answer = client.ask("POST", "/v1/policies/rollback", given)
    _tell(answer, as_json)


def list_versions(tenant: str | None, as_json: bool) -> None:
    """What is live, what was published and what waits for a second person."""
    with ApiClient.find() as client:
        found = client.read("/v1/policies", tenant=tenant)
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    live = {one["number"] for one in found["live"]}
    table = Table(Column("no.", justify="right"), "version", "for", "", "when", "who", "approved by", "note, reason")
    for one in found["publications"]:
        words = " · ".join(text for text in (one["note"], one["reason"]) if text)
        table.add_row(
            str(one["number"]),
            short(one["version"]),
            escape(one["tenant"] or "all"),
            ("live" if one["number"] in live else "") + (" (rollback)" if one["kind"] == "rollback" else ""),
            one["published_at"][:16].replace("T", " "),
            escape(one["author"]["name"]),
            escape(one["second"]["name"]) if one["second"] else "nobody",
            escape(words),
        )
    Console().print(table)
    if not any(one["tenant"] is None and one["version"] for one in found["live"]):
        typer.echo(f"For all without a policy of their own, what is shipped is live: {short(found['shipped'])}.")
    for one in found["proposals"]:
        who = one["author"]["name"]
        typer.echo(f"Proposal {one['proposal']} of {who}, version {short(one['version'])}, waits for a second person.")


def _tell(answer: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, sort_keys=True))
    else:
        _say_live(answer)


def _say_live(answer: Mapping[str, Any]) -> None:
    whose = f"for {answer['tenant']}" if answer["tenant"] else "for all without a policy of their own"
    version = f"version {short(answer['version'])}" if answer["version"] else "what is shipped"
    typer.echo(f"Number {answer['number']}: {version} is live {whose}; every worker judges by it within 10 seconds.")


def _refuse(error: PolicyInvalid, as_json: bool) -> Any:
    if as_json:
        typer.echo(json.dumps({"problems": list(error.problems)}))
    else:
        typer.echo("The policy was refused, and what is live stays:", err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
    raise typer.Exit(1)
