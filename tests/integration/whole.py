"""Driving the whole system from outside, as a shop does: HTTP, Celery by task name, files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from worker.cli.client import ApiClient
from worker.cli.demo import CHANNELS, SAMPLES, find_samples
from worker.cli.jobs import image_field
from worker.system import LocalSystem, Up

TERMINAL = {"DONE", "REJECTED", "QUARANTINED", "SUPERSEDED"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A running system with a client that may do everything."""

    system: LocalSystem
    up: Up
    client: ApiClient

    def send(self, image: Mapping[str, str], **changes: Any) -> str:
        job = {
            "schema": 1,
            "tenant": "shop",
            "product_id": f"p-{uuid4()}",
            "image_id": "front",
            "image": dict(image),
            "channels": list(CHANNELS),
        }
        return str(self.client.submit(job | changes, f"test-{uuid4()}")["job_id"])

    def send_samples(self, prefix: str) -> dict[str, str]:
        """All shipped samples under products of their own; file name to job id."""
        return {
            sample.name: self.send(
                image_field(str(sample.file)),
                **{**sample.job, "product_id": f"{prefix}-{sample.job['product_id']}"},
            )
            for sample in find_samples(SAMPLES)
        }

    def wait(self, job_ids: Iterable[str], seconds: float = 240) -> dict[str, dict[str, Any]]:
        """Each job once it has ended. Fails the test when one does not end in time."""
        until = time.monotonic() + seconds
        ended: dict[str, dict[str, Any]] = {}
        waiting = list(job_ids)
        while waiting:
            job = self.client.job(waiting[0])
            if job["state"] in TERMINAL:
                ended[waiting.pop(0)] = job
            else:
                assert time.monotonic() < until, f"still open: {waiting}; the first: {job}"
                time.sleep(0.2)
        return ended


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that has to come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.1)


def outcome(job: Mapping[str, Any]) -> dict[str, Any]:
    """What must not depend on faults: state, verdicts and the causes, without ids and times."""
    decision = job["decision"] or {}
    return {
        "state": job["state"],
        "verdict": decision.get("verdict"),
        "channels": decision.get("channels"),
        "findings": sorted((item["rule"], item["channel"]) for item in decision.get("findings", [])),
    }


def sample_files() -> list[Path]:
    return [sample.file for sample in find_samples(SAMPLES)]
