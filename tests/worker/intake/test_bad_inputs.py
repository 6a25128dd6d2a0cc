"""The awkward files of the development data: each ends as a photo or as a refusal with the code written here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import InputRejected
from worker.intake.decode import close_sandbox, decode_photo

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("SHELFGUARD_TEST_DATA", ROOT.parent / "shared" / "data"))
LIST = DATA / "bad_inputs.jsonl"
ROWS = [json.loads(line) for line in LIST.read_text().splitlines()] if LIST.exists() else []

# What we answer, by kind of file; "photo" where it is usable. A few files differ from their kind.
ANSWERS = {
    "truncated": "truncated",
    "corrupt": "corrupt",
    "bad_exif": "photo",
    "bomb": "too_many_pixels",
    "cmyk": "photo",
    "icc": "photo",
    "alpha": "photo",
    "animated": "photo",
    "multi_frame": "photo",
    "16bit": "photo",
    "fuzz": "unsupported_format",
    "gps_pii": "photo",
    "orientation": "photo",
    "vector": "unsupported_format",
    "extreme_aspect": "extreme_aspect",
    "low_quality": "photo",
}
EXCEPTIONS = {
    "truncated__Pillow__truncated_app14.jpg": "photo",  # only a dropped segment is cut off
    "corrupt__sharp__corrupt-header.jpg": "truncated",  # 1,024 bytes of a longer file
    "fuzz__sharp__Crash_test.gif": "photo",  # named for a crash long mended
    "gps_pii__Pillow__exif_gps.jpg": "too_small",  # 8 x 8 pixels
    "extreme_aspect__sharp__big-height.webp": "too_small",  # 13 pixels wide
}


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> Iterator[None]:
    yield
    close_sandbox()


@pytest.mark.skipif(not ROWS, reason=f"the development photographs are not at {DATA} (see SHELFGUARD_TEST_DATA)")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: Path(row["file"]).name)
def test_each_awkward_file_has_its_answer(row: dict[str, str]) -> None:
    data = (DATA / row["file"]).read_bytes()
    try:
        photo = decode_photo(data)
    except InputRejected as refusal:
        answer = refusal.code
    else:
        answer = "photo"
        assert photo.format in {"JPEG", "PNG", "WEBP", "GIF"}
        assert len(photo.original) <= len(data)
        assert b"GPS" not in photo.original
    name = Path(row["file"]).name
    if name in EXCEPTIONS or row["kind"] in ANSWERS:
        assert answer == EXCEPTIONS.get(name, ANSWERS.get(row["kind"]))


@pytest.mark.skipif(not ROWS, reason=f"the development photographs are not at {DATA} (see SHELFGUARD_TEST_DATA)")
def test_the_four_turns_of_one_landscape_look_the_same() -> None:
    hashes = [
        int(decode_photo((DATA / row["file"]).read_bytes()).dhash, 16) for row in ROWS if "Landscape" in row["file"]
    ]
    assert len(hashes) == 4
    assert all((hashes[0] ^ other).bit_count() <= 4 for other in hashes[1:])
