"""The order of the modules, read from their syntax trees."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

TASKS = Path(__file__).parent.parent / "tasks"
RUNTIME = TASKS / "runtime"


def ladder() -> list[str]:
    """Return the modules in the order of the package's docstring, with dotted names."""
    docstring = ast.get_docstring(ast.parse((TASKS / "__init__.py").read_text())) or ""
    listed = docstring.split("\n\n")[2].replace("\n", " ")
    packages = re.findall(r"(\w+) \(([^)]*)\)", listed)
    for package, inner in packages:
        names = ", ".join([package, *(f"{package}.{name}" for name in inner.split(", "))])
        listed = listed.replace(f"{package} ({inner})", names)
    return listed.split(", ")


def module_name(path: Path) -> str:
    """Return a module's name within `tasks`."""
    name = ".".join(path.relative_to(TASKS).with_suffix("").parts)
    return name.removesuffix(".__init__")


def imported(path: Path, *, top: bool = False) -> set[str]:
    """Return the full names of all that a file imports, wherever in it or at its top alone."""
    names = set()
    tree = ast.parse(path.read_text())
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def modules() -> list[Path]:
    """Return the modules of the build system, without the package's own file and runtime/."""
    paths = sorted(TASKS.rglob("*.py"))
    return [path for path in paths if RUNTIME not in path.parents and path != TASKS / "__init__.py"]


def test_the_ladder_lists_every_module() -> None:
    """No module stands outside the order, and the order names none that is gone."""
    assert sorted(ladder()) == sorted(module_name(path) for path in modules())


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_imports_only_from_below(path: Path) -> None:
    """A module imports only from those before it."""
    order = ladder()
    own = order.index(module_name(path))
    known = {f"tasks.{name}": index for index, name in enumerate(order)}

    upward = {name for name in imported(path) if known.get(name, -1) >= own}

    assert set() == upward


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=module_name)
def test_runtime_imports_the_standard_library_only(path: Path) -> None:
    """What runs inside a model's environment needs nothing that might not be there.

    What is for a framework imports it inside its functions.
    """
    own = {"model_runtime"}
    names = {name.partition(".")[0] for name in imported(path, top=True)}
    foreign = names - sys.stdlib_module_names - own

    assert set() == foreign


@pytest.mark.parametrize("path", sorted(RUNTIME.rglob("*.py")), ids=module_name)
def test_runtime_parses_on_python_3_6(path: Path) -> None:
    """The oldest Python that it may meet can read it."""
    ast.parse(path.read_text(), feature_version=(3, 6))
