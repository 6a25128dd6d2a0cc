"""JPEG (ITU-T T.81): keep tables, frames and scans; rebuild the few application segments that matter; end at EOI."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from worker.intake import refusals
from worker.intake.containers import exif, icc, provenance
from worker.intake.containers.cleaned import Cleaned

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
TABLES = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD})  # DHT, DAC, DQT, DNL, DRI
STANDALONE = frozenset({0x01, SOI, *range(0xD0, 0xD8)})  # no length follows; stray ones carry nothing
COMMENT = 0xFE
APP0, APP1, APP2, APP11, APP14 = 0xE0, 0xE1, 0xE2, 0xEB, 0xEE
APPLICATION = frozenset(range(0xE0, 0xF0))

XMP_PREFIXES = (b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00")
ICC_PREFIX = b"ICC_PROFILE\x00"
MAX_SCANS = 100  # progressive encoders write about 10; thousands are an attack on time (each re-reads every block)
MAX_SEGMENTS = 20_000

# In a scan, FF is data when 00 follows, part of the scan when a restart marker follows, else the next marker.
SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


@dataclass(slots=True)
class _Parts:
    jfif: bytes = b""
    adobe: bytes = b""
    orientation: int = 0
    profile: list[bytes] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    scans: int = 0
    size: tuple[int, int] | None = None


def clean(data: bytes) -> Cleaned:
    """Drop EXIF but for orientation, XMP but for AI provenance, comments, thumbnails, and bytes after the end.

    Raises InputRejected: truncated, corrupt, too_complex.
    """
    parts = _Parts()
    _walk(data, parts)
    if parts.size is None or not parts.scans:
        raise refusals.truncated()
    turned = parts.orientation or 1
    source = provenance.find(parts.metadata) or ""
    rebuilt = b"".join([b"\xff\xd8", *_application_segments(parts, source), *parts.body])
    width, height = parts.size
    return Cleaned("JPEG", rebuilt, rebuilt, width, height, turned, width * height, source)


def with_filler(cleaned: bytes) -> bytes:
    """The file with extra entropy-coded bytes at the end of every scan.

    A decoder that had all its data ignores them; one that ran dry, and would have painted grey, reads them. So a
    picture that changes under filler lacks data (the header promises more than the scans hold).
    """
    filler = bytes((index * 89 + 41) % 251 for index in range(4096))  # no FF, nothing periodic for Huffman codes
    parts: list[bytes] = []
    at = 2
    while (found := cleaned.find(b"\xff", at)) >= 0 and found + 4 <= len(cleaned):
        marker = cleaned[found + 1]
        end = found + 2 + int.from_bytes(cleaned[found + 2 : found + 4], "big")
        if marker == SOS:
            end = _scan_end(cleaned, end)
            parts += [cleaned[at:end], filler]
        else:
            parts.append(cleaned[at:end])
        at = end
    return b"".join([cleaned[:2], *parts, cleaned[at:]])


def _walk(data: bytes, parts: _Parts) -> None:
    at = 2
    for _ in range(MAX_SEGMENTS):
        at = data.find(b"\xff", at)
        while 0 <= at < len(data) and data[at : at + 1] == b"\xff":
            at += 1
        if at < 0 or at >= len(data):
            return  # no EOI; the decoder says whether the pixels are all there
        marker = data[at]
        at += 1
        if marker == EOI:
            parts.body.append(b"\xff\xd9")
            return
        if marker == 0x00 or marker in STANDALONE:
            continue
        at = _segment(data, at, marker, parts)
    raise refusals.too_complex()


def _segment(data: bytes, at: int, marker: int, parts: _Parts) -> int:
    """File away one segment whose length field is at `at`; returns where the next one may begin."""
    length = int.from_bytes(data[at : at + 2], "big")
    end = at + length
    if end > len(data):
        raise refusals.truncated()
    if length < 2:
        raise refusals.corrupt("segment without length")
    payload = data[at + 2 : end]
    if marker in FRAMES:
        _frame(payload, parts)
    elif marker == SOS:
        parts.scans += 1
        if parts.scans > MAX_SCANS:
            raise refusals.too_complex()
        end = _scan_end(data, end)
    elif marker in APPLICATION:
        _application(marker, payload, parts)
        return end
    elif marker == COMMENT:
        return end
    elif marker not in TABLES:
        raise refusals.corrupt(f"unknown marker {marker:02X}")
    parts.body.append(b"\xff" + bytes([marker]) + data[at:end])
    return end


def _scan_end(data: bytes, at: int) -> int:
    match = SCAN_END.search(data, at)
    return match.start() if match else len(data)


def _frame(payload: bytes, parts: _Parts) -> None:
    if parts.size is not None:
        raise refusals.corrupt("two frames")
    if len(payload) < 6:
        raise refusals.truncated()
    height, width = int.from_bytes(payload[1:3], "big"), int.from_bytes(payload[3:5], "big")
    if not width or not height:
        raise refusals.corrupt("no size")
    parts.size = (width, height)


def _application(marker: int, payload: bytes, parts: _Parts) -> None:
    if marker == APP0 and payload.startswith(b"JFIF\x00") and len(payload) >= 14 and not parts.jfif:
        parts.jfif = payload[:12] + b"\x00\x00"  # version and density; the thumbnail is dropped
    elif marker == APP14 and payload.startswith(b"Adobe") and len(payload) >= 12 and not parts.adobe:
        parts.adobe = payload[:12]  # names the colour transform: the pixels need it
    elif marker == APP1 and payload.startswith(exif.PREFIX[:4]) and not parts.orientation:
        parts.orientation = exif.orientation(payload)
    elif marker == APP2 and payload.startswith(ICC_PREFIX):
        parts.profile.append(payload)
    elif marker == APP11 or payload.startswith(XMP_PREFIXES):
        parts.metadata.append(payload)


def _application_segments(parts: _Parts, source: str) -> list[bytes]:
    segments = []
    if parts.jfif:
        segments.append(_application_segment(APP0, parts.jfif))
    if parts.orientation > 1:
        segments.append(_application_segment(APP1, exif.PREFIX + exif.minimal(parts.orientation)))
    if source:
        segments.append(_application_segment(APP1, XMP_PREFIXES[0] + provenance.packet(source)))
    header = len(ICC_PREFIX) + 2  # prefix, number of this piece, count of pieces
    if parts.profile and icc.acceptable(b"".join(piece[header:] for piece in parts.profile)):
        segments += [_application_segment(APP2, piece) for piece in parts.profile]
    if parts.adobe:
        segments.append(_application_segment(APP14, parts.adobe))
    return segments


def _application_segment(marker: int, payload: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + (len(payload) + 2).to_bytes(2, "big") + payload
