"""From received bytes to a DecodedPhoto, in the calling process. Production goes through `decode.decode_photo`, which
runs this in a sandboxed child; tests and tools may call it directly on files they trust.

Colour profiles are kept in `original` and left out of the model copy: interpreting a hostile profile is a risk
(CVE-2026-59205), and Florence-2 was trained on pictures read without them.
"""

from __future__ import annotations

import hashlib
import io
import warnings

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from domain.errors import InputRejected
from domain.photos import DecodedPhoto
from worker.intake import pixels, refusals
from worker.intake.containers import Cleaned, clean, jpeg, png
from worker.intake.inspecting import inspect
from worker.intake.limits import DecodeLimits

WHITE = (255, 255, 255)
# EXIF orientation -> what turns the stored picture upright (CIPA DC-008, tag 0x0112).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = frozenset({5, 6, 7, 8})


def develop(data: bytes, limits: DecodeLimits) -> DecodedPhoto:
    """Clean, check, decode and measure one photo. Raises InputRejected with a code of `refusals.CODES`."""
    check_bytes(data, limits)
    cleaned = clean(data)
    _check_size(cleaned, limits)
    try:
        return _develop(data, cleaned, limits)
    except InputRejected:
        raise
    except MemoryError as error:
        raise refusals.too_complex() from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise refusals.too_many_pixels(cleaned.largest, limits.max_pixels) from error
    except UnidentifiedImageError as error:
        raise refusals.corrupt("header") from error
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error and more
        raise (refusals.truncated() if "truncated" in str(error) else refusals.corrupt()) from error


def check_bytes(data: bytes, limits: DecodeLimits) -> None:
    """What can be said before a child is started. Raises InputRejected: empty_file, too_large."""
    if not data:
        raise refusals.empty_file()
    if len(data) > limits.max_bytes:
        raise refusals.too_large(limits.max_bytes)


def _develop(data: bytes, cleaned: Cleaned, limits: DecodeLimits) -> DecodedPhoto:
    stored = _load(cleaned, limits)
    width, height = (cleaned.width, cleaned.height) if cleaned.format == "JPEG" else stored.size
    if cleaned.orientation in SIDEWAYS:
        width, height = height, width
    upright = _scale(_turn(_to_rgb(stored), cleaned.orientation), width, height, limits.model_copy_side)
    dhash, signals = pixels.measure(upright)
    inspection = inspect(upright, cleaned.digital_source_type)
    return DecodedPhoto(
        sha256=hashlib.sha256(data).hexdigest(),
        original=cleaned.data,
        model_copy=_as_jpeg(upright, limits.model_copy_quality),
        format=cleaned.format,
        width=width,
        height=height,
        dhash=dhash,
        pixels=signals,
        inspection=inspection,
    )


def _check_size(cleaned: Cleaned, limits: DecodeLimits) -> None:
    """Caps on what the header promises, before a pixel is decoded."""
    width, height = cleaned.width, cleaned.height
    if cleaned.largest > limits.max_pixels:
        raise refusals.too_many_pixels(cleaned.largest, limits.max_pixels)
    if min(width, height) < limits.min_side:
        raise refusals.too_small(width, height, limits.min_side)
    if max(width, height) > limits.max_aspect * min(width, height):
        raise refusals.extreme_aspect(width, height, limits.max_aspect)


def _load(cleaned: Cleaned, limits: DecodeLimits) -> Image.Image:
    """Decode with the one plugin that the container asks for; a JPEG at the smallest DCT scale that is enough."""
    picture = _open(cleaned.still, cleaned.format, limits)
    if cleaned.format == "JPEG":
        _draft(picture, limits)
        picture.load()
        if _ends_grey(picture) and cleaned.data.endswith(b"\xff\xd9"):
            _check_scans_complete(picture, cleaned, limits)
    picture.load()
    if cleaned.format == "PNG" and _ends_empty(picture) and not png.has_all_rows(cleaned.data):
        raise refusals.truncated()
    return picture


def _open(data: bytes, format_name: str, limits: DecodeLimits) -> ImageFile.ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = limits.max_pixels
        picture = Image.open(io.BytesIO(data), formats=[format_name])
    if picture.width * picture.height > limits.max_pixels:
        raise refusals.too_many_pixels(picture.width * picture.height, limits.max_pixels)
    return picture


def _draft(picture: Image.Image, limits: DecodeLimits) -> None:
    scale = limits.model_copy_side / max(picture.size)
    if scale < 1:
        picture.draft(None, (int(picture.width * scale) + 1, int(picture.height * scale) + 1))


def _ends_empty(picture: Image.Image) -> bool:
    """The last row is all zero, or rows came in several passes: what Pillow leaves where data is missing."""
    last_row = picture.crop((0, picture.height - 1, picture.width, picture.height))
    return bool(picture.info.get("interlace")) or last_row.getbbox(alpha_only=False) is None


def _ends_grey(picture: Image.Image) -> bool:
    """The last pixel is exactly middle grey in every band: what libjpeg paints where data is missing."""
    last = picture.getpixel((picture.width - 1, picture.height - 1))
    return all(band in (127, 128) for band in (last if isinstance(last, tuple) else (last,)))


def _check_scans_complete(picture: Image.Image, cleaned: Cleaned, limits: DecodeLimits) -> None:
    """Refuse a JPEG whose header promises more than its scans hold (libjpeg only warns, and nobody hears it)."""
    filled = _open(jpeg.with_filler(cleaned.data), "JPEG", limits)
    _draft(filled, limits)
    if filled.tobytes() != picture.tobytes():
        raise refusals.truncated()


def _to_rgb(picture: Image.Image) -> Image.Image:
    """RGB, 8 bits; transparency flattened on white."""
    if picture.mode.startswith("I"):
        picture = _to_8_bits(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        flat = Image.new("RGB", picture.size, WHITE)
        flat.paste(picture, mask=picture.getchannel("A"))
        return flat
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _to_8_bits(picture: Image.Image) -> Image.Image:
    """16-bit grey to 8 bits, the upper byte; Pillow's own conversion clips at 255. A transparent grey turns white."""
    levels = np.asarray(picture).astype(np.int32)
    small = (levels >> 8).clip(0, 255).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        small = np.where(levels == transparent, np.uint8(255), small)
    return Image.fromarray(small)


def _turn(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture


def _scale(upright: Image.Image, width: int, height: int, longest: int) -> Image.Image:
    """The size of the model copy comes from the full size, so that every DCT scale gives the same."""
    scale = min(1.0, longest / max(width, height))
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    if upright.size == target:
        return upright
    return upright.resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _as_jpeg(upright: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    upright.save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
