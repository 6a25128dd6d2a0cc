"""One tiny picture of each accepted format, made on the spot: the zygote decodes them once to load what it needs."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image


def all_formats() -> Iterator[tuple[str, bytes]]:
    """(format, bytes) for every mode that takes a path of its own through `developing`."""
    colour = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
    for name, picture in (
        ("JPEG", colour),
        ("JPEG", colour.convert("CMYK")),
        ("PNG", colour.convert("RGBA")),
        ("PNG", colour.convert("P")),
        ("PNG", colour.convert("I").convert("I;16")),
        ("WEBP", colour),
        ("GIF", colour),
    ):
        buffer = io.BytesIO()
        picture.save(buffer, name)
        yield name, buffer.getvalue()
