"""Git, which is asked of commits and of what differs: working tree and index stay as they are.

What differs from a commit is what Git itself takes for different: a file whose line ends or filters
alone make its bytes other than those in the commit does not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LINK, SUBMODULE, NONE = "120000", "160000", "000000"
"""Modes that Git gives to what is no plain file; the last one stands for nothing at all."""

ATTRIBUTES = ".gitattributes"

DEEPER = "`git fetch --unshallow` brings the rest; in CI set `fetch-depth: 0` or `GIT_DEPTH: 0`"

# A file of Git LFS stays the pointer that the commit holds: it says the digest, and needs no fetch.
_LFS = ("smudge=", "process=", "required=false")
_PLAIN = ("core.fsmonitor=false", "diff.autoRefreshIndex=true")  # the index is one of our own
_SETTINGS = (*_PLAIN, *(f"filter.lfs.{setting}" for setting in _LFS))
# Questions take no lock that somebody else may want, and wait for no password.
_VARIABLES = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
# What a hook is given would be wrong for submodules, and for other repositories.
_DROPPED = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}


@dataclass(frozen=True)
class Entry:
    """What a commit has at a path: the mode and the name of the object."""

    mode: str
    oid: str


@dataclass(frozen=True)
class Tree:
    """What tells a working tree from a commit; submodules have a Tree of their own.

    `folder` is absolute, `place` the way there from the top of all (with a slash behind it), and
    all paths start at that top.  `changed` are the paths that are not as in the commit, those that
    are not committed at all among them (`untracked`); `before` is what the commit has of these.
    `links` are the links that are as they were, `attributes` the files that say how Git converts.
    """

    folder: str
    place: str
    changed: frozenset[str]
    untracked: frozenset[str]
    before: Mapping[str, Entry] = field(default_factory=dict)
    links: frozenset[str] = frozenset()
    attributes: Mapping[str, Entry] = field(default_factory=dict)


def kept_variables() -> dict[str, str]:
    """Return the variables of this process that Git is given, whatever it is started for."""
    return {name: value for name, value in os.environ.items() if name not in _DROPPED}


def ask(
    *words: str, folder: str = ".", given: bytes = b"", variables: Mapping[str, str] | None = None
) -> str:
    """Return what Git answers.  Raises UserError where it cannot."""
    command = ["git", *(word for one in _SETTINGS for word in ("-c", one)), *words]
    env = {**kept_variables(), **_VARIABLES, **(variables or {})}
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, input=given, capture_output=True, check=False
        )
    except OSError as error:
        raise UserError(
            "Git cannot be started", ("reason", error), hint="install it, or see that it is on PATH"
        ) from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise UserError(
            f"Git cannot answer `git {words[0]}`",
            ("git says", said or "nothing"),
            hint=f"see that `git -C {folder} status` works",
        )
    return os.fsdecode(done.stdout)


def is_outside() -> bool:
    """Return whether the working directory is in no working tree: no `.git` lies above it."""
    here = Path.cwd()
    return not any(os.path.lexists(folder / ".git") for folder in (here, *here.parents))


def top() -> str:
    """Return the top of the working tree that the working directory is in.  Raises UserError."""
    try:
        return ask("rev-parse", "--show-toplevel").removesuffix("\n")
    except UserError as error:
        if not is_outside():
            raise
        raise UserError(
            "This is no working tree of Git, so there is no commit to compare with",
            ("folder", os.getcwd()),
            *error.facts,
            hint="run it in a clone; `git init` and a commit make one of a folder",
        ) from error


def commit(revision: str) -> str:
    """Return the commit that a name stands for.  Raises UserError where there is none."""
    try:
        # A caret before it would mean something else, and a dash an option.
        plain = revision if revision[:1] not in "-^" else f"refs/{revision}"
        return ask("rev-parse", "--verify", "--quiet", f"{plain}^{{commit}}").strip()
    except UserError as error:
        top()  # there may be no repository at all
        hint = DEEPER if _shallow() else "`git fetch` brings what others have"
        if not ask("rev-list", "-n1", "--all").strip():
            hint = "nothing is committed yet: `git add -A && git commit`"
        if set(revision) == {"0"}:
            hint = "zeros alone stand for none: name a branch, such as `origin/main`"
        raise UserError(f"There is no commit `{revision}` in this clone", hint=hint) from error


def merge_base(revision: str) -> str:
    """Return the last commit that a commit has in common with HEAD.  Raises UserError."""
    base = commit(revision)
    commit("HEAD")
    try:
        return ask("merge-base", base, "HEAD").strip()
    except UserError as error:
        hint = DEEPER if _shallow() else "name a commit that this branch has come from"
        headline = f"`{revision}` and HEAD have no commit in common"
        raise UserError(headline + " in this clone" * _shallow(), hint=hint) from error


def heads() -> dict[str, str]:
    """Return the commits of all branches and tags, each with the first name that it has.

    Raises UserError outside of Git.
    """
    top()
    found: dict[str, str] = {}
    kinds = ("refs/heads", "refs/tags", "refs/remotes")
    for line in ask("for-each-ref", "--format=%(refname)", *kinds).splitlines():
        with contextlib.suppress(UserError):  # a tag may name a file
            found.setdefault(commit(line), line.split("/", 2)[2])
    return found


def _shallow() -> bool:
    return ask("rev-parse", "--is-shallow-repository").strip() == "true"


def trees(folder: str, since: str, ignored: str, place: str = "") -> Iterator[Tree]:
    """Yield what tells a working tree from a commit, and after it each submodule's that differs.

    Nothing below `ignored`, a path from `folder`, is looked for.  Raises UserError.
    """
    before: dict[str, Entry] = {}
    changed: set[str] = set()
    inner: dict[str, Entry] = {}
    with ThreadPoolExecutor() as pool:  # each takes its time where there are many files
        differing = pool.submit(_differences, folder, since)
        others = pool.submit(_others, folder, ignored)
        tracked = pool.submit(_special, folder)
    for (mode, now, oid), path in differing.result():
        at = f"{place}{path}"
        if mode == SUBMODULE:
            if os.path.exists(f"{folder}/{path}/.git"):
                inner[path] = Entry(mode, oid)
            elif now == NONE:
                changed.add(at)
            continue
        changed.add(at)
        if mode != NONE:
            before[at] = Entry(mode, oid)
    untracked = {f"{place}{path}".rstrip("/") for path in others.result()}
    special = {f"{place}{path}": entry for path, entry in tracked.result()}
    kept = {path: entry for path, entry in special.items() if path not in changed} | before
    yield Tree(
        folder,
        place,
        frozenset(changed | untracked),
        frozenset(untracked),
        before,
        frozenset(path for path, one in special.items() if one.mode == LINK) - changed,
        {path: one for path, one in kept.items() if os.path.basename(path) == ATTRIBUTES},
    )
    for path, entry in inner.items():
        _check_there(f"{folder}/{path}", entry.oid, f"{place}{path}")
        yield from trees(f"{folder}/{path}", entry.oid, ignored, f"{place}{path}/")


def _check_there(folder: str, oid: str, name: str) -> None:
    """Raise UserError where a submodule has no such commit."""
    try:
        ask("cat-file", "-e", f"{oid}^{{commit}}", folder=folder)
    except UserError as error:
        raise UserError(
            f"Submodule `{name}` lacks the commit that it is compared with",
            ("commit", oid),
            hint=f"`git -C {name} fetch origin {oid}`",
        ) from error


def _differences(folder: str, since: str) -> list[tuple[tuple[str, str, str], str]]:
    """Return mode before, mode now and object before of each path that differs from a commit."""
    options = "--raw -z --no-abbrev --no-renames --no-relative --no-color --ignore-submodules=none"
    command = ("diff", *options.split(), since, "--")
    index = ask("rev-parse", "--git-path", "index", folder=folder).removesuffix("\n")
    with tempfile.TemporaryDirectory(prefix="index-") as scratch:
        # Git notes in the index which files it has found unchanged, so it gets one of its own.
        # With the time of the other: files that are younger are looked into.
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(os.path.join(folder, index), f"{scratch}/index")
        variables = {"GIT_INDEX_FILE": f"{scratch}/index"}
        fields = _split(ask(*command, folder=folder, variables=variables))
    found = []
    for about, path in zip(fields[::2], fields[1::2], strict=True):
        mode, now, oid, *_ = about.removeprefix(":").split()
        found.append(((mode, now, oid), path))
    return found


def _others(folder: str, ignored: str) -> list[str]:
    """Return what is neither tracked nor to be ignored."""
    options = ("--others", "--exclude-standard", f"--exclude=/{ignored}/")
    return _split(ask("ls-files", "-z", *options, folder=folder))


def _special(folder: str) -> list[tuple[str, Entry]]:
    """Return the links and the files of attributes that are tracked."""
    found = []
    for line in _split(ask("ls-files", "--stage", "-z", folder=folder)):
        if line.startswith(LINK) or line.endswith(ATTRIBUTES):
            about, _, path = line.partition("\t")
            mode, oid, _ = about.split()
            found.append((path, Entry(mode, oid)))
    return found


def _split(text: str) -> list[str]:
    return text.split("\0")[:-1]


def write(tree: Tree, folder: str) -> None:
    """Write what a commit has of the paths that differ, as a checkout would, below a folder.

    Files of attributes come along: they say what a checkout does.  Raises UserError.
    """
    entries = {**tree.attributes, **tree.before}
    lines = [
        f"{one.mode} {one.oid} 0\t{path[len(tree.place) :]}\0" for path, one in entries.items()
    ]
    variables = {
        "GIT_DIR": ask("rev-parse", "--absolute-git-dir", folder=tree.folder).removesuffix("\n"),
        "GIT_WORK_TREE": f"{folder}/{tree.place}",
        "GIT_INDEX_FILE": f"{folder}.index",
    }
    os.makedirs(variables["GIT_WORK_TREE"], exist_ok=True)
    at = variables["GIT_WORK_TREE"]
    given = os.fsencode("".join(lines))
    ask("update-index", "-z", "--index-info", folder=at, given=given, variables=variables)
    ask("checkout-index", "--all", "--force", "--quiet", folder=at, variables=variables)
    os.remove(variables["GIT_INDEX_FILE"])


def head() -> str | None:
    """Return the commit that is checked out, None outside Git."""
    with contextlib.suppress(UserError):
        return ask("rev-parse", "--verify", "--quiet", "HEAD").strip()
    return None
