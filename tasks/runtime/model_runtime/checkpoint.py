"""Checkpoints: what a step leaves for its next attempt, should it not come to its own end.

They are files in `models/checkpoint/`, which is kept where an attempt is ended and is no artefact.
An attempt can be ended at any moment, so only a file that is renamed into its place is whole.

Only the standard library is used, in a form that Python 3.6 parses.
"""

import os
from typing import Any, Callable, Optional

FOLDER = "models/checkpoint"

_MAKING = ".making"


def folder() -> str:
    """Return the folder for checkpoints, made if it is not there yet."""
    os.makedirs(FOLDER, exist_ok=True)
    return FOLDER


def found(name: str) -> Optional[str]:
    """Return the path of a checkpoint that was saved under a name, None where there is none."""
    path = f"{FOLDER}/{name}"
    return path if os.path.isfile(path) else None


def save(name: str, write: Callable[[str], Any]) -> str:
    """Save a checkpoint under a name, in one move, and return its path.

        checkpoint.save("weights.npz", lambda path: np.savez(path, weights=weights, epoch=epoch))

    `write` is given the path of the file to write: that name in another folder.
    """
    making = f"{folder()}/{_MAKING}"
    os.makedirs(making, exist_ok=True)
    write(f"{making}/{name}")
    sync(f"{making}/{name}")
    os.replace(f"{making}/{name}", f"{FOLDER}/{name}")
    sync(FOLDER)
    return f"{FOLDER}/{name}"


def sync(path: str) -> None:
    """Have a file or a folder reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
