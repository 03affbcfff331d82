"""What a new model can start from: the templates here and in the repository, and any other model.

A template is a folder `model_templates/<language>/<name>/` with a `model.json` that has no `id`;
its files that end in `.jinja` are rendered.  A model that has one is copied as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import git
from tasks.errors import UserError, did_you_mean, without_password
from tasks.looks import MODELS, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FOLDER = "model_templates"
RUNNER = str(Path(__file__).parent.parent)

LEFT_OUT = SKIPPED | {"build", ".venv", ".nox", ".tox", ".hypothesis"}
"""What is not copied from a template: histories, caches and what is generated."""

PATIENCE_SECONDS = 30
"""How long a server may be silent while a template is cloned."""

_CORRECT = "correct it: docs/reference.md of modelmake says what it holds"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+|[^/@\s-][^/@\s]*@[^/:\s]+:.+")


@dataclass(frozen=True)
class Template:
    """A folder that a model can be made from; `document` is its `model.json`.

    `root` is the repository of a model that was found elsewhere.
    """

    language: str
    name: str
    folder: str
    document: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""

    @property
    def id(self) -> str:
        """The identity of a model, nothing for a template."""
        return str(self.document.get("id") or "")

    @property
    def description(self) -> str:
        """What a model made from it does, until somebody says more."""
        return str(self.document.get("description") or "")


def templates() -> list[Template]:
    """Return the templates by language and name; those of the repository go before ours."""
    found: dict[tuple[str, str], Template] = {}
    for top in dict.fromkeys([f"{RUNNER}/{FOLDER}", os.path.abspath(FOLDER)]):
        for language in _folders(top):
            for name in _folders(f"{top}/{language}"):
                template = _template(language, name, f"{top}/{language}/{name}")
                if template:
                    found[language, name] = template
    return sorted(found.values(), key=lambda one: (one.language.lower(), one.name))


def _template(language: str, name: str, folder: str) -> Template | None:
    if os.path.exists(f"{folder}/model.json"):
        try:
            return Template(language, name, folder, document(folder))
        except UserError as error:  # it keeps no other from being used
            sys.stderr.write(f"warning: {error.headline}\n")
    elif os.path.isdir(f"{folder}/model_modules"):  # those of older repositories have no more
        return Template(language, name, folder, {"language": language})
    return None


def document(folder: str) -> dict[str, Any]:
    """Return the `model.json` of a folder.  Raises UserError where it is not a JSON object."""
    path = f"{folder}/model.json"
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"`{path}` cannot be read", ("reason", error), hint=_CORRECT) from error
    if not isinstance(value, dict):
        raise UserError(f"`{path}` holds no JSON object", hint=_CORRECT)
    return value


def languages(known: Sequence[Template]) -> list[str]:
    """Return the languages that there are templates for."""
    return list(dict.fromkeys(one.language for one in known))


def of_language(word: str, known: Sequence[Template]) -> list[Template]:
    """Return the templates in a language: its folder's, or what their `model.json` says.

    Raises UserError where there is none.
    """
    wanted = word.casefold()
    by_folder = [one for one in known if one.language.casefold() == wanted]
    by_file = [one for one in known if _own_language(one) == wanted]
    if not by_folder and not by_file:
        names = languages(known)
        hint = did_you_mean(word, names) or f"there are some for {', '.join(names)}"
        raise UserError(f"There is no template for the language `{word}`", hint=hint)
    return by_folder or by_file


def _own_language(template: Template) -> str:
    return str(template.document.get("language") or "").casefold()


@contextlib.contextmanager
def opened(word: str, among: Sequence[Template]) -> Iterator[Template]:
    """Give the template that a person means: `name`, `language/name`, or a model elsewhere.

    That is a path or a Git address, with `#` and the model's folder, id or name behind it where
    there are several.  Raises UserError where there is none, or more than one.
    """
    named = [one for one in among if word in (one.name, f"{one.language}/{one.name}")]
    if len(named) == 1:
        yield named[0]
    elif named:
        choices = " or ".join(f"`{one.language}/{one.name}`" for one in named)
        raise UserError(f"`{word}` names more than one template", hint=f"say {choices}")
    elif _is_elsewhere(word):
        with _fetched(word) as (folder, model):
            yield _one_of(_models_in(folder), model, word)
    else:
        hint = did_you_mean(word, [one.name for one in among])
        known = ", ".join(f"{one.language}/{one.name}" for one in among)
        raise UserError(
            f"There is no template `{word}`", ("templates", known),
            hint=hint or "a path or a Git address of another model will do, too",
        )  # fmt: skip


def from_here(word: str) -> str:
    """Return what a person says of a template; a path from the working directory is made whole."""
    place, model = _split(word)
    if os.sep not in place and place not in (os.curdir, os.pardir):
        return word  # the name of a template
    if not os.path.isdir(place):
        return word  # an address, or nothing
    return os.path.abspath(place) + (f"#{model}" if model else "")


def _is_elsewhere(word: str) -> bool:
    place, _ = _split(word)
    return bool(_ADDRESS.fullmatch(place)) or os.sep in place or os.path.isdir(place)


def _split(word: str) -> tuple[str, str]:
    """Return a path or address, and the model that is named behind its `#`."""
    word = os.path.expanduser(word)
    place, found, model = word.rpartition("#")
    return (place, model) if found and not os.path.isdir(word) else (word, "")


@contextlib.contextmanager
def _fetched(word: str) -> Iterator[tuple[str, str]]:
    """Give the folder that a word leads to, cloned where it is an address, and what is behind `#`.

    What is cloned is gone afterwards.
    """
    place, model = _split(word)
    if os.path.isdir(place):
        yield os.path.realpath(place), model
        return
    if not _ADDRESS.fullmatch(place):
        raise UserError(
            f"There is no folder `{place}`",
            hint="`--list` shows the templates that have names; an address begins as `https://`",
        )
    with tempfile.TemporaryDirectory(prefix="model-template-") as temporary:
        folder = f"{os.path.realpath(temporary)}/clone"
        _clone(place, folder)
        yield folder, model


def _clone(address: str, folder: str) -> None:
    settings = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    patience = ["-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={PATIENCE_SECONDS}"]
    command = ["git", *patience, "clone", "--quiet", "--depth", "1", "--no-tags"]
    command += ["--", address, folder]
    try:
        done = subprocess.run(
            command, env={**git.kept_variables(), **settings}, stderr=subprocess.PIPE, text=True,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise UserError(
            f"Git is needed for `{address}`, and it is not installed",
            hint="install it, or copy the repository here and give its path",
        ) from error
    if done.returncode:
        said = without_password(done.stderr.strip())
        raise UserError(
            f"`{without_password(address)}` cannot be cloned",
            ("git says", said),
            hint="see that `git clone` of it works; a path of a clone will do as well",
        )


def _models_in(root: str) -> list[Template]:
    """Return the models and templates in a folder, itself if it is one."""
    found = []
    for top, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT)
        if "model.json" not in names:
            continue
        folders.clear()
        try:
            said = document(top)
        except UserError:
            if top == root:
                raise
            continue  # one that is broken keeps no other from being copied
        name = os.path.relpath(top, root)
        language = str(said.get("language") or "")
        found.append(Template(language, name, top, said, _repository(top, root)))
    return found


def _repository(folder: str, root: str) -> str:
    """Return the folder of the repository that a model is in."""
    above = (str(path.parent) for path in Path(folder).parents if path.name == MODELS)
    return next(above, root)


def _one_of(found: Sequence[Template], model: str, word: str) -> Template:
    """Return the one model that is meant."""
    for name_of in (_path, _folder_name, _id, _title):
        named = [one for one in found if name_of(one) == model] if model else list(found)
        if len(named) == 1:
            return named[0]
    if not found:
        raise UserError(
            f"There is no model in `{word}`", hint="a model is a folder with model.json"
        )
    place = word.removesuffix(f"#{model}") if model else word
    names = [one.name for one in found]
    near = did_you_mean(model, [*names, *map(_folder_name, found)]) if model else ""
    raise UserError(
        f"There is no model `{model}` in `{place}`" if model else f"`{word}` has several models",
        ("models", ", ".join(names)),
        hint=near or f"name one of them: `{place}#{names[0]}`",
    )


def _path(template: Template) -> str:
    return template.name


def _folder_name(template: Template) -> str:
    return os.path.basename(template.folder)


def _id(template: Template) -> str:
    return template.id


def _title(template: Template) -> str:
    return str(template.document.get("name") or "")


def _folders(top: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(
            entry.name
            for entry in os.scandir(top)
            if entry.is_dir() and entry.name not in LEFT_OUT and not entry.name.startswith(".")
        )
    return []
