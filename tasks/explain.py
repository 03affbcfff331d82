"""Why a step must run, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks import plan, records
from tasks.environments import build, reasons
from tasks.errors import UserError
from tasks.sources import PACKAGE, read_by_step, same_as, unparsed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.plan import Step
    from tasks.records import Acceptance
    from tasks.state import State

_KIND = "failed key"


def why(step: Step, state: State) -> list[str]:
    """Return why a step must run, a sentence each; empty where its result is current."""
    if step.model.broken:
        return [f"the model has faults: {f}" for f in step.model.faults if not f.warning]
    try:
        environment = build.find(step.model, state)
        record = records.read(step.folder, state.files)
        if record is None:  # whatever its inputs are, and they may be long to hash
            return records.reasons(None, {}, state.files)
        inputs = plan.inputs(step, state.files, environment.identity if environment else None)
    except UserError as error:
        return [error.headline]
    except OSError as error:
        return [f"`{error.filename}` cannot be read: {error.strerror}"]
    found = records.reasons(record, inputs, state.files)
    if environment is None and len(found) > 1:
        others = [reason for reason in found if not reason.startswith("environment ")]
        return [*others, reasons.unlocked(step.model, state)]
    return found


def acceptance(step: Step, state: State) -> Acceptance | None:
    """Return the acceptance by which a step's result is current, None where there is none."""
    record = None if step.model.broken else records.read(step.folder, state.files)
    if record is None or not record.accepted or why(step, state):
        return None
    environment = build.find(step.model, state)
    inputs = plan.inputs(step, state.files, environment.identity if environment else None)
    return records.acceptance(record, inputs)


def explain(step: Step, state: State) -> list[str]:
    """Return what `why` does, each sentence with what lies behind it."""
    told = _without_unchanged(why(step, state), step, state)
    sentences = [more for one in told for more in _explained(one, step, state)]
    if sentences and has_failed(step, state):
        sentences.append(
            f"a run with these inputs failed, and what it left is in {step.failed_folder}"
        )
    if step.upstream and why(step.upstream, state):
        sentences.append(f"{step.upstream.task} must run first")
    return sentences


def has_failed(step: Step, state: State) -> bool:
    """Return whether the last run that failed did so with the inputs that the step has now."""
    if step.model.broken:
        return False
    try:
        key = state.files.note(step.failed_key, _KIND, lambda data: data.decode(errors="replace"))
        environment = build.find(step.model, state)
        inputs = plan.inputs(step, state.files, environment.identity if environment else None)
    except (UserError, OSError):
        return False
    return key == plan.key(step, inputs)


def _without_unchanged(sentences: list[str], step: Step, state: State) -> list[str]:
    """Leave out the files that have not changed, and count in another way since another one has."""
    named = {sentence: name for sentence in sentences if (name := _file_of(sentence))}
    record = records.read(step.folder, state.files) if named else None
    if record is None or step.model.broken:
        return sentences
    before = {name: record.compared.get(f"file {PACKAGE}/{name}", "") for name in named.values()}
    unchanged = {
        name
        for name, digest in before.items()
        if digest and same_as(digest, name, step.model, state.files)
    }
    all_count = any(_is_lately_unparsed(one, state) for one in (step, step.upstream) if one)
    if all_count:
        unchanged |= {name for name, digest in before.items() if not digest}
    told = [one for one in sentences if named.get(one) not in unchanged]
    return told if told or all_count else sentences


def _is_lately_unparsed(step: Step, state: State) -> bool:
    """Return whether a source cannot be parsed that could be when the step's result was made."""
    record = records.read(step.folder, state.files)
    before = record.compared if record else {}
    wrong = _unparsed(step, state)
    return any(before.get(f"file {PACKAGE}/{name}", "").startswith("tree ") for name in wrong)


def _file_of(sentence: str) -> str:
    """Return the file of a model's modules of which a sentence says what became of it."""
    start = f"file {PACKAGE}/"
    name = sentence.rpartition(" ")[0].removeprefix(start).removesuffix(" is")
    return (
        name if sentence.startswith(start) and not sentence.endswith((" missing", " gone")) else ""
    )


def _explained(sentence: str, step: Step, state: State) -> list[str]:
    if sentence == "environment lock changed":
        return _packages(step, state) or [sentence]
    name = _file_of(sentence)
    if name and not step.model.broken:
        line, wrong = _unparsed(step, state).get(name, (0, ""))
        if wrong:
            where = f" in line {line}" if line else ""
            return [f"file {PACKAGE}/{name} cannot be parsed: {wrong}{where}"]
        reason = _imports(step, state).get(name)
        return [f"{sentence} ({reason})" if reason else sentence]
    return [sentence]


def _unparsed(step: Step, state: State) -> Mapping[str, tuple[int, str]]:
    return unparsed(step.name, step.model, state.files)


def _imports(step: Step, state: State) -> Mapping[str, str]:
    return read_by_step(step.name, step.model, state.files)


def _packages(step: Step, state: State) -> list[str]:
    """Return a sentence for each package whose pin is not that which the result was made with."""
    record = records.read(step.folder, state.files)
    environment = build.find(step.model, state)
    if record is None or environment is None or environment.lock is None:
        return []
    return packages_changed(record.run["environment"].get("pins", {}), environment.lock.versions)


def packages_changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return a sentence for each package whose version is not what it was."""
    return [
        f"package {name} changed from {before[name]} to {now[name]}"
        if name in before and name in now
        else f"package {name} {now[name]} is new"
        if name in now
        else f"package {name} {before[name]} is gone"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
