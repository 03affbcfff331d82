"""What every conclusion rests on besides files of models: the runner, the Pythons, variables."""

from __future__ import annotations

import os
import sys

from tasks.looks import look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("JAVA_HOME", "SPARK_HOME", "R_HOME", "PATH")
"""The user's variables that decide which programs from outside an environment are used."""

LOCKS = "envs/locks"
"""The folder whose being there says that the repository tracks its locks."""

USUAL_FOLDERS = ("/usr/local/bin", "/usr/bin")
"""Where a system has its Pythons, whatever PATH says."""

_MINORS = range(6, 21)
_NAMES = (*(f"python3.{minor}" for minor in reversed(_MINORS)), "python3")
_FOLDERS = ("HOME", "XDG_CACHE_HOME", "MODEL_CACHE")


def surroundings() -> str:
    """Return all of it as one text: what is the same text is the same surroundings."""
    variables = (f"{name}={os.environ.get(name)}" for name in (*PROGRAMS, *_FOLDERS))
    packages = [path for path in sys.path if path.endswith("-packages")]
    paths = [*_code(os.path.dirname(__file__)), *packages, *searched()]
    looks = (f"{path} {look(path)}" for path in paths)
    runner = f"{sys.executable} {sys.version} {os.path.isdir(LOCKS)}"
    return "\n".join([runner, *variables, *looks])


def _code(folder: str) -> Iterator[str]:
    """Yield the files of the runner itself."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _code(entry.path)
        elif entry.name.endswith((".py", ".json")):
            yield entry.path


def searched() -> list[str]:
    """Return the paths at which there may be interpreters, the first that counts at the front."""
    named = os.environ.get
    folders = f"{named('PATH', '')}{os.pathsep}{named('UV_PYTHON_SEARCH_PATH', '')}"
    places = folders.split(os.pathsep)
    places += [f"{top}/{name}/bin" for top in _managers() for name in _below(top)]
    places += [os.path.dirname(os.path.realpath(sys.executable)), *USUAL_FOLDERS]
    return [f"{place}/{name}" for place in dict.fromkeys(filter(None, places)) for name in _NAMES]


def _managers() -> list[str]:
    """Return the folders that hold a folder for each version."""
    named, home = os.environ.get, os.path.expanduser("~")
    data = named("XDG_DATA_HOME") or f"{home}/.local/share"
    return [
        f"{named('PYENV_ROOT') or f'{home}/.pyenv'}/versions",
        named("UV_PYTHON_INSTALL_DIR") or f"{data}/uv/python",
        f"{named('ASDF_DATA_DIR') or f'{home}/.asdf'}/installs/python",
        f"{named('MISE_DATA_DIR') or f'{home}/.local/share/mise'}/installs/python",
    ]


def _below(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
