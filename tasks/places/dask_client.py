"""The way to the scheduler of Dask: its address, and a client of it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import warnings
from typing import Any

from tasks import profiles
from tasks.errors import UserError, installing

VARIABLE = "MODEL_DASK_SCHEDULER"
PACKAGE = "distributed"

CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 5.0


def scheduler_address() -> str:
    """Return the address of the scheduler.  Raises UserError where nobody says."""
    import dask  # noqa: PLC0415 - an extra

    said = os.environ.get(VARIABLE, "") or str(profiles.chosen().get("scheduler", ""))
    address = said or dask.config.get("scheduler-address", "")
    if not address:
        raise UserError(
            "Nobody says where Dask's scheduler is",
            hint=f"set `{VARIABLE}=tcp://HOST:8786`, or `scheduler` in the profile",
        )
    return str(address)


def check_installed() -> None:
    """Raise UserError where Dask is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UserError(
            f"The place `dask` needs the package `{PACKAGE}`, which is not installed",
            hint=installing(PACKAGE),
        )


def connected(address: str, seconds: float) -> Any:  # noqa: ANN401 - Dask's own
    """Return a client of the scheduler.  Raises UserError where it gives no answer."""
    from distributed import Client, TimeoutError  # noqa: A004, PLC0415 - an extra
    from distributed.comm import get_address_host_port  # noqa: PLC0415
    from distributed.versions import VersionMismatchWarning  # noqa: PLC0415

    for logger in ("distributed", "distributed.client"):  # what counts of it, we say
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)
    try:  # a client without a good one cannot be closed
        get_address_host_port(address, strict=True)
    except ValueError as error:
        raise unreachable(address, "it is not of the form `tcp://HOST:PORT`") from error
    try:
        return Client(address, timeout=seconds, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise unreachable(address, error) from error


def unreachable(address: str, why: object) -> UserError:
    """Return the error for a scheduler that gives no answer there."""
    return UserError(
        "Dask's scheduler cannot be reached",
        ("scheduler", address),
        ("reason", str(why) or type(why).__name__),
        hint=f"`{VARIABLE}`, or `scheduler` in the profile, is its address: `tcp://HOST:8786`",
    )


def close(client: Any) -> None:  # noqa: ANN401 - Dask's own class
    """Let go of the scheduler, and so of all that was submitted; it may be gone."""
    with contextlib.suppress(Exception):
        client.close(timeout=CLOSE_SECONDS)
