"""Documents cannot lie: what they name exists, and what exists is named in the reference."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from dataclasses import fields
from fnmatch import fnmatchcase as fnmatch
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from doit.cmd_base import DodoTaskLoader
from doit.doit_cmd import DoitMain

from tasks import naming, profiles, retries
from tasks import repository as repo_cli
from tasks.diagnosis import MISSING, OK, WARNING, Finding
from tasks.discover import discover
from tasks.fingerprint import Files
from tasks.plan import find_task
from tasks.validate import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.conftest import Repository

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
LISTED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
).stdout.decode()  # those too that are not committed yet
FILES = [line for line in LISTED.splitlines() if (ROOT / line).is_file()]
# parts of other words, a commit of Git's, and bash's own
NO_VARIABLES = {
    "AOA_MODELS_",
    "DOIT_",
    "HEAD",
    "HOME",
    "MODEL_",
    "FAILED",
    "BASH_REMATCH",
    "BASH_SOURCE",
    "EUID",
    "INSTALL",
    "MEMORY",
}
DOITS = {command.get_name() for command in DoitMain.DOIT_CMDS}
PLUGINS = [*entry_points(group="doit.COMMAND"), *entry_points(group="doit.BACKEND")]
OURS = {entry.name: entry.load() for entry in entry_points(group="doit.COMMAND")}
COMMANDS = DOITS | OURS.keys()
FOR_EXAMPLE = {"…", "MODEL", "churn"}  # models in commands that are not meant to exist


def codes(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def section(title: str) -> str:
    """Return the reference from a heading to the next one that is not below it."""
    level, rest = re.split(rf"(?m)^(#+) {re.escape(title)}$", REFERENCE, maxsplit=1)[1:]
    return re.split(rf"(?m)^#{{1,{len(level)}}} ", rest, maxsplit=1)[0]


def listed(title: str, head: str) -> set[str]:
    """Return the codes in the first column of the tables with this head in a section."""
    found: set[str] = set()
    for table in re.findall(r"(?m)^\|.*(?:\n\|.*)*", section(title)):
        first, *lines = (line.split(" | ")[0] for line in table.split("\n"))
        found |= {code for line in lines for code in codes(line) if head == first.strip("| ")}
    return found


def keys(root: Mapping[str, Any], rule: Mapping[str, Any], way: str = "") -> Iterator[str]:
    """Yield the dotted path of every key that a schema knows."""
    rule = root["$defs"][rule["$ref"].rpartition("/")[2]] | rule if "$ref" in rule else rule
    below = dict(rule.get("properties", {}))
    if isinstance(rule.get("additionalProperties"), dict):
        below["ANY"] = rule["additionalProperties"]
    for name, inner in below.items():
        yield from () if name == "ANY" else (f"{way}{name}",)
        yield from keys(root, inner, f"{way}{name}.")


@pytest.mark.parametrize(
    ("kind", "title"),
    [("model", "model.json"), ("config", "config.json"), ("dataset", "Datasets")],
)
def test_keys(kind: str, title: str) -> None:
    """Every key of the schemas is in the reference, and no other."""
    known = set(keys(schema(kind), schema(kind)))
    patterns = {
        code.replace("…", "*") for head in ("key", "older key") for code in listed(title, head)
    }
    named = {k for k in known if any(fnmatch(k, p) for p in patterns)}
    holders = {k for k in known if any(p.startswith(f"{k}.") for p in patterns)}

    assert set() == known - named - holders
    assert set() == {p for p in patterns if not any(fnmatch(k, p) for k in known)}


def test_keys_of_columns() -> None:
    """The reference lists what is said of a column of requests and answers."""
    known = schema("model")["$defs"]["columns"]["items"]["properties"]

    assert set(known) == listed("Columns of requests and answers", "key of a column")


def test_keys_of_profiles() -> None:
    """The reference lists what a profile may have."""
    assert set(profiles.KEYS) == listed("Places", "key of a profile")


def test_places() -> None:
    """The documents list every place that a step can run at."""
    told = (ROOT / "docs/elsewhere.md").read_text(encoding="utf-8")

    assert set(profiles.PLACES) == listed("Places", "place")
    assert set(profiles.PLACES) == set(re.findall(r"(?m)^\| `(\w+)` \|", told))


def test_tasks() -> None:
    """The reference lists every kind of task."""
    assert {f"{kind}:MODEL" for kind in naming.KINDS} == listed("Tasks", "task")


def options(kinds: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the forms in which options are written: `--json`, `-n`."""
    dashes = {"long": "--", "inverse": "--", "short": "-"}
    return {dash + one[form] for one in kinds for form, dash in dashes.items() if one.get(form)}


