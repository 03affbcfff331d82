"""doit's commands about the store: `store`, `gc` and `verify`."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from doit.cmd_base import DoitCmdBase
from doit.exceptions import InvalidCommand

from tasks import generators, needed, records, status_line, store, store_forms, storekeeping
from tasks.errors import UserError
from tasks.folders import raised
from tasks.model import STEPS
from tasks.naming import FriendlyCommand, option
from tasks.plan import BUILD, RESULTS
from tasks.profiles import STORE_VARIABLE
from tasks.queries import JSON_OPTION, end_with_the_reader
from tasks.shared import shared as shared_store
from tasks.state import open_state
from tasks.storekeeping import Policy
from tasks.wording import counted, size_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasks.storekeeping import Stock, Stored

SHARED_OPTION = option("shared", bool, "the folder that MODEL_STORE names, not build/store")
UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SPANS = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0}
KEPT = 3
REDRAW_SECONDS = 0.2


class StoreCommand(FriendlyCommand, DoitCmdBase):
    """What the three commands share: they load no tasks, and take no names."""

    doc_usage = ""

    def execute(self, params: Any, args: list[str]) -> int:
        """Have doit load no tasks."""
        if args:
            own = {"store", "gc", "verify"} - {self.name}
            hint = f"\n\nhint: `doit {args[0]}`" if args[0] in own else ""
            raise InvalidCommand(f"`doit {self.name}` takes no names, not `{args[0]}`{hint}")
        generators.Options.kinds = frozenset()
        end_with_the_reader()
        try:
            status = int(super().execute(params, args) or 0)
        except UserError as error:
            raise InvalidCommand(str(error)) from error
        except OSError as error:
            raise InvalidCommand(
                f"The store cannot be worked on: {error}\n\n"
                "hint: nothing is removed of what cannot be read; see whose files those are"
            ) from error
        return status

    def print(self, text: str, as_json: object) -> None:
        """Print what people read, or what programs read where that is given."""
        print(text if as_json is None else json.dumps(as_json, indent=2))
        self.dep_manager.close()


class Store(StoreCommand):
    """`doit store`: what is in the store."""

    name = "store"
    doc_purpose = "show what is in the store of results"
    cmd_options = (SHARED_OPTION, JSON_OPTION)

    def _execute(self, shared: bool, json: bool) -> int:
        """Show each step's results, and how large all is."""
        root = _root(shared=shared)
        found = storekeeping.stock(root)
        hits = int(open_state().recall(store.HITS) or 0)
        document = {
            "folder": root,
            "bytes": found.size,
            "objects": len(found.sizes),
            "restored": hits,
            "results": _told(found.results),
            "unsound": dict(found.unsound),
        }
        self.print("\n".join(_overview(root, found, hits)), document if json else None)
        return 0


class Gc(StoreCommand):
    """`doit gc`: remove from the store what is needed no more."""

    name = "gc"
    doc_purpose = "remove what is needed no more from the store of results"
    doc_description = (
        "Kept are results that are linked in build/models or that a branch or tag of"
        " this clone needs, and of each step the newest. Of the others all go; with"
        " --age those that were not used for so long, with --size those that were used"
        " longest ago, until the rest fits. With --shared, other clones may need more."
    )
    cmd_options = (
        {**option("keep", int, f"how many results of each step are kept, {KEPT} unless told"),
         "default": KEPT},
        option("age", str, "let go what was not used for that long: 12h, 30d, 8w"),
        option("size", str, "let go only until the store is that large: 500M, 20G"),
        option("dry-run", bool, "remove nothing, and show what would go"),
        SHARED_OPTION,
        JSON_OPTION,
    )  # fmt: skip

    def execute(self, params: Any, args: list[str]) -> int:
        """Note how the options are meant, some of whose names are no words of Python."""
        self._dry_run = params["dry-run"]
        return super().execute(params, args)

    def _execute(self, keep: int, age: str, size: str, shared: bool, json: bool) -> int:
        """Choose, remove, and show what went."""
        root = _root(shared=shared)
        policy = _policy(keep, age, size)
        chosen: list[Stored] = []
        asked = False

        def to_go(stock: Stock) -> Sequence[Stored]:
            nonlocal policy, asked
            chosen[:] = storekeeping.to_go(stock, policy, storekeeping.clock(root))
            if chosen and not asked:  # else nobody needs to ask Git
                policy, asked = replace(policy, keys=policy.keys | _needed()), True
                chosen[:] = storekeeping.to_go(stock, policy, storekeeping.clock(root))
            return chosen

        found = storekeeping.stock(root)
        to_go(found)  # so that Git is asked while others can use the store
        if self._dry_run:
            freed = storekeeping.freed(found, to_go(found))
            went = (len(chosen) + len(found.unsound), *freed)
        else:
            went = storekeeping.collect(root, to_go)
        counts = dict(zip(("results", "objects", "bytes"), went, strict=True))
        document = {"dry_run": self._dry_run, **counts, "gone": _told(chosen)}
        verb = "would go" if self._dry_run else "went"
        lines = [f"{root}: {counted(went[0], 'result')} {verb}, {size_text(went[2])}"]
        lines += store_forms.staying(found, went[2], policy, age)
        listed = store_forms.going(chosen, found) if self._dry_run else []
        lines += ["", *listed] if listed else []
        self.print("\n".join(lines), document if json else None)
        return 0


