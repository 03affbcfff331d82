"""Make a model from a template, and a repository with its first model; all of it, or nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import tempfile
import traceback
import unicodedata
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import datasets, git, readme
from tasks.errors import UserError
from tasks.fingerprint import Files
from tasks.looks import MODELS
from tasks.templates import FOLDER, LEFT_OUT, RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2.sandbox import SandboxedEnvironment

    from tasks.templates import Template

SKELETON = f"{RUNNER}/{FOLDER}/repository"
"""What a new repository starts from: no template, as it has no `model.json`."""

SHARED = "shared"
"""The folder beside those of the languages with what every template has, unless it has its own."""

LONGEST_NAME = 60
"""So many characters of a model's name are in the name of its folder."""

_RENDERED = ".jinja"
_OWN = ("id", "name", "description", "source_model_id")


def slug(name: str) -> str:
    """Return the name of a model's folder: small letters, digits and `-`.

    Accents are dropped, letters of other scripts kept.  Raises UserError where nothing is left.
    """
    plain = "".join(map(_plain, name.casefold()))
    words = re.sub(r"[\W_]+", "-", plain).strip("-")[:LONGEST_NAME].strip("-")
    if not words:
        raise UserError(
            f"The name {name!a} has no letter or digit that a folder can be named by",
            hint="choose one that has, such as `Churn 2`",
        )
    return unicodedata.normalize("NFC", words)


