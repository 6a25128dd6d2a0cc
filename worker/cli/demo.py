"""The demonstration: sample photos through the public way, with progress, a table, and pictures to look at."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import worker
from domain.errors import InputRejected, Unavailable
from domain.jobs import SCHEMA_VERSION, JobState
from domain.moderation import Verdict
from worker.cli.client import ApiClient
from worker.system import LocalSystem, Up, wipe, write_up

SAMPLES = Path(worker.__file__).parent / "samples"
TENANT = "demo"
# Not amazon_main, unless a sample's own line says so: its pictures have to stand on white, and these do not.
CHANNELS = ("google_merchant", "ebay", "meta", "etsy", "own_shop")
_PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif"}
_SENDERS = 4  # threads; enough to keep intake busy
_STALL_SECONDS = 300.0  # without any job ending, the rest counts as lost
_POLLED_AT_ONCE = 16  # oldest open jobs asked for in one round
_TABLE_ROWS = 60
_TERMINAL = {state.value for state in JobState if state.terminal}


@dataclass(frozen=True, slots=True)
class Sample:
    """One photo to send, with what its seller says."""

    file: Path
    name: str
    job: Mapping[str, Any]


def run_demo(folder: Path, photos: Path | None) -> dict[str, Any]:
    """Run the whole demonstration in `folder`; returns what summary.json holds."""
    console = Console(stderr=True)
    samples = list(find_samples(photos or SAMPLES))
    if not samples:
        raise InputRejected("no_photos", f"There is no photo in {photos or SAMPLES}; give a folder with some.")
    wipe(folder / "system")
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    system = LocalSystem(folder / "system")
    try:
        with console.status("starting") as status:
            up = system.start(status.update)
        write_up(folder, up)
        jobs = _run_jobs(up, samples, folder, console)
    finally:
        (folder / "up.json").unlink(missing_ok=True)
        with console.status("stopping"):
            system.stop()
    summary = summarise(jobs, time.monotonic() - started)
    (folder / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2))
    _show(summary, folder, console)
    return summary


def find_samples(folder: Path) -> Iterator[Sample]:
    """The photos of a folder: those that its samples.jsonl lists, else all pictures below it."""
    listing = folder / "samples.jsonl"
    if listing.exists():
        for line in listing.read_text().splitlines():
            entry = json.loads(line)
            said = ("title", "description", "category", "attributes", "product_id", "image_id", "channels")
            yield Sample(folder / entry["file"], entry["file"], {name: entry[name] for name in said if entry.get(name)})
        return
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PHOTO_SUFFIXES):
        name = file.relative_to(folder).as_posix()
        yield Sample(file, name, {"product_id": name, "image_id": "main"})


def summarise(jobs: Iterable[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    """Count how the jobs ended. `lost` are those that did not end at all."""
    records = list(jobs)
    states = Counter(job["state"] for job in records)
    verdicts = Counter(job["verdict"] for job in records if job["verdict"])
    return {
        "jobs": len(records),
        "done": states["DONE"],
        "rejected": states["REJECTED"],
        "quarantined": states["QUARANTINED"],
        "superseded": states["SUPERSEDED"],
        "lost": sum(count for state, count in states.items() if state not in _TERMINAL),
        "seconds": round(seconds, 1),
        "verdicts": {verdict.value: verdicts[verdict.value] for verdict in Verdict},
        "records": records,
    }


def _run_jobs(up: Up, samples: list[Sample], folder: Path, console: Console) -> list[dict[str, Any]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ApiClient(up.api, up.token) as client, Progress(*columns, console=console) as progress:
        sending = progress.add_task("sent", total=len(samples))
        ending = progress.add_task("ended", total=len(samples))
        open_jobs: dict[str, Sample] = {}
        ended: dict[str, dict[str, Any]] = {}
        with ThreadPoolExecutor(_SENDERS) as pool:
            sent = pool.map(lambda sample: _send(client, sample), samples)
            for sample, job in zip(samples, sent, strict=True):
                progress.advance(sending)
                if "job_id" in job:
                    open_jobs[job["job_id"]] = sample
                else:
                    ended[sample.name] = job
                    progress.advance(ending)
        for sample, job in _ended(client, open_jobs):
            ended[sample.name] = job_line(sample.name, job) | _picture(client, job, folder, sample.name)
            progress.advance(ending)
        for job_id, sample in open_jobs.items():
            ended[sample.name] = job_line(sample.name, client.job(job_id))
    return [ended[sample.name] for sample in samples]


def _send(client: ApiClient, sample: Sample) -> dict[str, Any]:
    job = {
        "schema": SCHEMA_VERSION,
        "tenant": TENANT,
        "channels": list(CHANNELS),
        "image": {"bytes_b64": base64.b64encode(sample.file.read_bytes()).decode()},
        **sample.job,
    }
    try:
        return client.submit(job, f"demo-{uuid4()}")
    except InputRejected as why:  # refused at the door, with a reason: it has ended
        return {
            "file": sample.name,
            "product_id": sample.job["product_id"],
            "job_id": None,
            "state": JobState.REJECTED.value,
            "verdict": None,
            "caption": None,
            "text": None,
            "findings": [],
            "rejection": {"code": why.code, "message": why.message},
        }


def _ended(client: ApiClient, open_jobs: dict[str, Sample]) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """Yield jobs as they end, taking them out of `open_jobs`; stops when none is left or nothing moves any more."""
    last = time.monotonic()
    while open_jobs and time.monotonic() - last < _STALL_SECONDS:
        moved = False
        for job_id in list(open_jobs)[:_POLLED_AT_ONCE]:
            try:
                job = client.job(job_id)
            except Unavailable:
                break
            if job["state"] in _TERMINAL:
                yield open_jobs.pop(job_id), job
                moved, last = True, time.monotonic()
            else:
                # Asked again after the others, so that one slow job does not hide those that have ended.
                open_jobs[job_id] = open_jobs.pop(job_id)
        if not moved:
            time.sleep(0.3)


def job_line(name: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """What the summary keeps of one job."""
    seen = (job.get("observation") or {}).get("results", {})
    decision = job.get("decision") or {}
    return {
        "file": name,
        "product_id": job["product_id"],
        "image_id": job["image_id"],
        "job_id": job["job_id"],
        "state": job["state"],
        "verdict": decision.get("verdict"),
        "channels": decision.get("channels", {}),
        "caption": seen.get("caption", {}).get("text"),
        "text": " ".join(line["text"] for line in _text_answer(seen).get("lines", [])),
        "observation": job.get("observation"),
        "findings": decision.get("findings", []),
        "rejection": job.get("rejection"),
        "annotated": None,
    }


def _text_answer(seen: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model's reading where it was asked for one, else the second reader's."""
    answer: Mapping[str, Any] = seen.get("ocr_with_region") or seen.get("second_reader") or {}
    return answer


