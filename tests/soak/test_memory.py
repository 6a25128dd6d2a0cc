"""What a vision worker holds after thousands of photos."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak import report

pytestmark = [pytest.mark.soak]

DATA = Path(os.environ.get("SHELFGUARD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
PHOTOS = 2000
SETTLED = 200  # photos after which nothing new should have to be held
GROWTH = 0.05


def test_a_vision_worker_holds_no_more_after_two_thousand_photos_than_after_two_hundred() -> None:
    photos = DATA / "images" / "products"
    if not photos.is_dir():
        pytest.skip(f"the development photographs are not at {DATA} (see SHELFGUARD_TEST_DATA)")
    command = [sys.executable, "-m", "tests.soak.observing", str(photos), str(PHOTOS)]
    done = subprocess.run(command, check=True, timeout=7200, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]  # the others are the log
    resident = {line["photos"]: line["resident"] for line in map(json.loads, lines)}
    shown = {count: f"{size / 1e6:.0f} MB" for count, size in resident.items()}
    grown = resident[PHOTOS] / resident[SETTLED] - 1
    report.write("memory of a vision worker", f"{PHOTOS} photos: {shown}; {grown:+.1%} since {SETTLED}")
    assert grown <= GROWTH, shown
