"""doit's commands that look at another commit: `affected` and `compare`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from doit.exceptions import InvalidCommand

from tasks import affected, difference_forms, differences, generators, git, shards
from tasks.errors import UserError
from tasks.naming import option
from tasks.queries import JSON_OPTION, ModelCommand, print_json
from tasks.state import open_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks.affected import Found


class Affected(ModelCommand):
    """`doit affected --base COMMIT`: the models that differ from a commit."""

    name = "affected"
    doc_purpose = "list the models that differ from a commit, with the reasons"
    doc_usage = "--base COMMIT"
    doc_description = (
        "Compared is the working tree, as it is, with the last commit that HEAD and COMMIT have in"
        " common. Nothing is checked out. Exit status 0: told; 3: there is no such commit."
    )
    cmd_options = (option("base", str, "a commit, branch or tag: origin/main"), JSON_OPTION)

    def _execute(self, base: str, json: bool, pos_args: list[str]) -> int:
        """Tell what differs, or print the matrix of CI that builds it."""
        if pos_args or not base:
            how = "takes its commit behind `--base`" if pos_args else "takes a commit"
            if base:
                how = f"tells of every model, not of `{pos_args[0]}`"
            commit = base or next(iter(pos_args), "origin/main")
            raise InvalidCommand(f"`doit affected` {how}\n\nhint: `doit affected --base {commit}`")
        state = open_state()
        try:
            found = affected.since(_commit(base, git.merge_base, "doit affected --base"), state)
            matrix = shards.matrix(found.affected, state) if json else None
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        if matrix is not None:
            print_json(matrix)
        else:
            _show(found, base)
        self.dep_manager.close()
        return 0


def _commit(word: str, find: Callable[[str], str], how: str) -> str:
    """Return the commit that a word stands for.  `how` is what is written before it.

    Raises UserError where there is none, and people may have named a model.
    """
    try:
        return find(word)
    except UserError as error:
        if all(word not in {one.name, one.id, one.title} for one in generators.models()):
            raise
        raise UserError(
            f"`{word}` is a model, and `{how.removesuffix(' --base')}` takes a commit",
            hint=f"`{how} HEAD` shows what differs of every model",
        ) from error


def _show(found: Found, base: str) -> None:
    same = git.commit(base) == found.commit
    since = base if same else f"what HEAD and {base} have in common"
    print(difference_forms.differing(len(found.affected), since, found.commit))
    for one in found.affected:
        for step, reasons in one.reasons.items():
            print(f"{step}:{one.model.name} differs:")
            for reason in reasons:
                print(f"  {reason}")
    for gone in found.gone:
        print(f"{gone.model.name} is gone: there is nothing to build")


class Compare(ModelCommand):
    """`doit compare [COMMIT]`: what models measure and are made from, beside a commit."""

    name = "compare"
    doc_purpose = "show metrics, parameters, data and packages beside those at a commit"
    doc_usage = "[COMMIT]"
    doc_description = (
        "Compared is the working tree, as it is, with COMMIT, or HEAD where none is named. Results"
        " are taken from where they are kept; nothing is run. Exit status 0: told; 3: there is no"
        " such commit."
    )
    cmd_options = (option("markdown", bool, "print Markdown, for a pull request"), JSON_OPTION)

    def parse_execute(self, in_args: list[str]) -> int:
        """Tell who names the commit as `affected` takes it how it is named here."""
        words = [part for word in in_args for part in word.split("=", 1)]
        if "--base" in words[:-1]:
            raise InvalidCommand(
                "`doit compare` takes its commit without `--base`\n\n"
                f"hint: `doit compare {words[words.index('--base') + 1]}`"
            )
        return super().parse_execute(in_args)

    def _execute(self, markdown: bool, json: bool, pos_args: list[str]) -> int:
        """Show the models that differ."""
        revision = pos_args[0] if pos_args else "HEAD"
        if len(pos_args) > 1:
            raise InvalidCommand(
                f"`doit compare` takes one commit, and not `{pos_args[1]}` behind it\n\n"
                f"hint: `doit compare {revision}` shows what differs of every model"
            )
        if markdown and json:
            raise InvalidCommand(
                "`doit compare` takes one of `--json` and `--markdown`\n\n"
                f"hint: `doit compare {revision} --json` is for programs,"
                " `--markdown` for a pull request"
            )
        state = open_state()
        try:
            found = affected.since(_commit(revision, git.commit, "doit compare"), state)
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        compared = differences.since(revision, found, state)
        if json:
            print_json(difference_forms.document(compared))
        elif markdown:
            print(difference_forms.markdown(compared), end="")
        else:
            wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
            print("\n".join(difference_forms.table(compared, wide)))
        self.dep_manager.close()
        return 0
