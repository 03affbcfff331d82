"""Schedules as Kubernetes reads them."""

from __future__ import annotations

import pytest

from tasks.cron import wrong


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "* * * * *",
            "0 3 * * 1",
            "*/15 0-6,18-23 1,15 * mon-fri",
            "0 0 29 2 *",
            "5/20 * ? JAN ?",
        ),
        *("@daily", "@midnight", "  0   3 * * SUN ", "0 0 30 feb,mar *", "0 0 31 2 1"),
    ],
)
def test_schedules(expression: str) -> None:
    """These are understood."""
    assert "" == wrong(expression)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "it has 0 fields in place of 5"),
        ("0 3 * *", "it has 4 fields in place of 5"),
        ("0 0 3 * * 1", "it has 6 fields in place of 5"),
        ("60 3 * * *", "the minute is 0 to 59, not `60`"),
        ("0 24 * * *", "the hour is 0 to 23, not `24`"),
        ("0 0 0 * *", "the day of the month is 1 to 31, not `0`"),
        ("0 0 * 13 *", "the month is 1 to 12, not `13`"),
        ("0 0 * * 7", "the day of the week is 0 to 6, not `7`"),
        ("0 0 * * monday", "the day of the week is 0 to 6, not `monday`"),
        ("0 22-2 * * *", "the hour goes from 22 back to 2"),
        ("*/0 * * * *", "the minute cannot go by `0`"),
        ("*/x * * * *", "the minute cannot go by `x`"),
        ("1,,2 * * * *", "the minute cannot be `1,,2`"),
        ("*-5 * * * *", "the minute cannot be `*-5`"),
        ("-5 * * * *", "the minute cannot be `-5`"),
        ("٣ * * * *", "the minute cannot be `٣`"),
        ("0 0 30 2 *", "there is no such day in these months"),
        ("0 0 31 4,6,9,11 *", "there is no such day in these months"),
        ("@reboot", "`@reboot` is none of"),
        ("@every 1h", "it has 2 fields in place of 5"),
    ],
)
def test_what_is_no_schedule(expression: str, said: str) -> None:
    """These are not, and it is said why."""
    assert wrong(expression).startswith(said)
