"""Python: what a source imports."""

from __future__ import annotations

import ast

# What imports by a name made at run time, or runs a source as a program of its own.
_DYNAMIC = {"importlib", "__import__", "exec", "eval", "runpy", "pkgutil", "imp", "subprocess"}


def read_source(data: bytes) -> tuple[list[str] | None, list[str]]:
    """Return what a source imports (None: unknown), and the names that its top level gives.

    What is imported is dotted, with leading dots for relative imports; the name `*` stands for
    names that cannot be told.
    """
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return None, ["*"]
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
    return None if dynamic else sorted(imports), _names(tree)


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
