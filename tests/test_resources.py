"""What a step may use: every place and form of `model.json`, and what `doit check` says of it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import resources
from tasks.model import PHASES, STEPS, Model
from tasks.resources import GIB, MIB, Amounts, Resources, of, quantities
from tasks.validate import check, schema

if TYPE_CHECKING:
    from tests.conftest import Repository

BASIS = {"id": "1", "name": "n", "language": "python"}
NOTHING_SAID = Resources(Amounts(1.0, 512 * MIB), Amounts())


def model(language: str = "python", **document: Any) -> Model:  # noqa: ANN401 - any JSON value
    """Return a model with these keys in its `model.json`."""
    return Model("m", "f", "f", {**BASIS, "language": language, **document})


def said_of(**document: Any) -> list[str]:  # noqa: ANN401 - any JSON value
    """Return what is said of a `model.json` with these keys, a line each."""
    text = json.dumps({**BASIS, **document}, indent=1)
    return [str(fault) for fault in check("model", text, "model.json").faults]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500m", "0.5"),
        ("100Mi", str(100 * MIB)),
        ("2Gi", str(2 * GIB)),
        ("1.5Gi", str(3 * GIB // 2)),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E", str(10**18)),
        ("1Ei", str(2**60)),
        ("2k", "2000"),
        ("1Ki", "1024"),
        ("1G", str(10**9)),
        (".5", "0.5"),
        ("5.", "5"),
        ("100u", "0.0001"),
        (" 2 ", "2"),
        (2, "2"),
        (0.5, "0.5"),
        (1e9, str(10**9)),
    ],
)
def test_quantities(text: object, expected: str) -> None:
    """A quantity is what Kubernetes takes it for."""
    assert Decimal(expected) == resources.quantity(text)


def test_amounts_are_written_exactly() -> None:
    """They are read as the same again."""
    assert {"cpu": "500m", "memory": "320Mi"} == quantities(Amounts(0.5, 320 * MIB))
    assert {"cpu": "2", "memory": "3Gi", "gpu": "1"} == quantities(Amounts(2.0, 3 * GIB, 1))
    assert {"memory": "1000"} == quantities(Amounts(memory=1000))


@pytest.mark.parametrize(
    "text", ["", "x", "1 Gi", "-1", "1e", "1e-", "Mi", "1KiB", "1e999", "1.2.3", True]
)
def test_no_quantities(text: object) -> None:
    """What Kubernetes would not take is none."""
    assert resources.quantity(text) is None


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "m", "k", "Ki", "Mi", "Gi", "e2"]))
def test_the_schema_knows_the_same_quantities(number: Decimal, suffix: str) -> None:
    """What is a quantity for the one is one for the other."""
    text = f"{number}{suffix}"
    assert [] == [s for s in said_of(resources={"cpu": text}) if "such as" in s]
    assert resources.quantity(text) is not None


def test_the_pattern_stands_in_the_schema() -> None:
    """It is written down twice, since editors read the one and the program the other."""
    assert (
        f"^ *{resources.QUANTITY.pattern} *$(?!\\n)"
        == schema("model")["$defs"]["quantity"]["pattern"]
    )


@pytest.mark.parametrize("step", STEPS)
def test_nothing_said(step: str) -> None:
    """A step of which nothing is said has a processor and some memory set aside, and no limit."""
    assert NOTHING_SAID == of(model(), step)


@pytest.mark.parametrize(
    "document",
    [
        {"automation": {"training": {"resources": {"cpu": "500m", "memory": "1Gi"}}}},
        {"automation": {"resources": {"cpu": "0.5", "memory": "1Gi"}}},
        {"automation": {"resources": {"training": {"cpu": 0.5, "memory": 2**30}}}},
        {"resources": {"training": {"limits": {"cpu": "500m", "memory": "1Gi"}}}},
        {"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}},
        {"resources": {"cpu": "500m", "memory": "1g"}},
    ],
)
def test_every_form(document: dict[str, Any]) -> None:
    """The forms of all ages say the same: what is no request is the limit, and the request too."""
    half = Amounts(0.5, GIB)
    assert Resources(half, half) == of(model(**document), "train")


@pytest.mark.parametrize(("step", "phase"), PHASES.items())
def test_each_step_has_its_phase(step: str, phase: str) -> None:
    """What is said of one phase is not said of the others."""
    document = {"automation": {phase: {"resources": {"memory": "3Gi"}}}}
    found = {name: of(model(**document), name).limits.memory for name in STEPS}
    assert {**dict.fromkeys(STEPS), step: 3 * GIB} == found


def test_requests_and_limits() -> None:
    """They are told apart where both are there; a request alone leaves no limit."""
    document = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    asked = of(model(resources=document), "train")
    assert Resources(Amounts(1.0, GIB), Amounts(None, 2 * GIB)) == asked


def test_the_first_place_counts_for_each_amount() -> None:
    """An amount is taken from one place whole; another one may come from a further place."""
    document = {
        "automation": {
            "training": {"resources": {"memory": "2Gi"}},
            "resources": {"limits": {"memory": "1Gi", "cpu": "2"}, "gpu": "1"},
        }
    }
    amounts = Amounts(2.0, 2 * GIB, 1)
    assert Resources(amounts, amounts) == of(model(**document), "train")


@pytest.mark.parametrize(
    ("said", "memory"),
    [
        ({}, GIB + 384 * MIB),
        ({"args": "--driver-memory 4G --executor-memory 1G"}, 4 * GIB + 4 * GIB // 10),
        ({"args": "--master local[1] --conf spark.driver.memory=512m"}, 896 * MIB),
        ({"args": "--driver-memory 4G", "memory": "2Gi"}, 2 * GIB),
    ],
)
def test_the_driver_of_spark(said: dict[str, str], memory: int) -> None:
    """The memory of its driver is a hint, which `memory` goes before."""
    document = {"automation": {"resources": said}}
    assert memory == of(model("pyspark", **document), "train").requests.memory


def test_no_faults() -> None:
    """Right amounts are passed over in silence."""
    limits = {"cpu": "2", "memory": "2Gi", "gpu": "1"}
    assert [] == said_of(resources={"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": limits})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            {"memory": "12 apples"},
            (
                "6: `resources.memory`: expected a quantity such as `500Mi` or `1.5Gi`,"
                " found the string `12 apples`"
            ),
        ),
        (
            {"memory": "1.5gb"},
            (
                "6: `resources.memory`: expected a quantity such as `500Mi` or `1.5Gi`,"
                " found the string `1.5gb`\n  hint: did you mean `1.5Gi`?"
            ),
        ),
        (
            {"gpu": "lots"},
            "6: `resources.gpu`: expected a number such as `1`, found the string `lots`",
        ),
        (
            {"cpu": -1},
            (
                "6: `resources.cpu`: expected a quantity such as `2` or `500m`,"
                " found the number `-1`"
            ),
        ),
        (
            {"cpu": 0},
            "6: `resources.cpu`: expected more than nothing, found `0`",
        ),
        (
            {"cpu": "1g"},
            "6: `resources.cpu`: expected a quantity such as `2` or `500m`, found `1g`",
        ),
        (
            {"gpu": "0.5"},
            "6: `resources.gpu`: expected a whole number, found `0.5`",
        ),
        (
            {"memory": "1g"},
            (
                "6: warning: `resources.memory`: expected `1Gi`, found `1g`, a suffix of no"
                " quantity\n  hint: it is read as `1Gi`"
            ),
        ),
        (
            {"limits": {"memory": "50m"}},
            (
                "7: warning: `resources.limits.memory`: expected `50Mi`, found `50m`, which"
                " is thousandths of a byte\n  hint: it is read as `50Mi`"
            ),
        ),
        (
            {"memory": 500},
            (
                "6: warning: `resources.memory`: expected at least `32Mi`, without which no"
                " Python starts, found `500`\n  hint: did you mean `500Mi` or `500Gi`?"
            ),
        ),
        (
            {"limits": {"memory": "16Mi"}},
            (
                "7: warning: `resources.limits.memory`: expected at least `32Mi`, without"
                " which no Python starts, found `16Mi`"
            ),
        ),
        (
            {"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}},
            (
                "10: `resources.limits.cpu`: expected a limit that is at least the request,"
                " found 500m and 2"
            ),
        ),
        (
            {"memory": "1Gi", "requests": {"memory": "2Gi"}},
            (
                "8: `resources.requests.memory`: expected a limit that is at least the"
                " request, found 1Gi and 2Gi"
            ),
        ),
        (
            {"requests": {"gpu": "1"}, "limits": {"gpu": "2"}},
            (
                "10: `resources.limits.gpu`: expected a limit that is the same as the"
                " request, found 2 and 1"
            ),
        ),
    ],
)
def test_faults(said: dict[str, Any], expected: str) -> None:
    """What is wrong is told with its line, its key and the way out; a warning lets it run."""
    assert [f"model.json:{expected}"] == said_of(resources=said)


def test_check_tells(repository: Repository) -> None:
    """`doit check` shows the faults of every place, and which file they are in."""
    name = repository.add("good-python")
    path = f"model_definitions/{name}/model.json"
    phases = {phase: {"resources": {"memory": "lots"}} for phase in PHASES.values()}
    repository.write(path, {**repository.json(path), "automation": phases})

    done = repository.doit("check")

    assert 1 == done.returncode
    for phase in PHASES.values():
        assert f"{path}:" in done.stdout
        assert f"`automation.{phase}.resources.memory`: expected a quantity" in done.stdout


def test_more_was_used_than_the_limit(repository: Repository) -> None:
    """It is told where nothing enforces the limit: elsewhere something will."""
    name = repository.add("good-python")
    path = f"model_definitions/{name}/model.json"
    for limit, warned in (("1Mi", True), ("64Gi", False)):
        automation = {"training": {"resources": {"limits": {"memory": limit}}}}
        repository.write(path, {**repository.json(path), "automation": automation})

        done = repository.doit("-a", f"train:{name}")

        assert 0 == done.returncode
        key = "automation.training.resources.limits.memory"
        told = f"of memory; where `{key}` in model.json is enforced it is killed at 1Mi\n"
        assert warned == (told in done.stdout), done.stdout
