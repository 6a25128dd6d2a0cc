"""PNG (W3C PNG, third edition): keep what the pixels need, check every CRC that guards them, end at IEND."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from worker.intake import refusals
from worker.intake.containers import exif, icc, provenance
from worker.intake.containers.cleaned import Cleaned, Cursor

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT"})
KEPT = frozenset({b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs", b"cICP"})
XMP_KEYWORD = b"XML:com.adobe.xmp\x00"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
ADAM7 = (  # (x, y) where a pass starts, and its steps
    ((0, 0), (8, 8)),
    ((4, 0), (8, 8)),
    ((0, 4), (4, 8)),
    ((2, 0), (4, 4)),
    ((0, 2), (2, 4)),
    ((1, 0), (2, 2)),
    ((0, 1), (1, 2)),
)
UNPACK_STEP = 1_000_000  # bytes held at once
MAX_CHUNKS = 200_000  # a 20 MB file in 100-byte chunks


@dataclass(slots=True)
class _Parts:
    size: tuple[int, int]
    kept: list[bytes]
    metadata: list[bytes] = field(default_factory=list)
    turned: int = 1
    pixels_seen: bool = False


def clean(data: bytes) -> Cleaned:
    """Drop text, EXIF but for orientation, XMP but for AI provenance, animation frames, unknown and trailing data.

    Raises InputRejected: truncated, corrupt, too_complex.
    """
    cursor = Cursor(data, len(SIGNATURE))
    kind, body, sound = _chunk(cursor)
    if not sound:
        raise refusals.corrupt("checksum")
    parts = _Parts(_header(kind, body), [_build(kind, body)])
    for _ in range(MAX_CHUNKS):
        kind, body, sound = _chunk(cursor)
        if kind == b"IEND":
            return _cleaned(parts)
        _sort(kind, body, sound, parts)
    raise refusals.too_complex()


def has_all_rows(cleaned: bytes) -> bool:
    """Whether the packed pixel data unpacks to as many bytes as the header promises (Pillow does not mind)."""
    width, height = int.from_bytes(cleaned[16:20], "big"), int.from_bytes(cleaned[20:24], "big")
    bits = cleaned[24] * CHANNELS[cleaned[25]]
    passes = ADAM7 if cleaned[28] else (((0, 0), (1, 1)),)
    left = sum(_pass_bytes(width, height, bits, *one) for one in passes)
    cursor = Cursor(cleaned, len(SIGNATURE))
    unpacker = zlib.decompressobj()
    while left > 0 and not unpacker.eof and not cursor.at_end:
        kind, body, _ = _chunk(cursor)
        while kind == b"IDAT" and body and left > 0:
            left -= len(unpacker.decompress(body, UNPACK_STEP))
            body = unpacker.unconsumed_tail
    return left <= 0


def _pass_bytes(width: int, height: int, bits: int, start: tuple[int, int], step: tuple[int, int]) -> int:
    columns = max(0, -(-(width - start[0]) // step[0]))
    rows = max(0, -(-(height - start[1]) // step[1]))
    return rows * (1 + (columns * bits + 7) // 8) if columns else 0  # one filter byte before each row


def _sort(kind: bytes, body: bytes, sound: bool, parts: _Parts) -> None:
    """Keep, remember or drop one chunk."""
    if kind in CRITICAL:
        if not sound:
            raise refusals.corrupt("checksum")
        parts.pixels_seen = parts.pixels_seen or kind == b"IDAT"
        parts.kept.append(_build(kind, body))
    elif kind[0] & 0x20 == 0:  # a capital first letter: "you cannot show this picture without me"
        raise refusals.corrupt("unknown critical chunk")
    elif kind == b"eXIf":
        parts.turned = exif.orientation(body)
    elif kind == b"caBX" or (kind == b"iTXt" and body.startswith(XMP_KEYWORD)):
        parts.metadata.append(body)
    elif sound and (kind in KEPT or (kind == b"iCCP" and not parts.pixels_seen and _profile_acceptable(body))):
        parts.kept.append(_build(kind, body))


def _chunk(cursor: Cursor) -> tuple[bytes, bytes, bool]:
    """Type, body, and whether the checksum fits."""
    length = int.from_bytes(cursor.take(4), "big")
    kind = cursor.take(4)
    body = cursor.take(length)
    expected = int.from_bytes(cursor.take(4), "big")
    if not kind.isalpha():
        raise refusals.corrupt("chunk name")
    return kind, body, zlib.crc32(body, zlib.crc32(kind)) == expected


def _build(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")


def _header(kind: bytes, body: bytes) -> tuple[int, int]:
    if kind != b"IHDR" or len(body) != 13:
        raise refusals.corrupt("header")
    width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    if not width or not height:
        raise refusals.corrupt("no size")
    return width, height


def _profile_acceptable(body: bytes) -> bool:
    """Unpack no more than a profile may have: a small chunk can hold a large bomb."""
    name, _, packed = body.partition(b"\x00")
    if not 1 <= len(name) <= 79 or packed[:1] != b"\x00":
        return False
    try:
        return icc.acceptable(zlib.decompressobj().decompress(packed[1:], icc.MAX_PROFILE + 1))
    except zlib.error:
        return False


def _cleaned(parts: _Parts) -> Cleaned:
    if not parts.pixels_seen:
        raise refusals.corrupt("no pixels")
    extras = []
    if parts.turned > 1:
        extras.append(_build(b"eXIf", exif.minimal(parts.turned)))
    if source := provenance.find(parts.metadata) or "":
        extras.append(_build(b"iTXt", XMP_KEYWORD + b"\x00\x00\x00\x00" + provenance.packet(source)))
    header, *rest = parts.kept
    rebuilt = b"".join([SIGNATURE, header, *extras, *rest, _build(b"IEND", b"")])
    width, height = parts.size
    return Cleaned("PNG", rebuilt, rebuilt, width, height, parts.turned, width * height, source)
