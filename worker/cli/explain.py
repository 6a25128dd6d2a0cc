"""`shelfguard explain DECISION`: why a photo was judged so, by the rules as they were then, and whether it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from worker.cli.client import ApiClient, pointing_to

_STYLES = {"approve": "green", "review": "yellow", "reject": "red"}
_MOST_SHOWN = 400  # characters of one value on a screen; --json has all


def explain(
    decision: Annotated[
        str, typer.Argument(help="A decision's id, its first 8 digits or more, or a job's id.", metavar="DECISION")
    ],
    statement: Annotated[
        bool, typer.Option("--statement", help="Print a statement of reasons for the EU's DSA transparency database.")
    ] = False,
    channel: Annotated[str | None, typer.Option(help="With --statement: of this channel alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Explain a decision: verdicts, causes, the rules as they were, what they read; and judge its receipt again.

    Exit 1 when judging it again gives another decision, or is not possible. A statement of reasons is always JSON.
    """
    name = quote(decision, safe="")
    with ApiClient.find() as client, pointing_to("`shelfguard job JOB --json` and the webhooks name decisions."):
        if statement:
            stated = client.read(f"/v1/decisions/{name}/statement", channel=channel)
            typer.echo(json.dumps(stated, ensure_ascii=False, indent=None if as_json else 2))
            return
        found = client.read(f"/v1/decisions/{name}/explanation")
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        show(found)
    raise typer.Exit(0 if found["rerun"]["same"] else 1)


def show(found: Mapping[str, Any]) -> None:
    """Print an explanation for a person."""
    console = Console(highlight=False)
    receipt = found["receipt"]
    console.print(f"[bold]Decision {found['decision']}[/bold] of {receipt.get('decided_at', 'an unknown time')}")
    photo = f"{found['tenant']} / {found['product_id']} / {found['image_id']}"
    console.print(f"{escape(photo)}, policy {receipt.get('policy')} {str(receipt.get('policy_version'))[:12]}")
    for channel, verdict in found["channels"].items():
        console.print(f"  {channel}: [{_STYLES[verdict]}]{verdict}[/]")
    if not found["findings"]:
        console.print("No rule matched.")
    for finding in found["findings"]:
        _show_finding(console, finding)
    _show_receipt(console, receipt)
    _show_rerun(console, found["rerun"])


def _show_finding(console: Console, finding: Mapping[str, Any]) -> None:
    shadow = " (shadow: changes nothing)" if finding["shadow"] else ""
    console.print(
        f"\n[bold]{finding['rule']}[/bold] version {finding['rule_version']} on {finding['channel']}: "
        f"[{_STYLES[finding['action']]}]{finding['action']}[/], severity {finding['severity']}{shadow}"
    )
    table = Table.grid(padding=(0, 2))
    table.add_row("code", finding["policy_code"])
    table.add_row("message", escape(finding["message"]))
    text = finding["text"]
    if text is not None:
        table.add_row("written in", escape(text["where"]))
        table.add_row("when", escape(" ".join((text["when"] or "always").split())))
        for cause in text["causes"]:
            table.add_row("causes", escape(" ".join(cause.split())))
        if source := text.get("source"):
            table.add_row("asked for by", escape(f"{source['url']} ({source['sure']}, read {source['read']})"))
            table.add_row("", escape(source["note"] or ""))
    for evidence in finding["evidence"]:
        table.add_row("evidence", escape(_short(evidence)))
    for name, value in finding["read"].items():
        table.add_row(f"read {name}", escape(_short(value)))
    console.print(Padding(table, (0, 0, 0, 2)))


def _show_receipt(console: Console, receipt: Mapping[str, Any]) -> None:
    console.print("\n[bold]Receipt[/bold]")
    table = Table.grid(padding=(0, 2))
    for name, value in receipt.items():
        if name != "signals":
            table.add_row(name, escape(_short(value)))
    table.add_row("signals", f"{len(receipt.get('signals', {}))} values (--json has all)")
    console.print(Padding(table, (0, 0, 0, 2)))


def _show_rerun(console: Console, rerun: Mapping[str, Any]) -> None:
    if rerun["same"]:
        console.print("\n[green]Judged again from the stored version: same verdict, byte for byte.[/]")
        return
    if rerun["problem"]:
        console.print(f"\n[red]It cannot be judged again: {escape(rerun['problem'])}[/]")
        return
    console.print("\n[red]Judged again from the stored version, it differs:[/]")
    for one in rerun["differences"]:
        console.print(f"  {escape(one['path'])}: {escape(_short(one['stored']))} → {escape(_short(one['again']))}")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
