"""The repository as it was at a commit, for the very code that reads the one of today.

It is laid out in a temporary folder, of links: whatever Git takes for unchanged, or does not hold
at all (data, what was built), is the working tree's own, and only what differs is written from the
commit.  So it is as a checkout would leave it, with the working tree and the index left alone.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks import discover, folders, git, plan
from tasks.fingerprint import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.model import Model
    from tasks.state import State

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\n"
)
_LONGEST_POINTER = 1024  # bytes, says the specification

_MOST_LINKS = 8  # on one way; two that lead to each other would go on for ever

_LINK: dict[str, Any] = {}
"""What stands in a tree of names for a link that is as it was."""


@dataclass(frozen=True)
class Revision:
    """The repository at a commit: the folder with its files, and a State for reading them.

    `changed` are the paths that are not as they are now, relative to the repository and normal,
    also as links lead to them; `untracked` are those among them that Git does not hold, and below
    those that have `moved` anything may be other than it was: links that lead elsewhere, folders
    that were links, submodules.  `here` is the repository itself.
    """

    commit: str
    folder: str
    here: str
    state: State
    changed: frozenset[str]
    untracked: frozenset[str]
    moved: frozenset[str]

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        """Make it the working directory, as code that reads a repository expects."""
        os.chdir(self.folder)
        try:
            with folders.also_in(self.here):
                yield
        finally:
            os.chdir(self.here)

    def model(self, folder: str) -> Model:
        """Return a model as it was; to be called `there`.

        Data that nobody has committed or told Git to ignore is taken to have been there.
        """
        model = discover.read_model(folder, self.state.files)
        sources = {one.source for dataset in model.datasets.values() for one in dataset.files}
        missing = set()
        for source in sources:
            may_be = [os.path.normpath(path) for path in (os.path.join(folder, source), source)]
            if not any(map(os.path.lexists, may_be)):  # else what is there was meant
                missing |= set(filter(self._is_untracked, may_be))
        for path in missing:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            os.symlink(f"{self.here}/{path}", path)
        return discover.read_model(folder, self.state.files) if missing else model

    def _is_untracked(self, path: str) -> bool:
        inside = f"{path}/"
        return path in self.untracked or any(one.startswith(inside) for one in self.untracked)


class _FilesBefore(Files):
    """Files of a commit: a pointer of Git LFS stands for what it points at."""

    def __init__(self, now: Files, pointers: dict[str, str]) -> None:
        """Start from what is known of the working tree, whose files most of them are."""
        super().__init__(now.earlier)
        self._pointers = pointers

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file's bytes, see `Files`."""
        return self._pointers.get(path) or super().digest(path)


@contextlib.contextmanager
def at(commit: str, state: State) -> Iterator[Revision]:
    """Lay out the repository in the working directory as it was at a commit.  Raises UserError."""
    here, top = os.path.realpath("."), os.path.realpath(git.top())
    prefix = os.path.relpath(here, top)
    trees = list(git.trees(top, commit, os.path.normpath(f"{prefix}/{plan.BUILD}")))
    with tempfile.TemporaryDirectory(prefix="revision-") as scratch:
        laid = f"{os.path.realpath(scratch)}/files"
        _link(_names(trees, prefix), top, laid)
        pointers: dict[str, str] = {}
        for tree in trees:
            _write(tree, laid)
            pointers |= _pointers(tree, laid, prefix)
        folder = os.path.normpath(f"{laid}/{prefix}")
        os.makedirs(folder, exist_ok=True)  # all that there is now may be new
        then = copy.copy(state)  # the same memory of interpreters, other files
        then.files = _FilesBefore(state.files, pointers)
        moved = _moved(trees, top)
        changed = _with_links(trees, top) | moved
        untracked = frozenset(path for tree in trees for path in tree.untracked)
        paths = (_relative(some, prefix) for some in (changed, untracked, moved))
        yield Revision(commit, folder, here, then, *paths)


def _relative(paths: frozenset[str], prefix: str) -> frozenset[str]:
    return paths if prefix == "." else frozenset(os.path.relpath(path, prefix) for path in paths)


