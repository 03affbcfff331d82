"""doit's commands that look at another commit: `affected` and `compare`."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from doit.exceptions import InvalidCommand

from tasks import affected, difference_forms, differences, git, shards
from tasks.errors import UserError
from tasks.naming import option
from tasks.queries import JSON_OPTION, ModelCommand, print_json
from tasks.state import open_state

if TYPE_CHECKING:
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
            raise InvalidCommand(
                "`doit affected` takes a commit: `doit affected --base origin/main`"
            )
        state = open_state()
        try:
            found = affected.since(git.merge_base(base), state)
            matrix = shards.matrix(found.affected, state) if json else None
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        if matrix is not None:
            print_json(matrix)
        else:
            _show(found, base)
        self.dep_manager.close()
        return 0


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

    def _execute(self, markdown: bool, json: bool, pos_args: list[str]) -> int:
        """Show the models that differ."""
        if len(pos_args) > 1 or (markdown and json):
            raise InvalidCommand("`doit compare` takes one commit, and one form")
        revision = pos_args[0] if pos_args else "HEAD"
        state = open_state()
        try:
            found = affected.since(git.commit(revision), state)
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
