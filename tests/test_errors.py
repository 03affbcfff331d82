"""What is said of errors."""

from __future__ import annotations

import pytest

from tasks.errors import telling_line, without_password

OF_A_WORKER = """
An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "training.py", line 3, in double
ValueError: no rows
"""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("no rows\nsecond line", "no rows"),
        ("\n  no rows\n", "no rows"),
        (OF_A_WORKER, "ValueError: no rows"),
        ("", ""),
    ],
)
def test_the_line_that_tells_most(message: str, expected: str) -> None:
    """It is the first with a text, or what an error elsewhere says at the end."""
    assert expected == telling_line(message)


def test_an_address_without_its_password() -> None:
    """Who logs in somewhere is not shown, all else is."""
    text = "see https://me:hunter2@example.org/a@b and file:///a@b"

    assert "see https://***@example.org/a@b and file:///a@b" == without_password(text)
