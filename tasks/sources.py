"""Which of a model's files a step reads: the code that it imports, and all that is not code.

Found by reading import statements, as a compiler's dependency files do for `#include`; how, each
language knows.  Where a source imports in a way that cannot be read (`importlib`, `exec` ...), or
may read a source by its path, every file counts.  After a run the model's process says what it did
import, and `execute` holds it against this.

A source counts by its syntax tree where its text and its line numbers cannot reach what the step
makes, else byte by byte (`trees`).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks import frameworks
from tasks.languages import GRAMMAR, VERSIONS, paths, said

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from tasks.fingerprint import Files
    from tasks.frameworks import Language
    from tasks.model import Model

PACKAGE = "model_modules"


def read_by_step(step: str, model: Model, files: Files) -> dict[str, str]:
    """Return those of a model's files (relative to its model_modules) that a step reads.

    Each has the reason why it counts, in words; an empty one where that goes without saying.
    Raises OSError where a source cannot be read.
    """
    sources = _sources(model, files)
    language, code = sources.language, sources.code
    rest = dict.fromkeys((name for name in model.sources if _is_read(name, language.suffix)), "")
    entries = _entries(step, sources)
    if not entries:
        return dict.fromkeys(code, "") | rest
    reached = _reached((*_package_files("", code), *entries), sources)
    if step != "train" and language.pickles:
        # What training has pickled is unpickled with the classes that it imported.
        entries = _entries("train", sources)
        pickled = _reached(entries, sources)
        for name in pickled.keys() - set(entries):
            reached.setdefault(name, f"what `{entries[0]}` pickles may be of it")
    if step == "train" and model.monitored:
        for name in _reached(_entries("score", sources), sources):
            reached.setdefault(name, "`monitoring`: what was trained is asked through it")
    return _named(reached, model, sources) | reached | rest


def missing(step: str, model: Model, files: Files) -> list[str]:
    """Return the files that may hold a step's function where a model has none of them.

    Its package itself may hold it too.  Raises OSError where a source cannot be read.
    """
    sources = _sources(model, files)
    package = {"__init__.py"} & sources.code
    if _entries(step, sources) or any(sources.has_something(name) for name in package):
        return []
    language = sources.language
    return [f"{entry}{language.suffix}" for entry in language.entries[step] if "." not in entry]


def trees(names: Iterable[str], model: Model, python: str, files: Files) -> dict[str, str]:
    """Return what stands for each source among these files, if that is not its bytes.

    `python` describes the interpreter that runs them.  The sources of a step count all in one way:
    one of them can read the text of another.  Raises OSError where a source cannot be read.
    """
    version = re.search(r" (\d+)\.(\d+)", python)
    older = version and (int(version[1]), int(version[2])) < GRAMMAR
    # Older Pythons do not read all sources as ours does, which `with (a, b):` shows.
    if older or model.document.get("keyBy") == "bytes":
        return {}
    sources = _sources(model, files)
    found = {name: sources.said(name)["tree"] for name in names if name in sources.code}
    return {name: f"tree {tree}" for name, tree in found.items()} if all(found.values()) else {}


def unparsed(step: str, model: Model, files: Files) -> dict[str, tuple[int, str]]:
    """Return the sources that a step reads and that cannot be parsed, each with the line and why.

    They are named as by `read_by_step`.  Raises OSError where a source cannot be read.
    """
    sources = _sources(model, files)
    found = {}
    for name in read_by_step(step, model, files).keys() & sources.code:
        if sources.said(name)["imports"] is None:
            with open(f"{sources.folder}/{name}", "rb") as file:
                found[name] = sources.language.parse_fault(file.read())
    return {name: fault for name, fault in found.items() if fault[1]}


def names_version(model: Model, files: Files) -> bool:
    """Return whether a source names the version of the trained model, and so may make use of it.

    A table's name has the version in it too; in SQL all that is trained is in such tables.  Raises
    OSError where a source cannot be read.
    """
    sources = _sources(model, files)
    words = VERSIONS[:1] if sources.language.engine == "sql" else VERSIONS
    return any(word in sources.said(name)["versions"] for name in sources.code for word in words)


def same_as(digest: str, name: str, model: Model, files: Files) -> bool:
    """Return whether a file is what it was, in whichever of the two ways it counted then.

    Raises OSError where it cannot be read.
    """
    sources = _sources(model, files)
    tree = name in sources.code and sources.said(name)["tree"]
    return digest in {f"tree {tree}", files.digest(f"{sources.folder}/{name}")}


@dataclass(frozen=True)
class _Sources:
    """The sources of a model: their language, folder and names in it."""

    language: Language
    folder: str
    code: frozenset[str]
    files: Files

    def said(self, name: str) -> dict[str, Any]:
        """Return what a source says: its `imports`, the `names` at its top, and its `tree`."""
        return said(f"{self.folder}/{name}", self.language.read_source, self.files)

    def has_something(self, name: str) -> bool:
        """Return whether a source imports or gives anything."""
        said = self.said(name)
        return bool(said["imports"] or said["names"])


def _sources(model: Model, files: Files) -> _Sources:
    language = frameworks.language(model)
    code = frozenset(name for name in model.sources if _is_source(name, language.suffix))
    return _Sources(language, f"{model.root}/{PACKAGE}", code, files)


def _is_source(name: str, suffix: str) -> bool:
    return name.endswith(suffix) and posixpath.basename(name) not in paths.SETUP


def _is_read(name: str, suffix: str) -> bool:
    """Return whether a file that is no source counts for every step."""
    never = name.endswith((suffix, *paths.NEVER_READ)) or posixpath.basename(name) in paths.SETUP
    return not never


def _named(reached: Iterable[str], model: Model, sources: _Sources) -> dict[str, str]:
    """Return the files that a source of these may read though no step does, with the reason."""
    found: dict[str, str] = {}
    for source in reached:
        for one in sources.said(source)["imports"] or ():
            if one.startswith(paths.NAMED):
                ends = one.removeprefix(paths.NAMED)
                hits = [name for name in model.sources if posixpath.basename(name).endswith(ends)]
                found |= dict.fromkeys(hits, f"`{source}` names it")
    return found


def _reached(entries: Iterable[str], sources: _Sources) -> dict[str, str]:
    """Return the sources that these lead to, each with the reason."""
    reached: dict[str, str] = {}
    waiting = dict.fromkeys(entries, "")
    while waiting:
        name, reason = waiting.popitem()
        reached[name] = reason
        imports = sources.said(name)["imports"]
        if imports is None or paths.UNKNOWN in imports:
            every = f"what `{name}` imports or reads cannot be told, so every source counts"
            return dict.fromkeys(sources.code, every)
        for path in imports:
            for hit in _resolve(path, name, sources) - reached.keys():
                waiting.setdefault(hit, f"`{name}` imports it")
    return reached


def _entries(step: str, sources: _Sources) -> list[str]:
    """Return the files that are looked into for a step's function: those up to the one with it.

    Those before it may hold it in a way that cannot be read; one of a variant (`training.duckdb`)
    stands for that variant alone.  Empty where there is none.
    """
    entries = []
    for entry in sources.language.entries[step]:
        name = f"{entry}{sources.language.suffix}"
        if name in sources.code:
            entries.append(name)
            if step in sources.said(name)["names"] and "." not in entry:
                break
    return entries


def _resolve(name: str, importer: str, sources: _Sources) -> set[str]:
    """Return the files that importing `name` inside `importer` runs, among the model's own.

    A path with the suffix of the sources is seen from the working directory.
    """
    code, suffix = sources.code, sources.language.suffix
    if "/" in name and name.endswith(suffix):
        return {posixpath.normpath(name).removeprefix(f"{PACKAGE}/")} & code
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
        for hit in (f"{location}{suffix}", f"{location}/__init__.py".lstrip("/")):
            if hit in code:
                found |= {hit} | _package_files(hit.rpartition("/")[0], code)
    return found


def _folders(code: AbstractSet[str]) -> set[str]:
    """Return the folders of the sources, each with a slash behind it, and the top."""
    return {""} | {name[: at + 1] for name in code for at, c in enumerate(name) if c == "/"}


def _package_files(folder: str, code: AbstractSet[str]) -> set[str]:
    """Return the `__init__.py` of a folder and of those around it."""
    found = set()
    while True:
        name = f"{folder}/__init__.py" if folder else "__init__.py"
        if name in code:
            found.add(name)
        if not folder:
            return found
        folder = folder.rpartition("/")[0]
