"""GIF (87a, 89a): keep frames, timing and the loop count; drop comments and other extensions; end at the trailer."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.intake import refusals
from worker.intake.containers.cleaned import Cleaned, Cursor

IMAGE, EXTENSION, TRAILER = 0x2C, 0x21, 0x3B
GRAPHIC_CONTROL, APPLICATION = 0xF9, 0xFF
LOOPS = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")  # length byte and name of the two loop extensions
MAX_FRAMES = 50_000


@dataclass(slots=True)
class _Parts:
    head: bytes
    blocks: list[bytes] = field(default_factory=list)
    first: bytes = b""
    control: bytes = b""  # waits for the frame that it belongs to
    frames: int = 0
    largest: int = 0


def clean(data: bytes) -> Cleaned:
    """Drop comments, foreign extensions and trailing data. `still` is the first frame alone.

    Raises InputRejected: truncated, corrupt, too_complex.
    """
    cursor = Cursor(data)
    head = cursor.take(13)
    head += cursor.take(_table_bytes(head[10]))
    width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    parts = _Parts(head, largest=width * height)
    while _block(cursor, parts):
        pass
    if not parts.frames:
        raise refusals.truncated()
    rebuilt = b"".join([head, *parts.blocks, b";"])
    return Cleaned("GIF", rebuilt, head + parts.first + b";", width, height, 1, parts.largest)


def _block(cursor: Cursor, parts: _Parts) -> bool:
    """File away one block; False at the trailer, or where a file with whole frames simply stops."""
    if cursor.at_end and parts.frames:
        return False
    kind = cursor.byte()
    if kind == TRAILER:
        return False
    if kind == EXTENSION:
        _extension(cursor, parts)
    elif kind == IMAGE:
        _frame(cursor, parts)
    elif parts.frames:
        return False  # junk after whole frames: trailing bytes
    else:
        raise refusals.corrupt("unknown block")
    return True


def _extension(cursor: Cursor, parts: _Parts) -> None:
    label = cursor.byte()
    body = _sub_blocks(cursor)
    if label == GRAPHIC_CONTROL and len(body) == 6:
        parts.control = b"\x21\xf9" + body
    elif label == APPLICATION and body.startswith(LOOPS) and len(body) <= 24:
        parts.blocks.append(b"\x21\xff" + body)


def _frame(cursor: Cursor, parts: _Parts) -> None:
    parts.frames += 1
    if parts.frames > MAX_FRAMES:
        raise refusals.too_complex()
    descriptor = cursor.take(9)
    left, top, width, height = (int.from_bytes(descriptor[at : at + 2], "little") for at in (0, 2, 4, 6))
    parts.largest = max(parts.largest, (left + width) * (top + height))
    body = cursor.take(_table_bytes(descriptor[8])) + cursor.take(1) + _sub_blocks(cursor)
    block = parts.control + b"\x2c" + descriptor + body
    parts.control = b""
    parts.blocks.append(block)
    parts.first = parts.first or block


def _table_bytes(packed: int) -> int:
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


def _sub_blocks(cursor: Cursor) -> bytes:
    """Length-prefixed pieces up to and including the empty one."""
    start = cursor.at
    while length := cursor.byte():
        cursor.at += length
    return cursor.data[start : cursor.at]
