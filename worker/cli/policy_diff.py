"""`shelfguard policy diff`: what would judge differently, rule by rule and word by word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.text import Text

from domain.policies import SHIPPED, Bundle, short
from worker.cli.chosen import chosen_taxonomy
from worker.cli.client import ApiClient, pointing_to
from worker.cli.publishing import AsJson, ForTenant
from worker.policy.differences import differences, is_same
from worker.policy.loading import LoadedPolicy, load_bundle, load_policy

_MOST_WORDS = 20  # of a list's changes, on a screen; --json has all


def diff(
    one: Annotated[
        str | None,
        typer.Argument(
            metavar="[A]",
            help='A path, "live", "shipped", a number, or first digits of a version. Left out: what was live before.',
            show_default=False,
        ),
    ] = None,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[B]", help="The same; left out: A against what is live.", show_default=False),
    ] = None,
    tenant: ForTenant = None,
    as_json: AsJson = False,
) -> None:
    """Show how two policies differ: from A to B, from what is live to A, or (neither given) what changed last."""
    before, after = _names(one, other, tenant)
    found = differences(_load(before, tenant), _load(after, tenant))
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
    else:
        _show(found)


def _names(one: str | None, other: str | None, tenant: str | None) -> tuple[str, str]:
    if one is not None:
        return (one, other) if other is not None else ("live", one)
    with ApiClient.find() as client:
        overview = client.read("/v1/policies", tenant=tenant)
    return _last_change([one for one in overview["publications"] if tenant in (None, one["tenant"])], overview)


def _last_change(changes: list[dict[str, Any]], overview: Mapping[str, Any]) -> tuple[str, str]:
    """What the newest publication put in the place of what; a tenant without one is judged as everybody."""
    if not changes:
        return SHIPPED, SHIPPED
    newest, *older = changes
    everybodys = next((one["version"] for one in overview["live"] if one["tenant"] is None), None) or SHIPPED
    nothing = SHIPPED if newest["tenant"] is None else everybodys
    before = next((one["version"] for one in older if one["tenant"] == newest["tenant"]), None)
    return before or nothing, newest["version"] or nothing


def _load(name: str, tenant: str | None) -> LoadedPolicy:
    """Raises PolicyInvalid, NotFound through the API."""
    if Path(name).exists():
        return load_policy(Path(name), chosen_taxonomy())
    where = "It is no file here either; versions: `shelfguard policy list --versions`."
    with ApiClient.find() as client, pointing_to(where):
        found = client.read(f"/v1/policies/versions/{quote(name.removeprefix('#'), safe='')}", tenant=tenant)
    return load_bundle(Bundle(found["entry"], found["files"]), chosen_taxonomy())


def _show(found: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"from {found['from']['policy']} {short(found['from']['version'])}", markup=False)
    console.print(f"to   {found['to']['policy']} {short(found['to']['version'])}", markup=False)
    if is_same(found):
        console.print("Both judge alike.")
    for rule in found["rules_added"]:
        console.print(Text(f"+ rule {rule['id']} ({rule['mode']}, {rule['action']}): {rule['message']['en']}", "green"))
    for rule in found["rules_removed"]:
        console.print(Text(f"- rule {rule['id']} ({rule['mode']}, {rule['action']}): {rule['message']['en']}", "red"))
    for rule in found["rules_changed"]:
        console.print(Text(f"~ rule {rule['rule']}", "bold"))
        _show_fields(console, rule["fields"], "    ")
    for name in ("thresholds", "fuzzy_lists"):
        if found[name]:
            console.print(Text(f"~ {name.replace('_', ' ')}", "bold"))
            _show_fields(console, found[name], "    ")
    _show_lists(console, found)


def _show_lists(console: Console, found: Mapping[str, Any]) -> None:
    for name in ("word_lists", "object_groups", "kinds_of_goods", "category_groups"):
        for list_name, words in found[name].items():
            _show_words(console, f"{name.replace('_', ' ').rstrip('s')} {list_name}", words)
    for name in ("allowed_phrases", "innocent_names", "known_words", "names_of_no_kind", "brands"):
        if found[name]:
            _show_words(console, name.replace("_", " "), found[name])


def _show_fields(console: Console, fields: Mapping[str, Mapping[str, Any]], indent: str) -> None:
    for name, change in fields.items():
        console.print(Text(f"{indent}{name}", "dim"))
        console.print(Text(f"{indent}  - {_plain(change['from'])}", "red"))
        console.print(Text(f"{indent}  + {_plain(change['to'])}", "green"))


def _show_words(console: Console, title: str, words: Mapping[str, list[str]]) -> None:
    console.print(Text(f"~ {title}", "bold"))
    for sign, kind, style in (("+", "added", "green"), ("-", "removed", "red")):
        shown = words[kind][:_MOST_WORDS]
        more = len(words[kind]) - len(shown)
        if shown:
            rest = f" and {more} more (--json has all)" if more else ""
            console.print(Text(f"    {sign} {', '.join(shown)}{rest}", style))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    return "(not set)" if value is None else json.dumps(value, ensure_ascii=False)
