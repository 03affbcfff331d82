"""How large Spark's processes are made, where a step has limits and nobody speaks of Spark's own.

What a step may use is more than the heap of its Java: beside it are what Java needs else, and the
processes of Python.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tasks.resources import JVM_OVERHEAD, MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERHEAD = 0.4
"""What is beside the heap, as a part of it: what Spark takes for Python on Kubernetes."""

LEAST_HEAP = 512 * MIB
"""With less than this, or less than Spark's own overhead beside it, Spark does not start."""


def heap(memory: int) -> int:
    """Return how much of the memory that a process may use is for the heap, in MiB."""
    room = min(memory / (1 + OVERHEAD), memory - JVM_OVERHEAD)
    return int(max(room, LEAST_HEAP)) // MIB


def properties(
    manager: str, mode: str, cpu: float | None, memory: int | None, said: Mapping[str, str]
) -> dict[str, str]:
    """Return the properties of Spark that fit what a step may use, but those that are said.

    They are for its driver and, on YARN and Kubernetes, for each executor.
    """
    kinds = ["driver"] if manager in ("local", "spark") else ["driver", "executor"]
    found: dict[str, str] = {}
    for kind in kinds:
        away = kind == "executor" or mode == "cluster"
        if memory is not None and f"spark.{kind}.memory" not in said:
            found[f"spark.{kind}.memory"] = f"{heap(memory)}m"
            if away:  # the driver here is held by who started it
                rest = max(memory // MIB - heap(memory), JVM_OVERHEAD // MIB)
                found[f"spark.{kind}.memoryOverhead"] = f"{rest}m"
        if cpu is not None and away and f"spark.{kind}.cores" not in said:
            found[f"spark.{kind}.cores"] = str(cores(cpu))
    return {key: value for key, value in found.items() if key not in said}


def cores(cpu: float) -> int:
    """Return how many processors that is, of which a part is one."""
    return max(1, math.ceil(cpu))
