"""The benchmarks run: their figures are for people, but what they call must be there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import RUNNER

SMALL = {
    "hashing.py": ["--megabytes", "16", "--rounds", "1"],
    "repository.py": ["--models", "1"],
    "noop.py": ["--models", "3", "--rounds", "1", "--touch"],
    "sql.py": ["--events", "20000"],
    "step.py": ["--repeat", "1"],
}


@pytest.mark.parametrize("script", SMALL)
def test_a_benchmark_runs(script: str) -> None:
    """It ends well on a small case, and says how to repeat it."""
    command = [sys.executable, str(RUNNER / "benchmarks" / script), *SMALL[script]]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

    assert 0 == done.returncode, done.stderr
    assert "repeat: python " in done.stdout
