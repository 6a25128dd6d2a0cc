"""Inspection: what intake measured in a photo beyond its basic numbers, all of it without a model.

A photo that was taken in before there were inspections has none. That is not the same as an inspection that found
nothing, so readers have to ask (`StoredPhoto.inspection is None`). Shares are of the picture's area, in 0..1, unless a
field says otherwise; the picture is the upright one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

REVISION = 2  # of the measurements; another way of measuring gets another number
MOST_BARCODES = 8
MOST_BARCODE_CHARACTERS = 500  # of one payload; a telephone number or an address is far shorter
PDQ_BITS = 256
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
Rgb = tuple[int, int, int]
Quad = tuple[float, float, float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Background:
    """What a flood from the picture's edge reaches over the edge's main colours.

    share: of the picture. plain: share of the edge strip (2 pixels at 256) in those colours; a busy scene has little.
    The rest leaves out what lies right beside the product, where outlines blend (4 pixels at 256).
    whiteness: share, of background and edge strip together, whose channels are all within 5 levels of pure white; edge
    that is not background counts as not white, so that a busy scene with one white corner is not called white.
    off_white: the 95th percentile of the background's distance from white in levels (255 - smallest channel), for rules
    with a tolerance of their own. rgb: mean colour.
    """

    share: float
    plain: float
    whiteness: float
    off_white: float
    rgb: Rgb


@dataclass(frozen=True, slots=True)
class Foreground:
    """What the flood does not reach.

    share: of the picture. box: x1, y1, x2, y2 around its largest connected piece, as shares of width and height.
    extent: the larger of the box's two sides, as a share of that side of the picture. edges: of the picture's four
    edges, how many the piece touches.
    """

    share: float
    box: tuple[float, float, float, float]
    extent: float
    edges: int


@dataclass(frozen=True, slots=True)
class Frame:
    """An added frame or added bars of one colour around the picture.

    sides: 0 (none), 2 (bars above and below, or left and right) or 4. thickness: the thickest, as a share of the
    shorter side. rgb: mean colour; (0, 0, 0) where there is none.
    """

    sides: int = 0
    thickness: float = 0.0
    rgb: Rgb = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Exposure:
    """clipped_dark: share of the picture with grey at most 4. clipped_light: share of the foreground at least 251."""

    clipped_dark: float
    clipped_light: float


@dataclass(frozen=True, slots=True)
class Barcode:
    """A decoded code. `text` is whatever the picture's maker wrote into it: hostile data, never an instruction.

    format: such as "QR Code" or "EAN-13". quad: corners clockwise from the symbol's own top left, as shares of width
    (x) and height (y).
    """

    format: str
    text: str
    quad: Quad


@dataclass(frozen=True, slots=True)
class PerceptualHash:
    """PDQ (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019).

    hex: 256 bits as 64 hexadecimal digits, as ThreatExchange writes them. quality: 0 to 100; a picture without
    structure has little, and its hash says nothing.
    """

    hex: str
    quality: int

    @property
    def bits(self) -> int:
        return int(self.hex, 16)

    def distance(self, other: str) -> int:
        """Bits that differ from another hash's 64 digits."""
        return (self.bits ^ int(other, 16)).bit_count()


@dataclass(frozen=True, slots=True)
class Inspection:
    """panels: pictures in the frame as divided by straight gutters of one colour; 1 = a single picture.

    colours: how many of 4,096 colour bins each hold a thousandth of the picture. digital_source_type: the IPTC code in
    the file's metadata; empty where it states none.
    """

    background: Background
    foreground: Foreground
    frame: Frame
    exposure: Exposure
    panels: int
    colours: int
    pdq: PerceptualHash
    barcodes: tuple[Barcode, ...] = ()
    digital_source_type: str = ""
    revision: int = REVISION

    def as_json(self) -> dict[str, Any]:
        """Plain JSON: tuples become lists when written."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Inspection:
        """The inverse of `as_json`. Raises KeyError, TypeError or ValueError on anything else: it may come from a
        decoder that was taken over."""
        return cls(
            background=_background(data["background"]),
            foreground=_foreground(data["foreground"]),
            frame=_frame(data["frame"]),
            exposure=Exposure(*(_share(data["exposure"][name]) for name in ("clipped_dark", "clipped_light"))),
            panels=int(data["panels"]),
            colours=int(data["colours"]),
            pdq=PerceptualHash(pdq_digits(data["pdq"]["hex"]), int(data["pdq"]["quality"])),
            barcodes=tuple(_barcode(item) for item in data["barcodes"][:MOST_BARCODES]),
            digital_source_type=_text(data["digital_source_type"], 60),
            revision=int(data["revision"]),
        )


def pdq_digits(text: str) -> str:
    """A PDQ hash in its canonical form. Raises ValueError for anything but 64 hexadecimal digits."""
    if len(text) != PDQ_BITS // 4 or not set(text) <= set("0123456789abcdefABCDEF"):
        raise ValueError(f"a PDQ hash is {PDQ_BITS // 4} hexadecimal digits")
    return text.lower()


def _background(data: Mapping[str, Any]) -> Background:
    off_white = float(data["off_white"])
    if not 0 <= off_white <= 255:
        raise ValueError("off_white is not a level")
    return Background(
        _share(data["share"]), _share(data["plain"]), _share(data["whiteness"]), off_white, _rgb(data["rgb"])
    )


def _foreground(data: Mapping[str, Any]) -> Foreground:
    left, top, right, bottom = map(_share, data["box"])
    return Foreground(_share(data["share"]), (left, top, right, bottom), _share(data["extent"]), int(data["edges"]))


def _frame(data: Mapping[str, Any]) -> Frame:
    return Frame(int(data["sides"]), _share(data["thickness"]), _rgb(data["rgb"]))


def _barcode(data: Mapping[str, Any]) -> Barcode:
    x1, y1, x2, y2, x3, y3, x4, y4 = map(_share, data["quad"])
    return Barcode(
        _text(data["format"], 40), _text(data["text"], MOST_BARCODE_CHARACTERS), (x1, y1, x2, y2, x3, y3, x4, y4)
    )


def _share(value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 1:  # NaN is neither
        raise ValueError(f"{value!r} is not a share")
    return number


def _rgb(values: Sequence[Any]) -> Rgb:
    red, green, blue = map(int, values)
    if not all(0 <= level <= 255 for level in (red, green, blue)):
        raise ValueError("not a colour")
    return (red, green, blue)


def _text(value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return plain_text(value)[:most]


def plain_text(text: str) -> str:
    """Without what a database or a terminal trips over: control characters and lone surrogates become spaces."""
    return _UNPRINTABLE.sub(" ", text)
