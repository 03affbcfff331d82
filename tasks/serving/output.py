"""What is written to stdout and stderr while requests are answered: by threads.

So nobody waits for who reads it, and nothing fails where nobody does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Not `sys.stdout` and `sys.stderr`: doit puts others in their place while steps run.
STDOUT, STDERR = 1, 2

MOST_MESSAGES = 10_000
"""How many messages may wait to be written."""


class Writer:
    """Writes what it is given to a file descriptor; what cannot be written is lost."""

    def __init__(self, descriptor: int, most: int) -> None:
        """Begin; `most` is how many parts may wait."""
        # One of its own: a number that others close may be that of another file a moment later.
        self._descriptor = os.dup(descriptor)
        self._waiting: queue.Queue[bytes] = queue.Queue(maxsize=most)
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()

    def put(self, part: bytes) -> bool:
        """Have a part written; return False where too many wait, so that it is left out."""
        try:
            self._waiting.put_nowait(part)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Write the rest, if it is taken within a second."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(b"", timeout=1)
            self._thread.join(1)

    def _write(self) -> None:
        while part := self._waiting.get():
            with contextlib.suppress(OSError):
                while part:
                    part = part[os.write(self._descriptor, part) :]
        os.close(self._descriptor)


class Messages(logging.Handler):
    """What is said on stderr: by us all of it, by libraries their errors.

    Of invalid requests they only warn, and anybody can send those.
    """

    def __init__(self) -> None:
        """Begin."""
        super().__init__(logging.ERROR)
        self._writer = Writer(STDERR, MOST_MESSAGES)
        self._left_out = 0

    def say(self, text: str) -> None:
        """Have a message written."""
        if self._left_out:
            text = f"({self._left_out} messages are left out)\n{text}"
        if self._writer.put(f"{text}\n".encode(errors="backslashreplace")):
            self._left_out = 0
        else:
            self._left_out += 1

    def emit(self, record: logging.LogRecord) -> None:
        """Have a library's message written."""
        self.say(self.format(record))

    def close(self) -> None:
        """Write the rest, if it is taken within a second."""
        self._writer.close()
        super().close()


@contextlib.contextmanager
def messages() -> Iterator[Messages]:
    """Have all that is said go to stderr in this way, until the block is left."""
    found, root = Messages(), logging.getLogger()
    root.addHandler(found)
    try:
        yield found
    finally:
        root.removeHandler(found)
        found.close()
