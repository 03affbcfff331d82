"""Which of a model's files a step reads: the code that it imports, and all that is not code.

Found by reading import statements, as a compiler's dependency files do for `#include`.  Where a
source imports in a way that cannot be read (`importlib`, `exec` ...), every file counts.  After a
run the model's process says what it did import, and `execute` holds it against this.
"""

from __future__ import annotations

import ast
import json
import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.fingerprint import Files

PACKAGE = "model_modules"
KIND = "imports 1"

ENTRY_MODULES = {
    "train": ("training",),
    "evaluate": ("evaluation", "evaluate", "scoring"),
    "score": ("scoring",),
}
"""The modules that may hold a step's function; the first one that exists is it."""

_DYNAMIC = {"importlib", "__import__", "exec", "eval", "runpy", "pkgutil", "imp"}
_NEVER_READ = (".ipynb", ".pyc", ".md")


def entry_module(step: str, names: Iterable[str]) -> str | None:
    """Return the module of a step among the file names inside `model_modules`, or None."""
    present = set(names)
    return next((m for m in ENTRY_MODULES[step] if f"{m}.py" in present), None)


def read_by_step(step: str, folder: str, names: Sequence[str], files: Files) -> dict[str, str]:
    """Return those of the file names (relative to `folder`, the model_modules) that a step reads.

    Each has the reason why it counts, in words; an empty one where that goes without saying.
    Raises OSError where a source cannot be read.
    """
    code = {name for name in names if name.endswith(".py")}
    rest = dict.fromkeys(
        (
            name
            for name in names
            if not name.endswith((".py", *_NEVER_READ)) and posixpath.basename(name) not in _SETUP
        ),
        "",
    )
    entry = entry_module(step, code)
    if entry is None:
        return dict.fromkeys(code, "") | rest
    reached: dict[str, str] = {}
    waiting = dict.fromkeys((*_package_files("", code), f"{entry}.py"), "")
    while waiting:
        name, reason = waiting.popitem()
        reached[name] = reason
        imports = json.loads(files.note(f"{folder}/{name}", KIND, _imports))
        if imports is None:
            every = f"`{name}` imports in a way that cannot be read, so every source counts"
            return dict.fromkeys(code, every) | rest
        for path in imports:
            for hit in _resolve(path, name, code) - reached.keys():
                waiting.setdefault(hit, f"`{name}` imports it")
    return reached | rest


_SETUP = {"requirements.txt", "requirements.R"}  # they decide the environment, nothing else


def _imports(data: bytes) -> str:
    """Return the imported names as JSON: dotted, leading dots for relative ones; null: unknown."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return "null"
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _DYNAMIC:
            return "null"
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            joint = "" if base.endswith(".") else "."
            found |= {base} | {f"{base}{joint}{alias.name}" for alias in node.names}
    if any(name.partition(".")[0] in _DYNAMIC for name in found):
        return "null"
    return json.dumps(sorted(found))


def _resolve(name: str, importer: str, code: set[str]) -> set[str]:
    """Return the files that importing `name` inside `importer` runs, among the model's own."""
    path = name.lstrip(".")
    level = len(name) - len(path)
    base, slash, _ = importer.rpartition("/")
    if level:
        for _ in range(level - 1):
            base, slash, _ = base.rpartition("/")
        bases = {base + slash}
    else:
        # `import helper` finds a sibling where the model has put its own folder on sys.path.
        first, _, rest = path.partition(".")
        bases, path = ({""}, rest) if first == PACKAGE else ({base + slash, ""}, path)
    parts = path.removesuffix(".*").strip("*").replace(".", "/")
    found = set()
    for folder in bases:
        location = f"{folder}{parts}"
        for hit in (f"{location}.py", f"{location}/__init__.py".lstrip("/")):
            if hit in code:
                found |= {hit} | _package_files(hit.rpartition("/")[0], code)
    return found


def _package_files(folder: str, code: set[str]) -> set[str]:
    """Return the `__init__.py` of a folder and of those around it."""
    found = set()
    while True:
        name = f"{folder}/__init__.py" if folder else "__init__.py"
        if name in code:
            found.add(name)
        if not folder:
            return found
        folder = folder.rpartition("/")[0]
