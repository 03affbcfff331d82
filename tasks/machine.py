"""What there is on this machine of all that the models of a repository need."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import git, places, profiles, publish, readiness, shared
from tasks.datasets import cache_folder
from tasks.diagnosis import (
    CONNECT_SECONDS,
    MISSING,
    OK,
    WARNING,
    Check,
    Finding,
    finding_of,
)
from tasks.environments import build, uv
from tasks.environments.interpreters import installed
from tasks.errors import UserError
from tasks.languages import r_home, spark
from tasks.plan import BUILD
from tasks.snapshot import STATE_FILE
from tasks.state import State, copied, unusable
from tasks.wording import counted, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tasks.model import Model

GB = 1e9
LITTLE_BYTES = 2 * GB  # an environment with TensorFlow takes 1.5 GB
LEAST_BYTES = GB / 10
TERADATA_PORT = 1025
WITHOUT_PASSWORD = {"krb5", "jwt", "bearer", "code", "browser", "secret"}
"""Ways to log in to Teradata for which TD_PASSWORD is not needed."""


def checks(models: Sequence[Model], state: State, trouble: Finding) -> Iterator[Check]:
    """Yield the looks at what these models need; `trouble` is what was found of the state file."""
    yield Check("Python", lambda: _pythons(models, state))
    yield Check("uv", _uv)
    yield Check("package index", lambda: _index(models, state))
    if r_models := [model for model in models if model.language == "r"]:
        yield Check("R", lambda: _r(r_models[0], state))
    needed = _hosts(models)
    if needed:
        yield Check("database login", lambda: _login(required=any(needed.values())))
    for host, required in needed.items():
        look = functools.partial(_database, host, required=required)
        yield Check(f"database {host}", look)
    yield from _places(models)
    if os.environ.get(publish.VARIABLE):
        yield Check("progress broker", _broker)
    if os.environ.get(profiles.STORE_VARIABLE):
        yield Check("shared store", _shared_store)
    if os.environ.get("DATASET_MIRROR"):
        yield Check("DATASET_MIRROR", _mirror)
    yield Check("git", _git)
    yield Check("disk", _disk)
    yield Check(f"{BUILD}/", _build)
    yield Check("state file", lambda: [trouble])


def state_and_trouble() -> tuple[State, Finding]:
    """Return a State that is kept nowhere, and what was found of the state file."""
    try:
        state = copied()
    except sqlite3.OperationalError as error:
        trouble = finding_of("state file", unusable(STATE_FILE, error))
    except sqlite3.DatabaseError:
        found = f"{STATE_FILE} is damaged; the next `doit` makes it anew, and nothing is lost"
        trouble = Finding("state file", WARNING, found, "`doit list`")
    else:
        found = f"{STATE_FILE} is whole" if os.path.exists(STATE_FILE) else "none yet"
        return state, Finding("state file", OK, found)
    return State(":memory:"), trouble


def _pythons(models: Sequence[Model], state: State) -> Iterator[Finding]:
    """Yield the interpreters that are installed, each with the models that run on it."""
    users: dict[str, list[str]] = {}
    for model in models:
        if chosen := readiness.interpreter(model, state):
            users.setdefault(chosen.path, []).append(model.name)
    for one in installed(state):
        name = "Python" if one.implementation == "CPython" else one.implementation
        used = users.get(one.path, [])
        by = f", for {used[0] if len(used) == 1 else f'{len(used)} models'}" if used else ""
        yield Finding(f"{name} {one.version}", OK, f"{short(one.path)}{by}")


def _uv() -> Iterator[Finding]:
    try:
        said = subprocess.run([uv.path(), "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("uv", MISSING, f"does not run: {error}", "`./bootstrap true`")
        return
    yield Finding("uv", OK, f"{said.stdout.split()[1]}, {short(uv.path())}")


def _index(models: Sequence[Model], state: State) -> Iterator[Finding]:
    """Yield whether the package index is reached: without it, what is built already still runs."""
    unbuilt = sum(not (one.broken or build.is_built(one, state)) for one in models)
    if os.environ.get("UV_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        yield Finding("package index", OK, "not asked: `UV_OFFLINE` is set")
        return
    answer = uv.reach_index(CONNECT_SECONDS)
    if answer.ok or "not found in the package registry" in answer.explanation:
        yield Finding("package index", OK, "answers")
        return
    reason = answer.explanation.splitlines()[-1].strip().removeprefix("cause: ")
    needed = f", and environments of {counted(unbuilt, 'model')} are to be built"
    state_word = MISSING if unbuilt else WARNING
    yield Finding(
        "package index", state_word, reason + (needed if unbuilt else ""), uv.UNREACHABLE_HINT
    )


def _r(model: Model, state: State) -> Iterator[Finding]:
    r = r_home.find(model.name, state)
    yield Finding("R", OK, f"{r.version}, {short(r.program)}")


def _hosts(models: Sequence[Model]) -> dict[str, bool]:
    """Return the hosts of databases, each with whether a default dataset names it."""
    found: dict[str, bool] = {}
    for model in models:
        for host, required in readiness.hosts(model):
            found[host] = found.get(host, False) or required
    return dict(sorted(found.items()))


def _login(*, required: bool) -> Iterator[Finding]:
    """Yield whether there is a login for the databases; its values are not looked at."""
    how = os.environ.get("TD_LOGMECH", "").lower()
    names = ("TD_USERNAME",) if how in WITHOUT_PASSWORD else ("TD_USERNAME", "TD_PASSWORD")
    lacking = [name for name in names if not os.environ.get(name)]
    if not lacking:
        yield Finding("database login", OK, f"{' and '.join(names)} set")
        return
    ways = {
        "TD_USERNAME": "export TD_USERNAME=NAME",
        "TD_PASSWORD": "read -rs TD_PASSWORD && export TD_PASSWORD",
    }
    hint = f"`{'; '.join(ways[name] for name in lacking)}`"
    state = MISSING if required and how not in WITHOUT_PASSWORD else WARNING
    yield Finding("database login", state, f"{' and '.join(lacking)} not set", hint)


def _database(host: str, *, required: bool) -> Iterator[Finding]:
    thing = f"database {host}"
    reason = spark.unreached(host, TERADATA_PORT)
    if not reason:
        yield Finding(thing, OK, f"port {TERADATA_PORT} answers")
        return
    optional = "" if required else "; only named datasets need it"
    yield Finding(
        thing, MISSING if required else WARNING, f"port {TERADATA_PORT}: {reason}{optional}",
        "see that the host is right in the dataset, and that its network (a VPN) is there",
    )  # fmt: skip


def _places(models: Sequence[Model]) -> Iterator[Check]:
    """Yield the looks at the places where the models' steps run, other than this machine."""
    try:
        names = {places.named(model) for model in models} & {*profiles.PLACES}
    except UserError as error:
        wrong = finding_of("profile", error)
        yield Check("profile", lambda: [wrong])
        return
    for name in sorted(names - {places.LOCAL}):
        places.load(name)  # the time of a look is for what it asks
        yield Check(f"place {name}", functools.partial(_place, name))