def _picture(client: ApiClient, job: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    if job["state"] != JobState.DONE.value:
        return {}
    path = folder / "annotated" / Path(name).with_suffix(".jpg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(client.annotated(job["job_id"]))
    return {"annotated": path.relative_to(folder).as_posix()}


def _show(summary: Mapping[str, Any], folder: Path, console: Console) -> None:
    table = Table("product", "caption", "text", "verdict", "causes", title="What Shelfguard saw and decided")
    colours = {"approve": "green", "review": "yellow", "reject": "red"}
    for record in summary["records"][:_TABLE_ROWS]:
        verdict = record["verdict"] or record["state"]
        # Warnings and shadow rules change no verdict; summary.json has them.
        telling = [one for one in record["findings"] if one["action"] != Verdict.APPROVE.value and not one["shadow"]]
        causes = sorted({finding["rule"] for finding in telling})
        if record["rejection"]:
            causes.append(f"{record['rejection']['code']}: {record['rejection']['message']}")
        colour = colours.get(verdict, "magenta")
        cells = (record["product_id"], record["caption"] or "", record["text"] or "")
        # Text read from a picture may hold markup; it is shown as what it is.
        table.add_row(*(cell.replace("[", "\\[") for cell in cells), f"[{colour}]{verdict}[/]", "\n".join(causes))
    console.print(table)
    counts = {name: summary[name] for name in ("jobs", "done", "rejected", "quarantined", "superseded", "lost")}
    console.print("  ".join(f"{name} {count}" for name, count in counts.items()), f" in {summary['seconds']} s")
    console.print(f"Summary: {folder / 'summary.json'}   Annotated pictures: {folder / 'annotated'}")
