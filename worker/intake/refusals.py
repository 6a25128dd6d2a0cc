"""Every refusal of intake's decoding: a stable code, and one sentence that tells a seller what to do."""

from __future__ import annotations

from domain.errors import InputRejected

CODES = frozenset(
    {
        "empty_file",
        "not_an_image",
        "unsupported_format",
        "truncated",
        "corrupt",
        "too_large",
        "too_many_pixels",
        "too_small",
        "extreme_aspect",
        "too_complex",
        "decode_timeout",
        "decode_crashed",
    }
)


def empty_file() -> InputRejected:
    return InputRejected("empty_file", "The file is empty; upload the photo again.")


def not_an_image() -> InputRejected:
    return InputRejected("not_an_image", "The file is not a photo; send a JPEG, PNG, WebP or GIF file.")


def unsupported_format(name: str) -> InputRejected:
    return InputRejected(
        "unsupported_format",
        f"{name} files are not accepted; save the photo as JPEG, PNG or WebP and send it again.",
    )


def truncated() -> InputRejected:
    return InputRejected("truncated", "The photo is cut off before its end; upload the complete file again.")


def corrupt(why: str = "") -> InputRejected:
    """`why` is a few words of ours (never text out of the file) that help support."""
    detail = f" ({why})" if why else ""
    return InputRejected(
        "corrupt", f"The photo is damaged and cannot be opened{detail}; export it again as JPEG or PNG and upload it."
    )


def too_large(limit_bytes: int) -> InputRejected:
    return InputRejected(
        "too_large", f"The file is larger than {limit_bytes / 1e6:g} MB; make it smaller and upload it again."
    )


def too_many_pixels(pixels: int, limit: int) -> InputRejected:
    return InputRejected(
        "too_many_pixels",
        f"The picture has {pixels / 1e6:.0f} megapixels, at most {limit / 1e6:.0f} are accepted; "
        "scale it down and upload it again.",
    )


def too_small(width: int, height: int, min_side: int) -> InputRejected:
    return InputRejected(
        "too_small",
        f"The picture is only {width} x {height} pixels; each side needs at least {min_side}, so send a larger photo.",
    )


def extreme_aspect(width: int, height: int, limit: float) -> InputRejected:
    return InputRejected(
        "extreme_aspect",
        f"The picture is {width} x {height} pixels; one side may be at most {limit:g} times the other, "
        "so crop it to the product.",
    )


def too_complex() -> InputRejected:
    return InputRejected(
        "too_complex", "Opening the photo needs too much memory or work; export it again as a plain JPEG and upload it."
    )


def decode_timeout() -> InputRejected:
    return InputRejected(
        "decode_timeout", "Opening the photo took too long; export it again as a plain JPEG and upload it."
    )


def decode_crashed() -> InputRejected:
    return InputRejected(
        "decode_crashed", "The photo could not be opened safely; export it again as a plain JPEG and upload it."
    )
