"""shelfguard policy backtest | shadow: what a rule would have done, before it does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from domain.errors import PolicyInvalid
from worker.cli.progress import steps

INTERRUPTED = 130  # the exit code shells know

Tenants = Annotated[
    list[str] | None, typer.Option("--tenant", help="Only this tenant's photos; may be repeated.", show_default=False)
]
Channels = Annotated[
    list[str] | None, typer.Option("--channel", help="Only this sales channel; may be repeated.", show_default=False)
]
Since = Annotated[
    str | None, typer.Option(help="Only decisions made at or after this date or time (ISO, UTC).", show_default=False)
]
Until = Annotated[
    str | None, typer.Option(help="Only decisions made before this date or time (ISO, UTC).", show_default=False)
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many photos, the newest.", show_default=False)]
Sample = Annotated[
    int | None,
    typer.Option(help="Draws the photos shown, and those of --limit instead of the newest, by this seed."),
]
Report = Annotated[
    Path | None,
    typer.Option(help="Write a page (index.html), its pictures and report.json into this folder.", show_default=False),
]
Processes = Annotated[int, typer.Option(min=1, max=64, help="Processes that replay side by side.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def backtest(
    candidate: Annotated[Path, typer.Argument(help="Policy file, or a directory with policy.yaml.")],
    against: Annotated[
        Path | None,
        typer.Option(help="Compare with this file or directory instead of what is live.", show_default=False),
    ] = None,
    tenant: Tenants = None,
    channel: Channels = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", help="Change only this rule, all others stay live ones; may be repeated."),
    ] = None,
    since: Since = None,
    until: Until = None,
    at: Annotated[
        str | None, typer.Option(help="Judge by both policies as of this date or time (ISO, UTC); default: now.")
    ] = None,
    limit: Limit = None,
    sample: Sample = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute every signal anew instead of taking receipts' word. Slower.")
    ] = False,
    processes: Processes = 2,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """Replay stored photos through a candidate policy and the live one: which verdicts flip, at what cost?

    Without --tenant it is what publishing it for everybody would do, so photos of tenants with a policy of their own
    are left out. Nothing is changed or sent. Exit 1 when a policy is refused, 130 after Ctrl-C.
    """
    from worker import wiring
    from worker.backtest import run
    from worker.backtest.work import Backtest, PolicyText

    def replayed() -> Any:
        current, without = _current(against, tenant or [])
        work = Backtest(
            current=current,
            candidate=PolicyText.read(candidate, wiring.taxonomy()),
            at=moment("--at", at) or datetime.now(UTC),
            rules=tuple(rule or ()),
            channels=tuple(channel or ()),
            seed=sample or 0,
            recompute=recompute,
        )
        chosen = replace(_selection(tenant, channel, since, until, limit, sample), without=without)
        with steps("replaying") as progress:
            return run.backtest(_database_url(), work, chosen, _cost(), processes, progress)

    _tell(_guarded(replayed, as_json), report, as_json)


def shadow(
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="Only this rule; may be repeated.", show_default=False)
    ] = None,
    tenant: Tenants = None,
    channel: Channels = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    sample: Sample = None,
    processes: Processes = 2,
    report: Report = None,
    as_json: AsJson = False,
) -> None:
    """What the rules in shadow mode matched on live traffic, and what would have been decided had they been live."""
    from worker.backtest import run
    from worker.backtest.work import Shadow

    def replayed() -> Any:
        work = Shadow(rules=tuple(rule or ()), channels=tuple(channel or ()), seed=sample or 0)
        chosen = _selection(tenant, channel, since, until, limit, sample)
        with steps("reading decisions") as progress:
            return run.shadow(_database_url(), work, chosen, _cost(), processes, progress)

    _tell(_guarded(replayed, as_json), report, as_json)


def moment(option: str, text: str | None) -> datetime | None:
    """A date means its first instant in UTC; a time without a zone is UTC. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date or time; write 2026-11-24 or 2026-11-24T12:00.") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _selection(
    tenant: list[str] | None,
    channel: list[str] | None,
    since: str | None,
    until: str | None,
    limit: int | None,
    sample: int | None,
) -> Any:
    from worker.storage.history import Selection

    return Selection(
        tenants=tuple(tenant or ()),
        channels=tuple(channel or ()),
        since=moment("--since", since),
        until=moment("--until", until),
        limit=limit,
        seed=sample,
    )


