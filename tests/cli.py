"""cli/repo-cli.py as a person runs it: with options, with lines on stdin, or on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conftest import RUNNER

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, str(RUNNER / "cli/repo-cli.py")]
DEADLINE_SECONDS = 60
ENTER, DOWN, CTRL_C = "\r", "\x1b[B", "\x03"


def repo_cli(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end, with no terminal."""
    return subprocess.run(
        [*COMMAND, *words], cwd=folder, input=stdin, capture_output=True, text=True, check=False
    )


def made(folder: Path, *words: str) -> Path:
    """Make a model by it without a question, and return the model's folder."""
    before = set((folder / "model_definitions").iterdir())
    done = repo_cli(folder, "-a", "--yes", *words)
    assert 0 == done.returncode, done.stderr
    (model,) = set((folder / "model_definitions").iterdir()) - before
    return model


def files(folder: Path) -> list[str]:
    """Return the paths of all that is in a folder, to see that nothing was left."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@dataclass
class Terminal:
    """A terminal of its own, with the command in it; `shown` is all that it has drawn."""

    handle: int
    process: subprocess.Popen[bytes]
    shown: str = ""

    @classmethod
    def opened(cls, folder: Path, *words: str) -> Terminal:
        """Start the command on a new terminal."""
        handle, theirs = pty.openpty()
        process = subprocess.Popen(
            [*COMMAND, *words], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        return cls(handle, process)

    def answer(self, question: str, keys: str) -> None:
        """Press keys once a question is there."""
        self.wait_for(question)
        os.write(self.handle, keys.encode())

    def wait_for(self, text: str) -> None:
        """Return once a text has been drawn after the last one that was waited for."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), self.shown
        self.shown = self.shown.partition(text)[2]

    def status(self) -> int:
        """Return the exit status once the command has ended."""
        while self._read():
            pass
        os.close(self.handle)
        return self.process.wait(DEADLINE_SECONDS)

    def _read(self) -> bool:
        if not select.select([self.handle], [], [], DEADLINE_SECONDS)[0]:
            return False
        try:
            data = os.read(self.handle, 65536)
        except OSError:  # the other end is closed
            return False
        if b"\x1b[6n" in data:  # it asks where the cursor is
            os.write(self.handle, b"\x1b[1;1R")
        self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        return bool(data)
