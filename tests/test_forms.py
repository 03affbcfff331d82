"""What a report on evaluations looks like, in each of its forms."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tasks.comparison import BROKEN, Change, Evaluation, Trouble, compare
from tasks.forms import LONGEST_MARKDOWN, document, junit, markdown, table

STARTED = "2026-11-25T04:38:58Z"
HEADLINE = "Model `late` cannot be trained: <none> | left"
TEXT = f"{HEADLINE}\n  log  \x1b[31m```\x1b[0m\x00\n\nhint: look"
FAILURE = Trouble("train:late", HEADLINE, TEXT, {"headline": HEADLINE, "facts": [], "hint": "look"})
MISSED = Trouble("evaluate:bad@big", "Model `bad` is not good enough", "Model `bad` ...", {})

EVALUATIONS = [
    Evaluation(
        "good", "ran", 1.25, compare({"f1": 0.5, "gone": 3}, {"f1": 0.625, "rows": 9}, {}), None
    ),
    Evaluation(
        "bad@big",
        BROKEN,
        0.5,
        compare(
            {"accuracy": 0.7},
            {"accuracy": 0.61, "loss": 0.3},
            {"accuracy": {"min": 0.7}, "loss": {"min": 0.1, "max": 0.4}, "auc": {"min": 0.5}},
        ),
        MISSED,
    ),
    Evaluation("late", "not run", None, compare({"a|b": 1.0}, {}, {"a|b": {"max": 2}}), FAILURE),
    Evaluation("cut", "interrupted", 2.0, (), None),
    Evaluation("old", "up to date", None, compare({"f1": 0.5}, {"f1": 0.5}, {}), None),
]

TABLE = """\
evaluation  state            metric    before  after    delta  threshold
good        ran              f1         0.500  0.625   +0.125
                             rows                  9
                             gone           3
bad@big     not good enough  accuracy   0.700  0.610  -0.0900  >= 0.7          BROKEN
                             loss              0.300           >= 0.1, <= 0.4  ok
                             auc                               >= 0.5          BROKEN
late        not run
cut         interrupted
old         up to date       f1         0.500  0.500    0.000
"""

MARKDOWN = """\
### Evaluation: 1 not good enough, 1 interrupted, 1 not run, 1 ran, 1 up to date

| evaluation | state | metric | before | after | delta | threshold |  |
| --- | --- | --- | --: | --: | --: | --- | --- |
| `good` | ran | `f1` | 0.500 | 0.625 | +0.125 |  |  |
|  |  | `rows` |  | 9 |  |  |  |
|  |  | `gone` | 3 |  |  |  |  |
| `bad@big` | **not good enough** | `accuracy` | 0.700 | 0.610 | -0.0900 | >= 0.7 | **BROKEN** |
|  |  | `loss` |  | 0.300 |  | >= 0.1, <= 0.4 | ok |
|  |  | `auc` |  |  |  | >= 0.5 | **BROKEN** |
| `late` | **not run** |  |  |  |  |  |  |
| `cut` | **interrupted** |  |  |  |  |  |  |

| up to date | metrics |
| --- | --- |
| `old` | `f1 0.500` |

<details><summary>evaluate:bad@big: Model `bad` is not good enough</summary>

```text
Model `bad` ...
```

</details>

<details><summary>train:late: Model `late` cannot be trained: &lt;none&gt; | left</summary>

