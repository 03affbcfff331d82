"""Find the packages that fit a model's requirements, on the best Python that has any."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement

from tasks.environments import uv
from tasks.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.environments.interpreters import Interpreter
    from tasks.environments.requirements import Package, Requirements
    from tasks.model import Model

_ONLY_BINARY = ("--only-binary", ":all:")
_OLDER_BACKEND = ["setuptools>=40.8.0"]  # what PEP 517 says for a package that names none
_PLACE = re.compile(r"(?:[\w.-]+(?:\[[^]]*\])? @ )?(file:\S+|[./]\S*)")


@dataclass(frozen=True)
class Answer:
    """Pins with hashes, those of what packages are built with, and the Python that they are for."""

    interpreter: Interpreter
    bound: str
    pins: str
    build_pins: str


class _Attempt(NamedTuple):
    interpreter: Interpreter
    bound: str
    options: tuple[str, ...]


class _NoAnswer(Exception):
    """Carries what uv explained."""


def resolve(
    model: Model,
    requirements: Requirements,
    candidates: Sequence[Interpreter],
    *,
    kept: str,
    say: Callable[[str], None],
) -> Answer:
    """Return pins for the first of the interpreters that has any, preferring those in `kept`.

    A build from source is the last resort.  Raises UserError with uv's explanation where there is
    no answer, or where the index cannot be reached.
    """
    explanations: dict[str, list[str]] = {}
    for options in (_ONLY_BINARY, ()):
        for interpreter, bound in _pythons(str(model.document.get("python") or ""), candidates):
            say(f"resolving for Python {bound}")
            attempt = _Attempt(interpreter, bound, options)
            try:
                return _answer(model, requirements, attempt, kept)
            except _NoAnswer as none:
                explanations.setdefault(str(none), []).append(bound)
        if not any(re.search("wheel|source dist", text) for text in explanations):
            break
    raise _unresolved(model, requirements, explanations)


def _pythons(python: str, candidates: Sequence[Interpreter]) -> list[tuple[Interpreter, str]]:
    """Return what to resolve for: all that the model allows if it says so, else each by itself.

    `python` is what the model itself says.
    """
    lower = re.findall(r">=\s*(\d+\.\d+)", python)
    pairs = [(candidates[0], f">={bound}") for bound in lower[:1]]
    pairs += [(one, f">={one.minor}") for one in candidates]
    first: dict[str, tuple[Interpreter, str]] = {}
    for interpreter, bound in pairs:
        first.setdefault(bound, (interpreter, bound))
    return list(first.values())


def _unresolved(
    model: Model, requirements: Requirements, explanations: dict[str, list[str]]
) -> UserError:
    """Return the error with each explanation and the Pythons that it is for, the first in full."""
    facts = []
    for number, (text, bounds) in enumerate(explanations.items()):
        facts.append(("on Python", ", ".join(dict.fromkeys(b.removeprefix(">=") for b in bounds))))
        facts.append(("uv says", text if number == 0 else text.splitlines()[-1].strip()))
    return UserError(
        f"The requirements of model `{model.name}` cannot be locked",
        ("file", requirements.path),
        *facts,
        hint="change the requirement that is named, or `python` in model.json",
    )


def _answer(model: Model, requirements: Requirements, attempt: _Attempt, kept: str) -> Answer:
    with tempfile.TemporaryDirectory() as scratch:
        compiler = _Compiler(model, requirements, attempt, Path(scratch), kept)
        packages = requirements.packages
        backends = sorted({line for package in packages for line in _backends(package)})
        build_pins = compiler.compile("build.txt", backends, []) if backends else ""
        lines = [*requirements.lines, *(package.requirement() for package in packages)]
        options = list(attempt.options)
        if build_pins:
            Path(scratch, "pins.txt").write_text(build_pins, encoding="utf-8")
            options += ["--build-constraints", str(Path(scratch, "pins.txt"))]
        if requirements.constraints:
            constraints = Path(scratch, "constraints.txt")
            constraints.write_text("\n".join(requirements.constraints), encoding="utf-8")
            options += ["--constraints", str(constraints)]
        if requirements.as_of:
            options += ["--exclude-newer", requirements.as_of]
        pins = compiler.compile("requirements.txt", lines, options)
    pins = _without_packages(pins, requirements)
    return Answer(attempt.interpreter, attempt.bound, pins, build_pins)


@dataclass(frozen=True)
class _Compiler:
    """What two calls of `uv pip compile` have in common."""

    model: Model
    requirements: Requirements
    attempt: _Attempt
    scratch: Path
    kept: str

    def compile(self, name: str, lines: Sequence[str], options: Sequence[str]) -> str:
        """Return pins for the lines.  Raises _NoAnswer, or UserError for want of an index."""
        source, target = self.scratch / name, self.scratch / f"locked-{name}"
        source.write_text("\n".join([*self.requirements.for_uv(), *lines, ""]), encoding="utf-8")
        target.write_text(self.kept, encoding="utf-8")
        answer = uv.run(
            "pip", "compile", "--quiet", "--universal", "--generate-hashes",
            "--no-header", "--no-annotate", "--no-emit-index-url",
            "--python", self.attempt.interpreter.path,
            "--python-version", self.attempt.bound.removeprefix(">="),
            *options, "--output-file", str(target), str(source),
        )  # fmt: skip
        explanation = answer.explanation.replace(f"{self.scratch}/", "")
        if answer.unreachable:
            raise UserError(
                f"The requirements of model `{self.model.name}` cannot be fetched",
                ("file", self.requirements.path),
                ("uv says", explanation),
                hint=uv.UNREACHABLE_HINT,
            )
        if not answer.ok:
            raise _NoAnswer(explanation)
        return target.read_text(encoding="utf-8").strip()


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
        raise UserError(f"`{path}` cannot be read", ("reason", error)) from error


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
