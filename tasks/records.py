"""The records beside a result: what it holds, how it came to be, and whether that is still so.

A result's folder has `artefacts.json` (facts: paths, sizes, digests), `metrics.json`, `run.log`
and `run.json` (circumstances: inputs, environment, times, host; and the digests of the others).
Facts stand apart so that identical artefacts have an identical file, which stops the work
downstream.
"""

from __future__ import annotations

import json
import os
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tasks.errors import UserError
from tasks.fingerprint import Files, canonical
from tasks.folders import raised
from tasks.plan import ARTEFACTS, MISSING, TRAINED

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
RUN_FORMAT = 2
RUN = "run.json"
METRICS = "metrics.json"
LOG = "run.log"
LOGS = "logs"
"""The folder in a step's own for files that tell of its run, and are no artefacts."""
SUM = "sum"
"""The key of a record for the digest of all else in it."""

NAMES = frozenset({ARTEFACTS, RUN, METRICS, LOG})

_KIND = "record 2"


@dataclass(frozen=True)
class Acceptance:
    """Other inputs with which somebody says that a result would be the same.

    `key` is the step's with these `inputs`; `changes` is what was other than before, a sentence
    each; `when` is in UTC.
    """

    inputs: Mapping[str, str]
    key: str
    changes: tuple[str, ...]
    why: str
    who: str
    when: str

    def __str__(self) -> str:
        """Return it as one sentence."""
        changes = "; ".join(self.changes)
        return f'accepted by {self.who} on {self.when[:10]}: "{self.why}" ({changes})'


@dataclass(frozen=True)
class Record:
    """A published result: its folder and what `run.json` says."""

    folder: str
    run: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The key that it was made under."""
        return str(self.run["key"])

    @property
    def keys(self) -> tuple[str, ...]:
        """That key, and those that were accepted as giving the same."""
        return self.key, *(one.key for one in self.accepted)

    @property
    def task(self) -> str:
        """The step that it is the result of, as doit calls it."""
        dataset = self.run["dataset"]["name"]
        return f"{self.run['step']}:{self.run['model']['name']}{dataset and f'@{dataset}'}"

    @property
    def inputs(self) -> dict[str, str]:
        """What it was made from."""
        return dict(self.run["inputs"])

    @property
    def usage(self) -> dict[str, float]:
        """What its processes used, `peak_memory` and `cpu_seconds`; empty of one made long ago."""
        return dict(self.run.get("usage", {}))

    @property
    def accepted(self) -> tuple[Acceptance, ...]:
        """The inputs that were accepted as giving the same, the newest last."""
        return tuple(
            Acceptance(**{**one, "changes": tuple(one["changes"])})
            for one in self.run.get("accepted", ())
        )

    @property
    def compared(self) -> dict[str, str]:
        """What inputs are held against: those that were accepted last, else those of its own."""
        return dict(self.accepted[-1].inputs) if self.accepted else self.inputs

    @property
    def outputs(self) -> dict[str, str]:
        """The digest of every file of the result, by path within its folder."""
        return dict(self.run["outputs"])


@dataclass(frozen=True)
class Made:
    """What a step has made: size and digest of each artefact and each further log, its metrics.

    `where` says more of where that was than the place does, `usage` what its processes have used.
    """

    artefacts: dict[str, dict[str, Any]]
    logs: dict[str, dict[str, Any]]
    metrics: dict[str, Any] | None = None
    where: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, float] = field(default_factory=dict)


def read(folder: str, files: Files) -> Record | None:
    """Return the record of a result, None where there is none that can be understood."""
    try:
        run = json.loads(files.note(f"{folder}/{RUN}", _KIND, _sound))
        record = Record(folder, run)
        understood = run["format"] == RUN_FORMAT and record.key and record.outputs and record.inputs
        record.accepted  # noqa: B018 - whether it can be understood as well
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if understood else None


def _sound(data: bytes) -> str:
    """Return the text of a record; of one that is not as it was written, that of an empty one."""
    text = data.decode()
    run = json.loads(text)
    return text if run.pop(SUM) == _sum(run) else "{}"


def _sum(run: Mapping[str, Any]) -> str:
    return canonical("record", run)


def metrics(folder: str, files: Files) -> dict[str, float]:
    """Return the metrics of a result; empty where it has none."""
    try:
        text = files.note(f"{folder}/{METRICS}", _KIND, lambda data: data.decode())
        return dict(json.loads(text)["metrics"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def measured(folder: str) -> dict[str, Any] | None:
    """Return all that a result's `metrics.json` says, None where it has none."""
    try:
        with open(f"{folder}/{METRICS}", encoding="utf-8") as file:
            found = dict(json.load(file))
    except FileNotFoundError:
        return None
    del found["format"]
    return found


def damage(record: Record, files: Files) -> list[str]:
    """Return a sentence for each file of the result that is no longer what was recorded."""
    found = []
    for name, digest in record.outputs.items():
        path = f"{record.folder}/{name}"
        try:
            if files.digest(path) != digest:
                found.append(f"`{path}` is not what the step made")
        except OSError:
            found.append(f"`{path}` is missing")
    return found


