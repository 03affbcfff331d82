"""Words that are another one with a slip of the finger."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORT = 3
"""A word of so many letters is easily another one with one letter changed, or with one less."""


def meant(word: str, known: Iterable[str]) -> str:
    """Return the known word that is meant: all but a slip is the same.  Nothing if there is none.

    Upper and lower case and what joins the parts of a word make no difference.
    """
    return next((one for one in known if _is_slip(squashed(word), squashed(one))), "")


def squashed(word: str) -> str:
    """Return a word in lower case and without what joins its parts."""
    return word.casefold().replace("_", "").replace("-", "")


def _is_slip(word: str, meant: str) -> bool:
    """Return whether a word has one letter too many, too few or wrong, or two swapped."""
    if word == meant:
        return True
    if len(word) == len(meant):
        wrong = [at for at, letter in enumerate(meant) if word[at] != letter]
        first, last = wrong[0], wrong[-1]
        swapped = last == first + 1 and (word[first], word[last]) == (meant[last], meant[first])
        return swapped or (first == last and len(meant) > _SHORT)
    longer, shorter = sorted([word, meant], key=len, reverse=True)
    return len(shorter) >= _SHORT and any(
        letter.isalpha() and longer[:at] + longer[at + 1 :] == shorter
        for at, letter in enumerate(longer)
    )
