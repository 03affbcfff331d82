"""Whether a Python source may see more of itself than its syntax tree: its text, or line numbers.

What such a model makes could differ with a comment, so its sources count byte by byte.  Looked for
are names, not uses: a source that is wrongly suspected costs time, one that is wrongly trusted
would make a result a lie.  What a run says about itself on the way (a traceback in its log) is not
looked for: a log tells of the run that wrote it.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

# Modules that read sources or positions, or that keep code or sources with what they save.
_MODULES = {
    *("ast", "bdb", "cProfile", "code", "codeop", "dis", "doctest", "inspect", "linecache"),
    *("marshal", "pdb", "profile", "py_compile", "pyclbr", "pydoc", "symtable", "tokenize"),
    *("trace", "traceback", "tracemalloc", "zipapp"),
    *("faulthandler", "logging.config", "logging.handlers", "tarfile", "unittest", "zipfile"),
    # by value, with the line numbers, where a function has no name to be imported by
    *("cloudpickle", "dill", "mlflow", "bentoml"),
    # the text of the sources, or where in it something was called
    *("loguru", "sacred", "torch.export", "torch.fx", "torch.jit", "torch.onnx", "torch.package"),
    *("jax.export", "jax.experimental.export", "rich.console", "rich.logging", "rich.traceback"),
    *("structlog",),
}

_FOLDERS = {
    *("copytree", "fwalk", "iterdir", "listdir", "make_archive", "popen", "scandir", "system"),
    *("walk",),
}
"""What reads a whole folder, which could be the one with the sources."""

# What is asked of a module, a frame, a class or a piece of code.
_NAMES = {
    *("__file__", "__cached__", "__loader__", "__path__", "__spec__", "__code__", "__dict__"),
    *("__traceback__", "_getframe", "_current_frames", "settrace", "setprofile", "vars"),
    *("get_data", "get_source", "getsource", "getsourcelines", "catch_warnings"),
    *("captureWarnings", "formatwarning", "showwarning", "excepthook", "print_stack"),
    *("redirect_stderr", "dup2", "FileHandler", "StreamHandler", "exc_info", "stack_info"),
    # logs, and the tracebacks in them, that go elsewhere; `exception` alone goes to the run's own
    *("Handler", "Formatter", "RichHandler", "exc_text", "findCaller", "formatException"),
    *("formatStack", "get_console", "makeRecord", "setLogRecordFactory"),
    *("__cause__", "__context__", "tb_frame", "f_back", "gi_frame", "cr_frame", "ag_frame"),
    # Python 3.13 has the first line of a class among its names
    *("dir", "globals", "locals", "getmembers", "__prepare__"),
    *_FOLDERS,
    # Keras keeps the code of a Lambda layer, joblib that of a function; the others are of PyTorch
    *("Lambda", "Memory", "_legacy_save", "jit", "to_onnx", "to_torchscript"),
}
_ATTRIBUTES = _NAMES | {"export", "fx", "onnx"}
_FUNCTIONS = _NAMES | {"compile"}
_KEYWORDS = {"exc_info", "stack_info", "_use_new_zipfile_serialization"}
_GLOBS = {"glob", "iglob", "rglob"}

# In a string: what is looked up by name, formats of logs, and paths to sources.
_TEXT = re.compile(
    r"lineno|__(?:file|code|spec|loader|dict)__|model_modules|\.py\b|_use_new_zipfile",
    re.IGNORECASE,
)
# Names that no module has: with another ending, or a dash behind their first word.
_NO_SOURCES = re.compile(r"\.(?!py|ipy)\w+$|(?:^|/)\w+-[^/]*$")


def reads_folders(nodes: Iterable[ast.AST], names: AbstractSet[str]) -> bool:
    """Return whether a source with these nodes and names may read all that lies in a folder."""
    calls = (node for node in nodes if isinstance(node, ast.Call))
    return bool(names & _FOLDERS) or any(map(_globs, calls))


def sees_itself(nodes: Iterable[ast.AST], imports: Iterable[str]) -> bool:
    """Return whether a source with these nodes and imports may see more than its syntax tree."""
    return any(map(_imports, imports)) or any(map(_looks, nodes))


def _imports(name: str) -> bool:
    parts = name.lstrip(".").split(".")
    prefixes = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return bool(prefixes & _MODULES) or parts[-1] in _NAMES or "lineno" in parts[-1].lower()


def _looks(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS or "lineno" in node.id.lower()
    if isinstance(node, ast.Attribute):
        if node.attr == "stderr" and isinstance(node.ctx, ast.Store):  # tracebacks go there
            return True
        return _asks_for(node.attr)
    if isinstance(node, ast.MatchClass):
        return any(map(_asks_for, node.kwd_attrs))
    if isinstance(node, ast.Constant):
        value = node.value
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        return isinstance(text, str) and bool(_TEXT.search(text))
    return isinstance(node, ast.Call) and (_globs(node) or _keeps_more(node))


def _asks_for(attribute: str) -> bool:
    lines = "lineno" in attribute.lower()
    return lines or attribute in _ATTRIBUTES or attribute.startswith("co_")


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _globs(call: ast.Call) -> bool:
    """Return whether a call lists files whose names could be anything, sources as well."""
    if _called(call) not in _GLOBS:
        return False
    pattern = call.args[0] if call.args else None
    text = pattern.value if isinstance(pattern, ast.Constant) else None
    return not (isinstance(text, str) and _NO_SOURCES.search(text))


def _keeps_more(call: ast.Call) -> bool:
    """Return whether a call has tracebacks in logs, logs written elsewhere, or a source saved."""
    words = {keyword.arg for keyword in call.keywords}
    return bool(words & _KEYWORDS) or (
        _called(call) == "basicConfig" and bool(words - {"level", "force"})
    )