````text
Model `late` cannot be trained: <none> | left
  log  ```

hint: look
````

</details>
"""


def shown(evaluations: list[Evaluation], width: int = 200) -> str:
    """Return a table's text."""
    lines = table(evaluations, width)
    texts = ("".join(p if isinstance(p, str) else p[0] for p in line) for line in lines)
    return "".join(f"{text.rstrip()}\n" for text in texts)


def test_table() -> None:
    """Each metric has a row, with what it was and is, of what was up to date too."""
    assert TABLE == shown(EVALUATIONS)


@pytest.mark.parametrize(
    ("before", "after", "delta"),
    [
        (0.5, 0.513, "+0.0130"),
        (0.8, 0.799669, "-0.000331"),
        (0.8, 0.7996475, "-0.000353"),
        (0.9, 0.8, "-0.100"),
        (0.5, 0.5, "0.000"),
        (1.5, 126.25, "+124.750"),
        (1, 3, "+2"),
        (768.0, 768, "0"),
        (768, 700.0, "-68"),
        (1.0, 1.0, "0.000"),
        (None, 0.5, ""),
    ],
)
def test_deltas_have_as_many_digits(before: float | None, after: float, delta: str) -> None:
    """However small they are, so that they can be compared down a column."""
    assert delta == Change("f1", before, after).cells[3]


def test_table_on_a_narrow_terminal() -> None:
    """A long name leaves room for the numbers."""
    name = "python-with-a-name-that-goes-on-and-on-and-on-1"
    one = Evaluation(name, "ran", 1.0, compare({}, {"f1": 0.5}, {}), None)

    assert "python-wit…-and-on-1  ran" in shown([one], 60)


def test_markdown() -> None:
    """Names mean nothing to Markdown, and a message is in a fence longer than any in it."""
    assert MARKDOWN == markdown(EVALUATIONS)


def test_markdown_of_nothing() -> None:
    """A run without an evaluation says so."""
    assert "### Evaluation: nothing to evaluate\n" == markdown([])


@pytest.mark.parametrize("state", ["ran", "up to date", "failed"])
def test_markdown_fits_into_a_comment(state: str) -> None:
    """However many models there are, and however long their messages, a comment can hold it."""
    changes = compare({}, {f"metric-{n}": 0.5 for n in range(20)}, {})
    trouble = Trouble("train:x", "failed", "x" * 10_000) if state == "failed" else None
    many = [Evaluation(f"model-{n}", state, 1.0, changes, trouble) for n in range(2000)]

    text = markdown(many)

    assert LONGEST_MARKDOWN - 5000 < len(text) < LONGEST_MARKDOWN + 100
    assert text.endswith("\n\nThe rest is in `evaluate.json`.\n")


def test_junit_counts() -> None:
    """A suite for each evaluation; broken thresholds are failures, what could not run an error."""
    root = ET.fromstring(junit(EVALUATIONS, STARTED))  # noqa: S314 - our own
    counts = ("tests", "failures", "errors", "skipped", "time")

    assert ("testsuites", "evaluate") == (root.tag, root.get("name"))
    assert ["5", "1", "1", None, "3.750"] == [root.get(name) for name in counts]
    assert {
        "good": ["1", "0", "0", "0", "1.250"],
        "bad@big": ["1", "1", "0", "0", "0.500"],
        "late": ["1", "0", "1", "0", "0.000"],
        "cut": ["1", "0", "0", "1", "2.000"],
        "old": ["1", "0", "0", "0", "0.000"],
    } == {suite.get("name"): [suite.get(name) for name in counts] for suite in root}
    assert {STARTED} == {suite.get("timestamp") for suite in root}


def test_junit_structure() -> None:
    """Elements and attributes are those that Jenkins' schema has, in its order."""
    root = ET.fromstring(junit(EVALUATIONS, STARTED))  # noqa: S314 - our own

    assert {"name", "tests", "failures", "errors", "time"} == set(root.attrib)
    for suite in root:
        assert "testsuite" == suite.tag
        assert ["properties", "testcase"] == [element.tag for element in suite]
        assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"} == set(
            suite.attrib
        )
        properties, case = suite
        assert {("name", "value")} == {tuple(one.attrib) for one in properties}
        assert {"classname", "name", "time"} == set(case.attrib)
        assert {"failure", "error", "skipped"} >= {bad.tag for bad in case}
        assert all({"type", "message"} == set(bad.attrib) for bad in case)


def test_junit_properties() -> None:
    """Each metric is a property of its suite, and what it was before another one."""
    root = ET.fromstring(junit(EVALUATIONS, STARTED))  # noqa: S314 - our own
    bad = {one.get("name"): one.get("value") for one in root[1].iter("property")}

    assert {
        "state": BROKEN,
        "accuracy": "0.61",
        "accuracy.before": "0.7",
        "loss": "0.3",
    } == bad


def test_junit_messages() -> None:
    """A failure says what broke, with both numbers; control characters do not break the file."""
    root = ET.fromstring(junit(EVALUATIONS, STARTED))  # noqa: S314 - our own
    found = {case.get("name"): bad for case in root.iter("testcase") for bad in case}

    assert {
        "bad@big": "accuracy 0.61 is below the minimum 0.7;"
        " auc was not measured; measured: accuracy, loss",
        "late": HEADLINE,
        "cut": "interrupted",
    } == {name: bad.get("message") for name, bad in found.items()}
    assert TEXT.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\x00", "") == (
        found["late"].text
    )


def test_junit_holds_any_text() -> None:
    """Whatever characters a name or a message has, the file can be read."""
    chance = random.Random(7)
    for _ in range(300):
        text = "".join(chr(chance.choice([chance.randrange(0x110000), 60])) for _ in range(9))
        one = Evaluation(
            text, "failed", 1.0, compare({}, {text: 1.0}, {}), Trouble("x", text, text)
        )
        assert "testsuites" == ET.fromstring(junit([one], STARTED)).tag  # noqa: S314


def test_json() -> None:
    """Every key is always there; null stands for what there is not."""
    value = json.loads(document(EVALUATIONS, STARTED))
    good, bad, late, cut, old = value["evaluations"]

    assert [1, STARTED, False] == [value[key] for key in ("format", "started", "ok")]
    assert {BROKEN: 1, "interrupted": 1, "not run": 1, "ran": 1, "up to date": 1} == value["states"]
    assert {
        "name": "good",
        "state": "ran",
        "seconds": 1.25,
        "usage": None,
        "metrics": {
            "f1": metric(0.5, 0.625, 0.125),
            "rows": metric(None, 9, None),
            "gone": metric(3, None, None),
        },
        "accepted": [],
        "error": None,
    } == good
    assert {
        **metric(0.7, 0.61, bad["metrics"]["accuracy"]["delta"]),
        "min": 0.7,
        "broken": "0.61 is below the minimum 0.7",
    } == bad["metrics"]["accuracy"]
    assert {"step": "train:late", "headline": HEADLINE, "facts": [], "hint": "look"} == (
        late["error"]
    )
    assert [{}, None] == [cut["metrics"], cut["error"]]
    assert {"f1": metric(0.5, 0.5, 0.0)} == old["metrics"]


def test_reference() -> None:
    """The reference lists every field of the JSON report."""
    text = (Path(__file__).parent.parent / "docs/reference.md").read_text(encoding="utf-8")
    section = text.split("\n### evaluate.json\n")[1].split("\n## ")[0]
    value = json.loads(document(EVALUATIONS, STARTED))
    bad = value["evaluations"][1]
    fields = {*value, *bad, *bad["metrics"]["loss"], *value["states"], "step"}

    assert set() == fields - set(re.findall("`([^`]+)`", section))


def metric(before: float | None, after: float | None, delta: float | None) -> dict[str, object]:
    """Return what the JSON says of a metric without a threshold."""
    nothing = {"min": None, "max": None, "broken": None}
    return {"before": before, "after": after, "delta": delta, **nothing}


def test_json_is_ok_only_if_all_are() -> None:
    """`ok` is false as soon as one evaluation is not."""
    assert [True, False] == [
        json.loads(document(some, STARTED))["ok"]
        for some in ([EVALUATIONS[0], EVALUATIONS[-1]], EVALUATIONS[2:])
    ]
