"""Python: what a source imports, and what of it can count for a result."""

from __future__ import annotations

import ast
import contextlib
from typing import TYPE_CHECKING

from tasks.languages import paths, said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from tasks.model import Model
    from tasks.state import State

# What imports by a name made at run time, or runs a source as a program of its own.
_DYNAMIC = {
    *("importlib", "__import__", "exec", "eval", "runpy", "pkgutil", "imp", "subprocess"),
    *("builtins", "__builtins__"),  # `exec` by another way
}

# Starts a program, which may be a source too.
_STARTS = {
    *("system", "popen", "posix_spawn", "posix_spawnp"),
    *(f"spawn{how}" for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *(f"exec{how}" for how in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
    *("create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"),
}

# Where a module lies: who lists a folder, too, may read all that lies there.
_OWN_PLACE = {"__file__", "__path__"}

# The modules that the runtime has stand-ins for, and the packages that bring the real ones.
_STAND_INS = {
    "aoa": {"aoa"},
    "tmo": {"tmo", "teradatamodelops"},
    "teradataml": {"teradataml", "aoa", "tmo", "teradatamodelops"},
}
_STAND_INS_NEED = ("duckdb>=1.1", "numpy", "pandas")


def requirements(model: Model, state: State, named: AbstractSet[str]) -> tuple[str, ...]:
    """Return what the stand-ins need that the model's sources import, see `Language`."""
    found: set[str] = set()
    for source in model.sources:
        if source.endswith(".py"):
            path = f"{model.root}/model_modules/{source}"
            with contextlib.suppress(OSError):  # the plan tells of it
                imports = said(path, read_source, state.files)["imports"]
                found |= {name.partition(".")[0] for name in imports or ()}
    missing = [name for name, real in _STAND_INS.items() if name in found and not real & named]
    return _STAND_INS_NEED if missing else ()


def read_source(data: bytes) -> tuple[list[str] | None, list[str], str]:
    """Return what a source imports (None: unknown), and the names that its top level gives.

    What is imported is dotted, with leading dots for relative imports; what cannot be told and what
    its strings may be paths of stands as in `paths`.  The third is the digest of its syntax tree,
    empty where every byte counts.
    """
    # What was read before is remembered.
    from tasks.languages import reflection, syntax  # noqa: PLC0415

    try:
        tree, digest = syntax.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, ["*"], ""
    imports: set[str] = set()
    dynamic = False
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            joint = "" if base.endswith(".") else "."
            imports |= {base} | {f"{base}{joint}{alias.name}" for alias in node.names}
        dynamic = dynamic or (isinstance(node, ast.Name) and node.id in _DYNAMIC) or _starts(node)
    dynamic = dynamic or any(name.partition(".")[0] in _DYNAMIC for name in imports)
    names = {getattr(node, "id", getattr(node, "attr", "")) for node in nodes}
    dynamic = dynamic or bool({"os.*", "asyncio.*"} & imports and names & _STARTS)
    dynamic = dynamic or bool(names & _OWN_PLACE and reflection.reads_folders(nodes, names))
    if dynamic or reflection.sees_itself(nodes, imports):
        digest = ""
    imports |= paths.found(_strings(nodes), ".py") | ({paths.UNKNOWN} if dynamic else set())
    return sorted(imports), _names(tree), digest


def _starts(node: ast.AST) -> bool:
    """Return whether a node is what starts a program: `platform.system` only tells a name."""
    if isinstance(node, ast.ImportFrom):
        return node.module != "platform" and any(alias.name in _STARTS for alias in node.names)
    if not isinstance(node, ast.Attribute) or node.attr not in _STARTS:
        return False
    return not (isinstance(node.value, ast.Name) and node.value.id == "platform")


def _strings(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the strings of a source, and its bytes, but for docstrings: nobody opens these."""
    alone = set()
    for node in nodes:  # from the outside in
        if isinstance(node, ast.Expr):
            alone.add(node.value)
        elif isinstance(node, ast.Constant) and node not in alone:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")


def parse_fault(data: bytes) -> tuple[int, str]:
    """Return the line in which a source cannot be parsed, and why; 0 and nothing where it can."""
    try:
        ast.parse(data)
    except SyntaxError as error:
        return error.lineno or 0, error.msg
    except (ValueError, RecursionError, MemoryError) as error:
        return 0, str(error)
    return 0, ""


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
