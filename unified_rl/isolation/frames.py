"""Messages between the parent and its workers: a four-byte length and that many bytes of JSON. Never pickles."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LENGTH = struct.Struct(">I")
CHUNK = 1 << 16


def encode(value: Any) -> bytes:
    """One frame. Lone surrogates survive: JSON escapes everything beyond ASCII."""
    body = json.dumps(value, ensure_ascii=True).encode("ascii")
    return LENGTH.pack(len(body)) + body


def receive(connection: socket.socket) -> Any | None:
    """The next frame of a blocking socket; None at its end."""
    head = _exactly(connection, LENGTH.size)
    if head is None:
        return None
    body = _exactly(connection, LENGTH.unpack(head)[0])
    return None if body is None else json.loads(body)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    parts = []
    while count:
        part = connection.recv(min(count, CHUNK))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class FrameBuffer:
    """Frames from a socket that is read piecemeal.

    Args:
        max_bytes: of one frame; a longer one makes `frames` raise `FrameTooLong` before it is ever held in memory.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        self._bytes += data

    def pop(self) -> Any | None:
        """The next whole frame, None while there is none. Raises FrameTooLong, or ValueError where it is not JSON."""
        if len(self._bytes) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._bytes)
        if length > self._max_bytes:
            raise FrameTooLong
        end = LENGTH.size + length
        if len(self._bytes) < end:
            return None
        value = json.loads(bytes(self._bytes[LENGTH.size : end]))
        del self._bytes[:end]
        return value


class FrameTooLong(Exception):
    """A worker announced more output than it may send."""
