"""Results by their key, so that nothing is made twice: filed when made, restored when known.

A result that was made from the same inputs, on another branch, in another clone or by somebody
else, is linked from `build/store` or fetched from `MODEL_STORE`, each file verified by its digest.
What cannot be had or is not sound costs a warning and a run, never a wrong result.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
from typing import TYPE_CHECKING

from tasks import objects, plan, processes, records, results, runs
from tasks.answers import Unreachable
from tasks.objects import Entry, Unsound
from tasks.plan import BUILD
from tasks.records import METRICS, RUN, Record
from tasks.shared import SECRET_VARIABLE, Shared, secret, shared

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tasks.plan import Step
    from tasks.runs import Run
    from tasks.state import State

ROOT = f"{BUILD}/store"
HITS = "store: hits"
"""What the state remembers of it: how many results were restored in this repository."""

_FORGOTTEN = f"{ROOT}/forgotten"
"""A file here is named by the digest of a record that is not restored again."""

_UNSIGNED = f"it was fetched, and is not signed with {SECRET_VARIABLE}"


def serves(step: Step) -> bool:
    """Return whether a step's result is filed: not one that is no part of the build."""
    return step.build == BUILD and step.given is None


def restore(
    step: Step, inputs: Mapping[str, str], state: State, say: Callable[[str], None]
) -> Record | None:
    """Publish the stored result of these inputs; return its record, None where there is none."""
    key = plan.key(step, inputs)
    entry = _entry(key, say)
    if entry is None or _is_forgotten(entry):
        return None
    with runs.fresh_run(step) as run:
        try:
            with objects.writing(ROOT):  # nothing of it is collected or swept meanwhile
                _lay_out(entry, inputs, run)
                _put_entry(entry, say)
        except (Unsound, Unreachable, OSError) as error:
            if isinstance(error, Unsound):
                objects.drop_entry(ROOT, key)
            say(f"its stored result is not used: {_reason(error)}")
            return None
        results.settle(run.work)
        results.publish(run, step, state.files)
        share(key, run.scratch, say)
    state.remember(HITS, str(int(state.recall(HITS) or 0) + 1))
    return records.read(step.folder, state.files)


def keep(folder: str, say: Callable[[str], None], key: str = "", *, fetched: bool = False) -> None:
    """File a whole result, by its key or one that was accepted.

    It counts as made here, unless it is there already or `fetched` says what it was made of.
    """
    try:
        with objects.writing(ROOT):
            record = _record(folder)
            for name, digest in record.outputs.items():
                objects.put(ROOT, digest, f"{folder}/{name}")
            digest = objects.digest_of(f"{folder}/{RUN}")
            objects.put(ROOT, digest, f"{folder}/{RUN}")
            entry = _filed(key or record.key, digest)
            objects.put_entry(ROOT, entry or Entry(key or record.key, digest, fetched=fetched))
    except OSError as error:
        say(f"the result is not kept in {ROOT}: {_reason(error)}")


def unsigned(record: Record) -> bool:
    """Return whether a result here was fetched, and is not known to be signed with our secret."""
    digest = objects.digest_of(f"{record.folder}/{RUN}")
    found = [entry for key in record.keys if (entry := _filed(key, digest))]
    return any(one.fetched and not (secret() and one.is_signed(secret())) for one in found)


def _filed(key: str, digest: str) -> Entry | None:
    """Return the entry of a key here, None where it does not lead to this record."""
    with contextlib.suppress(Unsound):
        entry = objects.find_entry(ROOT, key)
        return entry if entry and entry.record == digest else None
    return None


def _is_believed(entry: Entry) -> bool:
    """Return whether an entry was made here, or is signed where a secret is given."""
    return not (secret() and entry.fetched) or entry.is_signed(secret())


def share(key: str, scratch: str, say: Callable[[str], None]) -> None:
    """Put a result that is filed here into the store of others too, where there is one."""
    to = shared()
    if to is None or to.read_only:
        return
    try:
        with objects.writing(ROOT):  # nothing of it is collected here meanwhile
            entry = objects.find_entry(ROOT, key)
            if entry is None:
                return
            if not _is_believed(entry):
                say(f"the result is not shared: {_UNSIGNED}")
                return
            _put(to, entry, f"{scratch}/entry")
    except Unreachable:
        _tell(to, say)
    except (OSError, Unsound) as error:
        say(f"the result is not shared: {_reason(error)}")


def _put(to: Shared, entry: Entry, path: str) -> None:
    """Put what is not there yet, or no longer, of a result; `path` is free for its entry."""
    there = _sound_entry(to, entry.key)
    record = Record("", json.loads(objects.read(ROOT, entry.record)))
    digests = sorted({*record.outputs.values(), entry.record})
    files = {digest: f"{ROOT}/{objects.place(objects.OBJECTS, digest)}" for digest in digests}
    if there and there.record == entry.record:
        if all(to.has(digest, os.path.getsize(file)) for digest, file in files.items()):
            to.used(objects.ENTRIES, entry.key)
            return
    elif there and record.key != entry.key:
        return  # what was accepted takes no place of what was made
    with to.writing():
        for digest, file in files.items():
            to.put(digest, file)
        to.put_entry(entry, path)


