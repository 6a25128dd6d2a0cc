"""`shelfguard bench`: side-by-side figures, each from one run on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from domain.errors import PolicyInvalid

bench_app = typer.Typer(
    help="Figures of this machine, peers beside them. All but `policy` need the extra `train`.", no_args_is_help=True
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
        figures = bench.measure(model, count=count, photos=photographs, base_size=base_size, progress=_Advance(bars))
    if card is not None:
        rewrite(card, figures)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _tell(figures)


@bench_app.command("engine")
def engine(
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            help="base or large (random weights, answers of fixed length), shelf-tiny, a directory or hub-id@commit; "
            "may be given again. Default: shelf-tiny and base."
        ),
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="Photos that each way looks at; our batch and theirs.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Times everything is timed; the median counts.")] = 1,
    compared: Annotated[
        int, typer.Option(min=0, help="Photos on which the answers are compared token for token; 0: not at all.")
    ] = 200,
    compared_model: Annotated[str, typer.Option(help="The model whose answers are compared.")] = "shelf-tiny",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of PyTorch; default: all cores.")] = None,
    as_json: Json = False,
) -> None:
    """The engine beside the usual way and a batched one: speed by plan, where the time goes, memory, same answers?

    With the default options it takes about half an hour on two cores, most of it the usual way at base size.
    """
    from worker.bench import engine as bench

    with _bars() as bars:
        figures = bench.measure(
            sizes=sizes or bench.SIZES,
            photos=photos,
            rounds=rounds,
            compared=compared,
            compared_model=compared_model,
            threads=threads,
            progress=_Advance(bars),
        )
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _tell_engine(figures)


@bench_app.command("policy")
def policy(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Policy file, or a directory with policy.yaml. Left out: the starter pack.", show_default=False
        ),
    ] = None,
    photos: Annotated[int, typer.Option(min=8, help="Photos whose signals are judged.")] = 400,
    rounds: Annotated[int, typer.Option(min=1, help="Times everything is timed; the best counts.")] = 5,
    observations: Annotated[
        int,
        typer.Option(min=0, help="Stored photos that a backtest of the starter pack replays, on two cores; 0: none."),
    ] = 5_000,
    as_json: Json = False,
) -> None:
    """Decisions a second over signals in memory on one core, the time to find 10,000 terms in a photo's text, and
    backtests over stored photos in a PostgreSQL of their own: after one threshold, a word list, with nothing known.

    A backtest's target is a million stored photos in 180 s: `--observations 1000000` takes an hour and 10 GB of disk.
    """
    from worker.bench import backtest
    from worker.bench import policy as bench

    try:
        with _bars() as bars:
            figures = bench.measure(path, photos=photos, rounds=rounds, progress=_Advance(bars))
            if observations:
                figures["backtest"] = backtest.measure(photos=observations, progress=_Advance(bars))
    except PolicyInvalid as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(figures))
        return
    table = Table("figure", "value", title=f"policy {figures['policy']}", title_justify="left")
    words = {f"words: {name}": value for name, value in figures.pop("words").items()}
    replayed = figures.pop("backtest", None)
    for name, value in (figures | words).items():
        if name != "policy":
            table.add_row(name.replace("_", " "), f"{value:,}")
    Console().print(table)
    if replayed:
        _tell_backtest(replayed)


def _tell_backtest(figures: dict[str, Any]) -> None:
    title = f"backtest of {figures['photos']:,} stored photos, {figures['processes']} processes"
    names = ("seconds", "cpu_us_per_photo", "peak_mb", "million_seconds_at_this_pace")
    table = Table("after", *(name.replace("_", " ") for name in names), title=title, title_justify="left")
    for way, found in figures["ways"].items():
        table.add_row(way, *(f"{found[name]:,}" for name in names))
    Console().print(table)


class _Advance:
    """A bar for each part, made when it is first told of."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, part: str, whole: int, done: int) -> None:
        if part not in self._tasks:
            self._tasks[part] = self._bars.add_task(part, total=whole)
        self._bars.advance(self._tasks[part], done)


def _bars() -> Progress:
    """On standard error, so that `--json` stays one document."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
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


def _tell_engine(figures: dict[str, Any]) -> None:
    screen = Console()
    for size, told in figures["sizes"].items():
        table = Table(title=f"{size}: images a second", title_justify="left")
        for heading in ("way", "type", "batch", *(f"{plan} tasks" for plan in told["speedup"]["usual"]), "peak MB"):
            table.add_column(heading, justify="left" if heading in ("way", "type") else "right")
        for name, way in told["ways"].items():
            rates = (f"{rate:.3f}" for rate in way["images_per_second"].values())
            table.add_row(name, way["dtype"], str(way["batch"]), *rates, str(way["peak_mb"]))
        for name, ratios in told["speedup"].items():
            table.add_row(f"ours / {name}", "", "", *(f"{ratio:.2f}x" for ratio in ratios.values()), "")
        screen.print(table)
        screen.print(
            "our time:", ", ".join(f"{part} {share:.0%}" for part, share in told["ways"]["ours"]["parts"].items())
        )
        if "ours_gflops" in told:
            screen.print(
                f"{told['ours_gflops']} GFLOP/s, {told['ours_share_of_ceiling']:.0%} of what the machine multiplies"
            )
    if compared := figures.get("compared"):
        screen.print(f"{compared['same']} of {compared['answers']} answers the same, {compared['near_ties']} near ties")
        screen.print(f"identical: {figures['identical']}")
