"""Codes pasted on photos: QR codes that lead away, article numbers that do not."""

from __future__ import annotations

import random

import numpy as np
import zxingcpp
from PIL import Image

from tests.overlays import ink, phrases
from tests.overlays.drawn import Drawn, Family

SIDES = (0.2, 0.32)  # of the shorter side; at least three pixels a module are left in photos of 400 pixels
QUIET = 4  # modules of white around the code


def qr(picture: Image.Image, rng: random.Random) -> Drawn:
    text = rng.choice((f"https://{phrases.url(rng)[0].split('//')[-1]}/x", f"tel:{phrases.phone(rng)[0]}"))
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode)
    out = _pasted(picture, code, rng, rng.uniform(*SIDES) * min(picture.size))
    return Drawn(out, frozenset({Family.CODE}), "QR", text, frozenset({Family.ADDED_TEXT}))


def article_code(picture: Image.Image, rng: random.Random) -> Drawn:
    """An EAN-13, as on any package."""
    text = phrases.ean(rng)
    code = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.EAN13)
    out = _pasted(picture, code, rng, 0.45 * min(picture.size))
    return Drawn(out, frozenset(), "EAN-13", text, frozenset({Family.ADDED_TEXT}))


def _pasted(picture: Image.Image, code: zxingcpp.Barcode, rng: random.Random, side: float) -> Image.Image:
    modules = np.asarray(zxingcpp.write_barcode_to_image(code, scale=1))
    scale = max(2, round(side / modules.shape[1]))
    symbol = Image.fromarray(np.asarray(zxingcpp.write_barcode_to_image(code, scale=scale))).convert("RGBA")
    quiet = QUIET * scale // 2
    piece = Image.new("RGBA", (symbol.width + 2 * quiet, symbol.height + 2 * quiet), (255, 255, 255, 255))
    piece.paste(symbol, (quiet, quiet))
    x, y = (length / whole / 2 + 0.03 for length, whole in zip(piece.size, picture.size, strict=True))
    return ink.paste(
        picture, piece, (rng.choice((x, 1 - x)), rng.choice((y, 1 - y))), rng.choice((0.0, rng.uniform(-9, 9)))
    )
