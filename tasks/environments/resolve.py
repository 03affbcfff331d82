"""Find the packages that fit a model's requirements, on the best Python that has any."""

from __future__ import annotations

import contextlib
import platform
import re
import sys
import tempfile
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from tasks.environments.compiler import Attempt, Compiler, NoAnswer
from tasks.environments.corrections import (
    BUILT_WITH,
    SETUPTOOLS,
    applied,
    cannot_run,
)
from tasks.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tasks.environments.interpreters import Interpreter
    from tasks.environments.requirements import Package, Requirements
    from tasks.model import Model

_OLDER_BACKEND = ["setuptools>=40.8.0"]  # what PEP 517 says for a package that names none
_WITHOUT_SETUPTOOLS = Version("3.12")
_WITHOUT_WHEEL = re.compile(r"Wheels are required for `([^`]+)`")
_PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
_CAUSE = re.compile(r"\bcause: (?:Because )?(.*?)(?:, we can conclude that |$)")
_ASKED = re.compile(r"\bbecause (you require [^,]*?), we can conclude that your requirements")
LONGEST_REASON = 160  # characters
_PLACE = re.compile(r"(?:[\w.-]+(?:\[[^]]*\])? @ )?(file:\S+|[./]\S*)")


@dataclass(frozen=True)
class Answer:
    """Pins with hashes, those of what packages are built with, and the Python that they are for.

    `notes` tell how it came about, `refused` has the better Pythons by what speaks against them.
    `everywhere` is whether the pins are for other platforms and later Pythons too.
    """

    interpreter: Interpreter
    bound: str
    pins: str
    build_pins: str
    notes: tuple[str, ...] = ()
    everywhere: bool = True
    refused: Mapping[str, Sequence[str]] = field(default_factory=dict)


def resolve(
    model: Model,
    requirements: Requirements,
    candidates: Sequence[Interpreter],
    *,
    kept: str,
    say: Callable[[str], None],
) -> Answer:
    """Return pins for the first of the interpreters that has any, preferring those in `kept`.

    Builds from source are the last resort: an interpreter that needs fewer goes before one that
    needs more.  Raises UserError with uv's explanation where there is no answer, or where the
    index cannot be reached.
    """
    refusals: dict[str, str] = {}
    waiting = _attempts(str(model.document.get("python") or ""), candidates)
    while waiting:
        again = []
        for attempt in waiting:
            say(f"resolving for Python >={attempt.minor}")
            try:
                return _told(
                    _answer(model, requirements, attempt, kept),
                    refusals,
                    candidates,
                    requirements.as_of,
                )
            except NoAnswer as none:
                refusals[attempt.minor] = str(none)
                needed = attempt.built.union(_WITHOUT_WHEEL.findall(str(none)))
                if needed != attempt.built:
                    again.append(replace(attempt, built=needed))
        waiting = again
    raise _unresolved(model, requirements, refusals)


def _attempts(python: str, candidates: Sequence[Interpreter]) -> list[Attempt]:
    """Return what to resolve for: all that the model allows if it says so, else each by itself.

    `python` is what the model itself says.
    """
    lower = re.findall(r">=\s*(\d+\.\d+)", python)
    attempts = [Attempt(candidates[0], minor) for minor in lower[:1]]
    attempts += [Attempt(one, one.minor) for one in candidates]
    first: dict[str, Attempt] = {}
    for attempt in attempts:
        first.setdefault(attempt.minor, attempt)
    return list(first.values())


def _told(
    answer: Answer, refusals: Mapping[str, str], candidates: Sequence[Interpreter], as_of: str
) -> Answer:
    """Return the answer with what speaks against better Pythons, and not for those above it."""
    minors = list(dict.fromkeys(one.minor for one in candidates))
    better = minors[: minors.index(answer.interpreter.minor)]
    refused: dict[str, list[str]] = {}
    for minor in better:
        refused.setdefault(_reason(refusals[minor]), []).append(minor)
    chosen = Version(answer.interpreter.minor)
    above = [minor for minor in map(Version, better) if minor > chosen]
    if as_of or not answer.everywhere:  # what came after it had no packages on that day
        above.append(Version(f"{chosen.major}.{chosen.minor + 1}"))
    bound = f"{answer.bound},<{min(above)}" if above else answer.bound
    return replace(answer, bound=bound, refused=refused)


def _reason(explanation: str) -> str:
    """Return in one line what is in the way: what was asked for, and the first thing against it."""
    text = " ".join(explanation.split())
    found, asked = _CAUSE.search(text), _ASKED.search(text)
    if not found:
        return explanation.strip().splitlines()[-1].strip()
    first = found[1] if len(found[1]) <= LONGEST_REASON else f"{found[1][:LONGEST_REASON]}…"
    return f"{asked[1]}, and {first}" if asked and "you require" not in found[1] else first