def _sound_entry(to: Shared, key: str) -> Entry | None:
    with contextlib.suppress(Unsound):
        return to.entry(key)
    return None


def forget(step: Step, state: State) -> None:
    """Have the result that a step has now not restored again in this repository.

    Raises OSError where that cannot be written down.
    """
    record = records.read(step.folder, state.files)
    if record and serves(step):
        digest = state.files.digest(f"{step.folder}/{RUN}")
        os.makedirs(_FORGOTTEN, exist_ok=True)
        with open(f"{_FORGOTTEN}/{digest}", "wb"):
            pass
        for folder in (_FORGOTTEN, ROOT):
            results.sync_folder(folder)
        for key in record.keys:
            objects.drop_entry(ROOT, key)


def forgotten(key: str, say: Callable[[str], None]) -> bool:
    """Return whether the stored result of a key is one that was forgotten in this repository."""
    entry = _entry(key, say)
    return entry is not None and _is_forgotten(entry)


def _is_forgotten(entry: Entry) -> bool:
    return os.path.exists(f"{_FORGOTTEN}/{entry.record}")


def recorded(key: str) -> Record | None:
    """Return the record of the stored result of a key, None where there is none."""
    entry = _entry(key, lambda _text: None)
    data = entry and _small(entry.record)
    return Record("", json.loads(data)) if data else None


def metrics(record: Record) -> dict[str, float]:
    """Return the metrics of a stored result; empty where it has none, or they cannot be had."""
    data = _small(record.outputs.get(METRICS, ""))
    return dict(json.loads(data)["metrics"]) if data else {}


def _entry(key: str, say: Callable[[str], None]) -> Entry | None:
    """Return the entry of a key, from here or from the store of others."""
    try:
        entry = objects.find_entry(ROOT, key)
    except (Unsound, OSError) as error:
        say(f"its stored result is not used: {_reason(error)}")
        entry = None
    if entry is not None and not _is_believed(entry):
        say(f"its stored result is not used: {_UNSIGNED}")
        entry = None
    others = shared()
    if entry is not None or others is None:
        return entry
    try:
        return others.entry(key)
    except Unsound as error:
        say(f"what {others.address} has of it is not used: {error}")
    except Unreachable:
        _tell(others, say)
    return None


def _put_entry(entry: Entry, say: Callable[[str], None]) -> None:
    """File the entry of a result that is laid out, which stands whether that succeeds or not."""
    try:
        objects.put_entry(ROOT, entry)
    except OSError as error:
        say(f"the result is not kept in {ROOT}: {_reason(error)}")


def _lay_out(entry: Entry, inputs: Mapping[str, str], run: Run) -> None:
    """Have all files of a stored result in a run's folder, as they were.

    Raises Unsound where it is not as it was stored, Unreachable and OSError where it cannot be had.
    """
    _take(entry.record, f"{run.work}/{RUN}", run)
    try:
        record = _record(run.work)
        same = not records.changes(record, inputs)
        outputs = record.outputs
    except (ValueError, KeyError, TypeError) as error:
        raise Unsound("its record cannot be read") from error
    if not same:
        raise Unsound("its record is that of something else")
    for name, digest in outputs.items():
        if processes.stopping():
            raise InterruptedError("interrupted")
        if posixpath.isabs(name) or ".." in name.split("/"):
            raise Unsound(f"its file {name!a} would lie outside")
        path = f"{run.work}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _take(digest, path, run)


def _take(digest: str, path: str, run: Run) -> None:
    """Have an object appear at a path; one that is not here, or spoilt, is fetched."""
    try:
        objects.take(ROOT, digest, path)
    except Unsound:
        others = shared()
        if others is None:
            raise
        fetched = f"{run.scratch}/{digest}"
        others.fetch(digest, fetched)
        objects.put(ROOT, digest, fetched)
        objects.take(ROOT, digest, path)


def _small(digest: str) -> bytes | None:
    """Return an object that is small, from here or from the store of others."""
    try:
        return objects.read(ROOT, digest)
    except (OSError, Unsound):
        others = shared()
    try:
        return others.read(digest) if others and digest else None
    except (Unsound, Unreachable):
        return None


def _record(folder: str) -> Record:
    with open(f"{folder}/{RUN}", encoding="utf-8") as file:
        return Record(folder, json.load(file))


def _reason(error: Exception) -> str:
    """Return what is wrong, in words, with the file where there is one."""
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} is gone"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _tell(others: Shared, say: Callable[[str], None]) -> None:
    for trouble in others.troubles_to_tell():
        say(trouble)
