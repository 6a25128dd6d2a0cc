"""`up`, `down` and `demo`: the whole system on this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.settings import ClientSettings

StateDir = Annotated[Path | None, typer.Option(help="Where state is kept; default .shelfguard/.")]


def up(state_dir: StateDir = None) -> None:
    """Start the whole system in the background on loopback; addresses and token go to .shelfguard/up.json."""
    from worker.background import background
    from worker.cli.client import read_up

    folder = _folder(state_dir)
    command = [sys.executable, "-m", "worker.cli.main", "serve", "--state-dir", str(folder)]
    running = background(command, folder, ready=folder / "up.json")
    found = read_up(folder)
    typer.echo(f"Shelfguard is up{' already' if running.already_running else ''}: {found['api']}", err=True)
    typer.echo(f"Documentation: {found['docs']}   Token and addresses: {folder / 'up.json'}", err=True)


def down(state_dir: StateDir = None) -> None:
    """Stop the background system. What it holds is kept and is there at the next `up`."""
    from worker.background import stop_background

    folder = _folder(state_dir)
    stopped = stop_background(folder)
    (folder / "up.json").unlink(missing_ok=True)
    typer.echo("Shelfguard is down." if stopped else "Shelfguard was not up.", err=True)


def serve(state_dir: StateDir = None) -> None:
    """Run the whole system in the foreground until told to stop (what `up` puts in the background)."""
    from worker.system import LocalSystem, write_up
    from worker.telemetry import configure_logging

    configure_logging(process="supervisor")
    folder = _folder(state_dir)
    with LocalSystem(folder) as system:
        try:
            write_up(folder, system.start())
            system.run_forever()
        finally:
            (folder / "up.json").unlink(missing_ok=True)


def demo(
    photos: Annotated[Path | None, typer.Option(help="Folder of photos; default: the shipped samples.")] = None,
    state_dir: StateDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json to standard output.")] = False,
) -> None:
    """Start everything, send the sample photos the public way, show what came out, stop everything.

    Exit 0 only if every job ended. Writes demo/summary.json and annotated pictures into the state directory.
    """
    from worker.cli.demo import run_demo

    summary = run_demo(_folder(state_dir) / "demo", photos)
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
    raise typer.Exit(0 if summary["lost"] == 0 else 1)


def _folder(state_dir: Path | None) -> Path:
    return (state_dir or ClientSettings().state_dir).absolute()
