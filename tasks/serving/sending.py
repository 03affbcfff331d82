"""How answers leave a connection: in one call of the system, and not kept for who takes nothing."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_HEAD = b"HTTP/1.1 "
_AT_ONCE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing drops all


class Joining:
    """A transport that sends the head of an answer and its body in one call of the system."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with nothing to send."""
        self._transport, self._loop = transport, loop
        self._send: Callable[[bytes], None] = transport.write
        self._held = b""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it; a head is held until its body comes, or until this turn of the loop ends."""
        if data.startswith(_HEAD) and not self._held:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            held, self._held = self._held, b""
            self._send(held + data if held else data)

    def close(self) -> None:
        """Send what is held, and close."""
        self._flush()
        self._transport.close()

    @property
    def unread(self) -> int:
        """How many bytes a client has not taken, where they are more than the kernel holds."""
        here = self._transport.get_write_buffer_size()
        if not here:
            return 0
        number = self._transport.get_extra_info("socket").fileno()
        return here + int.from_bytes(fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def give_up(self) -> None:
        """End the connection, so that the kernel does not hold on to what it has either."""
        self._transport.get_extra_info("socket").setsockopt(*_AT_ONCE)
        self._transport.abort()

    def end(self) -> None:
        """Send nothing more: the connection is lost, and some have answers still."""
        self._held = b""
        self._send = _dropped

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._send(held)


def _dropped(_data: bytes) -> None:
    """Send nothing."""
