"""The data: a CSV with a header."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

KEY = "customer"
TARGET = "renewed"  # 1: stayed, 0: left
MODEL = Path("models", "model.json")


def read(data_conf: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the file that the dataset names as `url`."""
    with open(data_conf["url"], newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
