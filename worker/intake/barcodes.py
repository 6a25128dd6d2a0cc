"""QR codes and barcodes in the picture, by zxing-cpp. Runs in the sandbox; what a code says is hostile text."""

from __future__ import annotations

import numpy as np
import zxingcpp
from numpy.typing import NDArray

from domain.inspection import MOST_BARCODE_CHARACTERS, MOST_BARCODES, Barcode, plain_text

# Those that can carry a message, and those of shops. Codabar, Code 39, ITF and other short linear codes are found in
# stripes and knitwear, so they are not looked for.
FORMATS = zxingcpp.BarcodeFormats(
    [
        zxingcpp.BarcodeFormat.QRCode,
        zxingcpp.BarcodeFormat.MicroQRCode,
        zxingcpp.BarcodeFormat.Aztec,
        zxingcpp.BarcodeFormat.DataMatrix,
        zxingcpp.BarcodeFormat.PDF417,
        zxingcpp.BarcodeFormat.EAN13,
        zxingcpp.BarcodeFormat.EAN8,
        zxingcpp.BarcodeFormat.UPCA,
        zxingcpp.BarcodeFormat.UPCE,
        zxingcpp.BarcodeFormat.Code128,
    ]
)


def find_barcodes(grey: NDArray[np.uint8]) -> tuple[Barcode, ...]:
    """Of a grey picture, (height, width), at the size the model sees. In the order of their places, top left first."""
    found = [_barcode(one, grey.shape[1], grey.shape[0]) for one in zxingcpp.read_barcodes(grey, formats=FORMATS)]
    found.sort(key=lambda code: (code.quad[1], code.quad[0], code.text))
    return tuple(found[:MOST_BARCODES])


def _barcode(one: zxingcpp.Barcode, width: int, height: int) -> Barcode:
    corners = (one.position.top_left, one.position.top_right, one.position.bottom_right, one.position.bottom_left)
    x1, y1, x2, y2, x3, y3, x4, y4 = (
        round(min(1.0, max(0.0, place)), 4) for corner in corners for place in (corner.x / width, corner.y / height)
    )
    text = plain_text(one.text)[:MOST_BARCODE_CHARACTERS]
    return Barcode(str(one.format), text, (x1, y1, x2, y2, x3, y3, x4, y4))
