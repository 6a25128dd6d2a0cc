"""WebP (RFC 9649): keep the bitstreams, rebuild the extended header, end where the RIFF size says."""

from __future__ import annotations

import re

from worker.intake import refusals
from worker.intake.containers import exif, icc, provenance
from worker.intake.containers.cleaned import Cleaned, Cursor

PIXELS = frozenset({b"VP8 ", b"VP8L", b"ALPH"})
FLAG_ICC, FLAG_ALPHA, FLAG_EXIF, FLAG_XMP, FLAG_ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02
FRAME_HEADER = 16  # bytes of an ANMF chunk before its own chunks
MAX_CHUNKS = 20_000
VP8_START = re.compile(rb".{3}\x9d\x01\x2a(.{4})", re.DOTALL)


def clean(data: bytes) -> Cleaned:
    """Drop EXIF but for orientation, XMP but for AI provenance, unknown chunks and trailing data.

    Raises InputRejected: truncated, corrupt, too_complex.
    """
    declared = 8 + int.from_bytes(data[4:8], "little")
    # Some writers leave out the last padding byte, which is no pixel.
    if declared > len(data) + 1:
        raise refusals.truncated()
    chunks = _chunks(data[12:declared])
    if not chunks:
        raise refusals.truncated()
    first_kind, first_body = chunks[0]
    if first_kind == b"VP8X":
        return _extended(first_body, chunks[1:])
    if first_kind not in PIXELS:
        raise refusals.corrupt("no pixels")
    width, height = _bitstream_size(first_kind, first_body)
    rebuilt = _riff(_build(first_kind, first_body))
    return Cleaned("WEBP", rebuilt, rebuilt, width, height, 1, width * height)


def _extended(header: bytes, chunks: list[tuple[bytes, bytes]]) -> Cleaned:
    if len(header) < 10:
        raise refusals.corrupt("header")
    width = 1 + int.from_bytes(header[4:7], "little")
    height = 1 + int.from_bytes(header[7:10], "little")
    turned = 1
    metadata: list[bytes] = []
    profile = b""
    body: list[bytes] = []
    for kind, chunk in chunks:
        if kind == b"ICCP" and icc.acceptable(chunk):
            profile = chunk
        elif kind == b"EXIF":
            turned = exif.orientation(chunk)
        elif kind == b"XMP " or kind == b"C2PA":
            metadata.append(chunk)
        elif kind in PIXELS or kind == b"ANIM":
            body.append(_build(kind, chunk))
        elif kind == b"ANMF":
            body.append(_build(kind, _frame(chunk)))
    if not body:
        raise refusals.corrupt("no pixels")
    source = provenance.find(metadata) or ""
    rebuilt = _rebuild(header, body, profile, turned, source)
    return Cleaned("WEBP", rebuilt, rebuilt, width, height, turned, width * height, source)


def _rebuild(header: bytes, body: list[bytes], profile: bytes, turned: int, code: str) -> bytes:
    flags = header[0] & (FLAG_ALPHA | FLAG_ANIMATION)
    flags |= FLAG_ICC if profile else 0
    flags |= FLAG_EXIF if turned > 1 else 0
    flags |= FLAG_XMP if code else 0
    parts = [_build(b"VP8X", bytes([flags, 0, 0, 0]) + header[4:10])]
    if profile:
        parts.append(_build(b"ICCP", profile))
    parts += body
    if turned > 1:
        parts.append(_build(b"EXIF", exif.minimal(turned)))
    if code:
        parts.append(_build(b"XMP ", provenance.packet(code)))
    return _riff(b"".join(parts))


def _frame(chunk: bytes) -> bytes:
    inner = [_build(kind, body) for kind, body in _chunks(chunk[FRAME_HEADER:]) if kind in PIXELS]
    if len(chunk) < FRAME_HEADER or not inner:
        raise refusals.corrupt("empty frame")
    return chunk[:FRAME_HEADER] + b"".join(inner)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    cursor = Cursor(data)
    found: list[tuple[bytes, bytes]] = []
    while not cursor.at_end:
        if len(found) >= MAX_CHUNKS:
            raise refusals.too_complex()
        kind = cursor.take(4)
        length = int.from_bytes(cursor.take(4), "little")
        found.append((kind, cursor.take(length)))
        cursor.at += length & 1
    return found


def _build(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "little") + body + b"\x00" * (len(body) & 1)


def _riff(body: bytes) -> bytes:
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _bitstream_size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Width and height out of a VP8 key frame or a VP8L header."""
    if kind == b"VP8 " and (match := VP8_START.match(body)):
        sides = match.group(1)
        return int.from_bytes(sides[:2], "little") & 0x3FFF, int.from_bytes(sides[2:], "little") & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise refusals.corrupt("bitstream")
