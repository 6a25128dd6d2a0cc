"""`shelfguard policy list --packs`: what is asked of photos on each channel, by whom, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.moderation import ALL_CHANNELS, Verdict

_STYLES = {"approve": "cyan", "review": "yellow", "reject": "red"}


def show_packs(found: Sequence[Mapping[str, Any]]) -> None:
    """Print worker.policy.reference.packs() for a person; sources are numbered, and listed below each channel."""
    console = Console(highlight=False, soft_wrap=True)
    for pack in found:
        sources: dict[str, int] = {}
        name = "every channel" if pack["channel"] == ALL_CHANNELS else pack["channel"]
        console.print(Text(f"{name}: {len(pack['rules'])} rules", "bold"))
        for rule in pack["rules"]:
            console.print(f"  {rule['id']}: ", Text(action_of(rule), _STYLES[rule["action"]]), sep="", end="")
            console.print(Text(f", severity {rule['severity']}"))
            if facts := _facts(rule, sources):
                console.print(Text(f"      {facts}", "dim"))
        for one in pack["not_checked"]:
            console.print(Text(f"  Not checked: {one['asks']} {one['why']} {_source(one['source'], sources)}"))
        for url, number in sources.items():
            console.print(Text(f"  ({number}) {url}", "dim"))
        console.print()


def action_of(rule: Mapping[str, Any]) -> str:
    """A finding that approves is a warning: the seller reads it, and it changes no verdict."""
    action = "warn" if rule["action"] == Verdict.APPROVE.value else str(rule["action"])
    return action if rule["mode"] == "live" else f"{action} ({rule['mode']})"


def in_force(rule: Mapping[str, Any]) -> str:
    start, end = rule["effective_from"], rule["effective_to"]
    if not start and not end:
        return "always"
    return " ".join([*([f"from {start[:10]}"] if start else []), *([f"until {end[:10]}"] if end else [])])


def _facts(rule: Mapping[str, Any], sources: dict[str, int]) -> str:
    numbers = ", ".join(f"{name} {value}" for name, value in rule["limits"].items())
    period = in_force(rule)
    return "; ".join(
        part for part in (numbers, "" if period == "always" else period, _source(rule["source"], sources)) if part
    )


def _source(source: Mapping[str, Any] | None, sources: dict[str, int]) -> str:
    """How sure, read when, and the address's number in `sources`, which it is put into."""
    if source is None:
        return ""
    number = sources.setdefault(source["url"], len(sources) + 1)
    return f"{source['sure']}, read {source['read']} ({number})"
