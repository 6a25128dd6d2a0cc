"""One object as a cut-out: drawn, tinted, sized and turned."""

from __future__ import annotations

import io
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageFont
from PIL import ImageDraw as Draw

from worker.training.synth import assets
from worker.training.synth.vocabulary import COLOURS, classes

NOTO_PIXELS = 109  # the only size in the font's bitmaps
SVG_PIXELS = 256
TINT_MODES = ("shade", "blend", "multiply")
# Drawn again by another hand, so that a class is known by its shape and not by how three sets of drawings paint it.
REDRAWN = ("inked", "flat", "pencilled")
FLAT_COLOURS = 5
INK = (20, 18, 24)


def _file(style: str, codepoint: str, suffix: str) -> Path | None:
    base = assets.drawings(style)
    names = (codepoint, f"{codepoint}-fe0f")
    if style == assets.UNSEEN:
        names = (codepoint.upper(), f"{codepoint.upper()}-FE0F")
    return next((file for name in names if (file := base / f"{name}{suffix}").is_file()), None)


def _draw_noto(codepoint: str) -> Image.Image | None:
    font_file = assets.noto_font()
    if font_file is None:
        return None
    font = ImageFont.truetype(str(font_file), NOTO_PIXELS)
    canvas = Image.new("RGBA", (160, 160))
    Draw.Draw(canvas).text((10, 10), chr(int(codepoint, 16)), font=font, embedded_color=True)
    return canvas if canvas.getbbox() else None


@cache
def sprite(style: str, class_id: int) -> Image.Image | None:
    """The drawing of a class, cut tight around what is opaque, or None where the style lacks it."""
    codepoint = classes()[class_id].codepoint
    if style == "noto":
        picture = _draw_noto(codepoint)
    else:
        file = _file(style, codepoint, ".webp" if style == "fluent" else ".svg")
        if file is None:
            return None
        if style == "fluent":
            picture = Image.open(file).convert("RGBA")
        else:
            drawn = resvg_py.svg_to_bytes(svg_string=file.read_text(), width=SVG_PIXELS, height=SVG_PIXELS)
            picture = Image.open(io.BytesIO(bytes(drawn))).convert("RGBA")
    return trimmed(picture) if picture else None


@cache
def styles_of(class_id: int) -> tuple[str, ...]:
    """The styles that have this class, among those on this machine."""
    return tuple(style for style in assets.available() if sprite(style, class_id) is not None)


def trimmed(picture: Image.Image, threshold: int = 24) -> Image.Image:
    """Without the empty margin; faint glow below the threshold counts as empty."""
    box = picture.getchannel("A").point([255 if level > threshold else 0 for level in range(256)]).getbbox()
    return picture.crop(box) if box else picture


def tinted(picture: Image.Image, colour: str, mode: str) -> Image.Image:
    """The same drawing in another colour, light and shade kept."""
    pixels = np.asarray(picture, dtype=np.float32)
    rgb, alpha = pixels[..., :3], pixels[..., 3:]
    target = np.array(COLOURS[colour], dtype=np.float32)
    light = rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)[:, None] / 255
    if mode == "shade":
        shaded = target * (0.45 + 0.75 * light) + 90 * np.clip(light - 0.8, 0, 1)
        out = 0.35 * rgb + 0.65 * shaded
    elif mode == "blend":
        out = 0.5 * rgb + 0.5 * target
    else:
        out = rgb * (0.2 + 0.8 * target / 255)
    return Image.fromarray(np.concatenate([np.clip(out, 0, 255), alpha], axis=-1).astype(np.uint8), "RGBA")


def redrawn(picture: Image.Image, way: str) -> Image.Image:
    """The same drawing in a few flat colours: only those, or inked with dark lines between them, or in lined greys."""
    alpha = picture.getchannel("A").point([255 if level > 110 else 0 for level in range(256)])
    base = Image.new("RGB", picture.size, (255, 255, 255))
    base.paste(picture, mask=picture.getchannel("A"))
    if way == "pencilled":
        base = base.convert("L").point([110 + level * 145 // 255 for level in range(256)]).convert("RGB")
    parts = base.filter(ImageFilter.MedianFilter(5)).quantize(FLAT_COLOURS)
    flat = parts.convert("RGB")
    if way != "flat":
        flat.paste(INK, mask=_between_parts(np.asarray(parts), alpha))
    flat.putalpha(alpha)
    return flat


def _between_parts(parts: NDArray[np.uint8], alpha: Image.Image) -> Image.Image:
    """Lines where two colours meet and around the outline, about a fortieth of the drawing wide."""
    inside = np.where(np.asarray(alpha) > 0, parts.astype(np.int16) + 1, 0)
    framed = np.pad(inside, 1)
    here = framed[1:-1, 1:-1]
    edge = (here != framed[1:-1, 2:]) | (here != framed[2:, 1:-1]) | (here != framed[1:-1, :-2])
    width = max(3, round(max(alpha.size) / 40) | 1)
    return Image.fromarray((edge & (here > 0)).astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(width))


@lru_cache(maxsize=1024)
def _again(style: str, class_id: int, side: int, way: str) -> Image.Image:
    return redrawn(_reduced(style, class_id, side), way)


@lru_cache(maxsize=512)
def _reduced(style: str, class_id: int, side: int) -> Image.Image:
    """A smaller copy to start from, so that small scenes do not resize from full size each time."""
    full = sprite(style, class_id)
    if full is None:
        raise assets.AssetsMissing(f"style {style} does not draw {classes()[class_id].name}")
    scale = side / max(full.size)
    return full if scale >= 1 else full.resize((max(1, round(full.width * scale)), max(1, round(full.height * scale))))


def cut_out(
    style: str,
    class_id: int,
    side: float,
    *,
    colour: str | None,
    mode: str,
    angle: float,
    flip: bool,
    redraw: str | None = None,
) -> Image.Image:
    """The object with its longest side about `side` pixels before it is turned; trimmed."""
    stored = 96 if side <= 96 else 160 if side <= 160 else 256
    start = _again(style, class_id, stored, redraw) if redraw else _reduced(style, class_id, stored)
    scale = side / max(start.size)
    picture = start.resize(
        (max(2, round(start.width * scale)), max(2, round(start.height * scale))), Image.Resampling.BILINEAR
    )
    if colour:
        picture = tinted(picture, colour, mode)
    if flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if angle:
        # Premultiplied, or the black of transparent pixels bleeds into the edge.
        turned = picture.convert("RGBa").rotate(angle, Image.Resampling.BILINEAR, expand=True)
        picture = turned.convert("RGBA")
    return trimmed(picture)


def shadow(alpha: Image.Image, softness: float) -> Image.Image:
    """A soft dark copy of the outline; the caller pastes it beside the object."""
    margin = int(2 * softness) + 1
    spread = Image.new("L", (alpha.width + 2 * margin, alpha.height + 2 * margin))
    spread.paste(alpha.point([level // 3 for level in range(256)]), (margin, margin))
    return spread.filter(ImageFilter.BoxBlur(softness))
