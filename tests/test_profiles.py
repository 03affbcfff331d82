"""Profiles: what is wrong with them is told by `doit check`, and where they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tasks import profiles
from tasks.errors import UserError
from tasks.validate import schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

FAULTY = """\
[tool.modelmake.profiles]
flat = "x"

[tool.modelmake.profiles.cluster]
on = "kubernets"
namespce = "models"
namespace = "My_Models"
serviceAccount = "-x"
claim = "a/b"
registry = "https://registry.example.com"
image = "--help"
wait = -1
secrets = {TD_PASSWORD = "hunter2", "TD USER" = "a/b"}

[tool.modelmake.profiles.slow]
wait = "long"
secrets = "hunter2"
registry = "registry.example.com/team/"
"""

SAID = """\
pyproject.toml:2: `tool.modelmake.profiles.flat`: expected a table, found `x`
  hint: begin it with a line `[tool.modelmake.profiles.flat]`
pyproject.toml:5: `tool.modelmake.profiles.cluster.on`: expected one of `local`, `container`, \
`kubernetes`, `dask`, found `kubernets`
  hint: did you mean `kubernetes`?
pyproject.toml:6: `tool.modelmake.profiles.cluster.namespce`: this key is not known
  hint: did you mean `namespace`?
pyproject.toml:7: `tool.modelmake.profiles.cluster.namespace`: expected a DNS label: small \
letters, digits and `-`, 63 at most, found `My_Models`
pyproject.toml:8: `tool.modelmake.profiles.cluster.serviceAccount`: expected the name of an \
object: small letters, digits, `-` and `.`, found `-x`
pyproject.toml:9: `tool.modelmake.profiles.cluster.claim`: expected the name of an object: small \
letters, digits, `-` and `.`, found `a/b`
pyproject.toml:10: `tool.modelmake.profiles.cluster.registry`: expected `HOST/PATH`, without a \
scheme before it or a slash at its end, found `https://registry.example.com`
pyproject.toml:11: `tool.modelmake.profiles.cluster.image`: expected the name of an image, \
found `--help`
pyproject.toml:12: `tool.modelmake.profiles.cluster.wait`: expected a whole number of seconds, \
not below 0, found `-1`
pyproject.toml:13: `tool.modelmake.profiles.cluster.secrets.TD_PASSWORD`: expected `secret/key`
  hint: for instance `secrets = {TD_PASSWORD = "teradata/password"}`
pyproject.toml:13: `tool.modelmake.profiles.cluster.secrets.TD USER`: expected the name of a \
variable
pyproject.toml:16: `tool.modelmake.profiles.slow.wait`: expected a whole number of seconds, not \
below 0, found `long`
pyproject.toml:17: `tool.modelmake.profiles.slow.secrets`: expected a table: `secret/key` for \
each variable
pyproject.toml:18: `tool.modelmake.profiles.slow.registry`: expected `HOST/PATH`, without a \
scheme before it or a slash at its end, found `registry.example.com/team/`
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in a folder of its own, with no profile that was read before."""
    monkeypatch.chdir(tmp_path)
    profiles.chosen.cache_clear()
    yield tmp_path
    profiles.chosen.cache_clear()


def test_check_tells_all_that_is_wrong(repository: Repository) -> None:
    """Every profile is looked at, whichever is chosen."""
    repository.write("pyproject.toml", FAULTY)

    done = repository.doit("check")

    assert 1 == done.returncode
    assert f"{SAID}0 models, of which 0 can run: 14 faults, 0 warnings\n" == done.stdout


@pytest.mark.parametrize("text", ["profiles = 3\n", 'profiles.default = "x"\n'])
def test_no_table_in_the_place_of_one(text: str, folder: Path) -> None:
    """It is told by a run too, and not taken for nothing."""
    (folder / "pyproject.toml").write_text(f"[tool.modelmake]\n{text}")

    assert ["expected a table"] == [fault.message[:16] for fault in profiles.faults()]
    with pytest.raises(UserError, match="expected a table"):
        profiles.chosen()


def test_only_the_chosen_profile_is_held_to_the_rules(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faults of others do not stop a run."""
    (folder / "pyproject.toml").write_text(
        f'{FAULTY}\n[tool.modelmake.profiles.good]\non = "dask"\nwait = 5\n'
        'registry = "host:5000/a"\nclaim = "disk.one"\nsecrets = {A = "b/c"}\nvariables = {N = 1}\n'
    )
    monkeypatch.setenv("MODEL_PROFILE", "good")
    assert "dask" == profiles.chosen()["on"]
    profiles.chosen.cache_clear()
    monkeypatch.setenv("MODEL_PROFILE", "slow")
    with pytest.raises(UserError, match=r"^pyproject.toml:16: `tool.modelmake.profiles.slow.wait`"):
        profiles.chosen()


def test_the_same_rules_elsewhere() -> None:
    """There is a module for each place but this machine; the schema knows the same names."""
    assert [*profiles.PLACES] == schema("model")["properties"]["runOn"]["enum"]
    for name in profiles.PLACES[1:]:
        assert importlib.import_module(f"tasks.places.{name}").Place
    pattern = schema("model")["$defs"]["image"]["pattern"]
    assert f"^({profiles.IMAGE.pattern})?$(?!\\n)" == pattern


@pytest.mark.parametrize("words", [["list"], ["train"]])
@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("pyproject.toml", "[tool.doit\n", "(at line 1, column 11)"),
        ("pyproject.toml", "tool = 3\n", "`[tool.doit]` is not the table"),
        ("pyproject.toml", "[tool.doit.plugins.loaders]\n", "`[tool.doit]` is not the table"),
        ("doit.cfg", "x\n", "no section headers"),
    ],
)
def test_a_configuration_that_doit_cannot_read(
    words: list[str], file: str, text: str, reason: str, tmp_path: Path
) -> None:
    """Each command names the file and the reason; there is no traceback."""
    (tmp_path / file).write_text(text)
    program = "import sys; from tasks.front import main; sys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 3 == done.returncode
    assert done.stderr.startswith(f"ERROR: `{file}` cannot be read\n")
    assert reason in done.stderr
    assert "\nhint: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("named", ["nothing_here:Run", "json:Run"])
def test_a_command_of_a_plugin_that_is_not_there(named: str, tmp_path: Path) -> None:
    """A command that cannot be loaded is told with where it is named; there is no traceback."""
    (tmp_path / "pyproject.toml").write_text(f'[tool.doit.plugins.command]\nown = "{named}"\n')
    program = "import sys; from tasks.front import main; sys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", program, "own"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 3 == done.returncode
    assert done.stderr.startswith("ERROR: Plugin COMMAND")
    assert "\nhint: " in done.stderr
    assert "`pyproject.toml`" in done.stderr
    assert "Traceback" not in done.stderr
