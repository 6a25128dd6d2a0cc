"""The zygote: a small process (Pillow and numpy, no torch, no secrets) that forks one child for each photo.

Run as `python -P -m worker.intake.sandbox FD` by `worker.intake.zygote`; FD is the control socket. For each photo the
parent sends the descriptor of a fresh socket over it. The zygote forks, reports the child's process id, waits, and
reports how it ended. The child takes its request from the fresh socket and answers there, so it can never speak into
the control socket. The zygote ends when the control socket closes, that is, when its parent is gone.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import Any, NoReturn

from domain.errors import InputRejected
from domain.photos import DecodedPhoto
from worker.intake import framing, refusals, samples
from worker.intake.developing import develop
from worker.intake.limits import DecodeLimits

STARTED = struct.Struct(">q")  # process id of the child, or minus the errno of a fork that failed
ENDED = struct.Struct(">iid")  # exit code or -1, killing signal or 0, CPU seconds used
MAX_REQUEST = 1 << 30  # bytes; the parent is trusted and has checked the photo's own cap
NOBODY = 65534
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def main() -> None:
    """Serve photos until the control socket closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name, sample in samples.all_formats():  # a child can open no file, so load every plugin now
        if develop(sample, DecodeLimits()).format != name:
            raise SystemExit(f"Pillow cannot decode {name}; install Pillow with its bundled libraries.")
    _drop_privileges()
    # A signal to the whole group (Ctrl-C, a worker's warm shutdown) must not take the photo in hand away.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # children share these pages for as long as nobody writes to them
    with suppress(ConnectionError):
        while _serve_one(control):
            pass


def _serve_one(control: socket.socket) -> bool:
    message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    if not message or not descriptors:
        return False
    try:
        child = os.fork()
    except OSError as error:
        os.close(descriptors[0])
        control.sendall(STARTED.pack(-(error.errno or 1)))
        return True
    if child == 0:
        _child(control, descriptors[0])
    os.close(descriptors[0])
    with suppress(ConnectionError):  # even when the parent is gone, its last child is waited for
        control.sendall(STARTED.pack(child))
    _, status, usage = os.wait4(child, 0)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
    killer = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    control.sendall(ENDED.pack(code, killer, usage.ru_utime + usage.ru_stime))
    return True


def _child(control: socket.socket, descriptor: int) -> NoReturn:
    """Take one request, confine ourselves, answer, and be gone without running any cleanup."""
    code = 1
    try:
        control.close()
        channel = socket.socket(fileno=descriptor)
        header, (data,) = framing.receive(channel, MAX_REQUEST)
        limits = DecodeLimits(**header["limits"])
        confine(limits)
        fields, blobs = _answer(data, limits)
        framing.send(channel, fields, *blobs)
        code = 0
    finally:
        os._exit(code)


def _answer(data: bytes, limits: DecodeLimits) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    try:
        photo = develop(data, limits)
    except InputRejected as refusal:
        return _as_refusal(refusal), ()
    except MemoryError:
        return _as_refusal(refusals.too_complex()), ()
    return as_header(photo), (photo.original, photo.model_copy)


def _as_refusal(refusal: InputRejected) -> dict[str, Any]:
    return {"code": refusal.code, "message": refusal.message}


def as_header(photo: DecodedPhoto) -> dict[str, Any]:
    """A DecodedPhoto but for its two blobs, as JSON."""
    return {
        "sha256": photo.sha256,
        "format": photo.format,
        "width": photo.width,
        "height": photo.height,
        "dhash": photo.dhash,
        "pixels": photo.pixels.as_json(),
        "inspection": photo.inspection and photo.inspection.as_json(),
    }


def confine(limits: DecodeLimits) -> None:
    """No new descriptor (so no file and no socket), no process, no file growth, bounded memory, CPU and time."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds)
    # The soft limit ends us with a signal that says why; at the hard one it would be a plain SIGKILL.
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 1)
    _limit(resource.RLIMIT_AS, limits.address_space_bytes)
    for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        _limit(kind, 0)


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    _, present = resource.getrlimit(kind)
    ceiling = soft if hard is None else hard
    if present != resource.RLIM_INFINITY:
        ceiling = min(ceiling, present)
    # macOS refuses RLIMIT_AS; the other limits and the parent's deadline still hold there.
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (min(soft, ceiling), ceiling))


def _drop_privileges() -> None:
    """Become nobody when we were root, and never gain anything again."""
    if os.geteuid() == 0:
        with suppress(OSError):  # a container may not allow it; then the limits alone have to do
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    if LIBC is not None:
        LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
