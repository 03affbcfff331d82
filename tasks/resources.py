"""What a step asks for and may use: amounts as Kubernetes writes them, and where they are said."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tasks.model import PHASES, STEPS, resources
from tasks.positions import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tasks.errors import Fault
    from tasks.model import Model
    from tasks.positions import Keys, Parsed

MIB = 1 << 20
GIB = 1 << 30

NAMES = ("cpu", "memory", "gpu")
_KINDS = ("requests", "limits")

QUANTITY = re.compile(
    r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2}|[numkMGTPE]|[KMGTPE]i|[gtp])?"
)
"""A quantity as Kubernetes writes it, or with one of `g`, `t` and `p`, which it does not know.

The schema of `model.json` has the same pattern.
"""

LEAST_CPU = 0.001
"""The smallest part of a processor that Kubernetes knows, `1m`."""

LEAST_MEMORY = 32 * MIB
"""Below this not even an empty Python starts; it is likely that a suffix was forgotten."""

JVM_OVERHEAD = 384 * MIB
"""What Spark's own documents add to the memory of a driver, beside a tenth of it."""

_SUFFIXES = {
    "": Decimal(1),
    **{suffix: Decimal(10) ** power for suffix, power in zip("num", (-9, -6, -3), strict=True)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
_UNITS = ((1 << 40, "Ti"), (GIB, "Gi"), (MIB, "Mi"), (1 << 10, "Ki"))
_MEANT = {"m": "Mi", "g": "Gi", "t": "Ti", "p": "Pi"}
_DRIVER_MEMORY = re.compile(r"(?:--driver-memory[ =]|spark\.driver\.memory=)(\d+)([kmgtKMGT]?)")


@dataclass(frozen=True)
class Amounts:
    """Processors, bytes of memory and graphics processors; None where nothing is said."""

    cpu: float | None = None
    memory: int | None = None
    gpu: int | None = None


@dataclass(frozen=True)
class Resources:
    """What is set aside for a step, and the most that it may use.

    The requests always have `cpu` and `memory`, and none is above its limit.
    """

    requests: Amounts
    limits: Amounts


DEFAULT = Amounts(cpu=1.0, memory=512 * MIB)
"""What is set aside for a step of which nothing is said; it has no limits then."""

DRIVER_MEMORY = GIB
"""The memory that Spark gives to a driver where nobody says."""


def of(model: Model, step: str) -> Resources:
    """Return what a step asks for and may use.

    Of the places in `model.json`, the first that says anything of an amount counts for it.  An
    amount beside `limits` and `requests` is both, and a limit alone is the request too.
    """
    memory = _memory_hint(model, step) or DEFAULT.memory
    requests: dict[str, Any] = {"cpu": DEFAULT.cpu, "memory": memory}
    limits: dict[str, Any] = {}
    for name in NAMES:
        for _, said in resources(model.document, step):
            request, limit = said_of(said, name)
            if request is not None or limit is not None:
                requests[name] = limit if request is None else request
                limits[name] = limit
                break
    if requests.get("gpu") is not None:
        limits["gpu"] = requests["gpu"]  # nobody can have a part of one
    return Resources(Amounts(**requests), Amounts(**limits))


def key_of(model: Model, step: str, name: str) -> str:
    """Return the key of `model.json` that says how much a step may use, or should say it."""
    for way, said in resources(model.document, step):
        if name in _inner(said, "limits"):
            return f"{way}.limits.{name}"
        if name in said or name in _inner(said, "requests"):
            return f"{way}.{name}"
    return f"automation.{PHASES[step]}.resources.{name}"


def said_of(place: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """Return the request and the limit that one place says of `cpu`, `memory` or `gpu`."""
    flat = read(name, place.get(name))
    request, limit = (read(name, _inner(place, kind).get(name)) for kind in _KINDS)
    return flat if request is None else request, flat if limit is None else limit


def _inner(place: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    inner = place.get(kind)
    return inner if isinstance(inner, dict) else {}


def read(name: str, value: object) -> Any:  # noqa: ANN401 - a float of `cpu`, else an int
    """Return an amount in processors, bytes or pieces; None for what is none."""
    amount = quantity(meant(value) if name == "memory" else value)
    if amount is None:
        return None
    if name == "cpu":
        return max(float(amount), LEAST_CPU) if amount else 0.0
    return math.ceil(amount)


def quantity(value: object) -> Decimal | None:
    """Return what a Kubernetes quantity is, None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    found = QUANTITY.fullmatch(str(value).strip())
    if found is None:
        return None
    number, suffix = found[1], found[2] or ""
    if suffix[:1] in ("e", "E") and suffix[1:] not in ("", "i"):
        return Decimal(number + suffix)
    return Decimal(number) * _SUFFIXES[suffix] if suffix in _SUFFIXES else None


def meant(value: object) -> object:
    """Return an amount of memory as it is meant: `1g` is `1Gi`, and `50m`, milli-bytes, `50Mi`."""
    found = QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    return f"{found[1]}{_MEANT[found[2]]}" if found and found[2] in _MEANT else value


def faults(parsed: Parsed) -> Iterator[Fault]:
    """Yield what is wrong with the resources that `model.json` says; what no quantity is, is known.

    That is left to the schema, so only quantities are looked at here.
    """
    document = parsed.value if isinstance(parsed.value, dict) else {}
    ways = {way: said for step in STEPS for way, said in resources(document, step)}
    for way, said in ways.items():
        place = tuple(way.split("."))
        inner = ((place, said), *(((*place, kind), _inner(said, kind)) for kind in _KINDS))
        for keys, amounts in inner:
            for name in NAMES:
                yield from _amount_faults(parsed, (*keys, name), amounts.get(name))
        for name in NAMES:
            yield from _order_faults(parsed, place, said, name)


def _amount_faults(parsed: Parsed, keys: Keys, value: object) -> Iterator[Fault]:
    """Yield what is wrong with one amount."""
    name, amount = keys[-1], quantity(meant(value))
    if amount is None:
        return
    found = f"found {shown(str(value))}"
    if name == "memory":
        yield from _memory_faults(parsed, keys, value)
    elif str(value).strip()[-1:] in ("g", "t", "p"):
        yield parsed.fault(keys, f"expected a quantity such as `2` or `500m`, {found}")
    elif name == "gpu" and amount != int(amount):
        yield parsed.fault(keys, f"expected a whole number, {found}")
    elif name == "cpu" and amount == 0:
        yield parsed.fault(keys, f"expected more than nothing, {found}")


def nearest_memory(value: object) -> str:
    """Return how an amount of memory is written that was meant with `B` at its end."""
    found = re.fullmatch(r" *([0-9.]+) *([kmgtp])i?b *", str(value), re.IGNORECASE)
    return f"did you mean `{found[1]}{found[2].upper()}i`?" if found else ""


def _memory_faults(parsed: Parsed, keys: Keys, value: object) -> Iterator[Fault]:
    """Yield warnings for an amount of memory that is not what it seems, or is too little."""
    found, read_as = f"found {shown(str(value))}", meant(value)
    if read_as != value:
        why = "which is thousandths of a byte" if "m" in str(value) else "a suffix of no quantity"
        message, hint = f"expected `{read_as}`, {found}, {why}", f"it is read as `{read_as}`"
        yield parsed.fault(keys, message, hint, warning=True)
    amount = read("memory", value)
    if amount < LEAST_MEMORY and "requests" not in keys:
        least = f"expected at least `{memory_text(LEAST_MEMORY)}`, without which no Python starts"
        near = f"did you mean `{value}Mi` or `{value}Gi`?" if amount < MIB else ""
        yield parsed.fault(keys, f"{least}, {found}", near, warning=True)


def _order_faults(
    parsed: Parsed, place: Keys, said: Mapping[str, Any], name: str
) -> Iterator[Fault]:
    """Yield a fault where less may be used than is set aside."""
    request, limit = said_of(said, name)
    if request is None or limit is None or limit == request or (limit > request and name != "gpu"):
        return
    inside = [kind for kind in ("limits", "requests") if name in _inner(said, kind)]
    keys = (*place, *inside[:1], name)
    how = "the same as" if name == "gpu" else "at least"
    text = {"cpu": cpu_text, "memory": memory_text}.get(name, str)
    message = f"expected a limit that is {how} the request, found {text(limit)} and {text(request)}"
    yield parsed.fault(keys, message)


def _memory_hint(model: Model, step: str) -> int | None:
    """Return what a driver of Spark needs; None for other models."""
    driver = DRIVER_MEMORY if model.language == "pyspark" else None
    for _, said in resources(model.document, step):
        found = _DRIVER_MEMORY.search(str(said.get("args", "")))
        if found:
            driver = int(found[1]) * (1 << 10 * ("kmgt".index((found[2] or "m").lower()) + 1))
            break
    return driver and driver + max(JVM_OVERHEAD, driver // 10)


def memory_text(amount: float) -> str:
    """Return bytes as they are written in `model.json`, to three digits: `312Mi`, `1.4Gi`."""
    unit, suffix = (GIB, "Gi") if amount >= GIB else (MIB, "Mi")
    number = amount / unit
    shown = f"{number:.1f}" if number < 10 else f"{number:.0f}"  # noqa: PLR2004 - digits
    return f"{shown.removesuffix('.0')}{suffix}"


def cpu_text(amount: float) -> str:
    """Return processors as they are written in `model.json`: `2`, `500m`."""
    milli = round(amount * 1000)
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def quantities(amounts: Amounts) -> dict[str, str]:
    """Return the amounts that are said, exactly, as `model.json` has them."""
    found = {
        "cpu": amounts.cpu and cpu_text(amounts.cpu),
        "memory": amounts.memory and _exact(amounts.memory),
        "gpu": amounts.gpu and str(amounts.gpu),
    }
    return {name: text for name, text in found.items() if text}


def _exact(size: int) -> str:
    unit, suffix = next(((unit, name) for unit, name in _UNITS if size % unit == 0), (1, ""))
    return f"{size // unit}{suffix}"