def _names(trees: list[git.Tree], prefix: str) -> dict[str, Any]:
    """Return the names on the way to all that must not be linked to the working tree, as a tree.

    The repository's own folder is among them: a path that leads out of it starts there.
    """
    top: dict[str, Any] = {}
    links = {path for tree in trees for path in tree.links}
    special = [path for tree in trees for path in (*tree.changed, *tree.attributes)]
    for path in (*links, *special, f"{prefix}/."):
        names = path.split("/")
        node = top
        for name in names[:-1]:
            inner = node.get(name)
            if inner is None or inner is _LINK:
                inner = node[name] = {}
            node = inner
        node.setdefault(names[-1], _LINK if path in links else {})
    return top


def _link(names: dict[str, Any], origin: str, place: str) -> None:
    """Fill a folder with links to another's files, but for those with a name in the tree."""
    os.makedirs(place)
    for entry in os.scandir(origin):
        inner = names.get(entry.name)
        if entry.name == ".git":
            continue
        if inner is None:
            os.symlink(entry.path, f"{place}/{entry.name}")
        elif inner is _LINK:
            os.symlink(os.readlink(entry.path), f"{place}/{entry.name}")
        elif inner and entry.is_dir(follow_symlinks=False):
            _link(inner, entry.path, f"{place}/{entry.name}")


def _write(tree: git.Tree, place: str) -> None:
    """Write what the commit has of the paths that differ; a folder may be where a file was."""
    for path in tree.before:
        if os.path.isdir(f"{place}/{path}") and not os.path.islink(f"{place}/{path}"):
            shutil.rmtree(f"{place}/{path}")
    if tree.before:
        git.write(tree, place)


def _pointers(tree: git.Tree, place: str, prefix: str) -> dict[str, str]:
    """Return the digests that pointers of Git LFS name, by path in the repository."""
    found = {}
    for path, entry in tree.before.items():
        full = f"{place}/{path}"
        if entry.mode == git.LINK or os.path.getsize(full) > _LONGEST_POINTER:
            continue
        with open(full, "rb") as file:
            pointer = _POINTER.match(file.read())
        if pointer:
            found[os.path.relpath(path, prefix)] = pointer[1].decode()
    return found


def _moved(trees: list[git.Tree], top: str) -> frozenset[str]:
    """Return the paths that are, or were, a way to elsewhere, and the links that lead over one."""
    found = {
        path
        for tree in trees
        for path in tree.changed
        if os.path.isdir(f"{top}/{path}") or _was_link(tree.before.get(path))
    }
    links = (link for tree in trees for link in tree.links) if found else ()
    places = {f"{top}/{path}" for path in found}
    return frozenset(found.union(link for link in links if _leads_over(places, f"{top}/{link}")))


def _was_link(entry: git.Entry | None) -> bool:
    return entry is not None and entry.mode == git.LINK


def _leads_over(places: set[str], link: str) -> bool:
    """Return whether one of these places is met where a link is followed; all are absolute."""
    at, names, followed = os.path.dirname(link), [os.path.basename(link)], 0
    while names and followed <= _MOST_LINKS:
        at = os.path.normpath(os.path.join(at, names.pop()))  # `..` is behind no link here
        if at in places:
            return True
        if os.path.islink(at):
            target = os.readlink(at)
            at = "/" if target.startswith("/") else os.path.dirname(at)
            names += reversed(target.split("/"))
            followed += 1
    return bool(names)


def _with_links(trees: list[git.Tree], top: str) -> frozenset[str]:
    """Return the paths that differ, and the same as they are reached through links."""
    changed = {path for tree in trees for path in tree.changed}
    links = {link for tree in trees for link in tree.links}
    targets = {link: os.path.relpath(os.path.realpath(f"{top}/{link}"), top) for link in links}
    inward = {link: to for link, to in targets.items() if not link.startswith(f"{to}/")}
    found: set[str] = set()
    for _ in range(_MOST_LINKS):
        found |= changed
        changed = {
            f"{link}{path[len(target) :]}"
            for link, target in inward.items()
            for path in changed
            if path == target or path.startswith(f"{target}/")
        } - found
    return frozenset(found | changed)
