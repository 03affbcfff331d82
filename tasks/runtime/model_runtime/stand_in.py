"""What the stand-ins for packages of others have in common: they say that they are none of those.

A stand-in is found last, so only where the real package is not installed.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import importlib.util
import sys
import types
from typing import Any

_WAY_OUT = "name the real package in requirements.txt"


def stand_in(name: str) -> None:
    """Say in the log that the package of this name is a stand-in, and what it lacks when asked."""
    sys.modules[name].__class__ = _StandIn
    note(f"`{name}` is not installed: a stand-in takes its place")


def is_real(name: str) -> bool:
    """Return whether the real package of this name is loaded."""
    module = sys.modules.get(name)
    return module is not None and not isinstance(module, _StandIn)


def note(text: str) -> None:
    """Write a line of ours into the step's log."""
    sys.stderr.write(f"modelmake: {text}\n")


def lacks(what: str, instead: str = "") -> str:
    """Return the message for something that a stand-in has not."""
    return f"the stand-in has no `{what}`: {instead + ', or ' if instead else ''}{_WAY_OUT}"


class _StandIn(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        message = lacks(f"{self.__name__}.{name}")
        # An import statement asks for each name, and would drop the words of an AttributeError.
        asking = sys._getframe(1).f_code.co_filename  # noqa: SLF001
        importing = asking.startswith("<frozen importlib")
        if importing and importlib.util.find_spec(f"{self.__name__}.{name}") is None:
            raise ImportError(message)
        raise AttributeError(message)
