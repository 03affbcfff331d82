"""Run a step's function in a folder of its own, inside the model's environment.

The two sides speak through two files (the protocol is in runtime/run_step.py); what the model
prints is for people.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import (
    bounded_log,
    checkpoints,
    datasets,
    failures,
    frameworks,
    limits,
    plan,
    processes,
    redaction,
    resources,
    retries,
)
from tasks.languages import RUNTIME, Command, Start
from tasks.model import SAMPLES
from tasks.publish import VARIABLE
from tasks.records import LOGS, write_json
from tasks.shared import SECRET_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.environments.build import Environment
    from tasks.places import Here
    from tasks.plan import Step
    from tasks.processes import Watcher
    from tasks.resources import Amounts
    from tasks.runs import Run
    from tasks.usage import Usage

FORMAT = 3
DEFAULT_SEED = 0
TOKENS = "MODEL_SERVE_TOKENS"
"""The variable with the tokens of which a client of the server must show one, comma between."""

_RUN_STEP = str(RUNTIME / "run_step.py")


def call(  # noqa: PLR0913 - three by name
    run: Run,
    step: Step,
    environment: Environment,
    version: str,
    *,
    here: Here,
    watcher: Watcher,
    tell: Callable[[str], None],
    held: Amounts | None = None,
    terminal: str = "",
) -> dict[str, Any]:
    """Run the step's function and return its result; `version` is that of the trained model.

    The result says `where` that was, as far as its language knows, and what it took (`usage`).
    `tell` is told what takes long before that.  Where limits are given (`held`), the kernel holds
    the step to them.  With a `terminal` it reads and prints there, and has no time limit.  Raises
    UserError, with the end of the log, where the model failed or took too long.
    """
    policy = retries.of(step.model.document, step.name)
    request_path, result_path = f"{run.folder}/request.json", f"{run.folder}/result.json"
    program = (_RUN_STEP, os.path.abspath(request_path), os.path.abspath(result_path))
    command = command_for(program, step, environment, run, tell=tell)
    if terminal:
        failures.check_terminal(step, command)
    command = here.enclose(command, step, environment, run)
    process = {
        "progress": os.path.abspath(run.progress),
        "trusted": command.trusted,
        "parent": os.getpid() if command.direct else 0,
        "terminal": terminal,
    }
    asked = request(step, run, version)
    asked["arguments"]["checkpoint"] = checkpoints.FOLDER if checkpoints.offered(run) else None
    write_json(request_path, {**asked, **process})
    most = None if terminal else policy.timeout
    try:
        ended, kills = _run_logged(run, command, most, held, watcher)
    except processes.TimedOut:
        raise failures.took_too_long(step, policy, run) from None
    finally:
        redaction.redact_files(f"{run.work}/{LOGS}", command.variables, f"{run.folder}/redacted")
    result = _read_result(result_path)
    told = _told(run)
    usage, limit, status = _used(ended, told)
    if status == 0 and result is not None and result["ok"]:
        return {**result, "where": dict(command.where), "usage": asdict(usage)}
    if limit or (held and kills):
        raise failures.too_large(step, limit or (held and held.memory) or 0, usage, run)
    if command.image and result is None:
        failures.check_container(command.image, status, run, began=told is not None)
    raise failures.failed(step, status, usage, result, run, command.hint)


def _run_logged(
    run: Run, command: Command, seconds: float | None, held: Amounts | None, watcher: Watcher
) -> tuple[processes.Ended, int]:
    """Run a step's command; return how it ended, and how many processes were killed for a limit."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(open(run.log, "wb", buffering=0))
        group = stack.enter_context(limits.group(run.folder, run.id, held)) if held else None
        words = [*command.tie, *command.words]
        try:
            ended = processes.run_logged(
                group.entering(words) if group else words,
                log,
                # where they are started, engines leave files of their own
                cwd=run.folder if command.image else run.work,
                env=command.variables,
                watcher=watcher,
                seconds=seconds,
            )
        finally:
            log.write(_printed(command.output) if command.output else b"")
        if group is None:
            return ended, 0
        usage = replace(ended.usage, peak_memory=group.peak() or ended.usage.peak_memory)
        return ended._replace(usage=usage), group.kills()


def command_for(  # noqa: PLR0913 - two by name alone
    program: Sequence[str],
    step: Step,
    environment: Environment,
    run: Run,
    *,
    lasting: bool = False,
    tell: Callable[[str], None] = lambda _detail: None,
) -> Command:
    """Return the command that starts a program of the runtime in the model's environment."""
    start = replace(_start(step, environment, run, tell), program=tuple(program), lasting=lasting)
    return frameworks.language(step.model).command(start)


def warm_up(step: Step, environment: Environment, run: Run, tell: Callable[[str], None]) -> str:
    """Make what the steps of an environment start quickly from here, where its language has such.

    Returns what is to be told where that failed.
    """
    return frameworks.language(step.model).warm_up(_start(step, environment, run, tell))


