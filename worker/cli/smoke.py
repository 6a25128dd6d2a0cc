"""`shelfguard model verify --smoke`: the answers of a checkpoint as a table, and what failed in sentences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from worker.cli.analyze import load_engine, told
from worker.cli.progress import steps

if TYPE_CHECKING:
    from rich.console import Console

    from worker.vision.smoke import Answered, Smoke

LINES = 3  # of an answer in the table
PLACES = 3  # where a check failed, in the summary


def run(model: str | None, pictures: int, as_json: bool) -> None:
    """Load, look, print. Exits 1 when a check fails; raises CheckpointRefused and Unavailable."""
    from rich.console import Console

    from worker.vision.smoke import sample_pictures, smoke

    engine = load_engine(model, None)
    with steps("calls of the model") as progress:
        result = smoke(engine, sample_pictures(pictures), progress)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        tell(Console(highlight=False), result)
    if not result.ok:
        raise typer.Exit(1)


def tell(console: Console, result: Smoke) -> None:
    """The table of answers and the list of checks. Words from pictures are data: no markup in them takes effect."""
    from rich.table import Table
    from rich.text import Text

    from worker.vision.plausible import CHECKS

    table = Table(title=f"{result.engine.model} in {result.engine.dtype}")
    for name, whole in (("picture", True), ("task", True), ("answer", False), ("check", False)):
        table.add_column(name, no_wrap=whole)
    shown = ""
    for item in result.answers:
        if item.picture != shown:
            table.add_section()
        failed = ", ".join(trouble.check for trouble in item.troubles)
        name = "" if item.picture == shown else item.picture
        verdict = Text(failed or "ok", "red" if failed else "green")
        table.add_row(name, item.task.value, Text(_answer(item)), verdict)
        shown = item.picture
    console.print(table)
    for name, meaning in CHECKS.items():
        places = result.failures.get(name, [])
        console.print(Text(f"{'FAILED' if places else 'ok':7} {name}", "red" if places else "green"))
        for place in places[:PLACES]:
            console.print(Text(f"          {place}"))
        if len(places) > PLACES:
            console.print(Text(f"          and {len(places) - PLACES} more"))
        if places:
            console.print(Text(f"        {meaning.means} {meaning.remedy}"))
    outcome = "every check passed." if result.ok else "not fit for work as it is; see the failed checks above."
    console.print(Text(f"{result.engine.model}: {outcome}"))


def _answer(item: Answered) -> str:
    lines = told(item.answer)
    more = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
    return "\n".join([*lines[:LINES], *more])
