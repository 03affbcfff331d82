"""An environment in one archive: it runs where neither it nor its interpreter is."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from tasks.errors import UserError
from tasks.languages import packing

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20

# What is asked for where it is linked to a library of the system, and what is used then.
ASKS = """\
import ctypes, json, sqlite3, ssl, sys, ours
with open("/proc/self/maps") as file:
    used = {line.split(maxsplit=5)[5].strip() for line in file if line.count("/")}
print(json.dumps([sys.prefix, sorted(used), ours.__file__]))
"""


def environment(folder: Path) -> str:
    """Make an environment with a package and what is left out, and return its Python."""
    words = ["venv", "--quiet", "--relocatable", "--python", os.path.realpath(sys.executable)]
    subprocess.run([sys.executable, "-m", "uv", *words, str(folder)], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    for name in ("ours/__init__.py", "ours/tests/test.py", "pyspark/__init__.py"):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    return str(folder / "bin/python")


def test_it_runs_anywhere(tmp_path: Path) -> None:
    """What is unpacked uses nothing of this machine but its C library."""
    python = environment(tmp_path / "env")
    told: list[str] = []

    archive = packing.packed(python, told.append)

    assert any(detail.startswith("packing the environment: ") for detail in told)
    assert not told[-1]
    (tmp_path / "env").rename(tmp_path / "gone")
    there = tmp_path / "there"
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        tar.extractall(there, filter="data")
    done = subprocess.run(
        ["bin/python", "-c", ASKS], cwd=there, env={}, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    prefix, used, ours = json.loads(done.stdout)
    assert str(there) == prefix
    assert ours.startswith(f"{there}/")
    of_the_system = [name for name in used if not name.startswith(f"{there}/")]
    own = os.path.realpath(sys.base_prefix)
    assert own == "/usr" or not [name for name in of_the_system if name.startswith(own)]
    assert not [name for name in of_the_system if "libssl" in name or "libffi" in name]
    left_out = ("/tests/", "/__pycache__/", "/pyspark/", "/test/")
    assert not [name for name in names if any(part in name for part in left_out)]
    before = os.stat(archive).st_mtime_ns
    assert archive == packing.packed(str(tmp_path / "env/bin/python"), told.append)
    assert before == os.stat(archive).st_mtime_ns


def test_the_disk_is_full(tmp_path: Path) -> None:
    """The error says where the archive was to be and both ways out; no half of it is left."""
    python = environment(tmp_path / "env")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    try:
        with pytest.raises(UserError) as caught:
            packing.packed(python, lambda _detail: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    facts = dict(caught.value.facts)
    assert packing.place(python) == facts["archive"]
    assert "File too large" in facts["reason"]
    assert "`MODEL_CACHE` names another one" in caught.value.hint
    assert "PYSPARK_PYTHON" in caught.value.hint
    assert [f"{packing.place(python)}.held"] == [str(path) for path in tmp_path.glob("env.*")]
