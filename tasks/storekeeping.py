"""What is in a store, what of it can go, and whether all of it is as it was stored."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks import cgroups, checkpoints, objects, plan
from tasks.objects import ENTRIES, OBJECTS, REQUESTS, Unsound
from tasks.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

DAY = 86_400.0
CHECKPOINT_SECONDS = 7 * DAY
"""How long the checkpoint of a step that never succeeded is kept in a store that others use too."""
_SHORT = re.compile("[0-9a-f]{2}")
_WORKERS = min(4, cgroups.cores())  # hashing waits for the disk, and lets others go on


@dataclass(frozen=True)
class Stored:
    """A result in a store: `used` (seconds since 1970) is when it was last made or restored.

    `objects` are the digests of its files, its record's among them; `size` is all of them in bytes.
    """

    key: str
    task: str
    made: str
    seconds: float
    used: float
    size: int
    objects: frozenset[str]


@dataclass(frozen=True)
class Requested:
    """A step that was sent elsewhere: a file of the store at `path`.

    It counts until `ends` (seconds since 1970).  `objects` are the digests of what it reads, and
    `trained` the key of the training.
    """

    path: str
    ends: float
    objects: frozenset[str]
    trained: str


@dataclass(frozen=True)
class Stock:
    """All that is in a store: its results, the size of each object, and what cannot be used.

    Of the `requests` those count that have not ended; the others are `past`.
    """

    results: Sequence[Stored]
    sizes: Mapping[str, int]
    unsound: Mapping[str, str]
    requests: Sequence[Requested] = ()
    past: Sequence[Requested] = ()

    @property
    def size(self) -> int:
        """How many bytes all objects are."""
        return sum(self.sizes.values())

    def unneeded(self, gone: AbstractSet[str]) -> AbstractSet[str]:
        """Return the objects that nobody needs when the results of these keys are gone."""
        needed = {digest for one in self.requests for digest in one.objects}
        for one in self.results:
            if one.key not in gone:
                needed |= one.objects
        return self.sizes.keys() - needed


@dataclass(frozen=True)
class Policy:
    """What is kept: the `newest` of each step, these `keys`, and for a while all that was used.

    `age` in seconds is that while, None: none.  With `size` (bytes) nothing else goes as soon as
    all fits into that.
    """

    newest: int
    keys: AbstractSet[str]
    age: float | None = None
    size: int | None = None


def stock(root: str) -> Stock:
    """Look at all that is in a store; nothing is hashed but the records.

    Raises OSError where something cannot be read: it may be good, and who needs what is not known.
    """
    sizes = {digest: os.path.getsize(path) for digest, path in _files(root, OBJECTS)}
    found, unsound = [], {}
    for key, path in _files(root, ENTRIES):
        one = _stored(root, key, path, sizes)
        if isinstance(one, Stored):
            found.append(one)
        else:
            unsound[key] = one
    results = sorted(found, key=lambda one: (one.task, -one.used))
    return Stock(results, sizes, unsound, *_requests(root))


def clock(root: str) -> float:
    """Return the time by the clock that a store's files are stamped by: that of its own machine."""
    with contextlib.suppress(OSError), objects.in_the_making(root) as made:
        with open(made, "wb"):
            pass
        return os.path.getmtime(made)
    return time.time()


def _requests(root: str) -> tuple[list[Requested], list[Requested]]:
    """Return the requests that count, and those that are past."""
    now, found = clock(root), [_requested(path) for _, path in _files(root, REQUESTS)]
    counting = [one for one in found if now < one.ends]
    return counting, [one for one in found if now >= one.ends]


def _requested(path: str) -> Requested:
    """Return a request; one that cannot be read leads to nothing."""
    used = os.path.getmtime(path)
    try:
        with open(path, "rb") as file:
            said = json.load(file)
        digests = frozenset({*said["files"].values(), *said["downloads"].values()})
        trained = plan.key_of("train", said["trained"]) if said["trained"] else ""
        return Requested(path, used + float(said["lasts"]), digests, trained)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Requested(path, used + objects.REQUEST_SECONDS, frozenset(), "")


def _files(root: str, kind: str) -> Iterator[tuple[str, str]]:
    """Yield digest and path of each file of a kind; what has another name is not ours."""
    with contextlib.suppress(FileNotFoundError):
        for folder in sorted(os.listdir(f"{root}/{kind}")):
            names = os.listdir(f"{root}/{kind}/{folder}") if _SHORT.fullmatch(folder) else ()
            for name in sorted(names):
                if objects.is_digest(f"{folder}{name}"):
                    yield f"{folder}{name}", f"{root}/{kind}/{folder}/{name}"


