"""Call `uv pip compile`: pins for requirements, on one Python, or what stands in the way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tasks.environments import uv
from tasks.environments.corrections import configuration
from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.environments.interpreters import Interpreter
    from tasks.environments.requirements import Requirements
    from tasks.model import Model

_INVALID = "has invalid metadata"
_ELSEWHERE = re.compile(
    "resolution failed for (other Python versions|an environment that is not)"
    # `3.7` stands for 3.7.0, which some packages leave out.
    r"|does not satisfy Python>=\d+\.\d+\.[1-9]"
)
_ONLY_BINARY = ("--only-binary", ":all:")


@dataclass(frozen=True)
class Attempt:
    """An interpreter to resolve on, the versions to resolve for, and the packages to be built."""

    interpreter: Interpreter
    minor: str
    built: frozenset[str] = frozenset()

    @property
    def options(self) -> list[str]:
        """Return uv's options: wheels alone, but for the packages that have none."""
        return [*_ONLY_BINARY, *(f"--no-binary={name}" for name in sorted(self.built))]


class NoAnswer(Exception):
    """Carries what uv explained."""


class Compiled(NamedTuple):
    """Pins, and whether they are for other platforms and later Pythons too."""

    pins: str
    everywhere: bool


@dataclass(frozen=True)
class Compiler:
    """What two calls of `uv pip compile` have in common."""

    model: Model
    requirements: Requirements
    attempt: Attempt
    scratch: Path
    kept: str

    def compile(self, name: str, lines: Sequence[str], options: Sequence[str]) -> Compiled:
        """Return pins for the lines, for every platform and later Pythons too if there are such.

        Raises NoAnswer, or UserError for want of an index.
        """
        source, target = self.scratch / name, self.scratch / f"locked-{name}"
        source.write_text("\n".join([*self.requirements.for_uv(), *lines, ""]), encoding="utf-8")
        target.write_text(self.kept, encoding="utf-8")
        own, minor = self.attempt.interpreter, self.attempt.minor
        command = [
            "pip", "compile", "--quiet", "--generate-hashes",
            "--no-header", "--no-annotate", "--no-emit-index-url",
            "--python", own.path, *options, "--output-file", str(target), str(source),
        ]  # fmt: skip
        for_all = ["--universal", "--python-version", minor]
        answer = uv.run(*command, *for_all)
        if not answer.ok and _INVALID in answer.explanation:
            self._correct()
            answer = uv.run(*command, *for_all, folder=str(self.scratch))
        everywhere = answer.ok or not _ELSEWHERE.search(answer.explanation)
        if not everywhere:
            folder = str(self.scratch) if Path(self.scratch, "uv.toml").exists() else None
            version = own.version if own.minor == minor else minor
            answer = uv.run(*command, "--python-version", version, folder=folder)
        explanation = answer.explanation.replace(f"{self.scratch}/", "")
        if answer.unreachable:
            raise UserError(
                f"The requirements of model `{self.model.name}` cannot be fetched",
                ("file", self.requirements.path),
                ("uv says", explanation),
                hint=uv.UNREACHABLE_HINT,
            )
        if not answer.ok:
            raise NoAnswer(explanation)
        return Compiled(target.read_text(encoding="utf-8").strip(), everywhere)

    def _correct(self) -> None:
        """Have uv know better in the scratch folder, and as much as in the repository."""
        own = Path("uv.toml").read_text(encoding="utf-8") if Path("uv.toml").exists() else ""
        Path(self.scratch, "uv.toml").write_text(f"{own}\n{configuration()}", encoding="utf-8")
