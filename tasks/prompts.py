"""Ask a person: with arrow keys and completion on a terminal, by plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from tasks.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def on_terminal() -> bool:
    """Return whether questions can be drawn, and answered with keys."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def choose(question: str, choices: Sequence[tuple[str, str]], option: str) -> str:
    """Have one of the choices chosen, pairs of an answer and what is said of it; return the answer.

    `option` is what gives the answer on the command line.  Raises UserError where nobody answers,
    KeyboardInterrupt for Ctrl-C.
    """
    if on_terminal():
        return _drawn(question, choices)
    return _plain(question, choices, option)


def _drawn(question: str, choices: Sequence[tuple[str, str]]) -> str:
    import questionary  # noqa: PLC0415 - slow to import, and only a terminal asks

    width = max(len(answer) for answer, _ in choices)
    titles = [f"{answer:<{width}}  {about}".rstrip() for answer, about in choices]
    answers = [answer for answer, _ in choices]
    listed = [questionary.Choice(t, value=a) for t, a in zip(titles, answers, strict=True)]
    return str(
        questionary.select(
            question, listed, use_search_filter=True, use_jk_keys=False,
            instruction="(arrow keys, or type a part of it)",
        ).unsafe_ask()
    )  # fmt: skip


def _plain(question: str, choices: Sequence[tuple[str, str]], option: str) -> str:
    """Ask on stderr, so that what a program reads is the result alone."""
    answers = [answer for answer, _ in choices]
    for number, (answer, about) in enumerate(choices, 1):
        sys.stderr.write(f"[{number}] {answer}  {about}".rstrip() + "\n")
    while True:
        sys.stderr.write(f"{question} ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        word = line.strip()
        if word in answers:
            return word
        if word.isdecimal() and 1 <= int(word) <= len(answers):
            return answers[int(word) - 1]
        if not line:
            sys.stderr.write("\n")
            raise UserError(f"Nobody answers `{question}`", hint=f"`{option}` gives the answer")
        near = did_you_mean(word, answers) or f"a number from 1 to {len(answers)}, or a name"
        sys.stderr.write(f"There is no `{word}`: {near}\n")


def _never(_answer: str) -> str:
    return ""


def text(question: str, option: str, wrong: Callable[[str], str] = _never) -> str:
    """Have a line typed.  `wrong` says what is wrong with an answer.

    Raises UserError where nobody answers or, without a terminal, for a wrong answer;
    KeyboardInterrupt for Ctrl-C.
    """
    if on_terminal():
        import questionary  # noqa: PLC0415 - slow to import, and only a terminal asks

        checked = questionary.text(question, validate=lambda typed: wrong(typed) or True)
        return str(checked.unsafe_ask()).strip()
    sys.stderr.write(f"{question} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise UserError(f"Nobody answers `{question}`", hint=f"`{option}` gives the answer")
    answer = line.strip()
    if wrong(answer):
        raise UserError(wrong(answer), hint=f"`{option}` gives the answer too")
    return answer


def path(question: str, option: str) -> str:
    """Have a path or an address typed, which a terminal completes."""
    if not on_terminal():
        return text(question, option)
    import questionary  # noqa: PLC0415 - slow to import, and only a terminal asks

    return str(questionary.path(question).unsafe_ask()).strip()


def confirmed(question: str, option: str) -> bool:
    """Return whether a person says yes; no is what an empty answer means."""
    if on_terminal():
        import questionary  # noqa: PLC0415 - slow to import, and only a terminal asks

        return bool(questionary.confirm(question, default=False).unsafe_ask())
    return text(f"{question} (y/N)", option).lower() in {"y", "yes"}