def acceptance(record: Record, inputs: Mapping[str, str]) -> Acceptance | None:
    """Return how these inputs were accepted; None too where the result was made from them."""
    if record.inputs == inputs:
        return None
    return next((one for one in reversed(record.accepted) if one.inputs == inputs), None)


def changes(record: Record, inputs: Mapping[str, str]) -> list[str]:
    """Return a sentence for each input that is not what the result was made from, or accepted for.

    Where it is good for none of the inputs that are known, they are held against the newest.
    """
    known = [record.inputs, *(dict(one.inputs) for one in record.accepted)]
    if inputs in known:
        return []
    before = record.compared
    sentences = []
    for name in sorted(before.keys() | inputs.keys()):
        old, new = before.get(name), inputs.get(name)
        if old == new:
            continue
        if old is None:
            sentences.append(f"{name} {_be(name)} new")
        elif new == MISSING:
            sentences.append(f"{name} {_be(name)} missing")
        elif new is None:
            sentences.append(f"{name} {_be(name)} gone")
        elif max(len(old), len(new)) < len("x" * 64):
            sentences.append(f"{name} changed from {old} to {new}")
        else:
            sentences.append(f"{name} changed")
    return sentences


def _be(name: str) -> str:
    """Return the verb for an input: most of them are one thing."""
    return "are" if name == TRAINED else "is"


def utc(seconds: float) -> str:
    """Return a time (s since 1970) as it is written: `2026-11-30T12:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def reasons(record: Record | None, inputs: Mapping[str, str], files: Files) -> list[str]:
    """Return why the step must run, one sentence each; empty where its result is current."""
    if record is None:
        return ["it has no result yet"]
    return changes(record, inputs) or damage(record, files)


def artefacts(folder: str) -> dict[str, dict[str, Any]]:
    """Return size and digest of every file that a step left in its folder, by path.

    Raises UserError for a link that leads out of the folder, and for what cannot be read.
    """
    try:
        return _artefacts(folder)
    except PermissionError as error:
        raise UserError(
            f"Artefact `{os.path.relpath(error.filename, folder)}` cannot be read",
            ("reason", error.strerror),
            hint="let the model leave files and folders that you can read",
        ) from error


def _artefacts(folder: str) -> dict[str, dict[str, Any]]:
    files = Files()
    inside = os.path.realpath(folder)
    found = {}
    for top, folders, names in os.walk(folder, onerror=raised):
        for name in names + [f for f in folders if os.path.islink(f"{top}/{f}")]:
            path = f"{top}/{name}"
            relative = os.path.relpath(path, folder)
            try:
                relative.encode()
                plain = stat.S_ISREG(os.stat(path).st_mode)
            except (OSError, UnicodeError):
                plain = False
            if not plain and not os.path.islink(path):
                raise UserError(
                    f"Artefact {relative!a} is no file that a result can keep",
                    hint="a result keeps regular files whose names are UTF-8",
                )
            if not os.path.realpath(path).startswith(inside + os.sep) or not plain:
                raise UserError(
                    f"Artefact `{relative}` is a link that a result cannot keep",
                    ("leads to", os.path.realpath(path)),
                    hint="write the file itself into the step's folder",
                )
            found[relative] = {"size": os.path.getsize(path), "sha256": files.digest(path)}
    return dict(sorted(found.items()))


def write_json(path: str, value: object) -> None:
    """Write a JSON file for people and programs; whoever gives it its place makes it last.

    What of a file's name is not UTF-8 is escaped there, as JSON can hold it.
    """
    with open(path, "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write(
    folder: str,
    made: Made,
    run: Mapping[str, Any],
    version: str = "",
) -> None:
    """Write a result's records into its folder, `run.json` last.

    `version` is that of a trained model whose further steps make something of it: so they run again
    where it is another, though the artefacts are the same.
    """
    told = {"version": version} if version else {}
    write_json(f"{folder}/{ARTEFACTS}", {"format": FORMAT, **told, "files": made.artefacts})
    outputs = {name: facts["sha256"] for name, facts in (made.artefacts | made.logs).items()}
    own = [ARTEFACTS, LOG]
    if made.metrics is not None:
        write_json(f"{folder}/{METRICS}", {"format": FORMAT, **made.metrics})
        own.append(METRICS)
    files = Files()
    outputs |= {name: files.digest(f"{folder}/{name}") for name in own}
    write_run(folder, {"format": RUN_FORMAT, **run, "outputs": outputs})


def write_run(folder: str, run: Mapping[str, Any]) -> None:
    """Write the record itself, with the sum by which it is seen when a byte of it changes."""
    facts = {name: value for name, value in run.items() if name != SUM}
    write_json(f"{folder}/{RUN}", {**facts, SUM: _sum(facts)})