def _unresolved(model: Model, requirements: Requirements, refusals: Mapping[str, str]) -> UserError:
    """Return the error with what speaks against each Python, and the last explanation in full."""
    reasons = [(minor, _reason(refusal)) for minor, refusal in refusals.items()]
    before = [None, *(reason for _, reason in reasons)]
    table = [
        (f"Python {minor}", "the same" if reason == above else reason)
        for (minor, reason), above in zip(reasons, before, strict=False)
    ]
    return UserError(
        f"The requirements of model `{model.name}` cannot be locked",
        ("file", requirements.path),
        *table,
        ("uv says", list(refusals.values())[-1]),
        hint="change the requirement that is named, or `python` in model.json",
    )


def _answer(model: Model, requirements: Requirements, attempt: Attempt, kept: str) -> Answer:
    wrong = cannot_run(requirements.lines, attempt.interpreter.version)
    if wrong:
        raise NoAnswer(wrong)
    with tempfile.TemporaryDirectory() as scratch:
        compiler = Compiler(model, requirements, attempt, Path(scratch), kept)
        packages = requirements.packages
        backends = sorted({line for package in packages for line in _backends(package)})
        build_pins = compiler.compile("build.txt", backends, []).pins if backends else ""
        lines = [*requirements.lines, *(package.requirement() for package in packages)]
        limits = Path(scratch, "limits.txt")
        limits.write_text("\n".join(BUILT_WITH), encoding="utf-8")
        options = [*attempt.options, "--build-constraints", str(limits)]
        if build_pins:
            Path(scratch, "pins.txt").write_text(build_pins, encoding="utf-8")
            options += ["--build-constraints", str(Path(scratch, "pins.txt"))]
        if requirements.constraints:
            constraints = Path(scratch, "constraints.txt")
            constraints.write_text("\n".join(requirements.constraints), encoding="utf-8")
            options += ["--constraints", str(constraints)]
        if requirements.as_of:
            options += ["--exclude-newer", requirements.as_of]
        found = compiler.compile("requirements.txt", lines, options)
        added: list[str] = []
        if more := _of_its_time(model, attempt, found.pins):
            with contextlib.suppress(NoAnswer):
                found = compiler.compile("more.txt", [*lines, *more], options)
                added = more
    pins = _without_packages(found.pins, requirements)
    notes = [f"corrected: {was} stands for {now}" for was, now in requirements.renamed]
    notes += [f"corrected: {one}" for one in applied(dict(_PIN.findall(pins)), added)]
    if not found.everywhere:
        where = f"Python {attempt.minor} on {platform.system()} {platform.machine()}"
        notes.append(f"only for {where}: there are no packages that serve others as well")
    return Answer(
        attempt.interpreter, f">={attempt.minor}", pins, build_pins, tuple(notes), found.everywhere
    )


def _of_its_time(model: Model, attempt: Attempt, pins: str) -> list[str]:
    """Return what a model may need that was written for environments which had it anyway.

    One that says on which Python it runs was written for this runner.
    """
    old = Version(attempt.interpreter.minor) < _WITHOUT_SETUPTOOLS
    there = model.document.get("python") or dict(_PIN.findall(pins)).get("setuptools")
    return [SETUPTOOLS] if old and pins and not there else []


def _backends(package: Package) -> list[str]:
    """Return what a package says it is built with, nothing for what uv does without help."""
    path = Path(package.path, "pyproject.toml")
    if Path(package.path).is_file():
        return []
    document: dict[str, Any] = {}
    try:
        if path.exists():
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        requires = document.get("build-system", {}).get("requires", _OLDER_BACKEND)
        return [line for line in requires if not _built_in(Requirement(line))]
    except (ValueError, TypeError, AttributeError, InvalidRequirement) as error:
        hint = "correct it: `requires` of `[build-system]` lists what the package is built with"
        raise UserError(f"`{path}` cannot be read", ("reason", error), hint=hint) from error


def _built_in(requirement: Requirement) -> bool:
    return requirement.name in ("uv_build", "uv-build") and version("uv") in requirement.specifier


def _without_packages(pins: str, requirements: Requirements) -> str:
    """Drop this repository's own packages from pins: their bytes are in no index.

    Raises UserError for one that only another package names: a change to it would not be seen.
    """
    own = {package.requirement().split(" ")[0].split("[")[0] for package in requirements.packages}
    kept = []
    for entry in re.split(r"\n(?=\S)", pins):
        place = _PLACE.match(entry)
        if not place:
            kept.append(entry)
        elif place[1] not in own:
            raise UserError(
                f"`{requirements.path}` does not name a package that another package needs",
                ("package", place[1]),
                hint="name its folder there as well, so that a change to it is seen",
            )
    return "\n".join(kept)
