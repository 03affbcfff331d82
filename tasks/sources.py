"""Which of a model's files a step reads: the code that it imports, and all that is not code.

Found by reading import statements, as a compiler's dependency files do for `#include`.  Where a
source imports in a way that cannot be read (`importlib`, `exec` ...), every file counts.  After a
run the model's process says what it did import, and `execute` holds it against this.
"""

from __future__ import annotations

import ast
import json
import posixpath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tasks.fingerprint import Files

PACKAGE = "model_modules"
KIND = "imports 2"

ENTRY_MODULES = {
    "train": ("training",),
    "evaluate": ("evaluation", "evaluate", "scoring"),
    "score": ("scoring",),
}
"""The modules that may hold a step's function, the one that is looked into first at the front."""

# What imports by a name made at run time, or runs a source as a program of its own.
_DYNAMIC = {"importlib", "__import__", "exec", "eval", "runpy", "pkgutil", "imp", "subprocess"}
_NEVER_READ = (".ipynb", ".pyc", "README.md")


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
    entries = _entries(step, folder, code, files)
    if not entries:
        return dict.fromkeys(code, "") | rest
    reached = _reached((*_package_files("", code), *entries), folder, code, files)
    if step != "train":
        # What training has pickled is unpickled with the classes that it imported.
        entries = _entries("train", folder, code, files)
        pickled = _reached(entries, folder, code, files)
        for name in pickled.keys() - set(entries):
            reached.setdefault(name, f"what `{entries[0]}` pickles may be of it")
    return reached | rest


def _reached(entries: Iterable[str], folder: str, code: set[str], files: Files) -> dict[str, str]:
    """Return the sources that these lead to, each with the reason."""
    reached: dict[str, str] = {}
    waiting = dict.fromkeys(entries, "")
    while waiting:
        name, reason = waiting.popitem()
        reached[name] = reason
        imports = _said(f"{folder}/{name}", files)["imports"]
        if imports is None:
            every = f"`{name}` imports in a way that cannot be read, so every source counts"
            return dict.fromkeys(code, every)
        for path in imports:
            for hit in _resolve(path, name, code) - reached.keys():
                waiting.setdefault(hit, f"`{name}` imports it")
    return reached


_SETUP = {"requirements.txt", "requirements.R"}  # they decide the environment, nothing else


def _entries(step: str, folder: str, code: set[str], files: Files) -> list[str]:
    """Return the modules that are imported to find a step's function: those up to the one with it.

    Those before it may hold it in a way that cannot be read.  Empty where there is none.
    """
    entries = []
    for name in (f"{module}.py" for module in ENTRY_MODULES[step]):
        if name in code:
            entries.append(name)
            if step in _said(f"{folder}/{name}", files)["names"]:
                break
    return entries


def _said(path: str, files: Files) -> dict[str, Any]:
    """Return what a source says: `imports` (null: unknown) and the `names` it gives at its top."""
    found: dict[str, Any] = json.loads(files.note(path, KIND, _read_source))
    return found


def _read_source(data: bytes) -> str:
    """Return `_said` as JSON; imported names are dotted, with leading dots for relative ones."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return json.dumps({"imports": None, "names": ["*"]})
    imports: set[str] = set()
    dynamic = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            joint = "" if base.endswith(".") else "."
            imports |= {base} | {f"{base}{joint}{alias.name}" for alias in node.names}
        dynamic = dynamic or (isinstance(node, ast.Name) and node.id in _DYNAMIC)
    dynamic = dynamic or any(name.partition(".")[0] in _DYNAMIC for name in imports)
    return json.dumps({"imports": None if dynamic else sorted(imports), "names": _names(tree)})


def _names(tree: ast.Module) -> list[str]:
    """Return the names that a module's top level gives, `*` where that cannot be told."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif not isinstance(node, (ast.Expr, ast.AnnAssign)):
            found.add("*")
    return sorted(found)


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
        # `import helper` finds a file in whichever folder the model has put on sys.path.
        first, _, rest = path.partition(".")
        bases, path = ({""}, rest) if first == PACKAGE else (_folders(code), path)
    parts = path.removesuffix(".*").strip("*").replace(".", "/")
    found = set()
    for folder in bases:
        location = f"{folder}{parts}"
        for hit in (f"{location}.py", f"{location}/__init__.py".lstrip("/")):
            if hit in code:
                found |= {hit} | _package_files(hit.rpartition("/")[0], code)
    return found


def _folders(code: set[str]) -> set[str]:
    """Return the folders of the sources, each with a slash behind it, and the top."""
    return {""} | {name[: at + 1] for name in code for at, c in enumerate(name) if c == "/"}


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