def forms(text: str) -> set[str]:
    """Return the options that a text names."""
    return {code.split()[0] for code in codes(text) if code.startswith("-")}


def test_commands() -> None:
    """The reference lists every command, doit's too, with options that it has."""
    front = {"./bootstrap COMMAND", "nox", "nox -t TAG"}
    front |= {f"nox -s {session}" for session in ("crash", "evaluate", "framework", "lock")}

    assert COMMANDS | front == listed("Commands", "command")
    for row, text in re.findall(r"(?m)^\| (`\w.*?) \| (.*) \|$", section("Commands")):
        for name in OURS.keys() & set(codes(row)):
            assert set() == forms(text) - options(OURS[name].cmd_options), name


def test_options_of_commands() -> None:
    """The reference lists what we add to doit's options, by command, and no command has others."""
    rows = re.findall(r"(?m)^\| (`-.*?) \| (.*?) \| .*\|$", section("Commands"))
    for name, command in OURS.items():
        known = options(command.cmd_options)
        bases = [base for base in command.__mro__ if base.__module__.partition(".")[0] == "doit"]
        doits = {form for base in bases for form in options(vars(base).get("cmd_options", ()))}
        told = {form for row, of in rows if name in of.split(", ") for form in forms(row)}
        assert set() == known - doits - told, name
        assert set() == told - known, name
    of_all = {form for row, of in rows if of == "all" for form in forms(row)}
    assert set() == of_all - options(DodoTaskLoader.cmd_options) - {"-h", "--help"}
    assert set() == {name for _, of in rows for name in of.split(", ")} - {"all", *OURS}


def test_what_the_doctor_says() -> None:
    """The reference lists each state of a thing, and each option of the script beside it."""
    lines = (ROOT / "tasks/run_model.py").read_text(encoding="utf-8").splitlines()
    options = {form for line in lines if " add(" in line for form in re.findall('"(-.*?)"', line)}

    assert {OK, WARNING, MISSING} == listed("doctor", "state")
    named = {code.split()[0] for code in listed("run-model-cli.py", "option of the script")}
    assert options == named


def test_repo_cli() -> None:
    """The reference lists the options of cli/repo-cli.py, and every template."""
    options = {word for action in repo_cli.parser()._actions for word in action.option_strings}
    folders = (ROOT / "model_templates").glob("*/*/model.json")

    assert options == {code.partition(" ")[0] for code in listed("New models", "option")}
    assert {f"{path.parts[-3]}/{path.parts[-2]}" for path in folders} == listed(
        "New models", "template"
    )


def test_environment_variables() -> None:
    """The reference names every variable that the code or bootstrap reads or drops.

    In a module that looks at `os.environ`, every string in capitals is the name of one.
    """
    found: set[str] = set()
    for path in (ROOT / "tasks").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        if any(isinstance(node, ast.Attribute) and node.attr == "environ" for node in nodes):
            strings = (node.value for node in nodes if isinstance(node, ast.Constant))
            found |= {s for s in strings if isinstance(s, str) and re.fullmatch("[A-Z_]{4,}", s)}
    script = re.sub(r"(?m)^ *#.*", "", (ROOT / "bootstrap").read_text(encoding="utf-8"))
    unset = re.findall(r"(?m)^unset (.*)", script)
    found |= {*re.findall(r"(?:\$\{?|-u )([A-Z_]{4,})", script), *" ".join(unset).split()}
    titles = ("Environment variables", "The process", "R's process")
    text = "".join(section(title) for title in titles)

    assert set() == found - NO_VARIABLES - {code.partition("=")[0] for code in codes(text)}


def test_what_models_import() -> None:
    """The reference names all that `model_runtime` has to tell progress with."""
    tree = ast.parse((ROOT / "tasks/runtime/model_runtime/__init__.py").read_text(encoding="utf-8"))
    exported = next(node.value for node in tree.body if isinstance(node, ast.Assign))

    named = {code.partition("(")[0] for code in listed("Telling progress", "name")}

    assert set(ast.literal_eval(exported)) == named


def test_checkpoint_functions() -> None:
    """The reference names all that `model_runtime.checkpoint` has for models."""
    path = ROOT / "tasks/runtime/model_runtime/checkpoint.py"
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)} - {"sync"}

    named = {code.partition("(")[0] for code in listed("Checkpoints", "name of `checkpoint`")}

    assert functions == named


