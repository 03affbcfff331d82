"""`cli/repo-cli.py`: add, list, rename and remove models, or begin a repository."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from typing import TYPE_CHECKING

from tasks import processes, prompts, readme, scaffold
from tasks import templates as of
from tasks.errors import UserError, refused
from tasks.folders import repository_of
from tasks.looks import MODELS
from tasks.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasks.templates import Template

DEFAULT_NAME = "New model"
DEFAULT_LANGUAGE = "python"
DEFAULT_TEMPLATE = "empty"
ANOTHER = "another model"


def main(words: Sequence[str]) -> int:
    """Run the command and return its exit status."""
    for number in processes.ENDING:
        signal.signal(number, processes.terminated)
    try:
        asked = parser().parse_args(words)
        if asked.init is not None:
            _begin(asked)
        else:
            asked.template = of.from_here(asked.template)
            os.chdir(repository_of(os.getcwd()))
            _act(asked)
        sys.stdout.flush()
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt as interrupt:
        sys.stderr.write("\n")
        return processes.status_after(interrupt)
    except BrokenPipeError:  # nobody reads on, as in `| head`
        return processes.status_unread()
    except OSError as error:
        sys.stderr.write(f"{refused(error)}\n")
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    found = argparse.ArgumentParser(
        prog="repo-cli.py",
        description="Add, list, rename and remove the models of the repository that you are in.",
        epilog="What is not said is asked for. Exit status: 0 done, 1 it could not be done,"
        " 2 not understood, 130 ended by Ctrl-C.",
    )
    what = found.add_mutually_exclusive_group(required=True)
    what.add_argument("-a", "--add", action="store_true", help="make a model from a template")
    what.add_argument("-l", "--list", action="store_true", help="list the templates and models")
    what.add_argument(
        "--rename", nargs=2, metavar=("MODEL", "NAME"), help="give a model another name and folder"
    )
    what.add_argument("--remove", metavar="MODEL", help="remove a model, its lock and results")
    what.add_argument("--init", metavar="DIR", help="make a repository with its first model")
    found.add_argument("--name", default="", help="the name of the new model")
    found.add_argument("--description", default="", help="what it does")
    found.add_argument("--language", default="", help="its language, as --list has it")
    found.add_argument(
        "--template", default="",
        help="a template that --list has, or the path or Git address of another model,"
        " with #MODEL behind it where there are several",
    )  # fmt: skip
    found.add_argument("-y", "--yes", action="store_true", help="ask nothing: take what is usual")
    found.add_argument("--json", action="store_true", help="with --list: print JSON")
    return found


def _act(asked: argparse.Namespace) -> None:
    if asked.list:
        _list(as_json=asked.json)
        return
    readme.find()  # before anything is changed
    if asked.add:
        _add(asked)
    else:
        _change(asked)


def _add(asked: argparse.Namespace) -> None:
    name = _name(asked, scaffold.free_folder)
    scaffold.free_folder(name)
    description = _description(asked)
    with of.opened(*_template(asked, of.templates())) as template:
        folder = scaffold.add(name, description, template)
        try:
            listed = readme.update()
        finally:
            _say_made(folder, template)
    if listed:
        print("README.md has it in its table")
    _say_next(os.path.relpath(folder, MODELS))


def _begin(asked: argparse.Namespace) -> None:
    scaffold.free_place(asked.init)
    name = _name(asked, scaffold.slug)
    description = _description(asked)
    with of.opened(*_template(asked, of.templates())) as template:
        folder = scaffold.new_repository(asked.init, name, description, template)
    _say_made(f"{asked.init.rstrip('/')}/{folder}", template)
    steps = os.path.relpath(folder, MODELS)
    runner = shlex.quote(f"{of.RUNNER}/bootstrap")
    print(f"\nnext:\n  cd {shlex.quote(asked.init)}\n  {runner} doit evaluate:{steps}")


def _name(asked: argparse.Namespace, check: Callable[[str], object]) -> str:
    if asked.name or asked.yes:
        return asked.name or DEFAULT_NAME
    return prompts.text("Model name:", "--name", wrong=lambda name: _wrong(check, name))


def _wrong(check: Callable[[str], object], name: str) -> str:
    """Return what is wrong with a name by this check, nothing where it is good."""
    try:
        check(name)
    except UserError as error:
        return error.headline
    return ""


def _description(asked: argparse.Namespace) -> str:
    if asked.description or asked.yes:
        return str(asked.description)
    return prompts.text("Model description (an empty one is the template's):", "--description")


def _template(
    asked: argparse.Namespace, known: Sequence[Template]
) -> tuple[str, Sequence[Template]]:
    """Return what template is meant, as `opened` takes it."""
    among = of.of_language(asked.language, known) if asked.language else known
    if asked.template:
        return asked.template, among
    if not asked.language:
        among = of.of_language(_language(asked, known), known)
    names = [one.name for one in among]
    if asked.yes:
        return DEFAULT_TEMPLATE if DEFAULT_TEMPLATE in names else names[0], among
    choices = [(one.name, one.description) for one in among]
    chosen = prompts.choose(
        "Template:", [*choices, (ANOTHER, "a path or a Git address")], "--template"
    )
    if chosen == ANOTHER:
        return prompts.path("Path or address:", "--template"), among
    return chosen, among


def _language(asked: argparse.Namespace, known: Sequence[Template]) -> str:
    if asked.yes:
        return DEFAULT_LANGUAGE
    counts = {name: len(of.of_language(name, known)) for name in of.languages(known)}
    choices = [(name, f"{count} templates") for name, count in counts.items()]
    return prompts.choose("Model language:", choices, "--language")


def _say_made(folder: str, template: Template) -> None:
    name = os.path.basename(template.folder)
    source = name if template.id else f"{template.language}/{template.name}"
    print(f"made {folder} from {source}")
    if template.id and os.path.exists(f"{folder}/README.md"):
        print("its README.md is that of the model it was copied from")


def _say_next(name: str) -> None:
    doit = ["doit"]
    if not os.path.exists("dodo.py"):
        doit += ["-f", f"{of.RUNNER}/dodo.py", "-d", os.getcwd()]
    print("\nnext:")
    for step in ("train", "evaluate"):
        print(f"  {shlex.join([*doit, f'{step}:{name}'])}")


def _list(*, as_json: bool) -> None:
    known, models = of.templates(), readme.described()
    if as_json:
        found = {
            "templates": [
                {"language": one.language, "name": one.name, "description": one.description}
                for one in known
            ],
            "models": [
                {
                    "name": one.name, "id": one.id, "title": one.title,
                    "framework": one.framework or "unknown",
                    "description": str(one.document.get("description") or ""),
                }
                for one in models
            ],
        }  # fmt: skip
        print(json.dumps(found, indent=2))
        return
    _print_table(
        ("TEMPLATE", "DESCRIPTION"),
        [(f"{one.language}/{one.name}", one.description) for one in known],
    )
    print()
    _print_table(
        ("MODEL", "FRAMEWORK", "NAME"),
        [(one.name, one.framework or "unknown", one.title) for one in models],
    )


def _print_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    for row in [heads, *rows]:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        shown = "  ".join(cells).rstrip()
        print("".join(letter if letter.isprintable() else "\ufffd" for letter in shown))


def _change(asked: argparse.Namespace) -> None:
    """Rename or remove a model."""
    from tasks import upkeep  # noqa: PLC0415 - slow to import, and adding needs none of it

    if asked.rename:
        word, new = asked.rename
        model = upkeep.find(word)
        renamed = upkeep.rename(model, new)
        print(f"renamed {model.folder} to {renamed.folder}; its id, lock and results stay")
        if os.path.exists(f"{renamed.folder}/README.md"):
            print("its README.md is as it was, with the old name where that stands in it")
        return
    model = upkeep.find(asked.remove)
    count = upkeep.unsaved(model)
    lost = f", and {counted(count, 'file')} of it that Git does not have unchanged" if count else ""
    if not asked.yes:
        question = f"Remove {model.folder} with its lock and results{lost}?"
        if not prompts.confirmed(question, "--yes"):
            print("nothing is removed")
            return
    upkeep.remove(model, print)
