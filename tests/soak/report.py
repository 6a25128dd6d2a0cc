"""The dated report of the soak suite: tests/soak/REPORT.md, one line for each test that measured something."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path

REPORT = Path(__file__).with_name("REPORT.md")
_HEAD = """# Soak reports

Newest last. Written by `make soak`.

| when (UTC) | machine | test | measured |
| --- | --- | --- | --- |
"""


def write(test: str, measured: str) -> None:
    """Add a line. The report is committed when the run is worth keeping."""
    if not REPORT.exists():
        REPORT.write_text(_HEAD)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    machine = f"{platform.system()} {platform.machine()}, {len(_cores())} cores"
    with REPORT.open("a") as file:
        file.write(f"| {when} | {machine} | {test} | {measured} |\n")


def _cores() -> set[int]:
    import os

    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
