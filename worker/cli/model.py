"""`shelfguard model`: what a checkpoint is, whether it may be loaded, and the way to the layout that is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from domain.errors import CheckpointRefused
from worker.cli import smoke
from worker.cli.progress import steps

model_app = typer.Typer(
    help="Checkpoints: what one is, whether it may be loaded, conversion, how sure it is.", no_args_is_help=True
)

ModelArgument = Annotated[
    str | None, typer.Argument(help="shelf-tiny, a directory, or hub-id@commit; default: SHELFGUARD_MODEL.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@model_app.command("info")
def info(model: ModelArgument = None, as_json: Json = False) -> None:
    """What a checkpoint is made of: stages, widths, vocabulary, resolution, size, licence, digest.

    Exit 1 with the reason when the checkpoint is refused.
    """
    with _refusals(as_json):
        facts = _facts(model)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:13} {_readable(value)}")


@model_app.command("verify")
def verify(
    model: ModelArgument = None,
    run_tasks: Annotated[
        bool, typer.Option("--smoke", help="Also run every task on shipped pictures and check the answers.")
    ] = False,
    pictures: Annotated[int, typer.Option(min=1, help="With --smoke: how many pictures to look at.")] = 4,
    as_json: Json = False,
) -> None:
    """Every check that is made before loading. Exit 1 with the reason when the checkpoint is refused.

    With --smoke the model is loaded as a worker would load it (SHELFGUARD_DEVICE, SHELFGUARD_DTYPE) and every task is
    run: for weights that nobody here has seen. Exit 1 when a check of the answers fails.
    """
    with _refusals(as_json):
        if run_tasks:
            smoke.run(model, pictures, as_json)
            return
        facts = _facts(model)
    if as_json:
        typer.echo(json.dumps({"ok": True, **facts}))
        return
    typer.echo(f"{facts['model']}: every check passed.")
    if facts["unread"]:
        typer.echo(f"Left unread, because they could run code: {', '.join(facts['unread'])}.")


@model_app.command("convert")
def convert(
    source: Annotated[str, typer.Argument(help="A checkpoint in Microsoft's layout: a directory, or hub-id@commit.")],
    destination: Annotated[Path, typer.Argument(help="The directory to make.")],
    dtype: Annotated[
        Literal["float16", "bfloat16", "float32"], typer.Option(help="Type of the numbers written.")
    ] = "float16",
    force: Annotated[bool, typer.Option("--force", help="Replace a checkpoint that is there already.")] = False,
    as_json: Json = False,
) -> None:
    """Microsoft's original (remote-code) Florence-2 layout to the native one that Shelfguard loads.

    No code of the checkpoint runs and no pickle is read. The result is verified and gets a manifest; it appears whole
    or not at all. Exit 1 with the reason when the checkpoint is refused.
    """
    from worker.vision.convert import convert as make
    from worker.vision.florence import locate

    with _refusals(as_json), steps("tensors") as progress:
        made = make(locate(source)[1], destination, dtype=dtype, force=force, progress=progress)
    if as_json:
        facts = {"path": str(made.folder), "digest": made.digest, "parameters": made.parameters}
        facts |= {"tensors": made.tensors, "dtype": made.dtype, "bytes": made.size, "left_out": list(made.left_out)}
        typer.echo(json.dumps({"ok": True, **facts}))
        return
    typer.echo(f"{made.folder}: {made.parameters:,} parameters in {made.dtype}, {made.size / 1e6:,.0f} MB, verified.")
    typer.echo(f"Settings without a place in it: {', '.join(made.left_out) or 'none'}.")


@model_app.command("manifest")
def manifest(
    folder: Annotated[Path, typer.Argument(help="Directory of a checkpoint or an adapter.")], as_json: Json = False
) -> None:
    """Write MANIFEST.sha256: names and sha256 of the files, which every later load compares.

    The format is that of `sha256sum`. A manifest that is there is replaced; hidden files are not covered.
    """
    from worker.vision.manifest import MANIFEST, write_manifest

    with _refusals(as_json):
        sums = write_manifest(folder)
    if as_json:
        typer.echo(json.dumps({"ok": True, "path": str(folder / MANIFEST), "files": sums}))
        return
    typer.echo(f"{folder / MANIFEST}: {len(sums)} files.")


@model_app.command("calibrate")
def calibrate(
    model: Annotated[str, typer.Argument(help="shelf-tiny, a directory, or hub-id@commit.")],
    adapter: Annotated[
        Path | None, typer.Option(help="Directory of a LoRA adapter: fitted to both, written beside the adapter.")
    ] = None,
    count: Annotated[int, typer.Option(min=8, help="Scenes to fit to, and as many others to measure with.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the scenes to fit to; the others are of the next seed.")] = 910_001,
    siblings: Annotated[
        Path | None,
        typer.Option(
            help="Names that hits are read again against, as lines of 'group: name, name'. Default: Shelfguard's own.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="A PNG picture to write: how often answers are right at which score.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how often answers are right at which score, and write calibration.json beside the weights.

    Also chooses from which verified score an open-vocabulary hit counts: so that 90 % of present things pass. Rendered
    scenes are looked at, so it needs the extra `train`; shelf-tiny takes a quarter of a second for each on one core.
    Stopped with Ctrl-C it has written nothing.
    """
    from worker.cli.calibrating import run

    with _refusals(as_json):
        run(model, adapter, count, seed, siblings, picture, as_json)


@contextmanager
def _refusals(as_json: bool) -> Iterator[None]:
    """A refused checkpoint as one sentence or one JSON document, and exit 1."""
    try:
        yield
    except CheckpointRefused as refused:
        if not as_json:
            typer.echo(str(refused), err=True)
        else:
            typer.echo(json.dumps({"ok": False, "why": refused.why, "remedy": refused.remedy, "path": refused.path}))
        raise typer.Exit(1) from refused


def _readable(value: Any) -> str:
    """A fact on one line."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(_readable, value)) or "-"
    return str(value)


def _facts(model: str | None) -> dict[str, Any]:
    from worker.settings import VisionSettings
    from worker.vision.facts import facts
    from worker.vision.florence import choose_device, choose_dtype, verify

    chosen = VisionSettings()
    checked = verify(model or chosen.model, None if model else chosen.model_revision)
    device = choose_device(chosen.device)
    return facts(checked) | {
        "device": str(device),
        "dtype": choose_dtype(chosen.dtype, device, checked.parameters),
    }
