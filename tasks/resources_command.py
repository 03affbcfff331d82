"""`doit resources`: what steps ask for, what they have used, and what they could ask for."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks import records, resources
from tasks.model import PHASES, STEPS
from tasks.places import LOCAL
from tasks.plan import Step
from tasks.queries import ModelCommand, models_named, print_json
from tasks.resources import GIB, MIB, Amounts, Resources, cpu_text, memory_text, quantities
from tasks.state import open_state
from tasks.wording import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.model import Model

REQUEST_ROOM, LIMIT_ROOM = 1.2, 1.5
"""How much more memory than a step has used is proposed to be set aside, and to be its limit."""

LEAST_REQUEST, LEAST_LIMIT = 64 * MIB, 128 * MIB
SMALL_PIECE, LARGE_PIECE = 64 * MIB, 256 * MIB
CPU_PIECE = 0.1

_HEADS = ("STEP", "REQUESTS", "LIMITS", "USED", "CPU", "TIME", "PROPOSED")


class ShowResources(ModelCommand):
    """`doit resources [MODEL ...]`: what is asked for, what was used, and what would do."""

    name = "resources"
    doc_purpose = "show what steps ask for and have used, and propose what to ask for"
    doc_usage = "[MODEL ...]"
    doc_description = (
        "With --json, `proposed` is as it can stand in model.json.  What was used is told of the"
        " last result of each step, with its place where that is not this machine's processes."
    )

    def _execute(self, json: bool, pos_args: list[str]) -> int:
        """Show the steps of the models, on their default datasets."""
        found = [model for model in models_named(pos_args) if not model.broken]
        if json:
            print_json([_document(model) for model in found])
        else:
            print(_table(found), end="")
        self.dep_manager.close()
        return 0


class Used(NamedTuple):
    """What a step's last result took: bytes, processor seconds and seconds; and in which place."""

    amounts: dict[str, float]
    place: str


def used(step: Step) -> Used | None:
    """Return what a step's last result took, None where that is not known."""
    record = records.read(step.folder, open_state().files)
    if record is None or not record.usage:
        return None
    amounts = {**record.usage, "seconds": record.run["seconds"]}
    return Used(amounts, record.run.get("where", {}).get("place", LOCAL))


def proposed(usage: Mapping[str, float], gpu: int | None) -> Resources:
    """Return what to ask for by what was used, with room above it, in round numbers."""
    peak, cores = usage["peak_memory"], usage["cpu_seconds"] / max(usage["seconds"], CPU_PIECE)
    pieces = max(1, math.ceil(round(cores / CPU_PIECE, 6)))
    request = Amounts(
        round(pieces * CPU_PIECE, 1), _rounded(peak * REQUEST_ROOM, LEAST_REQUEST), gpu
    )
    limit = Amounts(
        float(max(1, math.ceil(2 * cores))), _rounded(peak * LIMIT_ROOM, LEAST_LIMIT), gpu
    )
    return Resources(request, limit)


def _rounded(memory: float, least: int) -> int:
    piece = SMALL_PIECE if memory < GIB else LARGE_PIECE
    return max(least, math.ceil(memory / piece) * piece)


def _document(model: Model) -> dict[str, Any]:
    """Return all of a model for programs; `proposed` is a part of a `model.json`."""
    steps, phases = {}, {}
    for name in STEPS:
        asked, last = resources.of(model, name), used(Step(model, name))
        steps[name] = {
            **asdict(asked),
            "usage": last and last.amounts,
            "place": last and last.place,
        }
        if last:
            found = proposed(last.amounts, asked.requests.gpu)
            both = {"requests": quantities(found.requests), "limits": quantities(found.limits)}
            phases[PHASES[name]] = {"resources": both}
    return {
        "name": model.name,
        "id": model.id,
        "steps": steps,
        "proposed": {"automation": phases} if phases else None,
    }


def _table(models: Sequence[Model]) -> str:
    """Return a line for each step, below one with the name of its model."""
    rows = {model.name: [_row(Step(model, name)) for name in STEPS] for model in models}
    every = [_HEADS, *(row for some in rows.values() for row in some)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = (text.ljust(wide) for text, wide in zip(row, widths, strict=True))
        return f"  {'  '.join(cells)}".rstrip()

    lines = [line(_HEADS)]
    for name, some in rows.items():
        lines += [name, *map(line, some)]
    return "".join(f"{text}\n" for text in lines)


def _row(step: Step) -> tuple[str, ...]:
    asked, last = resources.of(step.model, step.name), used(step)
    row = (step.name, *map(_short, (asked.requests, asked.limits)))
    if last is None:
        return (*row, "", "", "", "")
    usage, place = last
    found = proposed(usage, asked.requests.gpu)
    times = (duration(usage["cpu_seconds"]), duration(usage["seconds"]))
    would = f"{_short(found.requests)} to {_short(found.limits)}"
    peak = memory_text(usage["peak_memory"])
    return (*row, peak if place == LOCAL else f"{peak} ({place})", *times, would)


def _short(amounts: Amounts) -> str:
    """Return amounts in one cell."""
    texts = (
        "" if amounts.cpu is None else cpu_text(amounts.cpu),
        "" if amounts.memory is None else memory_text(amounts.memory),
        f"{amounts.gpu} GPU" if amounts.gpu else "",
    )
    return " ".join(filter(None, texts))
