"""Measure everything and write REPORT.md and the gallery.

Run as: python -m tests.moderation_report [--processes 2] [--most N] [--most-clean N] [--cache DIR] [--out FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.moderation_report import gallery, writing
from tests.moderation_report.measuring import cases, measure
from tests.overlays import subjects

STATE = Path(__file__).parents[2] / ".shelfguard" / "moderation_report"


def main() -> None:
    options = _options()
    if why := subjects.missing():
        sys.exit(f"Nothing to measure on: {why}")
    small = cases(small=True)
    chosen = set(small)
    bounds = {"clean": options.most_clean}
    wanted = [case for case in cases(small=False) if case.place < bounds.get(case.kind, options.most) or case in chosen]
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("judging pictures", total=len(wanted))
        rows, who = measure(wanted, options.cache, options.processes, lambda: progress.advance(task))
    first = writing.small_of(rows, small)
    made = writing.Made(*who, pictures=writing.pictures_of(first))
    options.out.write_text(writing.report(rows, first, made), "utf-8")
    gallery.write(rows, STATE / "gallery.html")
    print(f"{options.out}; pictures judged wrongly: {STATE / 'gallery.html'}; {time.monotonic() - began:.0f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, help="one core and about 2 GB each")
    parser.add_argument("--most", type=int, default=10_000, help="pictures of a kind and source, for a quick look")
    parser.add_argument("--most-clean", type=int, default=10_000, help="photos as they are of each source")
    parser.add_argument("--cache", type=Path, default=STATE / "answers", help="what models answered before")
    parser.add_argument("--out", type=Path, default=writing.REPORT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