def _start(step: Step, environment: Environment, run: Run, tell: Callable[[str], None]) -> Start:
    most = resources.of(step.model, step.name).limits
    return Start(
        document=step.model.document,
        step=step.name,
        python=environment.python,
        program=(),
        work=os.path.abspath(run.work),
        variables=variables(environment, run),
        tell=tell,
        cpu=most.cpu,
        memory=most.memory,
    )


def variables(environment: Environment, run: Run) -> dict[str, str]:
    """Return the variables of a model's process: the user's own, and a Python that repeats.

    The programs of the environment's packages are found first.
    """
    dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "MAKEFLAGS", VARIABLE, SECRET_VARIABLE, TOKENS)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith("PYTHON")
    }
    fixed = {"PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    path = os.pathsep.join(
        [os.path.dirname(environment.python), os.environ.get("PATH", os.defpath)]
    )
    scratch = os.path.abspath(run.scratch)
    fixed |= {"PYTHONNOUSERSITE": "1", "MODEL_SCRATCH": scratch}
    # Numba keeps what it compiled beside a source, and does not see when what that calls changes.
    fixed["NUMBA_CACHE_DIR"] = f"{scratch}/numba"
    return {**environment.variables, **kept, **fixed, "PATH": path}


def request(step: Step, run: Run, version: str) -> dict[str, Any]:
    """Return what the runtime is told of a step; `version` is that of the trained model."""
    model, dataset = step.model, step.dataset
    language = frameworks.language(model)
    config = model.config
    hyperparameters = config.get("hyperParameters") or config.get("hyperparameters") or {}
    try:
        seed = int(hyperparameters.get("seed", DEFAULT_SEED))
    except (TypeError, ValueError, AttributeError):
        seed = DEFAULT_SEED
    return {
        "format": FORMAT,
        "step": step.name,
        "root": os.path.abspath(model.root),
        "engine": language.engine,
        "modules": language.entries[step.name],
        "arguments": {
            "data_conf": datasets.resolved(dataset.content, dataset.files),
            "model_conf": dict(model.config),
            "model_id": model.id,
            "model_version": version,
            "model_table": f"AOA_MODELS_{version}",
            "project_id": "cli",
            "job_id": "cli",
        },
        "data_files": [os.path.abspath(file.path) for file in dataset.files],
        "monitoring": _monitoring(step),
        "seed": seed,
        "scratch": os.path.abspath(run.scratch),
    }


def _monitoring(step: Step) -> dict[str, Any] | None:
    """Return what a training needs to record the statistics of its data, None where it does not."""
    model = step.model
    if not plan.is_recorded(step):
        return None
    return {
        "samples": [os.path.abspath(f"{model.root}/{name}") for name in SAMPLES],
        "data_files": [os.path.abspath(path) for path in plan.data_paths(step)],
        "modules": frameworks.language(model).entries["score"],
    }


def _printed(path: str) -> bytes:
    """Return the end of what a model printed where it ran."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - bounded_log.TAIL_BYTES))
        return file.read()
    return b""


def _read_result(path: str) -> dict[str, Any] | None:
    """Return what a model's process says of its end, None where it says nothing.

    Secrets are hidden in what is shown or kept of it, and in the file: the folder of a failed run
    is kept.  What is worked with is as it was: a secret can be any word, `true` as well.
    """
    with contextlib.suppress(OSError, ValueError):
        result = dict(json.loads(Path(path).read_text(encoding="utf-8")))
        safe = {name: redaction.redact_value(value, os.environ) for name, value in result.items()}
        if safe != result:
            write_json(path, safe)
        if result.get("error"):
            shown = {name: safe["error"][name] for name in ("message", "where")}
            result["error"] = {**result["error"], **shown}
        result["returned"] = safe["returned"]  # whose texts are kept beside the metrics
        return result
    return None


def _told(run: Run) -> dict[str, Any] | None:
    """Return what a container tells of itself, see runtime/contained.py; None where none does."""
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(Path(run.usage).read_text(encoding="utf-8")))
    return None


def _used(ended: processes.Ended, told: Mapping[str, Any] | None) -> tuple[Usage, int | None, int]:
    """Return what a run has used, the limit of memory for which it was killed, and its status.

    Of a container all of that is `told`: from here no more was seen than the engine's own process.
    """
    if told is None:
        return ended.usage, None, ended.status
    limit = told["memory_limit"] if told["out_of_memory"] else None
    usage = replace(ended.usage, peak_memory=told["peak_memory"], cpu_seconds=told["cpu_seconds"])
    same = ended.status == processes.SIGNALLED - told["status"]  # an engine tells no signals apart
    return usage, limit, told["status"] if same else ended.status