def test_reasons() -> None:
    """The reference lists every reason for which an attempt may be made again."""
    assert set(retries.REASONS) == listed("Retries and time", "reason")


def test_events() -> None:
    """The reference lists the reporter's events, each with its fields."""
    tree = ast.parse((ROOT / "tasks/json_lines.py").read_text(encoding="utf-8"))
    told = {
        ast.literal_eval(node.args[0]): [keyword.arg for keyword in node.keywords]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_tell"
    }
    fields = {"event", *(field for fields in told.values() for field in fields)}
    rows = re.findall(r"(?m)^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", section("The reporter"))

    assert told == {event: codes(fields) for event, fields in rows}
    assert fields == listed("The reporter", "field")


def test_records_and_rows(repository: Repository) -> None:
    """The reference lists the fields of records, of the list's rows and of faults."""
    name = repository.add("good-python")
    repository.add("bad-json")
    repository.doit(f"evaluate:{name}")
    module = f"model_definitions/{name}/model_modules/evaluation.py"
    repository.write(module, repository.read(module) + "X = 1\n")
    repository.doit("accept", f"evaluate:{name}", "--why", "unused")
    rows = {row["name"]: row for row in json.loads(repository.doit("list", "--json").stdout)}
    place = f"build/models/{name}/evaluate"

    assert set(repository.json(f"{place}/run.json")) == listed("A result", "field of `run.json`")
    (accepted,) = repository.json(f"{place}/run.json")["accepted"]
    assert set(accepted) == listed("A result", "field of an acceptance")
    assert set(rows[name]) == listed("list", "field")
    assert set(rows["bad-json"]["faults"][0]) == listed("check", "field")
    assert {field.name for field in fields(Finding)} == listed("doctor's findings", "field")
    records = [repository.json(f"{place}/{name}") for name in ("metrics.json", "artefacts.json")]
    assert set() == {key for record in records for key in record} - set(codes(section("A result")))


def test_readme_lists_every_model() -> None:
    """The table of models has a row for each folder, and no other."""
    folders = {path.parent.name for path in (ROOT / "model_definitions").rglob("model.json")}

    assert folders == set(re.findall(r"(?m)^\| \[.*\]\(model_definitions/(.*?)\)", README))


def test_modules_of_the_architecture() -> None:
    """Each file that it names is there, and it names the modules of doit's commands and backend."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    of_models = {"file model_modules/training.py", "scoring.py"}
    files = {code for code in codes(text) if code.endswith(".py")} - of_models
    homes = [ROOT, ROOT / "tasks", ROOT / "tasks/runtime"]

    assert set() == {file for file in files if not any([*home.glob(file)] for home in homes)}
    assert set() == {f"{entry.module.partition('.')[2]}.py" for entry in PLUGINS} - files


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".md")])
def test_links(name: str) -> None:
    """Every relative link leads to a file, and to a heading where it names one."""
    path = ROOT / name
    for target in re.findall(r"\]\((?!\w+:)([^)]+)\)", path.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        titles = re.findall("(?m)^#+ (.*)", there.read_text(encoding="utf-8")) if heading else []
        slugs = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert heading in [*slugs, ""], target


def test_commands_of_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README tells to type is a command or a model's step, with options that there are."""
    monkeypatch.chdir(ROOT)
    models = discover(Files())
    known = options(DodoTaskLoader.cmd_options)
    known |= {form for command in OURS.values() for form in options(command.cmd_options)}
    values = {"pima", '"…"', *profiles.PLACES, *(model.name for model in models)}
    for line in re.findall(r"(?m)(?:^    (?:\$ )?|`)(?:\./bootstrap )?doit\b([^`\n]*)", README):
        for word in line.split("   ")[0].split():
            kind, _, model = word.partition(":")
            if word.startswith("-"):
                assert word in known, line
            elif kind in naming.KINDS and model not in FOR_EXAMPLE:
                assert find_task(word, "", models, naming.KINDS), line
            elif "/" not in word and word not in values:
                assert kind in {*COMMANDS, *naming.KINDS}, line


def test_nothing_of_one_machine() -> None:
    """No file holds the address of a package index or somebody's home folder."""
    private = re.compile(
        r"https?://(?!127\.|[\w.]*\.invalid)\S*(?:/simple\b|pypi)|/(?:home|Users)/\w|/roo[t]/"
    )
    texts = {name: (ROOT / name).read_bytes().decode("utf-8", "replace") for name in FILES}

    assert [] == [name for name, text in texts.items() if private.search(text)]
