"""Publish messages to a broker of the user's, so that no broker ever slows or fails a step.

Messages wait in this process and are sent by a thread of their own, one after the other.  One is
taken off when the broker has acknowledged it, so that what a dying broker has swallowed is sent
again.  What goes wrong is told once in a run.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import os
import threading
import urllib.parse
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "MODEL_PROGRESS_URL"
EXAMPLE = "stomp://user:password@host:61613/topic/name"
DEFAULT_PORT = 61613
LIMIT = 1000  # messages that wait at most; of more, those that have waited longest are dropped
ANSWER_SECONDS = 5.0  # a broker that takes longer to connect or to acknowledge is taken for dead
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0  # seconds between attempts: doubled each time, up to the last
FLUSH_SECONDS, LEAVE_SECONDS = 1.5, 0.5  # how long the end of a run waits for a broker at most


@dataclass(frozen=True)
class Address:
    """Where messages go: a broker that speaks STOMP, and `/topic/NAME` or `/queue/NAME` there."""

    host: str
    port: int
    destination: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Show it without the password."""
        user = f"{urllib.parse.quote(self.user)}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"stomp://{user}{host}:{self.port}{self.destination}"


def parsed(url: str) -> Address:
    """Return what the variable names.  Raises UserError, which never shows the password."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        raise _malformed("its host or port cannot be read") from None
    kind, _, name = parts.path.lstrip("/").partition("/")
    if parts.scheme != "stomp":
        raise _malformed("it does not begin with `stomp://`")
    if parts.query or parts.fragment:
        raise _malformed("it has a `?` or `#`")
    if not host:
        raise _malformed("it names no host")
    if kind not in {"topic", "queue"} or not name:
        raise _malformed("it ends with neither `/topic/NAME` nor `/queue/NAME`")
    user, password = (t and urllib.parse.unquote(t) for t in (parts.username, parts.password))
    return Address(host, port, urllib.parse.unquote(f"/{kind}/{name}"), user, password)


def _malformed(reason: str) -> UserError:
    return UserError(
        f"`{VARIABLE}` is no address of a broker: {reason}",
        ("is like", EXAMPLE),
        hint="in user and password, write `@`, `/`, `?`, `#` and `%` as `%40`, `%2F`, `%3F`, `%23`"
        " and `%25`",
    )


@functools.cache
def publisher() -> Publisher | None:
    """Return what publishes for this process, None where the user names no broker.

    Raises UserError where the variable is malformed.
    """
    url = os.environ.get(VARIABLE)
    return Publisher(parsed(url)) if url else None


def json_line(value: object) -> str:
    """Return a value as one line of JSON, with null for the numbers that JSON does not have."""
    text = json.dumps(value, default=str)
    if "NaN" in text or "Infinity" in text:
        text = json.dumps(json.loads(text, parse_constant=lambda _: None))
    return text


class Unreachable(Exception):
    """The broker cannot be reached, does not answer, or refuses; the message says which."""


def trouble_with(to: Address) -> str:
    """Return why a broker cannot be connected to, empty where it can."""
    try:
        _Connection(to, _Heard()).close()
    except Unreachable as error:
        return str(error)
    return ""


class Publisher:
    """What waits to be sent to one broker, and the thread that sends it."""

    def __init__(self, to: Address) -> None:
        """Start the thread, which connects when there is something to send."""
        self._to = to
        self._waiting: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._changed = threading.Condition()
        self._number = self._failures = 0
        self._trouble = ""
        self._told = self._flushing = self._closing = self._answers = False
        self._thread = threading.Thread(target=self._work, name="publish", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def send(self, about: str, message: Mapping[str, Any], *, lasting: bool) -> None:
        """Have a message sent; one that is not lasting gives way to the next about the same."""
        with self._changed:
            self._waiting.pop((about, 0), None)
            self._number += 1
            self._waiting[about, self._number if lasting else 0] = message
            if len(self._waiting) > LIMIT:
                del self._waiting[next(iter(self._waiting))]
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait a moment until all is sent, or could not be; what then still waits is dropped.

        A broker that has answered is given longer than one that has not.
        """
        with self._changed:
            self._flushing, before = True, self._failures
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not self._waiting or self._failures > before,
                ANSWER_SECONDS if self._answers else FLUSH_SECONDS,
            )
            if self._waiting:
                self._trouble = self._trouble or "it does not answer in time"
            self._waiting.clear()
            self._flushing = False

    def close(self) -> None:
        """Send what waits and take leave of the broker."""
        self.flush()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(LEAVE_SECONDS)

    def trouble(self) -> str:
        """Return what has gone wrong, the first time that it is asked for; else nothing."""
        with self._changed:
            if self._told or not self._trouble:
                return ""
            self._told = True
            return f"no progress reaches {self._to}: {self._trouble}"

    def _work(self) -> None:
        """Send what waits, one message after the other; after a failure wait, longer each time."""
        heard = _Heard()
        connection: _Connection | None = None
        pause = FIRST_PAUSE
        while waiting := self._next():
            key, message = waiting
            try:
                connection = connection or _Connection(self._to, heard)
                connection.send(json_line(message))
            except Unreachable as error:
                lost, connection = connection, None
                if lost and lost.used:
                    continue  # it may have been idle for long, or the broker is up again already
                self._failed(str(error), pause)
                pause = min(2 * pause, LAST_PAUSE)
            else:
                pause = FIRST_PAUSE
                self._sent(key, message)
        if connection:
            connection.close()

    def _next(self) -> tuple[tuple[str, int], Mapping[str, Any]] | None:
        """Return what has waited longest, once there is something; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            return next(iter(self._waiting.items()), None)

    def _sent(self, key: tuple[str, int], message: Mapping[str, Any]) -> None:
        """Take off what was sent, unless a newer message has taken its place meanwhile."""
        with self._changed:
            self._answers = True
            if self._waiting.get(key) is message:
                del self._waiting[key]
                self._changed.notify_all()

    def _failed(self, reason: str, pause: float) -> None:
        """Keep the first reason, and wait before the next attempt unless somebody is in a hurry."""
        with self._changed:
            self._failures += 1
            self._answers = False
            self._trouble = self._trouble or reason
            if self._closing:
                self._waiting.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._flushing or self._closing, pause)


class _Connection:
    """A connection to a broker, on which each message is acknowledged."""

    def __init__(self, to: Address, heard: _Heard) -> None:
        """Connect, or raise Unreachable."""
        import stomp  # noqa: PLC0415 - slow, and needed only where there is a broker

        self.used = False
        self._heard = heard
        self._destination = to.destination
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._stomp = stomp.Connection12(
            [(to.host, to.port)],
            prefer_localhost=False,
            try_loopback_connect=False,
            reconnect_attempts_max=1,
            reconnect_sleep_initial=0,
            timeout=ANSWER_SECONDS,
            auto_content_length=False,  # a message with a length is one of bytes to ActiveMQ
        )
        self._stomp.set_listener("answers", _Listener(self._answers))
        self._ask(lambda: self._stomp.connect(to.user, to.password))

    def send(self, text: str) -> None:
        """Send a message and wait until the broker has it, or raise Unreachable."""
        kind = "application/json"
        self._ask(lambda: self._stomp.send(self._destination, text, kind, receipt="message"))
        self.used = True

    def close(self) -> None:
        """Take leave, and wait for no answer."""
        with contextlib.suppress(Exception):
            self._stomp.disconnect()

    def _ask(self, action: Callable[[], None]) -> None:
        """Do something and wait for the broker's word that it is done, or raise Unreachable."""
        self._heard.said = ""
        try:
            action()
            fault = self._answers.get(timeout=ANSWER_SECONDS)
        except Empty:
            fault = f"no answer within {ANSWER_SECONDS:.0f} s"
        except Exception as error:  # noqa: BLE001 - whatever a library does, a step goes on
            fault = self._heard.said or str(error) or type(error).__name__
        if fault:
            with contextlib.suppress(Exception):
                self._stomp.transport.disconnect_socket()
            raise Unreachable(fault)


class _Listener:
    """Puts each answer of a broker into a queue: what is wrong, nothing where all is well."""

    def __init__(self, answers: SimpleQueue[str]) -> None:
        self._answers = answers

    def on_connected(self, _frame: object) -> None:
        self._answers.put("")

    def on_receipt(self, _frame: object) -> None:
        self._answers.put("")

    def on_error(self, frame: Any) -> None:  # noqa: ANN401 - the library has no types
        self._answers.put(frame.headers.get("message") or "it refuses")

    def on_disconnected(self) -> None:
        self._answers.put("it closed the connection")


class _Heard(logging.Handler):
    """Hears why a connection failed, which the library tells its log; nobody else is to hear."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said = ""
        logger = logging.getLogger("stomp.py")
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        for error in record.args or ():
            if isinstance(error, OSError):
                self.said = error.strerror or str(error)
