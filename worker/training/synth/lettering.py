"""Lines of text on scenes: what they say, in which font, and where every character lies."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.training.synth.vocabulary import SHOP_WORDS, classes
from worker.training.synth.words import catalogue_words

# Characters a line may hold; the place in this string plus one is the mark in the character map.
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + ".,:;-!?%$&@/+#'()*=_"
FONT_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
FAMILIES = [
    "DejaVuSans",
    "DejaVuSerif",
    "LiberationSans",
    "LiberationSerif",
    "LiberationMono",
    "Lato",
    "OpenSans",
    "Roboto",
    "Carlito",
    "Caladea",
    "FreeSans",
    "FreeSerif",
    "FreeMono",
    "Inconsolata",
    "Quicksand",
    "Comfortaa",
    "Cabin",
    "LinLibertine",
    "LinBiolinum",
]
# Twice the final size, then reduced: hinting at small sizes draws letters no photograph shows.
OVERSAMPLING = 2
Points = NDArray[np.float64]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Line:
    """One line before it is drawn; lengths are shares of the picture's height, places of width and height."""

    text: str
    font: int
    capital: float  # height of a capital letter
    x: float
    y: float
    angle: float
    ink: Colour
    backing: Colour | None = None
    outline: Colour | None = None


@cache
def fonts() -> tuple[str, ...]:
    """Latin text fonts of this machine, sorted; empty where there are none, then Pillow's own is used."""
    files = [f for folder in FONT_FOLDERS if folder.is_dir() for f in sorted(folder.rglob("*.[to]tf"))]
    wanted = [f for f in files if f.stem.split("-")[0].split("_")[0].removesuffix("Condensed") in FAMILIES]
    return tuple(str(f) for f in wanted if "Math" not in f.stem and "Hairline" not in f.stem and "Thin" not in f.stem)


@lru_cache(maxsize=1500)
def load_font(index: int, pixels: int) -> ImageFont.FreeTypeFont:
    """A font by its place in `fonts()`, wrapped round, at a size in pixels."""
    files = fonts()
    if files:
        return ImageFont.truetype(files[index % len(files)], pixels, layout_engine=ImageFont.Layout.BASIC)
    default = ImageFont.load_default(pixels)
    assert isinstance(default, ImageFont.FreeTypeFont)
    return default


@cache
def capital_share(index: int) -> float:
    """Height of a capital relative to the font's size."""
    _, top, _, bottom = load_font(index, 100).getbbox("H")
    return float(bottom - top) / 100


def length(text: str, index: int, capital: float) -> float:
    """Width of a line whose capitals are `capital` high, in the same unit."""
    return load_font(index, 100).getlength(text) / 100 * capital / capital_share(index)


