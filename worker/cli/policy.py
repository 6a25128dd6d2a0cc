"""shelfguard policy: check, test and list the rules photos are judged by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from domain.errors import PolicyInvalid
from worker.cli import policy_diff, publishing, redecide
from worker.cli.chosen import chosen_taxonomy
from worker.cli.policy_packs import action_of, in_force, show_packs
from worker.cli.publishing import list_versions
from worker.policy.engine import Outcome, PolicyEngine
from worker.policy.loading import load_policy
from worker.policy.reference import packs, rule_json
from worker.policy.signals import Item, Signal, registered

policy_app = typer.Typer(
    help="The rules photos are judged by: check, test, publish, roll back, compare.", no_args_is_help=True
)
policy_app.command("publish")(publishing.publish)
policy_app.command("approve")(publishing.approve)
policy_app.command("rollback")(publishing.rollback)
policy_app.command("diff")(policy_diff.diff)
policy_app.command("redecide")(redecide.redecide)
policy_app.command("alarms")(redecide.alarms)

PolicyPath = Annotated[
    Path | None,
    typer.Argument(
        help="Policy file, or a directory with policy.yaml. Left out: the starter pack.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@policy_app.command()
def check(path: PolicyPath = None, as_json: AsJson = False) -> None:
    """Read and compile a policy and run its inline tests. Exit 1 with every problem when it is refused."""
    try:
        policy = PolicyEngine.load(path, chosen_taxonomy()).policy
    except PolicyInvalid as error:
        _refuse(error, as_json)
    if as_json:
        _print_json({"policy": policy.id, "version": policy.version, "rules": len(policy.rules), "problems": []})
        return
    typer.echo(f"Policy {policy.id} is in order: {len(policy.rules)} rules, version {policy.version[:12]}.")


@policy_app.command("test")
def run_tests(path: PolicyPath = None, as_json: AsJson = False) -> None:
    """Run the inline tests of every rule. Exit 1 when one fails or the policy is refused."""
    try:
        outcomes = PolicyEngine(load_policy(path, chosen_taxonomy())).run_tests()
    except PolicyInvalid as error:
        _refuse(error, as_json)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if as_json:
        _print_json({"passed": len(outcomes) - len(failed), "failed": [_outcome_json(outcome) for outcome in failed]})
    else:
        _print_outcomes(outcomes)
        typer.echo(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed.")
    if failed:
        raise typer.Exit(1)


@policy_app.command("list")
def list_rules(
    path: PolicyPath = None,
    signals: Annotated[bool, typer.Option("--signals", help="List what rules can read instead.")] = False,
    by_channel: Annotated[
        bool, typer.Option("--packs", help="List rules by channel, with numbers and sources, and what is not checked.")
    ] = False,
    versions: Annotated[
        bool, typer.Option("--versions", help="List what is live and was published instead, on the running system.")
    ] = False,
    tenant: Annotated[str | None, typer.Option(help="With --versions: only what concerns this tenant.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the rules of a policy, also by channel; the signals that rules can read; or the versions published."""
    if versions:
        list_versions(tenant, as_json)
        return
    if signals:
        _list_signals(as_json)
        return
    try:
        loaded = load_policy(path, chosen_taxonomy())
    except PolicyInvalid as error:
        _refuse(error, as_json)
    if as_json:
        listed = {"packs": packs(loaded)} if by_channel else {"rules": [rule_json(rule) for rule in loaded.rules]}
        _print_json({"policy": loaded.policy.id, "version": loaded.policy.version} | listed)
    elif by_channel:
        show_packs(packs(loaded))
    else:
        _show_rules([rule_json(rule) for rule in loaded.rules])


def _show_rules(rules: list[dict[str, Any]]) -> None:
    table = Table(
        Column("rule", no_wrap=True), "action", "sev.", "in force", Column("source", no_wrap=True), "channels"
    )
    for rule in rules:
        sure = rule["source"]["sure"] if rule["source"] else "ours"  # --packs and --json have the whole source
        channels = ", ".join(rule["channels"])
        table.add_row(rule["id"], action_of(rule), str(rule["severity"]), in_force(rule), sure, channels)
    Console().print(table)


def _list_signals(as_json: bool) -> None:
    if as_json:
        _print_json({"signals": [_signal_json(one) for one in registered().values()]})
        return
    table = Table(Column("signal", no_wrap=True), "type", "unit", "µs", "what it is")
    for one in registered().values():
        table.add_row(one.name, one.type_name, one.unit, str(one.cost), escape(one.doc))
        for field in one.type.fields if isinstance(one.type, Item) else ():
            table.add_row(f"  .{field.name}", field.kind.value, field.unit, "", escape(field.doc))
    Console().print(table)


def _refuse(error: PolicyInvalid, as_json: bool) -> Any:
    if as_json:
        _print_json({"problems": list(error.problems)})
    else:
        typer.echo("The policy was refused:", err=True)
        for problem in error.problems:
            typer.echo(f"  {problem}", err=True)
    raise typer.Exit(1)


def _print_outcomes(outcomes: list[Outcome]) -> None:
    table = Table(Column("rule", no_wrap=True), "test", "expected", "got", "")
    for one in outcomes:
        got = escape(f"{one.got}: {one.error}" if one.error else one.got)
        table.add_row(one.rule, f"{one.where} #{one.number}", one.expected, got, "ok" if one.passed else "FAILED")
    Console().print(table)


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "rule": outcome.rule,
        "where": outcome.where,
        "test": outcome.number,
        "expected": outcome.expected,
        "got": outcome.got,
        "error": outcome.error,
    }


def _signal_json(one: Signal) -> dict[str, Any]:
    fields = one.type.fields if isinstance(one.type, Item) else ()
    return {
        "name": one.name,
        "type": one.type_name,
        "unit": one.unit,
        "cost_us": one.cost,
        "doc": one.doc,
        "fields": [
            {"name": field.name, "type": field.kind.value, "unit": field.unit, "doc": field.doc} for field in fields
        ],
    }


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, sort_keys=True))
