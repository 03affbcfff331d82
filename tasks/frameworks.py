"""The table of languages, and the frameworks: a file in `envs/` for each.

A language says how a model is run; a framework what its environment brings.  To add one is a file
in `envs/`, and for a language that is not there yet a row here and a module in `languages/`.
"""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import UserError, did_you_mean
from tasks.languages import (
    Command,
    Library,
    ReadSource,
    Start,
    plain_command,
    pyspark,
    python,
    r,
    spark,
    sql,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from tasks.fingerprint import Files
    from tasks.model import Model
    from tasks.state import State

FOLDER = "envs"

_HERE = Path(__file__).parent.parent / FOLDER
_KEYS = {"language": str, "python": str, "requirements": list, "variables": dict, "versions": dict}


def _nothing(_model: Model, _state: State) -> dict[str, str]:
    return {}


def _no_settings(_document: Mapping[str, Any], _step: str) -> dict[str, str]:
    return {}


def _cold(_start: Start) -> str:
    return ""


def _no_fault(data: bytes) -> tuple[int, str]:
    del data
    return 0, ""


def _no_lines(_model: Model, _state: State, _named: AbstractSet[str]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Language:
    """How the models of a language are run.

    `suffix` is that of its sources, and `entries` are the files (without it) that may hold a step's
    function, the one that is looked into first at the front.  `read_source` says what a source
    reads and defines, `parse_fault` in which line it cannot be parsed, and why.  `pickles` is
    whether what training imports may be needed to load what it made.  `engine` is the module of the
    runtime that calls the model, `command` starts it.  `requirements` adds lines to the framework's
    that depend on the machine or the sources; it is told the packages that the model itself names,
    as the index spells them.  `tools` names the programs from outside the environment, with the
    version that counts for a result.  `settings` is what of `model.json` counts for a step besides
    what counts for every language; `warm_up` makes what its processes start quickly from, once for
    each environment, and returns what is to be told where that failed; `library` is about packages
    that uv knows nothing of.  `plainly` is how a source is to bring in others, so that their
    changes are seen.
    """

    suffix: str
    engine: str
    entries: Mapping[str, tuple[str, ...]]
    read_source: ReadSource
    parse_fault: Callable[[bytes], tuple[int, str]] = _no_fault
    pickles: bool = False
    command: Callable[[Start], Command] = plain_command
    requirements: Callable[[Model, State, AbstractSet[str]], tuple[str, ...]] = _no_lines
    tools: Callable[[Model, State], dict[str, str]] = _nothing
    settings: Callable[[Mapping[str, Any], str], dict[str, str]] = _no_settings
    warm_up: Callable[[Start], str] = _cold
    library: Library | None = None
    plainly: str = (
        "import it from model_modules/ by a plain statement, or make it a package that"
        " requirements.txt names"
    )


_PYTHON_ENTRIES = {
    "train": ("training",),
    "evaluate": ("evaluation", "evaluate", "scoring"),
    "score": ("scoring",),
}

LANGUAGES: Mapping[str, Language] = {
    "python": Language(
        ".py", "python", _PYTHON_ENTRIES, python.read_source, python.parse_fault, pickles=True,
        requirements=python.requirements,
    ),
    "pyspark": Language(
        ".py", "pyspark", _PYTHON_ENTRIES, python.read_source, python.parse_fault, pickles=True,
        command=pyspark.command, requirements=python.requirements, tools=spark.tools,
        settings=pyspark.settings, warm_up=pyspark.warm_up,
    ),
    "r": Language(
        ".R", "r",
        {
            "train": ("training",),
            "evaluate": ("evaluation", "scoring", "scorer"),
            "score": ("scoring", "scorer"),
        },
        r.read_source,
        command=r.command,
        requirements=r.requirements,
        tools=r.tools,
        library=Library("R package", r.lock_library, r.library_identity, r.install_library),
        plainly='source() it by a plain string, as in source("model_modules/helper.R"), or make it'
        " a package that requirements.R names",
    ),
    # A database may have a file of its own, which stands before the one for all.
    "sql": Language(
        ".sql", "sql",
        {
            "train": ("training.teradata", "training.duckdb", "training"),
            "evaluate": (
                "evaluation.teradata", "evaluation.duckdb", "evaluation",
                "scoring.teradata", "scoring.duckdb", "scoring",
            ),
            "score": ("scoring.teradata", "scoring.duckdb", "scoring"),
        },
        sql.read_source,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Framework:
    """What `envs/<name>.toml` says: what the environments of its models bring."""

    name: str
    path: str
    language: str
    python: str = ""
    requirements: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def language(model: Model) -> Language:
    """Return how a model is run; one whose language is unknown has faults, and is taken as Python.

    That keeps the broken model in every list.
    """
    return LANGUAGES.get(model.language, LANGUAGES["python"])


def names() -> list[str]:
    """Return the frameworks that there are."""
    folders = (Path(FOLDER), _HERE)
    return sorted({path.stem for folder in folders for path in folder.glob("*.toml")})


def read(name: str, files: Files) -> Framework:
    """Return a framework: the repository's own, else that of the runner.

    Raises UserError where there is none of the name, or its file is not as it must be.
    """
    path = f"{FOLDER}/{name}.toml"
    if not files.exists(path):
        path = str(_HERE / f"{name}.toml")
    try:
        text = files.note(path, "framework 1", _parsed)
    except FileNotFoundError as error:
        hint = did_you_mean(name, names()) or f"there are {', '.join(names())}"
        raise UserError(f"There is no framework `{name}`", hint=hint) from error
    except (OSError, ValueError) as error:
        hint = "it is to be TOML: docs/adding-a-framework.md of modelmake shows one"
        raise UserError(f"`{path}` cannot be read", ("reason", error), hint=hint) from error
    return _framework(name, path, text)


@functools.cache  # asked for several times a model, and there may be thousands of models
def _framework(name: str, path: str, text: str) -> Framework:
    document = json.loads(text)
    _check(path, document)
    versions = {key: tuple(value) for key, value in document.get("versions", {}).items()}
    return Framework(
        name,
        path,
        document["language"],
        document.get("python", ""),
        tuple(document.get("requirements", ())),
        document.get("variables", {}),
        versions,
    )


def _parsed(data: bytes) -> str:
    # Slow to import, and what was read before is remembered.
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415
    else:
        import tomli as tomllib  # noqa: PLC0415
    return json.dumps(tomllib.loads(data.decode()))


def _check(path: str, document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        kind = _KEYS.get(key)
        if kind is None:
            hint = did_you_mean(key, _KEYS) or f"the keys are {', '.join(_KEYS)}"
            raise UserError(f"`{path}` has an unknown key `{key}`", hint=hint)
        if not isinstance(value, kind):
            raise UserError(
                f"`{path}`: `{key}` is no {kind.__name__}", hint="docs/reference.md has the keys"
            )
    language = document.get("language", "")
    if language not in LANGUAGES:
        known = ", ".join(f"`{name}`" for name in LANGUAGES)
        hint = did_you_mean(language, LANGUAGES) or 'say it like `language = "python"`'
        raise UserError(f"`{path}`: `language` is none of {known}", hint=hint)
