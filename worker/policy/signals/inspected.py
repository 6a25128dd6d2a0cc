"""Signals from intake's inspection of the pixels and the file (domain.inspection). No model is asked.

They are not measured for photos from before there were inspections: their value is then null, and a rule that reads one
fails for that photo and sends it to a person, unless the rule asks `inspected` itself.
"""

from __future__ import annotations

from typing import Any

from domain.inspection import Barcode, Rgb
from worker.policy.signals.registry import SHARE, Field, Item, Kind, signal
from worker.policy.signals.subject import Subject

WHITE = 250  # levels; a frame at least this light is one that product shots on white seem to have too
# IPTC NewsCodes "digitalsourcetype" that mean: a machine trained on data made this, or part of it.
MADE_BY_AI = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")

_RGB = Field("rgb", Kind.NUMBERS, "0..255", "mean colour: red, green, blue")
BACKGROUND = Item(
    "background",
    (
        Field("share", Kind.NUMBER, SHARE, "of the picture that a flood from the edge over the edge's colours reaches"),
        Field("plain", Kind.NUMBER, SHARE, "of the picture's edge in those colours; a busy scene has little"),
        Field("whiteness", Kind.NUMBER, SHARE, "of background and edge within 5 levels of pure white"),
        Field("off_white", Kind.NUMBER, "levels", "95th percentile of the distance from white, 0 to 255"),
        _RGB,
    ),
)
FRAME = Item(
    "frame",
    (
        Field("sides", Kind.COUNT, "", "0 = none, 2 = bars on opposite sides, 4 = all around"),
        Field("thickness", Kind.NUMBER, SHARE, "the thickest side, of the picture's shorter side"),
        _RGB,
        Field("white", Kind.FLAG, "", "as light as paper: then it may be plain ground around a rectangular product"),
    ),
)
EXPOSURE = Item(
    "exposure",
    (
        Field("clipped_dark", Kind.NUMBER, SHARE, "of the picture that is black"),
        Field("clipped_light", Kind.NUMBER, SHARE, "of the foreground that is white"),
    ),
)
CODE = Item(
    "code",
    (
        Field("format", Kind.TEXT, "", "QR Code, EAN-13, Data Matrix and so on"),
        Field("text", Kind.TEXT, "", "what it says: hostile data"),
        Field("retail", Kind.FLAG, "", "an article number (EAN, UPC) and no message"),
        Field("quad", Kind.NUMBERS, "px", "corners x, y clockwise from the code's own top left"),
    ),
)
PROVENANCE = Item(
    "provenance",
    (
        Field("digital_source_type", Kind.TEXT, "", "IPTC code in the file's metadata, or empty"),
        Field("ai_generated", Kind.FLAG, "", "the code says that AI made the picture or part of it"),
    ),
)


@signal(Kind.FLAG, cost=1)
def inspected(subject: Subject) -> bool:
    """Whether intake inspected the pixels; a photo from before inspections has to be sent again to be."""
    return subject.photo.inspection is not None


@signal(BACKGROUND, cost=2, optional=True)
def background(subject: Subject) -> dict[str, Any] | None:
    """The ground the product stands on."""
    if (found := subject.photo.inspection) is None:
        return None
    seen = found.background
    return {
        "share": seen.share,
        "plain": seen.plain,
        "whiteness": seen.whiteness,
        "off_white": seen.off_white,
        "rgb": _floats(seen.rgb),
    }


@signal(FRAME, cost=2, optional=True)
def frame(subject: Subject) -> dict[str, Any] | None:
    """An added border or added bars of one colour."""
    if (found := subject.photo.inspection) is None:
        return None
    seen = found.frame
    return {
        "sides": seen.sides,
        "thickness": seen.thickness,
        "rgb": _floats(seen.rgb),
        "white": seen.sides > 0 and min(seen.rgb) >= WHITE,
    }


@signal(EXPOSURE, cost=2, optional=True)
def exposure(subject: Subject) -> dict[str, Any] | None:
    """Clipped shadows and highlights."""
    if (found := subject.photo.inspection) is None:
        return None
    return {"clipped_dark": found.exposure.clipped_dark, "clipped_light": found.exposure.clipped_light}


@signal(Kind.COUNT, cost=1, optional=True)
def panels(subject: Subject) -> int | None:
    """Pictures that straight gutters divide this one into; 1 for a single one. Insets without gutters are not found."""
    return None if subject.photo.inspection is None else subject.photo.inspection.panels


@signal(Kind.COUNT, cost=1, optional=True)
def colours(subject: Subject) -> int | None:
    """How many of 4,096 colour bins each hold a thousandth of the picture; drawings and blanks have few."""
    return None if subject.photo.inspection is None else subject.photo.inspection.colours


@signal(CODE, many=True, cost=4, optional=True)
def codes(subject: Subject) -> list[dict[str, Any]] | None:
    """QR codes and barcodes in the picture. Contact details in them are among `contacts`, read by "barcode"."""
    if (found := subject.photo.inspection) is None:
        return None
    return [
        {"format": code.format, "text": code.text, "retail": is_retail(code), "quad": quad_of(code, subject)}
        for code in found.barcodes
    ]


@signal(PROVENANCE, cost=2, optional=True)
def provenance(subject: Subject) -> dict[str, Any] | None:
    """What the file says about who made the picture."""
    if (found := subject.photo.inspection) is None:
        return None
    made = found.digital_source_type
    ai = made.casefold() in {code.casefold() for code in MADE_BY_AI}
    return {"digital_source_type": made, "ai_generated": ai}


def is_retail(code: Barcode) -> bool:
    return code.format.startswith(("EAN", "UPC"))


def quad_of(code: Barcode, subject: Subject) -> list[float]:
    """In pixels of the observation, as lines of text have them."""
    sides = (subject.seen.width, subject.seen.height)
    return [round(share * sides[place % 2], 2) for place, share in enumerate(code.quad)]


def _floats(rgb: Rgb) -> list[float]:
    return [float(level) for level in rgb]