class Verify(StoreCommand):
    """`doit verify`: hash all that is in the store."""

    name = "verify"
    doc_purpose = "hash all that is in the store of results, and remove what is spoilt"
    doc_description = "Exit status 1 where something was spoilt: it is made anew when it is needed."
    cmd_options = (SHARED_OPTION, JSON_OPTION)

    def _execute(self, shared: bool, json: bool) -> int:
        """Verify, and show what was not as it should be."""
        root = _root(shared=shared)
        line = _Line()
        found, wrong = storekeeping.verify(root, line.show)
        line.clear()
        document = {"objects": len(found.sizes), "bytes": found.size, "unsound": wrong}
        lines = [
            *wrong,
            f"{root}: {counted(len(found.sizes), 'object')}, {size_text(found.size)}: ",
        ]
        lines[-1] += f"{counted(len(wrong), 'thing')} removed" if wrong else "all as it was stored"
        self.print("\n".join(lines), document if json else None)
        return 1 if wrong else 0


@dataclass
class _Line:
    """A line on a terminal that says how far it is."""

    shown: float = 0.0

    def show(self, done: int, of: int) -> None:
        self.tell(f"{size_text(done)} of {size_text(of)}")

    def tell(self, text: str) -> None:
        if time.monotonic() - self.shown > REDRAW_SECONDS:
            self.shown = time.monotonic()
            status_line.show(text)

    def clear(self) -> None:
        if self.shown:
            status_line.clear()


def _root(*, shared: bool) -> str:
    """Return the folder that is meant.  Raises UserError where there is none to look into."""
    if not shared:
        return store.ROOT
    others = shared_store()
    if others is None or not others.is_folder:
        raise UserError(
            f"`--shared` needs a folder in `{STORE_VARIABLE}`",
            ("is", others.address if others else "not set"),
            hint="what is in a bucket goes by the bucket's own rules for the age of objects"
            if others
            else f"set `{STORE_VARIABLE}=/path/of/a/folder`",
        )
    if not os.path.isdir(others.root):
        raise UserError(f"There is no folder `{others.root}`", hint=f"see `{STORE_VARIABLE}`")
    return others.root


def _policy(keep: int, age: str, size: str) -> Policy:
    """Return what is kept, before Git is asked.  Raises UserError for a measure that is none."""
    if keep < 0:
        raise UserError(f"`--keep {keep}` is not understood", hint="write it like `3`")
    return Policy(
        keep,
        frozenset(_linked()),
        _measure("age", age, SPANS) if age else None,
        int(_measure("size", size, UNITS)) if size else None,
    )


def _linked() -> Iterator[str]:
    """Yield the keys of each result that is linked now, current or not."""
    files = open_state().files
    for top, names, _ in os.walk(f"{BUILD}/{RESULTS}", onerror=raised):
        for name in names:
            record = records.read(f"{top}/{name}", files) if name in STEPS else None
            if record:
                yield from record.keys


def _needed() -> set[str]:
    """Return the keys that a branch or tag needs, with a line on a terminal while it looks."""
    line = _Line()
    found = needed.keys(open_state(), line.tell)
    line.clear()
    return found


def _overview(root: str, found: Stock, hits: int) -> list[str]:
    inside = f"{counted(len(found.results), 'result')}, {counted(len(found.sizes), 'object')}"
    lines = [f"{root}: {inside}, {size_text(found.size)}"]
    if hits:
        lines.append(f"{counted(hits, 'result')} restored in this repository so far")
    if others := shared_store():
        how = "is only read" if others.read_only else "is read and written"
        lines.append(f"{others.address} {how}{', signed' if others.secret else ''}")
    wide = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    table = store_forms.there(found, wide)
    lines += ["", *table] if table else []
    return [*lines, *store_forms.unsound(found)]


def _told(results: Iterable[Stored]) -> list[dict[str, Any]]:
    """Return what programs are told of results."""
    return [
        {name: value for name, value in asdict(one).items() if name != "objects"} for one in results
    ]


def _measure(name: str, text: str, units: dict[str, Any]) -> float:
    """Return a number with a unit.  Raises UserError for one that is not like that."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]?)B?", text.strip())
    if not match or match[2] not in units:
        example = "30d" if name == "age" else "20G"
        raise UserError(f"`--{name} {text}` is not understood", hint=f"write it like `{example}`")
    return float(match[1]) * float(units[match[2]])