def random_text(rng: random.Random) -> str:
    """Shop words, names of goods, made-up words, codes, prices, telephone numbers, addresses."""
    kind = rng.random()
    if kind < 0.42:
        # Half from the long list: a short one would be learnt by heart instead of its letters.
        words = [
            rng.choice(SHOP_WORDS if rng.random() < 0.5 else catalogue_words())
            for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))
        ]
        return _cased(" ".join(words), rng)
    if kind < 0.52:
        return _cased(rng.choice(classes()).name, rng)
    if kind < 0.66:
        syllables = [rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiouy") for _ in range(rng.randint(1, 4))]
        return _cased("".join(syllables) + rng.choice(("", *"nrstlxmk")), rng)
    if kind < 0.76:
        return "".join(rng.choice(string.ascii_uppercase + string.digits) for _ in range(rng.randint(2, 8)))
    if kind < 0.82:
        return "".join(rng.choice(string.ascii_letters) for _ in range(rng.randint(2, 7)))
    return _number_or_address(rng)


def _number_or_address(rng: random.Random) -> str:
    def digits(count: int) -> str:
        return "".join(rng.choice(string.digits) for _ in range(count))

    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(("$", "", "EUR ")) + f"{rng.randint(1, 999)}" + rng.choice(("", ".99", ".50", ".00"))
    if kind == 1:
        return rng.choice(("", "SALE ", "-", "up to ")) + f"{rng.randint(5, 95)}%" + rng.choice(("", " OFF"))
    if kind == 2:
        return rng.choice((f"+{digits(2)} {digits(3)} {digits(4)}", f"{digits(3)}-{digits(4)}", f"0{digits(9)}"))
    if kind == 3:
        return f"({digits(3)}) {digits(3)}-{digits(4)}"
    if kind == 4:
        return rng.choice(("www.", "")) + rng.choice(SHOP_WORDS) + rng.choice((".com", ".shop", ".net", ".de"))
    return f"{rng.choice(SHOP_WORDS)}@{rng.choice(SHOP_WORDS)}.com"


def _cased(text: str, rng: random.Random) -> str:
    chance = rng.random()
    return text.upper() if chance < 0.5 else text.title() if chance < 0.75 else text


def turned(points: Points, angle: float, centre: tuple[float, float]) -> Points:
    """Points turned as `Image.rotate` turns pixels: degrees, against the clock, y pointing down."""
    angle = np.deg2rad(angle)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    out: Points = (points - np.array(centre)) @ matrix.T + np.array(centre)
    return out


def draw(line: Line, picture: Image.Image, characters: Image.Image) -> Points:
    """Draw the line, mark its characters in the map; gives the quad (4 x 2 pixels) from top left, clockwise."""
    size = max(6, round(line.capital * picture.height * OVERSAMPLING / capital_share(line.font)))
    font = load_font(line.font, size)
    stroke = max(1, size // 16) if line.outline else 0
    left, top, right, bottom = font.getbbox(line.text, stroke_width=stroke)
    pad = size // 4
    wide, high = int(right - left) + 2 * pad, int(bottom - top) + 2 * pad
    origin = (pad - left, pad - top)
    small = (max(1, wide // OVERSAMPLING), max(1, high // OVERSAMPLING))
    centre = (line.x * picture.width, line.y * picture.height)

    ink = Image.new("L", (wide, high))
    ImageDraw.Draw(ink).text(origin, line.text, fill=255, font=font)
    place = Placer(picture, small, line.angle, centre)
    corners = np.array([(pad, pad), (wide - pad, pad), (wide - pad, high - pad), (pad, high - pad)]) / OVERSAMPLING
    quad = turned(corners - np.array(small) / 2 + centre, line.angle, centre)
    if line.backing:
        edge = np.array([(0, 0), (small[0], 0), (small[0], small[1]), (0, small[1])], dtype=float)
        outer = turned(edge - np.array(small) / 2 + centre, line.angle, centre)
        ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in outer], fill=line.backing)
    if line.outline:
        around = Image.new("L", (wide, high))
        ImageDraw.Draw(around).text(origin, line.text, fill=255, font=font, stroke_width=stroke)
        place(line.outline, around)
    place(line.ink, ink)
    _mark_characters(line, font, origin, small, characters, centre)
    return quad


class Placer:
    """Pastes a colour through an oversampled mask, reduced and turned about the line's centre."""

    def __init__(self, picture: Image.Image, small: tuple[int, int], angle: float, centre: tuple[float, float]) -> None:
        self.picture, self.small, self.angle, self.centre = picture, small, angle, centre

    def __call__(self, colour: Colour, mask: Image.Image) -> None:
        mask = mask.resize(self.small, Image.Resampling.BOX)
        if self.angle:
            mask = mask.rotate(self.angle, Image.Resampling.BILINEAR, expand=True)
        self.picture.paste(colour, corner(mask, self.centre), mask)


def corner(picture: Image.Image, centre: tuple[float, float]) -> tuple[int, int]:
    """Where the top left goes so that the picture's middle lies at `centre`."""
    return round(centre[0] - picture.width / 2), round(centre[1] - picture.height / 2)


def _mark_characters(
    line: Line,
    font: ImageFont.FreeTypeFont,
    origin: tuple[float, float],
    small: tuple[int, int],
    characters: Image.Image,
    centre: tuple[float, float],
) -> None:
    marks = Image.new("L", small)
    pen = ImageDraw.Draw(marks)
    _, top, _, bottom = font.getbbox("H")
    upper, lower = (origin[1] + top) / OVERSAMPLING, (origin[1] + bottom) / OVERSAMPLING
    ends = [(origin[0] + font.getlength(line.text[:place])) / OVERSAMPLING for place in range(len(line.text) + 1)]
    for character, start, end in zip(line.text, ends, ends[1:], strict=False):
        if character in ALPHABET:
            pen.rectangle((start, upper, max(start, end - 1), lower), fill=ALPHABET.index(character) + 1)
    if line.angle:
        marks = marks.rotate(line.angle, Image.Resampling.NEAREST, expand=True)
    characters.paste(marks, corner(marks, centre), marks.point([0] + [255] * 255))
