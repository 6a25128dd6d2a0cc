"""`shelfguard model calibrate`: fits, writes, and says in a table what it found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from domain.errors import ExtraMissing
from worker.cli.progress import steps


def run(
    model: str,
    adapter: Path | None,
    count: int,
    seed: int,
    siblings_file: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Exits 2 for a file of siblings that is none; raises CheckpointRefused, AssetsMissing, ExtraMissing."""
    try:
        from worker.training.calibrate import calibrate
        from worker.training.reliability import draw
    except ModuleNotFoundError as error:
        raise ExtraMissing(str(error.name), "train") from error
    from worker.vision.siblings import read_siblings

    try:
        siblings = None if siblings_file is None else read_siblings(siblings_file)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with steps("scenes") as progress:
        made = calibrate(model, adapter, count=count, seed=seed, siblings=siblings, progress=progress)
    if picture is not None:
        weight = made.content["verification"]["something_else"]
        draw(picture, made.measured.with_verified(weight), made.calibration)
    if as_json:
        typer.echo(json.dumps({"ok": True, "path": str(made.file), **made.content}))
    else:
        _tell(made.file, made.content)


def _tell(file: Path, content: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="expected calibration error", title_justify="left")
    for heading in ("answers", "fitted to", "measured with", "right", "before", "after", "by chance", "curve"):
        table.add_column(heading, justify="left" if heading in ("answers", "curve") else "right")
    for kind, one in content["curves"].items():
        errors = (one[f"error_{when}"] for when in ("before", "after", "by_chance"))
        numbers = (one["samples"], one["measured"], f"{one['right']:.0%}", *errors)
        table.add_row(kind, *map(str, numbers), one["method"])
    screen = Console(highlight=False)
    screen.print(table)
    again = content["verification"]
    screen.print(f"A hit counts from a verified score of {again['threshold']:.4f} on (raw).")
    for name, told in (("forced", "when it must draw a box"), ("own", "when it may answer with nothing")):
        here, gone = again[name]["present_passing"], again[name]["absent_passing"]
        screen.print(f"{told}: {here:.1%} of present and {gone:.1%} of absent phrases pass.")
    screen.print(f"{file}: version {content['version']}.")
