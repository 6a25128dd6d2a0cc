"""`shelfguard model`: what a checkpoint is, and whether it may be loaded."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from domain.errors import CheckpointRefused

model_app = typer.Typer(help="Checkpoints: what one is, and whether it may be loaded.", no_args_is_help=True)

ModelArgument = Annotated[
    str | None, typer.Argument(help="shelf-tiny, a directory, or hub-id@commit; default: SHELFGUARD_MODEL.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@model_app.command("info")
def info(model: ModelArgument = None, as_json: Json = False) -> None:
    """Size, vocabulary, resolution, digest and type. Exit 1 with the reason when the checkpoint is refused."""
    facts = _facts(model)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:13} {value:,}" if isinstance(value, int) else f"{name:13} {value}")


@model_app.command("verify")
def verify(model: ModelArgument = None, as_json: Json = False) -> None:
    """Every check that is made before loading. Exit 1 with the reason when the checkpoint is refused."""
    try:
        facts = _facts(model)
    except CheckpointRefused as refused:
        if not as_json:
            typer.echo(str(refused), err=True)
        else:
            typer.echo(json.dumps({"ok": False, "why": refused.why, "remedy": refused.remedy, "path": refused.path}))
        raise typer.Exit(1) from refused
    typer.echo(json.dumps({"ok": True, **facts}) if as_json else f"{facts['model']}: every check passed.")


def _facts(model: str | None) -> dict[str, Any]:
    from worker.settings import VisionSettings
    from worker.vision.florence import choose_device, choose_dtype, verify

    chosen = VisionSettings()
    checked = verify(model or chosen.model, None if model else chosen.model_revision)
    width, height = checked.resolution
    device = choose_device(chosen.device)
    return {
        "model": checked.identity,
        "path": str(checked.checkpoint.folder),
        "digest": checked.checkpoint.digest,
        "parameters": checked.parameters,
        "vocabulary": len(checked.processor.tokenizer),
        "resolution": f"{width}x{height}",
        "image_tokens": checked.processor.num_image_tokens,
        "positions": checked.config.text_config.max_position_embeddings,
        "device": str(device),
        "dtype": choose_dtype(chosen.dtype, device, checked.parameters),
    }
