"""`shelfguard bench`: side-by-side figures, each from one run on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

bench_app = typer.Typer(
    help="Figures of this machine and these weights, peers beside them. Needs the extra `train`.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@bench_app.command("model")
def model(
    model: Annotated[str, typer.Option(help="shelf-tiny, a directory, or hub-id@commit.")] = "shelf-tiny",
    count: Annotated[int, typer.Option(min=8, help="Scenes of the largest part; fewer are quicker and vaguer.")] = 400,
    base_size: Annotated[
        bool, typer.Option("--base-size", help="Also load a random checkpoint of Florence-2-base size (1 GB on disk).")
    ] = False,
    photographs: Annotated[bool, typer.Option(help="Also the real photographs, where they are at hand.")] = True,
    card: Annotated[
        Path | None, typer.Option(help="A model card (README.md) whose results part is written anew.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the weights see: captions, detection, text, absent phrases, masks, real photographs; time and memory."""
    from worker.bench import model as bench
    from worker.bench.card import rewrite

    with _bars() as bars:
        tasks: dict[str, Any] = {}

        def advance(part: str, whole: int, done: int) -> None:
            task = tasks.setdefault(part, None)
            if task is None:
                task = tasks[part] = bars.add_task(part, total=whole)
            bars.advance(task, done)

        figures = bench.measure(model, count=count, photos=photographs, base_size=base_size, progress=advance)
    if card is not None:
        rewrite(card, figures)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _tell(figures)


def _bars() -> Progress:
    """On standard error, so that `--json` stays one document."""
    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(file=sys.stderr), transient=True)


def _tell(figures: dict[str, Any]) -> None:
    table = Table(title=str(figures["model"]), title_justify="left")
    for heading in ("part", "figure", "value", "of"):
        table.add_column(heading, justify="left" if heading in ("part", "figure") else "right")
    for part, values in figures.items():
        if isinstance(values, dict):
            counted = values.get("counted", {})
            for name, value in values.items():
                if name != "counted":
                    table.add_row(part, name, f"{value}", str(counted.get(name, "")))
            table.add_section()
    Console().print(table)
