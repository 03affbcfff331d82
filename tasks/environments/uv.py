"""Call uv, which makes environments, resolves requirements and installs what a lock says."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from typing import NamedTuple

# How packages are reached (indexes, certificates, caches) is the user's own affair.  What changes
# which packages are installed stands in the model's files, so that a lock is the same everywhere.
_DROPPED = {
    "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME",
    "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES", "UV_PROJECT_ENVIRONMENT",
    "UV_VENV_SEED", "UV_WORKING_DIR", "UV_WORKING_DIRECTORY", "UV_CONSTRAINT", "UV_OVERRIDE",
    "UV_EXCLUDE", "UV_BUILD_CONSTRAINT", "UV_NO_VERIFY_HASHES", "UV_NO_BUILD", "UV_NO_BINARY",
    "UV_NO_BUILD_ISOLATION", "UV_NO_BUILD_PACKAGE", "UV_NO_BINARY_PACKAGE", "UV_NO_SOURCES",
}  # fmt: skip

# rpy2 would look for a C compiler, for a way of calling R that is not used here.
_BUILDING = {"RPY2_CFFI_MODE": "ABI", "RPY2_API_FORCE": "True"}

UNREACHABLE_HINT = (
    "see that the package index can be reached: `UV_DEFAULT_INDEX` names another one (a mirror),"
    " `UV_OFFLINE=1` makes do with what uv has in its cache"
)

# find_uv_bin asks sysconfig, which threads that ask it first at the same time find half-made.
_finding = threading.Lock()


class Answer(NamedTuple):
    """What came of a call: whether it succeeded, and what uv explained about it."""

    ok: bool
    explanation: str

    @property
    def unreachable(self) -> bool:
        """Whether it failed for the network, so that another try of the same is in vain."""
        return not self.ok and any(
            words in self.explanation for words in ("Failed to fetch", "Request failed after")
        )


def run(*arguments: str, folder: str | None = None) -> Answer:
    """Run uv to its end, in a folder whose `uv.toml` it reads beside that of the user."""
    done = subprocess.run(
        [path(), "--quiet", "--color=never", *arguments], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, env=variables(), cwd=folder,
    )  # fmt: skip
    return Answer(done.returncode == 0, done.stderr.strip())


def reach_index(seconds: float) -> Answer:
    """Ask the package index for a small package, as uv is set up to; nothing is kept of it."""
    command = ["pip", "compile", "--no-cache", "--no-deps", "--python", sys.executable, "-"]
    bounded = {"UV_HTTP_TIMEOUT": str(max(1, int(seconds))), "UV_HTTP_RETRIES": "0"}
    try:
        done = subprocess.run(
            [path(), "--quiet", "--color=never", *command], input="packaging\n",
            capture_output=True, text=True, check=False, env={**variables(), **bounded},
            timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(ok=False, explanation=f"Failed to fetch within {seconds:g} s")
    return Answer(done.returncode == 0, done.stderr.strip())


def path() -> str:
    """Return the path of the uv that the runner was installed with."""
    with _finding:
        return _found()


@functools.cache
def _found() -> str:
    from uv import find_uv_bin  # noqa: PLC0415 - costs nothing on the runs that need no uv

    return os.fspath(find_uv_bin())


def variables() -> dict[str, str]:
    """Return the variables for uv: the user's own, less what would change the result."""
    kept = {key: value for key, value in os.environ.items() if key not in _DROPPED}
    # A folder of this repository has no hash; for all else hashes are asked for in the command.
    fixed = {"UV_REQUIRE_HASHES": "0", "UV_NO_WRAP": "1", "GIT_TERMINAL_PROMPT": "0"}
    return {**kept, **_BUILDING, **fixed}
