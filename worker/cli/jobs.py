"""`shelfguard submit` and `shelfguard job`: send a photo, see what became of it."""

from __future__ import annotations

import base64
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from domain.errors import InputRejected
from domain.jobs import SCHEMA_VERSION
from worker.cli.client import ApiClient

_WAIT_SECONDS = 600.0


class PriorityName(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


def submit(
    image: Annotated[str, typer.Argument(help="A file, an http(s) address, or s3://bucket/key.", metavar="IMAGE")],
    product_id: Annotated[str, typer.Option(help="Your id of the product.")],
    tenant: Annotated[str, typer.Option(help="The shop.")] = "default",
    image_id: Annotated[str | None, typer.Option(help="Your id of the photo; default: its name.")] = None,
    title: Annotated[str | None, typer.Option(help="The seller's title.")] = None,
    description: Annotated[str | None, typer.Option(help="The seller's description.")] = None,
    category: Annotated[str | None, typer.Option(help="The seller's category.")] = None,
    attribute: Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Sales channel to judge for; may be repeated.")] = None,
    priority: Annotated[PriorityName, typer.Option(help="Which lane the job takes.")] = PriorityName.NORMAL,
    idempotency_key: Annotated[str | None, typer.Option(help="Sending the same key again is the same job.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job has ended, and print its record.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Send one photo to be described and judged. Exit 3 when the photo was rejected as unusable."""
    job: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "tenant": tenant,
        "product_id": product_id,
        "image_id": image_id or Path(image).name or "photo",
        "image": image_field(image),
        "title": title,
        "description": description,
        "category": category,
        "attributes": _attributes(attribute or []),
        "priority": priority.value,
    }
    if channel:
        job["channels"] = channel
    with ApiClient.find() as client:
        answer = client.submit({name: value for name, value in job.items() if value is not None}, _key(idempotency_key))
        if wait:
            answer = client.wait(answer["job_id"], _WAIT_SECONDS)
    show(answer, as_json)


def job(
    job_id: Annotated[str, typer.Argument(help="The id that submit printed.", metavar="JOB")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Show what became of a job."""
    with ApiClient.find() as client:
        show(client.job(job_id), as_json)


def image_field(image: str) -> dict[str, str]:
    """The job's `image`. Raises InputRejected when it is a file that cannot be read."""
    if image.startswith(("http://", "https://")):
        return {"url": image}
    if image.startswith("s3://"):
        return {"s3": image}
    try:
        return {"bytes_b64": base64.b64encode(Path(image).read_bytes()).decode()}
    except OSError as error:
        raise InputRejected(
            "file_not_readable", f"{image}: {error.strerror}. Give a file, an address or s3://…"
        ) from error


def show(job: dict[str, Any], as_json: bool) -> None:
    """Print a job; exit 3 when it ended without a record."""
    answer = {"record": None, "decision": None} | job
    if as_json:
        typer.echo(json.dumps(answer, ensure_ascii=False))
    else:
        _describe(answer)
    if answer["state"] in ("REJECTED", "QUARANTINED"):
        raise typer.Exit(3)


def _describe(job: dict[str, Any]) -> None:
    typer.echo(f"job {job['job_id']}: {job['state']}")
    if job.get("rejection"):
        typer.echo(f"  {job['rejection']['code']}: {job['rejection']['message']}")
    if job["record"]:
        caption = (job["record"]["fields"].get("caption") or {}).get("value")
        typer.echo(f"  caption: {caption or '(nothing described)'}")
    if job["decision"]:
        typer.echo(f"  verdict: {job['decision']['verdict']}")
        for finding in job["decision"]["findings"]:
            typer.echo(f"  - {finding['channel']}: {finding['rule']} ({finding['policy_code']}): {finding['message']}")


def _attributes(pairs: list[str]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--attribute {pair!r}: write name=value")
        attributes[name] = value
    return attributes


def _key(given: str | None) -> str:
    # Our own key lets the client send again after a broken connection without making two jobs.
    return given or f"cli-{uuid4()}"
