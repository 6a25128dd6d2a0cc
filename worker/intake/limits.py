"""How much one photo may cost. Checked before decoding where a header can tell, enforced by the kernel where not."""

from __future__ import annotations

from dataclasses import dataclass

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Caps for one photo. Sizes in bytes, sides in pixels, times in seconds.

    cpu_seconds is what the kernel allows the child (RLIMIT_CPU); wall_seconds is longer because a busy machine is not
    the photo's fault. address_space_bytes covers a 50-megapixel RGBA picture three times over, plus the interpreter.
    """

    max_bytes: int = 20 * MEGABYTE
    max_pixels: int = 50 * MEGABYTE
    min_side: int = 16
    max_aspect: float = 20.0
    cpu_seconds: int = 10
    wall_seconds: float = 30.0
    address_space_bytes: int = 2_000 * MEGABYTE
    model_copy_side: int = 1536
    model_copy_quality: int = 95
