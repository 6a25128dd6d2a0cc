"""What kind of file is this? By its bytes alone: names and content types are what an attacker says they are."""

from __future__ import annotations

import re

from worker.intake import refusals

ACCEPTED = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
)

# Pictures that we know and do not take, so that the seller reads the name of what was sent.
KNOWN_OTHERS = (
    (re.compile(rb".{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+"), "TIFF"),
    (re.compile(rb"8BPS"), "Photoshop"),
    (re.compile(rb"%PDF"), "PDF"),
    (re.compile(rb"%!PS|\xc5\xd0\xd3\xc6"), "EPS"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "), "JPEG XL"),
    (re.compile(rb"\x00\x00[\x01\x02]\x00"), "Icon"),
    (re.compile(rb"icns"), "Icon"),
    (re.compile(rb"DDS "), "DDS"),
    (re.compile(rb"SIMPLE  ="), "FITS"),
    (re.compile(rb"BM.{12}", re.DOTALL), "BMP"),
    (re.compile(rb"P[1-7]\s"), "Netpbm"),
)
SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
SVG_WINDOW = 4096  # bytes in which an SVG's root element has to begin; comments may precede it


def sniff(data: bytes) -> str:
    """JPEG, PNG, WEBP or GIF. Raises InputRejected: empty_file, unsupported_format or not_an_image."""
    if not data:
        raise refusals.empty_file()
    for pattern, name in ACCEPTED:
        if pattern.match(data):
            return name
    for pattern, name in KNOWN_OTHERS:
        if pattern.match(data):
            raise refusals.unsupported_format(name)
    if SVG.search(data[:SVG_WINDOW]) and not re.search(rb"<html|<!doctype html", data[:SVG_WINDOW], re.IGNORECASE):
        raise refusals.unsupported_format("SVG")
    raise refusals.not_an_image()
