"""A real container engine for tests, and an image that no registry is needed for.

The image is made of files of this machine: the C library, a shell, and what the Pythons here need.
"""

from __future__ import annotations

import glob
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tasks.runs import hold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "localhost/modelmake-test:base"
MISSING = "apt-get update && apt-get install -y --no-install-recommends podman runc"
PROGRAMS = ("/bin/sh", "/bin/sleep", "/usr/bin/env")
LIBRARIES = ("c", "m", "dl", "pthread", "rt", "util", "resolv", "stdc++", "gcc_s", "gomp")

# What podman's own choices do not work on: small machines whose kernel lacks what `crun` wants, and
# which allow no more open files than they have.
OPTIONS = "--runtime runc --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host"


def podman(*words: str) -> str:
    """Run podman, and return what it says."""
    if not shutil.which("podman"):
        pytest.fail(f"podman is not installed; as root: {MISSING}")
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def base_image(folder: Path) -> str:
    """Return the name of the image, made once whoever needs it first."""
    with hold(f"{folder}/image.held"):
        if not podman("image", "ls", "--quiet", "--filter", f"reference={BASE}"):
            archive = folder / "base.tar"
            with tarfile.open(archive, "w") as tar:
                _fill(tar)
            podman("import", str(archive), BASE)
    return BASE


def _fill(tar: tarfile.TarFile) -> None:
    for name in ("lib", "lib64", "bin"):
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
        tar.addfile(link)
    tmp = tarfile.TarInfo("tmp")
    tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
    tar.addfile(tmp)
    users = b"root:x:0:0:root:/root:/bin/sh\n"
    passwd = tarfile.TarInfo("etc/passwd")
    passwd.size = len(users)
    tar.addfile(passwd, io.BytesIO(users))
    for path in sorted({*PROGRAMS, *_libraries()}):
        target = path if path.startswith("/usr/") else f"/usr{path}"
        tar.add(os.path.realpath(path), target)


@cache
def _libraries() -> frozenset[str]:
    """Return the libraries of the system that the programs and the Pythons here need."""
    modules = glob.glob(f"{sys.base_prefix}/lib/python3*/lib-dynload/*.so")
    wanted = [*PROGRAMS, *(path for path in modules if "tkinter" not in path)]
    named = [path for one in LIBRARIES for path in glob.glob(f"/lib/*-linux-gnu/lib{one}.so.[0-9]")]
    found = {*named, *_needed([*wanted, *named])}
    inside = {path if path.startswith("/usr/") else f"/usr{path}" for path in found}
    return frozenset(path for path in inside if path.startswith("/usr/lib"))


def _needed(paths: list[str]) -> Iterator[str]:
    done = subprocess.run(["ldd", *paths], capture_output=True, text=True, check=False)
    yield from re.findall(r"(/\S+) \(0x", done.stdout)
