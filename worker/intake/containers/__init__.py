"""Container walkers: cut a received file down to its pixels and the few harmless things we keep.

Each walker reads untrusted bytes without decoding a pixel, and writes a file that has the same pixel data byte for
byte, no personal metadata and nothing after its end. What Pillow sees later is only what a walker wrote.
"""

from __future__ import annotations

from worker.intake.containers import gif, jpeg, png, webp
from worker.intake.containers.cleaned import Cleaned
from worker.intake.containers.sniff import sniff

__all__ = ["Cleaned", "clean"]

WALKERS = {"JPEG": jpeg.clean, "PNG": png.clean, "WEBP": webp.clean, "GIF": gif.clean}


def clean(data: bytes) -> Cleaned:
    """Recognise the container by its first bytes and clean it. Raises InputRejected."""
    return WALKERS[sniff(data)](data)
