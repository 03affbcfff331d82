"""What a model prints, as it comes, and on a terminal a line below of how far it is."""

from __future__ import annotations

import codecs
import contextlib
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, TextIO

from tasks.progress import Activity
from tasks.report import STYLES
from tasks.wording import Shown, clean, duration, live_lines

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from tasks.plan import Step


class Screen:
    """Shows the steps of one run, one after the other."""

    def __init__(self, stream: TextIO, *, live: bool = True) -> None:
        """See whether there is a terminal, and one that can redraw its lines; `live` lets it."""
        self._stream = stream
        self._redraws = live and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""  # what has come of a line that has no end yet
        self._shown: Shown | None = None
        self._console: Console | None = None
        self._live: Live | None = None

    def __enter__(self) -> Screen:  # noqa: PYI034 - Python 3.10 has no Self
        """Begin to redraw, on a terminal."""
        if self._redraws:
            from rich.console import Console  # noqa: PLC0415 - slow, and seldom needed
            from rich.live import Live  # noqa: PLC0415

            self._console = Console(file=self._stream, markup=False, highlight=False, emoji=False)
            self._live = Live(
                get_renderable=self._frame, console=self._console, refresh_per_second=8,
                transient=True, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was, and say how the last step ended."""
        if self._shown:
            interrupted = kind is not None and not issubclass(kind, Exception)
            self._ended("interrupted" if interrupted else "failed" if error else "ran")
        if self._live:
            self._live.stop()

    def begin(self, step: Step) -> Activity:
        """Show that a step starts; return where it is to say what it does and prints."""
        if self._shown:
            self._ended("ran")
        activity = Activity(echo=self._echo)
        task = SimpleNamespace(name=step.task, meta={"activity": activity})
        self.say(f"{step.task} started")
        self._shown = Shown(task, "running", time.monotonic())
        return activity

    def say(self, *pieces: str | tuple[str, str]) -> None:
        """Show a line that stays, of texts of which some have a style."""
        if self._console:
            from rich.text import Text  # noqa: PLC0415

            self._console.print(Text.assemble(*pieces), soft_wrap=True)
        else:
            self._write("".join(piece if isinstance(piece, str) else piece[0] for piece in pieces))

    def _echo(self, data: bytes) -> None:
        """Show what a model prints, line by line."""
        *lines, self._line = (self._line + self._decoder.decode(data)).split("\n")
        for line in lines:
            self.say(clean(line))

    def _ended(self, state: str) -> None:
        """Show how the step that runs has ended."""
        if self._line:
            self._echo(b"\n")
        if self._shown:
            word = {"ran": "ok", "failed": "FAILED"}.get(state, state)
            seconds = duration(time.monotonic() - self._shown.began)
            self.say(f"{self._shown.task.name} ", (word, STYLES[state]), f" {seconds}")
        self._shown = None

    def _write(self, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with contextlib.suppress(BrokenPipeError):  # nobody reads on; the step goes on
            self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            self._stream.flush()

    def _frame(self) -> Text:
        """Draw the line of what runs."""
        from rich.text import Text  # noqa: PLC0415

        width = self._console.width if self._console else 80
        shown = [self._shown] if self._shown else []
        lines = [Text.assemble(*line) for line in live_lines(shown, width, time.monotonic())]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return Text("\n").join(lines)
