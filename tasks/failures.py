"""Why an attempt at a step failed, in words."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

from tasks import containers, processes, resources
from tasks.errors import AttemptFailed, UserError, telling_line
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from tasks.languages import Command
    from tasks.plan import Step
    from tasks.retries import Policy
    from tasks.runs import Run
    from tasks.usage import Usage

LOG_LINES = 20

KILLED = (-signal.SIGKILL, processes.SIGNALLED + signal.SIGKILL)
"""The exit status of a process that was killed, and of one whose child was."""

# Of a part that a package lacks, `a.b`, no requirement is to be added.
_NO_MODULE = re.compile(r"No module named '(\w+)'$")
_NO_R_PACKAGE = re.compile("there is no package called [\u2018'\"](.+?)[\u2019'\"]")

_UNANSWERED = re.compile("BdbQuit|EOFError: EOF when reading a line")
"""How `breakpoint()` and `input()` fail where nobody answers."""

FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT}
"""The signals that a process does not raise itself."""


def too_large(step: Step, limit: int, usage: Usage, run: Run) -> AttemptFailed:
    """Return the error for a step that the kernel has killed for its limit of memory."""
    key = resources.key_of(step.model, step.name, "memory")
    return AttemptFailed(
        f"The {step.name} step of model `{step.model.name}` was killed for memory: it needs more"
        " than its limit",
        ("limit", resources.memory_text(limit)),
        ("peak", resources.memory_text(usage.peak_memory)),
        ("log", processes.tail(run.log, LOG_LINES) or "(empty)"),
        hint=f"raise `{key}` in {step.model.folder}/model.json",
        reason="oom",
    )


def took_too_long(step: Step, policy: Policy, run: Run) -> AttemptFailed:
    """Return the error of an attempt that was ended since it took more time than it may."""
    return AttemptFailed(
        f"The {step.name} step of model `{step.model.name}` was ended: it took longer than"
        f" {policy.timeout:g} s",
        ("log", processes.tail(run.log, LOG_LINES) or "(empty)"),
        hint=f"raise `{policy.timeout_key}` in {step.model.folder}/model.json",
        reason="timeout",
    )


def check_terminal(step: Step, command: Command) -> None:
    """Raise UserError where the model's process is on another machine than the terminal for it."""
    if command.output:
        raise UserError(
            f"The {step.name} step of model `{step.model.name}` cannot be debugged in a terminal:"
            " it runs on a cluster",
            hint="have it run here, as with `MODEL_SPARK_MASTER=local[*]` and no `--deploy-mode"
            " cluster`, or leave `--debug` out",
        )


def check_container(image: str, status: int, run: Run, *, began: bool) -> None:
    """Raise UserError where a step's container never `began`, or its image lacks a program."""
    said = processes.tail(run.log, LOG_LINES)
    if not began and status in containers.FAILED:
        raise containers.failed(image, status, said)
    if status == containers.NOT_FOUND:
        raise UserError(
            f"A program that the step starts is not in the image `{image}`",
            ("log", said or "(empty)"),
            hint="use an image that has it: `bash` for instance, which Spark needs",
        )


def failed(  # noqa: PLR0913, PLR0917 - all that is known
    step: Step, status: int, usage: Usage, result: dict[str, Any] | None, run: Run, hint: str
) -> UserError:
    """Return the error for a step that ended with this status, and with this result or none."""
    model = step.model.name
    lines = processes.tail(run.log, LOG_LINES) or "(empty)"
    if result is None:
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        headline = f"The {step.name} step of model `{model}` ended without a result: it {how}"
        facts = [("log", lines)]
        if status in KILLED and not processes.stopping():
            facts.insert(0, ("peak memory", resources.memory_text(usage.peak_memory)))
            key = resources.key_of(step.model, step.name, "memory")
            out = f"the kernel does that where memory runs out: `{key}` says what to set aside"
            hint = hint or out
        number = -status if status < 0 else status - processes.SIGNALLED
        reason = "lost" if number in FROM_OUTSIDE else "error"
        return AttemptFailed(headline, *facts, hint=hint, reason=reason)
    error = result["error"]
    if error["type"] == "ModelFault":
        return UserError(
            f"Model `{model}` cannot {step.name}: {error['message']}",
            ("folder", f"{step.model.root}/{PACKAGE}"),
            hint="docs/reference.md of modelmake says what a model's modules hold",
        )
    said = telling_line(error["message"])
    told = f"{error['type']}: {said}" if said else error["type"]
    headline = f"Model `{model}` failed to {step.name}: {told}"
    where = f"{step.model.root}/{error['where']}" if error["where"] else "outside its own files"
    reason = "oom" if error["type"] == "MemoryError" else "error"
    hint = _way_out(step, error["type"], said)
    return AttemptFailed(headline, ("where", where), ("log", lines), hint=hint, reason=reason)


def _about_key(step: Step, key: str) -> str:
    """Return why a step may miss a key: `doit check` warns of it, or there is no dataset."""
    model = step.model
    for fault in model.faults:
        near = fault.warning and f"`{key}`" in fault.hint
        if near and fault.file in (model.config_path, step.dataset.path):
            return f"`doit check {model.name}` warns of {fault.file}:{fault.line}: {fault.hint}"
    if step.dataset.path:
        return ""
    file = f"{model.folder}/datasets/{step.name}.json"
    return f"the step has no dataset, and is given `{{}}` as `data_conf`: {file} makes one"


def _way_out(step: Step, kind: str, said: str) -> str:
    """Return how a step gets what it misses, nothing for other errors."""
    if kind == "KeyError":
        return _about_key(step, said[1:-1])
    if _UNANSWERED.match(f"{kind}: {said}"):
        return (
            f"a step has no terminal: `cli/run-model-cli.py {step.model.name} {step.name} --debug`"
            " of modelmake gives it one"
        )
    module, package = _NO_MODULE.search(said), _NO_R_PACKAGE.search(said)
    own = f"{step.model.root}/{PACKAGE}"
    if module and any(os.path.exists(f"{own}/{module[1]}{end}") for end in (".py", "/")):
        return f"it is in {PACKAGE}: write `from .{module[1]} import …`"
    if module:
        return f"add it to {own}/requirements.txt, by the name of its package"
    return f"add it to {own}/requirements.R" if package else ""