def _place(name: str) -> Iterator[Finding]:
    yield Finding(f"place {name}", OK, places.look(name))


def _broker() -> Iterator[Finding]:
    """Yield whether the broker takes connections: without it steps run all the same."""
    to = publish.parsed(os.environ[publish.VARIABLE])
    trouble = publish.trouble_with(to)
    if trouble:
        hint = f"start it, or `unset {publish.VARIABLE}`: steps run without it"
        yield Finding("progress broker", WARNING, f"{to}: {trouble}", hint)
    else:
        yield Finding("progress broker", OK, f"{to} answers")


def _shared_store() -> Iterator[Finding]:
    """Yield whether the store of others answers: without it steps run, all of them."""
    others = shared.shared()
    if others is None:
        return
    trouble = others.trouble_now()
    if trouble:
        hint = f"see that it is there, or `unset {profiles.STORE_VARIABLE}`: steps run without it"
        yield Finding("shared store", WARNING, f"{others.address}: {trouble}", hint)
    else:
        yield Finding("shared store", OK, f"{others.address} answers")


def _mirror() -> Iterator[Finding]:
    folders = [one for one in os.environ["DATASET_MIRROR"].split(os.pathsep) if one]
    for folder in folders:
        if not os.path.isdir(folder):
            hint = f"`mkdir -p {folder}`, or correct `DATASET_MIRROR`"
            yield Finding("DATASET_MIRROR", WARNING, f"`{folder}` is no folder", hint)
    if all(map(os.path.isdir, folders)):
        yield Finding("DATASET_MIRROR", OK, ", ".join(map(short, folders)))


def _git() -> Iterator[Finding]:
    if not shutil.which("git"):
        hint = f"`{r_home.APT} git`"
        yield Finding("git", WARNING, "not installed: results name no commit", hint)
        return
    commit = git.head()
    found = f"commit {commit[:12]}" if commit else "outside a repository: results name no commit"
    yield Finding("git", OK, found)


def _disk() -> Iterator[Finding]:
    """Yield the free space where results and environments go, once where that is one disk."""
    cache = cache_folder()
    places: Mapping[str, str] = {f"{BUILD}/": existing(BUILD), "the cache": existing(cache)}
    disks: dict[int, list[str]] = {}
    for what, path in places.items():
        disks.setdefault(os.stat(path).st_dev, []).append(what)
    size = _size(cache)
    for names in disks.values():
        free = shutil.disk_usage(places[names[0]]).free
        state = MISSING if free < LEAST_BYTES else WARNING if free < LITTLE_BYTES else OK
        found = f"{size_text(free)} free for {' and '.join(names)}"
        if "the cache" in names and size:
            found += f", which takes {size} in {short(cache)}"
        hint = f"`rm -r {short(cache)}/environments` when nothing runs: they are made anew"
        yield Finding("disk", state, found, "" if state == OK else hint)


def _size(folder: str) -> str:
    """Return how much a folder takes, nothing where that is not told at once."""
    try:
        done = subprocess.run(
            ["du", "-s", "--block-size=1", folder], capture_output=True, text=True, check=False,
            timeout=CONNECT_SECONDS,
        )  # fmt: skip
        return size_text(int(done.stdout.split()[0]))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return ""


def _build() -> Iterator[Finding]:
    """Yield whether results and environments can be written."""
    for folder in (BUILD, cache_folder()):
        place = existing(folder)
        if not os.access(place, os.W_OK | os.X_OK):
            wanted = shlex.quote(os.path.abspath(folder))
            hint = f"`sudo mkdir -p {wanted}`, then " if not os.path.exists(folder) else ""
            hint += f"`sudo chown -R $USER {wanted}`"
            yield Finding(f"{BUILD}/", MISSING, f"`{short(place)}` cannot be written to", hint)
            return
    yield Finding(f"{BUILD}/", OK, "it and the cache can be written to")


def existing(path: str) -> str:
    """Return the path, or the nearest folder above it that is there."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    return str(place)


def short(path: str) -> str:
    """Return a path as people write it, with `~` for the home folder."""
    home = str(Path.home())
    return f"~{path[len(home) :]}" if path.startswith(home + os.sep) else path
