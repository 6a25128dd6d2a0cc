"""decode_photo(): hostile bytes in, a DecodedPhoto or a refusal out. Decoding happens in a sandboxed child."""

from __future__ import annotations

import atexit
import hashlib
import os
import signal
from collections.abc import Mapping
from typing import Any

from domain.errors import InputRejected, Unavailable
from domain.inspection import Inspection
from domain.photos import DecodedPhoto, PixelSignals
from worker.intake import refusals
from worker.intake.developing import check_bytes
from worker.intake.limits import DecodeLimits
from worker.intake.zygote import Answer, Death, Zygote

TRIES = 2  # a child can also be killed by the machine (out of memory, an operator); a photo has to do it twice
USUAL_LIMITS = DecodeLimits()
FORMATS = frozenset({"JPEG", "PNG", "WEBP", "GIF"})

_zygote = Zygote()
atexit.register(_zygote.close)
os.register_at_fork(after_in_child=_zygote.forget)


def decode_photo(data: bytes, *, limits: DecodeLimits = USUAL_LIMITS) -> DecodedPhoto:
    """Decode one photo in a child of its own.

    Raises InputRejected (codes in `refusals.CODES`) when the photo is to blame, Unavailable when the sandbox is: it
    cannot be started, or the machine is too busy to give the child its CPU time.
    """
    check_bytes(data, limits)
    for attempt in range(1, TRIES + 1):
        outcome = _zygote.develop(data, limits)
        if isinstance(outcome, Answer):
            return _photo(outcome, data)
        if attempt == TRIES or _is_out_of_time(outcome):
            raise _blame(outcome, limits)
    raise AssertionError("unreachable: the last try returns or raises")


def close_sandbox() -> None:
    """End this process's sandbox; the next photo starts another one. For orderly shutdowns and tests."""
    _zygote.close()


def sandbox_pid() -> int | None:
    """Process id of this process's sandbox when one runs, for diagnosis."""
    return _zygote.pid


def _is_out_of_time(death: Death) -> bool:
    return death.overdue or death.signal == signal.SIGXCPU


def _blame(death: Death, limits: DecodeLimits) -> InputRejected | Unavailable:
    """A child that waited for CPU most of its time met a busy machine, not a hostile photo."""
    if death.signal == signal.SIGXCPU or (death.overdue and death.cpu_seconds >= limits.cpu_seconds / 2):
        return refusals.decode_timeout()
    if death.overdue:
        return Unavailable("decode sandbox", "the machine is too busy to decode in time")
    return refusals.decode_crashed()


def _photo(answer: Answer, data: bytes) -> DecodedPhoto:
    """Read a child's answer as untrusted: a child that was taken over may say anything."""
    header = answer.header
    try:
        if "code" in header:
            raise _refusal(header)
        original, model_copy = answer.blobs
        if header["format"] not in FORMATS or not model_copy.startswith(b"\xff\xd8\xff"):
            raise ValueError("not an answer of ours")
        return DecodedPhoto(
            sha256=hashlib.sha256(data).hexdigest(),
            original=original,
            model_copy=model_copy,
            format=header["format"],
            width=int(header["width"]),
            height=int(header["height"]),
            dhash=f"{int(header['dhash'], 16):016x}",
            pixels=PixelSignals.from_json(header["pixels"]),
            inspection=Inspection.from_json(header["inspection"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refusals.decode_crashed() from error


def _refusal(header: Mapping[str, Any]) -> InputRejected:
    code, message = header["code"], header["message"]
    if code not in refusals.CODES or not isinstance(message, str):
        return refusals.decode_crashed()
    return InputRejected(code, message)