def _current(against: Path | None, tenants: Sequence[str]) -> Any:
    """What judges now, and the tenants that are to be left out."""
    from worker import wiring
    from worker.backtest.work import Current, PolicyText, live_policies

    if against is not None:
        return Current(PolicyText.read(against, wiring.taxonomy())), ()
    shipped = PolicyText(wiring.shipped_policy().loaded.bundle, wiring.taxonomy())
    return live_policies(wiring.policies(), shipped, tenants)


def _database_url() -> str:
    from worker import wiring

    return wiring.servers().database_url.get_secret_value()


def _cost() -> Any:
    from worker.backtest.reviews import ReviewCost
    from worker.settings import ReviewSettings

    return ReviewCost(ReviewSettings().review_seconds)


def _guarded(replayed: Callable[[], Any], as_json: bool) -> Any:
    """The result. Problems of a policy are listed; Ctrl-C ends without a trace."""
    try:
        return replayed()
    except PolicyInvalid as error:
        if as_json:
            typer.echo(json.dumps({"problems": list(error.problems)}, sort_keys=True))
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("Stopped. Nothing was written.", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _tell(result: Any, report: Path | None, as_json: bool) -> None:
    page = None
    if report is not None:
        from worker import wiring
        from worker.backtest.report import write_report

        page = write_report(report, result.document, result.samples, wiring.artifacts())
    if as_json:
        typer.echo(json.dumps(result.document, sort_keys=True))
        return
    _print(result.document)
    if page is not None:
        typer.echo(f"Report: {page}")


def _print(figures: dict[str, Any]) -> None:
    screen = Console()
    reviews, flips = figures["reviews"], figures["flips"]
    change = "added" if reviews["minutes_added"] >= 0 else "saved"
    typer.echo(
        f"{figures['photos']:,} photos, {figures['decisions']:,} decisions: {flips['decisions']:,} flip, on "
        f"{flips['photos']:,} photos the verdict as a whole.\n"
        f"{abs(reviews['minutes_added']):,} reviewer minutes {change} ({reviews['photos_before']:,} photos for people "
        f"before, {reviews['photos_after']:,} after, {reviews['cost']['seconds']} s each)."
    )
    if without := figures["selection"]["without"]:
        typer.echo(f"Left out, as they have a policy of their own: {', '.join(without)}. Name them with --tenant.")
    _print_flips(screen, flips)
    _print_rules(screen, figures)
    _print_coverage(figures)


def _print_flips(screen: Console, flips: dict[str, Any]) -> None:
    if not flips["decisions"]:
        return
    table = Table("flips by", "", "from", "to", Column("decisions", justify="right"))
    for name, key in (("pair", None), ("rule", "rule"), ("channel", "channel"), ("tenant", "tenant")):
        for row in flips[f"by_{name}"][:10]:
            table.add_row(name, escape(row[key]) if key else "", row["from"], row["to"], f"{row['count']:,}")
        table.add_section()
    screen.print(table)


def _print_rules(screen: Console, figures: dict[str, Any]) -> None:
    names = ("matched_before", "matched_after", "gained", "lost", "flips", "errors_after")
    numbers = [Column(name.replace("_", " "), justify="right") for name in names]
    table = Table(Column("rule", no_wrap=True), "change", *numbers)
    for rule in figures["rules"]:
        if rule["change"] == "same":
            continue
        change = ", ".join([rule["change"] or "shadow", *rule["what"]])
        table.add_row(rule["id"], change, *(f"{rule[name]:,}" for name in names))
    if table.row_count:
        screen.print(table)


def _print_coverage(figures: dict[str, Any]) -> None:
    for rule in figures["rules"]:
        for name, count in rule["not_observed"].items():
            if rule["change"] != "same":
                typer.echo(f"{rule['id']} reads {name}, which was not observed for {count:,} photos: a lower bound.")
    for row in figures["coverage"]["unreadable"]:
        typer.echo(f"{row['count']:,} photos were left out: {row['reason']}.")
    if figures["precision"]:
        typer.echo(f"Precision: {figures['precision']}.")
