"""The R that is installed here: where it is, its version, and the packages in its libraries."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.state import State

APT = "apt-get install --no-install-recommends"
NOWHERE = "/dev/null"
LIBRARY = "lib/R"
"""The library of an environment's own, inside its folder."""

_PROBE = (
    'cat(R.home(), paste(.Library.site, collapse = ":"), .Library,'
    ' Sys.getenv(c("R_SHARE_DIR", "R_INCLUDE_DIR", "R_DOC_DIR", "LD_LIBRARY_PATH")), sep = "\\n")'
)
_PROBE_KIND = 1
_PROBE_SECONDS = 60


@dataclass(frozen=True)
class R:
    """An R: the program, its home, its version, and the libraries where packages are looked for.

    `variables` are those that its start script sets.
    """

    program: str
    home: str
    version: str
    libraries: tuple[str, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Package:
    """A package of R as its DESCRIPTION says: what it needs, with the least version or nothing.

    `base` says that it is a part of R itself.
    """

    name: str
    version: str
    needs: tuple[tuple[str, str], ...]
    base: bool = False


def find(model: str, state: State) -> R:
    """Return the R of `R_HOME`, else the one on PATH, for the model of this name.

    It is started once for as long as its file stays the same.  Raises UserError where there is
    none, or where it does not start.
    """
    program = _program(state)
    if not program:
        raise _missing(model)
    try:
        home, site, own, *values = _answer(program, state)
        base = package("base", (own,), state)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UserError(
            f"Model `{model}` needs R, which does not start",
            ("program", program),
            ("reason", getattr(error, "stderr", "") or error),
            hint=f"see that `{program} --version` works; `R_HOME` names another R",
        ) from error
    names = ("R_SHARE_DIR", "R_INCLUDE_DIR", "R_DOC_DIR", "LD_LIBRARY_PATH")
    libraries = (*filter(None, site.split(os.pathsep)), own)
    version = base.version if base else "unknown"
    return R(program, home, version, libraries, dict(zip(names, values, strict=True)))


def _missing(model: str) -> UserError:
    home = os.environ.get("R_HOME")
    if home:
        return UserError(
            f"Model `{model}` needs R, and `R_HOME` names no R",
            ("missing", f"{home}/bin/R"),
            hint="set `R_HOME` to what `R RHOME` prints, or unset it: then the R on PATH is used",
        )
    return UserError(
        f"Model `{model}` needs R, which is not installed",
        ("looked in", "PATH"),
        hint=f"`{APT} r-base-core make`, or set `R_HOME`",
    )


def _program(state: State) -> str:
    home = os.environ.get("R_HOME")
    folders = [f"{home}/bin"] if home else os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (f"{folder}/R" for folder in folders if folder)
    return next((path for path in paths if state.files.exists(path) and _runs(path)), "")


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _answer(program: str, state: State) -> list[str]:
    """Return what R says of itself, home first; asked anew where a file behind it has changed."""
    program = os.path.realpath(program)
    now = os.stat(program)
    key = f"R {_PROBE_KIND} {program} {now.st_size} {now.st_mtime_ns} {now.st_ino}"
    remembered = state.recall(key)
    if remembered:
        answer, settings = json.loads(remembered)
        if settings == _settings(answer[0], state):
            return list(answer)
    variables = {k: v for k, v in clean(os.environ).items() if k != "LD_LIBRARY_PATH"}
    done = subprocess.run(
        [program, "--vanilla", "--no-echo", "-e", _PROBE], capture_output=True, text=True,
        check=True, timeout=_PROBE_SECONDS, env=variables, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    answer = done.stdout.rstrip("\n").split("\n")
    state.remember(key, json.dumps([answer, _settings(answer[0], state)]))
    return answer


def _settings(home: str, state: State) -> list[int]:
    """Return what is seen of the file that names R's libraries."""
    return list(state.files.look(f"{home}/etc/Renviron") or ())


def clean(variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables for R, without what would have it read settings or packages of the user's.

    The locale is the same everywhere: it decides how R sorts and what it takes for a letter.
    """
    kept = {key: value for key, value in variables.items() if not key.startswith(("R_", "LC_"))}
    names = ("R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER", "R_LIBS_USER")
    return {**kept, **dict.fromkeys(names, NOWHERE), "LC_ALL": "C.UTF-8", "LANGUAGE": "en"}


def process_variables(r: R, library: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a process that R runs in, with the environment's own library."""
    kept = clean(variables)
    paths = [*r.variables["LD_LIBRARY_PATH"].split(os.pathsep), kept.get("LD_LIBRARY_PATH", "")]
    return {
        **kept,
        **r.variables,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths)),
        "R_HOME": r.home,
        "R_LIBS": library,
        "R_LIBS_SITE": os.pathsep.join(r.libraries[:-1]),
    }


def package(name: str, libraries: tuple[str, ...], state: State) -> Package | None:
    """Return a package from the first library that has it: one stat each while nothing changes."""
    for library in libraries:
        path = f"{library}/{name}/DESCRIPTION"
        if state.files.exists(path):
            version, needs, base = json.loads(state.files.note(path, "R package 1", _read))
            return Package(name, version, tuple((one, least) for one, least in needs), base)
    return None


def _read(data: bytes) -> str:
    fields = description(data)
    return json.dumps(
        [fields.get("Version", ""), needs(fields), fields.get("Priority", "") == "base"]
    )


def description(data: bytes) -> dict[str, str]:
    """Return the fields of a DESCRIPTION, or of one entry in an index of packages."""
    text = re.sub(r"\n[ \t]+", " ", data.decode("utf-8", "replace").replace("\r\n", "\n"))
    fields = (line.partition(":") for line in text.split("\n") if ":" in line)
    return {name: value.strip() for name, _, value in fields}


def needs(fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the packages that one needs to be installed, R itself among them (as `R`)."""
    asked = ",".join(fields.get(key, "") for key in ("Depends", "Imports", "LinkingTo"))
    found = re.findall(r"([A-Za-z][\w.]*)\s*(?:\(\s*([<>=!]+)\s*([\d.-]+)\s*\))?", asked)
    return list(
        dict.fromkeys((name, last if sign[:1] == ">" else "") for name, sign, last in found)
    )


def at_least(version: str, least: str) -> bool:
    """Return whether a version of R's kind (`2.1-8`) is one or a later one."""
    return _numbers(version) >= _numbers(least)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