def _stored(root: str, key: str, path: str, sizes: Mapping[str, int]) -> Stored | str:
    """Return a stored result, or why it cannot be used."""
    try:
        with open(path, "rb") as file:
            entry = objects.read_entry(key, file.read())
        record = Record("", json.loads(objects.read(root, entry.record)))
        digests = frozenset({entry.record, *record.outputs.values()})
        if missing := digests - sizes.keys():
            return f"object {min(missing)[:12]} is not there"
        return Stored(
            key,
            record.task,
            str(record.run["started"]),
            float(record.run["seconds"]),
            os.path.getmtime(path),
            sum(sizes[digest] for digest in digests),
            digests,
        )
    except FileNotFoundError:
        return "its record is not there"
    except Unsound as error:
        return str(error)
    except (ValueError, KeyError, TypeError):
        return "its record cannot be read"


def to_go(found: Stock, policy: Policy, now: float) -> list[Stored]:
    """Return the results that a policy lets go, those that were used longest ago first."""
    kept = {*policy.keys, *(one.trained for one in found.requests)}
    counts: dict[str, int] = {}
    for one in sorted(found.results, key=lambda one: -one.used):
        counts[one.task] = counts.get(one.task, 0) + 1
        if counts[one.task] <= policy.newest:
            kept.add(one.key)
    rest = sorted((one for one in found.results if one.key not in kept), key=lambda one: one.used)
    if policy.age is not None:
        rest = [one for one in rest if now - one.used > policy.age]
    if policy.size is None:
        return rest
    users = Counter(digest for one in found.results for digest in one.objects)
    size = sum(found.sizes[digest] for digest in users)
    going: list[Stored] = []
    while size > policy.size and len(going) < len(rest):
        going.append(rest[len(going)])
        users.subtract(going[-1].objects)
        size -= sum(found.sizes[digest] for digest in going[-1].objects if not users[digest])
    return going


def freed(found: Stock, going: Iterable[Stored]) -> tuple[int, int]:
    """Return how many objects, and bytes, nobody needs when these results are gone."""
    unneeded = found.unneeded({one.key for one in going})
    return len(unneeded), sum(found.sizes[digest] for digest in unneeded)


def collect(root: str, choose: Callable[[Stock], Sequence[Stored]]) -> tuple[int, int, int]:
    """Remove the results that are chosen of a store, and the objects that nobody needs then.

    Return how many results and objects went, and how many bytes those were.  Nobody puts anything
    in meanwhile.
    """
    if not os.path.isdir(root):
        return 0, 0, 0
    with objects.writing(root, alone=True):
        found = stock(root)
        going = choose(found)
        count, size = freed(found, going)
        gone = {one.key for one in going} | found.unsound.keys()
        for key in gone:
            objects.drop_entry(root, key)
        for one in found.past:
            os.remove(one.path)
        for digest in found.unneeded(gone):
            os.remove(f"{root}/{objects.place(OBJECTS, digest)}")
        now = clock(root)
        for _, path in _files(root, checkpoints.KIND):
            if now - os.path.getmtime(path) > CHECKPOINT_SECONDS:
                os.remove(path)
    objects.sweep(root)
    return len(gone), count, size


def verify(root: str, told: Callable[[int, int], None]) -> tuple[Stock, list[str]]:
    """Hash all that is in a store; return its stock and a sentence for each thing that is unsound.

    What is unsound is removed: it is made anew when it is needed.  `told` is given how many bytes
    of how many are done.
    """
    before = stock(root)
    if before.unsound:  # or about to be whole: somebody may have been putting it in
        with objects.writing(root, alone=True):
            before = stock(root)
    wrong = [f"the result {key[:12]}: {why}" for key, why in before.unsound.items()]
    done = 0
    with ThreadPoolExecutor(_WORKERS) as pool:
        paths = {digest: f"{root}/{objects.place(OBJECTS, digest)}" for digest in before.sizes}
        for digest, real in zip(paths, pool.map(_digest, paths.values()), strict=True):
            done += before.sizes[digest]
            told(done, before.size)
            if real not in {digest, ""}:
                wrong.append(f"the object {digest[:12]} is not what was stored")
                with contextlib.suppress(FileNotFoundError):  # who needed it has seen it too
                    os.remove(paths[digest])
    if wrong:
        with objects.writing(root, alone=True):
            for key in stock(root).unsound:
                objects.drop_entry(root, key)
    return before, wrong


def _digest(path: str) -> str:
    """Return a file's digest; nothing where it has been collected meanwhile."""
    try:
        return objects.digest_of(path)
    except FileNotFoundError:
        return ""
