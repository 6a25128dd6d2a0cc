"""Messages between intake and its sandbox: a length, a JSON header, raw blobs. Never pickle: one end is hostile."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

LENGTH = struct.Struct(">I")
MAX_HEADER = 65_536  # bytes


class BrokenFrame(Exception):
    """The peer went away, was too slow, or sent something that is no frame."""


def send(channel: socket.socket, header: Mapping[str, Any], *blobs: bytes) -> None:
    """Raises OSError (BrokenPipeError, TimeoutError) when the peer does not take it."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    channel.sendall(LENGTH.pack(len(text)) + text)
    for blob in blobs:
        channel.sendall(blob)


def receive(
    channel: socket.socket, max_blobs: int, deadline: float | None = None
) -> tuple[dict[str, Any], list[bytes]]:
    """One message; `max_blobs` bytes at most, before `deadline` (time.monotonic). Raises BrokenFrame."""
    try:
        (length,) = LENGTH.unpack(exactly(channel, LENGTH.size, deadline))
        if length > MAX_HEADER:
            raise BrokenFrame("header too long")
        header = json.loads(exactly(channel, length, deadline))
        sizes = header["blobs"]
        if not all(isinstance(size, int) and size >= 0 for size in sizes) or sum(sizes) > max_blobs:
            raise BrokenFrame("blobs too long")
        return header, [exactly(channel, size, deadline) for size in sizes]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenFrame(str(error)) from error


def exactly(channel: socket.socket, count: int, deadline: float | None) -> bytes:
    """`count` bytes, or BrokenFrame when the peer closes, or TimeoutError at the deadline."""
    buffer = bytearray(count)
    view = memoryview(buffer)
    got = 0
    while got < count:
        if deadline is not None:
            channel.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            size = channel.recv_into(view[got:])
        except ConnectionError as error:
            raise BrokenFrame(str(error)) from error
        if not size:
            raise BrokenFrame("closed")
        got += size
    return bytes(buffer)