def _plain(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(part for part in parts if part.isascii()) or letter


def line(what: str, text: str) -> str:
    """Return a text on one line.  Raises UserError for what cannot be shown."""
    words = " ".join(text.split())
    if not words.isprintable():
        raise UserError(
            f"The {what} has characters that cannot be shown: {words!a}", hint="leave them out"
        )
    return words


def free_folder(name: str) -> str:
    """Return the folder for a model of this name.  Raises UserError where it is taken."""
    folder = f"{MODELS}/{slug(line('name', name))}"
    if os.path.lexists(folder):
        raise UserError(f"`{folder}` exists", hint="choose another name for the model")
    return folder


def add(name: str, description: str, template: Template) -> str:
    """Make a model in the repository from a template, and return its folder."""
    folder = free_folder(name)
    # Not made where models are looked for: one that is killed half-way must not be taken for one.
    with _in_one_move(folder, ".") as made:
        _render(template, made, ".", _facts(name, description, template, folder))
    return folder


def free_place(place: str) -> tuple[str, str]:
    """Return the folder that a new repository will be in, and its name.

    Raises UserError where there is something already.
    """
    if not place.strip():
        raise UserError("A new repository needs a folder", hint="`--init DIR`")
    if os.path.lexists(place) and not (os.path.isdir(place) and not os.listdir(place)):
        raise UserError(f"`{place}` exists", hint="a new repository needs a new or an empty folder")
    home, own_name = os.path.split(os.path.abspath(place))
    if os.path.realpath(place) == os.getcwd():
        raise UserError(
            f"`{place}` is the working directory, whose place a new repository cannot take",
            hint=f"do it from the folder above: `cd ..`, and `--init {shlex.quote(own_name)}`",
        )
    if not os.path.isdir(home):
        raise UserError(
            f"There is no folder `{home}` to make `{own_name}` in",
            hint=f"`mkdir -p {shlex.quote(home)}` makes it",
        )
    return home, line("folder's name", own_name)


def new_repository(place: str, name: str, description: str, template: Template) -> str:
    """Make a repository with one model, and return that model's folder, relative to it."""
    home, own_name = free_place(place)
    folder = f"{MODELS}/{slug(line('name', name))}"
    facts = _facts(name, description, template, folder)
    with _in_one_move(place, home) as made:
        _copy(SKELETON, made, {**facts, "repository": own_name}, rendered=True)
        os.makedirs(f"{made}/{folder}")
        _render(template, f"{made}/{folder}", made, facts)
        with _inside(made):
            readme.update()
            _start_history()
    return folder


@contextlib.contextmanager
def _inside(folder: str) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _start_history() -> None:
    """Have Git keep a history of the working directory; where there is no Git there is none."""
    with contextlib.suppress(UserError):
        git.ask("init", "--quiet")


@contextlib.contextmanager
def _in_one_move(target: str, home: str) -> Iterator[str]:
    """Give a new folder, made in `home`, which becomes the target if the end is reached."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=home) as temporary:
        made = f"{os.path.abspath(temporary)}/made"
        os.mkdir(made)
        yield made
        try:
            os.rename(made, target)
        except OSError as error:  # somebody else was faster
            raise UserError(
                f"`{target}` cannot be made",
                ("reason", error.strerror),
                hint="see whether there is something of that name by now, and choose another",
            ) from error


def _facts(name: str, description: str, template: Template, folder: str) -> dict[str, str]:
    """Return what templates can say: the variables of their `.jinja` files."""
    return {
        "name": line("name", name),
        "description": line("description", description) or template.description,
        "folder": os.path.relpath(folder, MODELS),
        "id": str(uuid.uuid4()),
        "language": str(template.document.get("language") or template.language),
    }


def _render(template: Template, made: str, repository: str, facts: Mapping[str, str]) -> None:
    """Write a model of this repository into a new folder.

    A template goes before what all templates beside it share.
    """
    top = Path(template.folder).parents[1]
    if not template.id and top.name == FOLDER:
        _copy(str(top / SHARED), made, facts, rendered=True)
    _copy(template.folder, made, facts, rendered=not template.id)
    document: dict[str, Any] = {key: facts[key] for key in _OWN[:3]}
    if template.id:
        document["source_model_id"] = template.id
        _bring_data(template, made, repository)
    document |= {key: value for key, value in template.document.items() if key not in _OWN}
    text = json.dumps(document, indent=4, ensure_ascii=False) + "\n"
    Path(made, "model.json").write_text(text, encoding="utf-8")


def _copy(source: str, target: str, facts: Mapping[str, str], *, rendered: bool) -> None:
    """Copy the files of a folder, without links, and render those that are to be."""
    environment: SandboxedEnvironment | None = None
    for top, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        here = os.path.normpath(os.path.join(target, os.path.relpath(top, source)))
        for name in names:
            path = os.path.join(top, name)
            if name in LEFT_OUT or os.path.islink(path) or not os.path.isfile(path):
                continue
            os.makedirs(here, exist_ok=True)
            if rendered and name.endswith(_RENDERED) and name != _RENDERED:
                environment = environment or _environment()
                text = _rendered(path, environment, facts)
                Path(here, name.removesuffix(_RENDERED)).write_text(text, encoding="utf-8")
            else:
                shutil.copy(path, os.path.join(here, name))


def _environment() -> SandboxedEnvironment:
    """Return what renders: a template may come from anywhere, and what it misnames is an error."""
    from jinja2 import StrictUndefined  # noqa: PLC0415 - slow to import, and only this renders
    from jinja2.sandbox import SandboxedEnvironment  # noqa: PLC0415

    return SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


def _rendered(path: str, environment: SandboxedEnvironment, facts: Mapping[str, str]) -> str:
    from jinja2 import TemplateError, TemplateSyntaxError  # noqa: PLC0415

    try:
        source = Path(path).read_text(encoding="utf-8")
        return environment.from_string(source).render(facts)
    except TemplateSyntaxError as error:
        hint = "what is not to be rendered has a name without `.jinja` at its end"
        raise UserError(f"{path}:{error.lineno}: {error.message}", hint=hint) from error
    except (
        TemplateError,
        ArithmeticError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == "<template>"]
        place = f"{path}:{lines[-1]}" if lines else path
        hint = f"a template can say {', '.join(f'`{name}`' for name in facts)}"
        raise UserError(f"{place}: {error}", hint=hint) from error


def _bring_data(template: Template, made: str, repository: str) -> None:
    """Copy the data files that a model finds in its own repository, and that are not in this one.

    A dataset's path is looked for below the model's folder first, so that is where they go.
    """
    named: set[str] = set()
    for file in Path(made).rglob("*.json"):
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(file.read_text(encoding="utf-8-sig"))
            named |= {one.source for one in datasets.locate({"": document}, made, Files())}
    for name in sorted(named):  # a folder before what is in it
        if "://" in name or os.path.isabs(name):
            continue
        for path in (name, f"{name}.wal"):  # what DuckDB has not written into the file itself
            source = os.path.realpath(os.path.join(template.root, path))
            target = os.path.normpath(os.path.join(made, path))
            inside = source.startswith(f"{template.root}/") and target.startswith(f"{made}/")
            there = os.path.exists(target) or os.path.exists(os.path.join(repository, path))
            if inside and os.path.exists(source) and not there:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                if os.path.isdir(source):
                    _copy(source, target, {}, rendered=False)
                else:
                    shutil.copy(source, target)
