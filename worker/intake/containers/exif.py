"""EXIF reduced to one tag: how the photo is turned. Everything else in it is personal or of no use to us."""

from __future__ import annotations

import struct

ORIENTATION_TAG = 0x0112
PREFIX = b"Exif\x00\x00"
MAX_ENTRIES = 512  # real first directories have fewer than 50
VALUE_FORMATS = {1: "B", 3: "H", 4: "I"}  # BYTE and LONG are wrong for this tag, and are seen in the wild


def orientation(block: bytes) -> int:
    """The orientation 1 to 8 in an EXIF block (with or without its prefix); 1 for anything unreadable."""
    tiff = block[len(PREFIX) :] if block.startswith(PREFIX) else block
    try:
        value = _first_directory_value(tiff)
    except (struct.error, KeyError):
        return 1
    return value if 1 <= value <= 8 else 1


def _first_directory_value(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}[tiff[:2]]
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, start)
    for index in range(min(entries, MAX_ENTRIES)):
        at = start + 2 + 12 * index
        tag, kind = struct.unpack_from(f"{order}HH", tiff, at)
        if tag == ORIENTATION_TAG:
            return int(struct.unpack_from(f"{order}{VALUE_FORMATS[kind]}", tiff, at + 8)[0])
    return 1


def minimal(value: int) -> bytes:
    """A TIFF block (no prefix) that holds the orientation and nothing else."""
    header = b"II*\x00" + struct.pack("<I", 8)
    return header + struct.pack("<HHHIHHI", 1, ORIENTATION_TAG, 3, 1, value, 0, 0)
