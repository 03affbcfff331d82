"""How fast data files are hashed: one big file, and several, against one core's hash in memory.

The files have just been written, so the disk has no part in it where they fit into memory.

    python benchmarks/hashing.py --megabytes 512
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from common import milliseconds, print_repeat, print_table, progress

from tasks.fingerprint import Files

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = 0.8
FILES = 8
MEGABYTE = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=512, help="default: 512")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hashing-") as folder:
        one, several = _files(Path(folder), options.megabytes)
        data = Path(one).read_bytes()
        ways: dict[str, Callable[[], object]] = {
            "hashlib on memory": lambda: hashlib.sha256(data),
            "ours, one file": lambda: Files().digest(one),
            f"ours, {FILES} files": lambda: Files().digest_ahead(several),
        }
        if shutil.which("openssl"):
            command = ["openssl", "dgst", "-sha256", one]
            ways["openssl, one file"] = lambda: subprocess.run(
                command, check=True, capture_output=True
            )
        _race(ways, options.rounds, options.megabytes)
    print_repeat()


def _files(folder: Path, megabytes: int) -> tuple[str, list[str]]:
    """Write one file of this size, and several that have it together; return their paths."""
    several = [folder / f"part-{number}" for number in range(FILES)]
    piece = os.urandom(MEGABYTE)
    for path, size in (
        (folder / "one", megabytes),
        *((one, megabytes // FILES) for one in several),
    ):
        with path.open("wb") as file:
            for number in range(size):
                file.write(number.to_bytes(8, "big") + piece[8:])
    return str(folder / "one"), [str(path) for path in several]


def _race(ways: dict[str, Callable[[], object]], rounds: int, megabytes: int) -> None:
    """Hash in each way in turn, and compare the speeds with that of the first."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, hash_it in ways.items():
            progress(f"round {number + 1} of {rounds}: {name}")
            began = time.perf_counter()
            hash_it()
            seconds[name].append(time.perf_counter() - began)
    progress("")
    best = min(next(iter(seconds.values())))
    rows = [
        (name, *milliseconds(found), f"{megabytes / min(found):.0f}", f"{best / min(found):.2f}")
        for name, found in seconds.items()
    ]
    print_table((f"{megabytes} MB", "median ms", "least ms", "MB/s", "of memory's"), rows)
    print(f"files are to be hashed at {TARGET:g} of what memory is, at least\n")


if __name__ == "__main__":
    main()
