"""Connections over HTTP: uvicorn's, which besides wait for no client for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasks.serving.sending import Joining

if TYPE_CHECKING:
    import asyncio

PATIENCE_SECONDS = 60.0
"""How long a request may take to arrive, from the connection, or its first byte, to its last.

An answer of which a client takes nothing for so long is given up before as much again has passed.
"""

MOST_HEADERS = 1 << 16
"""Bytes of the head of a request, and of what stands between or behind the parts of its body."""

HELD_BYTES = 1 << 20
"""So much of a body is put together before the application is given it."""

READ_BYTES = 1 << 16
"""So much is read of a connection at once, where the body has no buffer."""

HEAD_BYTES = 1 << 14
"""So much is read at once while a head is expected: what comes of the body with it is copied."""

BEGUN_BYTES = 1 << 13
"""So much of a body has come before a buffer is sought: who only announces one occupies none."""

LENGTH_DIGITS = 19
"""Those of a length that counts; the parser takes zeros before it without end."""

_INVALID = "Invalid HTTP request received."

_REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LATE = _REFUSAL % b"408 Request Timeout"
_LARGE = _REFUSAL % b"431 Request Header Fields Too Large"


BufferFor = Callable[[Any, int], "memoryview | None"]
"""Returns a buffer of this many bytes for the body of a request, None where that has none.

Of the request the scope is given.
"""


class Receiver:
    """Reads what comes over a connection: a large body straight into the buffer that it has.

    Everything else that a transport tells is for the connection.  There are two objects because
    uvloop (handles/stream.pyx, sslproto.pyx) reads into the buffers only of what is no
    `asyncio.Protocol`, as uvicorn's protocol is.  This one is not derived from
    `asyncio.BufferedProtocol` either, whose methods would hide those of the connection.
    """

    _read = memoryview(bytearray(READ_BYTES))
    """Of all: the loop asks for it, fills it and has it used up in one go."""

    _read_head = _read[:HEAD_BYTES]

    def __init__(self, buffer_for: BufferFor, **named: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        """Read for a new connection."""
        self._connection = Connection(buffer_for, **named)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a protocol has
        return getattr(self._connection, name)

    def get_buffer(self, _size: int) -> memoryview:
        """Return where to put what comes next."""
        if self._connection.heading:
            return self._read_head
        return self._connection.rest or self._read

    def buffer_updated(self, size: int) -> None:
        """Hand on so many bytes that have come."""
        if self._connection.rest:
            self._connection.body_updated(size)
        else:
            self._connection.data_received(bytes(self._read[:size]))


class Connection(HttpToolsProtocol):
    """A connection that is closed where a request does not come to its end, or nobody reads on.

    It stays one of HTTP/1.1, whichever other protocol a client offers.
    """

    _late: asyncio.TimerHandle | None = None
    _looking: asyncio.TimerHandle | None = None
    _unread = 0
    heading = True
    """Whether a head is expected, and no body."""

    _head = 0
    _again = b""
    _size = 0
    _sought = False
    _over = False  # a new parser does not know that this was the last request
    _body: memoryview | None = None

    def __init__(self, buffer_for: BufferFor, **named: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        """Begin with no request."""
        super().__init__(**named)
        self._buffer_for = buffer_for

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        """Begin to wait for the first request."""
        self._parts: list[bytes] = []
        self._joining = Joining(transport, self.loop)
        super().connection_made(self._joining)  # type: ignore[arg-type]
        self._wait()
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what has come; a head that does not end is refused, as is what follows a body."""
        if self._over:
            return
        self._unset_keepalive_if_required()
        self._head += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            again, self._again = self._again, b""
            if again:
                self.data_received(again + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response(_INVALID)
        else:
            self._seek_buffer()
        if self._head > MOST_HEADERS:
            self._refuse(_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; what comes behind a body is left out."""
        if self.heading:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Count no longer, nor what came with the head: the body has a limit of its own."""
        self._head = 0
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._again = self._without_upgrade()  # the parser has no way to go on with this one
            return
        self.heading = self._sought = False
        super().on_headers_complete()

    def _without_upgrade(self) -> bytes:
        """Return the head of the request without the field that offers another protocol."""
        version = self.parser.get_http_version().encode()
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        fields = [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join([first, *fields, b"", b""])

    def on_body(self, body: bytes) -> None:
        """Count anew: what has come is of the body."""
        self._head = 0
        self._parts.append(body)
        self._size += len(body)
        if self._size > HELD_BYTES:
            self._hand_on()

    def _hand_on(self) -> None:
        """Give the application what has come of the body: at once, so that it wakes once."""
        if self._parts:
            body = b"".join(self._parts)
            self._parts, self._size = [], 0
            if not self.cycle.body:
                self.cycle.body = b""  # type: ignore[assignment] # what is added to it is not copied
            super().on_body(body)

    def _seek_buffer(self) -> None:
        """Have what is still to come of a large body put where it is to lie, if that matters.

        That is sought once: later some of the body may have been handed on.
        """
        if self._sought or self._size < BEGUN_BYTES or self.cycle.response_complete:
            return
        self._sought = True
        said = dict(self.headers).get(b"content-length", b"")
        length = int(said or 0) if len(said) <= LENGTH_DIGITS else 0
        if self._size < length and (body := self._buffer_for(self.scope, length)):
            body[: self._size] = b"".join(self._parts)
            self._body, self._parts = body, []

    @property
    def rest(self) -> memoryview | None:
        """Where the rest of a body is to be put, past the parser, if it has a buffer."""
        return self._body[self._size :] if self._body else None

    def body_updated(self, size: int) -> None:
        """Take so many bytes more of the body; with the last one the request is there."""
        self._unset_keepalive_if_required()
        self._size += size
        if self._body and self._size == len(self._body):
            self.parser = httptools.HttpRequestParser(self)  # the other one waits for the body
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            body, self._body, self._size = self._body, None, 0
            if not self.cycle.response_complete:
                self.scope["state"]["body"] = body  # the cycle would hand on a copy
            self._over = not self.cycle.keep_alive
            self.on_message_complete()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        super().on_message_begin()
        self._wait()

    def on_message_complete(self) -> None:
        """Wait no longer: it is there."""
        if self._again:
            return
        self._rest()
        self.heading = True
        self._hand_on()
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that has closed its side have the answer that is being made for it.

        Mostly it has gone altogether, which looks the same from here: so none is begun any more,
        and a request that has not come to its end has none.
        """
        waits = self._answering and not self.cycle.more_body
        if waits:
            self.cycle.keep_alive = False
            # What came together with its end is begun: its turn is before this one.
            self.loop.call_soon(_leave, self.cycle)
        return waits and not self.transport.get_extra_info("sslcontext")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer: nothing comes any more."""
        self._rest()
        if self._looking:
            self._looking.cancel()
        self._body = None
        for cycle, _ in self.pipeline:  # what nobody will read
            cycle.scope["state"].pop("body", None)
            cycle.disconnected = True
        self._joining.end()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._rest()
        self._late = self.loop.call_later(PATIENCE_SECONDS, self._give_up)

    def _rest(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        if self.pipeline or (self.heading and self._answering):
            self._wait()  # an earlier request is still being answered
        else:
            self._refuse(_LATE)

    def _look(self) -> None:
        """Look now and then whether what was answered is being read."""
        before, self._unread = self._unread, self._joining.unread
        if self._unread and self._unread == before:
            self._joining.give_up()
        else:
            self._looking = self.loop.call_later(PATIENCE_SECONDS, self._look)

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def _leave(cycle: Any) -> None:  # noqa: ANN401 - uvicorn does not export its type
    cycle.left = True
