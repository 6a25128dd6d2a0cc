"""Photos made on the spot, honest and hostile. Nothing here is stored, bombs least of all."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" creator="Secret Name" '
    b'e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
AI = b"digitalsourcetype/trainedAlgorithmicMedia"
SECRET = b"Secret Name"
GPS_TIFF_TAG = 0x8825


def colours(width: int = 64, height: int = 48, seed: int = 1) -> Image.Image:
    """Smooth colours without symmetry, so that every turn shows."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def encode(picture: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.mode.encode() + picture.tobytes()


def personal_exif(orientation: int = 1) -> Image.Exif:
    """A camera's EXIF: place, owner and a turn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = SECRET.decode()
    exif.get_ifd(GPS_TIFF_TAG).update({1: "N", 2: (IFDRational(48), IFDRational(8), IFDRational(1)), 3: "E"})
    return exif


def icc_profile(size: int = 500) -> bytes:
    """The least that counts as a profile: its size and its signature."""
    return size.to_bytes(4, "big") + bytes(32) + b"acsp" + bytes(size - 40)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(width: int, height: int, *, rows: int | None = None, extra: bytes = b"") -> bytes:
    """A black grey-scale PNG of any size from few bytes; `extra` chunks go before the pixels."""
    packer = zlib.compressobj(9)
    line = bytes(width + 1)
    packed = b"".join(packer.compress(line) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [png_chunk(b"IHDR", header), extra, png_chunk(b"IDAT", packed), png_chunk(b"IEND", b"")]
    )


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG with another size in its (baseline) frame header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def with_jpeg_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    return data[:2] + b"\xff" + bytes([marker]) + (len(payload) + 2).to_bytes(2, "big") + payload + data[2:]


def endless_scans(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG whose first scan comes again and again."""
    data = encode(Image.new("L", (width, height), 90), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    end = start + 2
    while not (data[end] == 0xFF and data[end + 1] not in (0x00, *range(0xD0, 0xD8))):
        end += 1
    return data[:start] + data[start:end] * scans + data[end:]


def gif_of(frames: int) -> bytes:
    first = Image.new("P", (32, 32), 0)
    first.putpalette([255, 0, 0] + [0, 0, 255] * 255)
    data = encode(first, "GIF")
    image = data.index(b"\x2c", 13 + (3 << (data[10] & 7) + 1))
    return data[:image] + data[image:-1] * frames + b";"
