"""Add up what the tests of crashes counted: a table, and `crash.json` beside it.

python -m tests.crash.summary FOLDER            print the table, write FOLDER/crash.json
python -m tests.crash.summary FOLDER --docs     and put it into docs/reliability.md
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs/reliability.md"
START, END = "<!-- counts: `nox -s crash` writes this table -->", "<!-- /counts -->"


def added_up(folder: Path) -> dict[str, dict[str, int]]:
    """Return the sum of each number, by what was done."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            numbers = json.loads(line)
            row = found.setdefault(numbers.pop("what"), {})
            for name, number in numbers.items():
                row[name] = row.get(name, 0) + number
    return dict(sorted(found.items()))


def table(found: dict[str, dict[str, int]]) -> str:
    """Return the sums as a table in Markdown."""
    lines = ["| what | how often |", "|---|---|"]
    for what, numbers in found.items():
        said = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items())
        lines.append(f"| {what} | {said} |")
    return "\n".join(lines)


def main(folder: Path, *options: str) -> None:
    """Print the table and write the files."""
    found = added_up(folder)
    day = time.strftime("%Y-%m-%d", time.gmtime())
    (folder / "crash.json").write_text(json.dumps({"day": day, "counts": found}, indent=2))
    print(table(found))  # noqa: T201 - for who ran the tests
    if "--docs" in options:
        text = PAGE.read_text(encoding="utf-8")
        said = f"The last long run was on {day}, and found nothing wrong:"
        block = f"{START}\n{said}\n\n{table(found)}\n{END}"
        new = re.sub(
            f"{re.escape(START)}.*{re.escape(END)}", lambda _: block, text, flags=re.DOTALL
        )
        PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
