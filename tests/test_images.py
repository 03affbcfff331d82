"""Images that serve a model, built and run by a real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING

import pytest

from tasks.containers import find, image
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.images import bases, build, layers, parts
from tasks.images.layers import Entry
from tasks.images.parts import Part
from tasks.state import State
from tests import containers
from tests.broker import free_port
from tests.conftest import Repository
from tests.serving import Server

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.containers import Engine

NAME = "answers-requests"
MODULES = f"model_definitions/{NAME}/model_modules"
FACTS = f"build/images/{NAME}/image.json"
ENGINE = {
    "MODEL_CONTAINER_OPTIONS": containers.OPTIONS,
    "MODEL_CONTAINER_ENGINE": "podman",
    "MODEL_BASE_IMAGE": containers.BASE,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Repository:
    """Return a repository whose model has its image."""
    containers.base_image(cache.parent)
    path = tmp_path_factory.mktemp("images") / "repository"
    (path / "model_definitions").mkdir(parents=True)
    repository = Repository(path, cache)
    repository.add(NAME)
    model = f"model_definitions/{NAME}/model.json"
    version = ".".join(map(str, sys.version_info[:3]))
    repository.write(model, {**repository.json(model), "python": f"=={version}"})
    repository.write(f"{MODULES}/requirements.txt", "six\n")
    done = repository.doit(f"image:{NAME}", **ENGINE)
    assert 0 == done.returncode, done.stdout
    return repository


def image_id(name: str) -> str:
    """Return the id of an image."""
    return f"sha256:{containers.podman('image', 'inspect', '--format', '{{.Id}}', name)}"


def run(image: str, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command in an image, of whose files none may be written but in /tmp."""
    safe = ("--rm", "--read-only", "--tmpfs", "/tmp")  # noqa: S108 - in the container
    command = ["podman", "run", *safe, *containers.OPTIONS.split(), *options, image, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_answers_requests(built: Repository, tmp_path: Path) -> None:
    """It answers as the server does, as nobody in particular, and ends when it is told to."""
    facts, port = built.json(FACTS), free_port()
    safe = ["--rm", "--read-only", "--tmpfs", "/tmp", *containers.OPTIONS.split()]  # noqa: S108
    words = ["podman", "run", *safe, facts["tags"][0], "--host", "127.0.0.1", "--port", str(port)]
    said = tmp_path / "said.txt"
    with said.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file)
    server = Server(process, port, said, said)
    try:
        server.wait_for("serving on http://127.0.0.1")
        assert 0 == server.ask("/health/ready").body["models"][NAME] - 1

        answer = server.predict([[1, 2], [3, 4]])

        assert (200, [4, 10]) == (answer.status, answer.body["data"]["ndarray"])
        assert facts["labels"]["modelmake.trained"] == answer.headers["x-model-key"]
        assert [b"10001"] == owners(port)
    finally:
        status = server.end()
    assert 0 == status, said.read_text()


def owners(port: int) -> list[bytes]:
    """Return the users of those who listen on a port."""
    with open("/proc/net/tcp", "rb") as file:
        rows = [line.split() for line in file]
    return [row[7] for row in rows if row[1].endswith(b":%04X" % port) and row[3] == b"0A"]


def test_says_what_is_in_it(built: Repository) -> None:
    """Its bill of materials has every locked package, beside it and inside; its labels the keys."""
    facts = built.json(FACTS)
    bill = built.read(f"build/images/{NAME}/sbom.json")
    run_record = built.json(f"build/models/{NAME}/train/run.json")

    listed = {
        (one["name"], one["version"])
        for one in json.loads(bill)["components"]
        if {"name": "modelmake:environment", "value": "model"} in one.get("properties", ())
    }

    assert "six" in run_record["environment"]["packages"]
    assert set(run_record["environment"]["packages"].items()) == listed
    program = ("--entrypoint", "/opt/modelmake/runner/bin/python")
    inside = run(
        facts["tags"][0], "-c", "print(open('/opt/modelmake/sbom.json').read(), end='')",
        options=program,
    )  # fmt: skip
    assert bill == inside.stdout
    labels = facts["labels"]
    assert run_record["inputs"]["environment lock"] == labels["modelmake.lock"]
    assert run_record["key"] == labels["modelmake.trained"]
    assert facts["tags"] == [
        f"modelmake/{NAME}:{labels['modelmake.key'][:12]}",
        f"modelmake/{NAME}:latest",
    ]
    assert image_id(facts["tags"][1]) == facts["image_id"]


def test_is_held_against_the_record(built: Repository, tmp_path: Path) -> None:
    """An environment of which a byte is another is not that which the model was trained in."""
    facts = built.json(FACTS)
    program = ("--entrypoint", "/opt/modelmake/runner/bin/python")
    find = "import glob; print(*glob.glob('/opt/modelmake/cache/environments/*/lib/*/*/six.py'))"
    place = run(facts["tags"][0], "-c", find, options=program).stdout.strip()
    (tmp_path / "six.py").write_text("changed = True\n")

    done = run(facts["tags"][0], "--check", options=("--volume", f"{tmp_path}/six.py:{place}:ro"))

    assert (3, True) == (done.returncode, "is not as it was built" in done.stderr), done.stderr
    assert 0 == run(facts["tags"][0], "--check").returncode


def test_a_change_of_scoring_is_one_layer(built: Repository) -> None:
    """All layers but the last are those that are there; made again, it is the same to the byte."""
    before = built.json(FACTS)
    scoring = built.read(f"{MODULES}/scoring.py")
    again = built.doit(f"image:{NAME}", **ENGINE)
    assert "nothing to do" in again.stdout, again.stdout
    built.write(f"{MODULES}/scoring.py", f"{scoring}\nCHANGED = True\n")

    changed = built.doit(f"image:{NAME}", **ENGINE)

    assert 0 == changed.returncode, changed.stdout
    after = built.json(FACTS)
    common = [one for one in before["layers"] if one in after["layers"]]
    assert before["layers"][:4] == common[:4]
    assert before["tags"][0] != after["tags"][0]
    containers.podman("rmi", "--force", *before["tags"])
    built.write(f"{MODULES}/scoring.py", scoring)
    back = built.doit(f"image:{NAME}", **ENGINE)
    assert 0 == back.returncode, back.stdout
    assert before["image_id"] == built.json(FACTS)["image_id"]


def test_the_image_of_the_runner(built: Repository) -> None:
    """It has the runner and uv, and carries out a request when it is told which."""
    done = built.doit("image:runner", **ENGINE)

    assert 0 == done.returncode, done.stdout
    tags = built.json("build/images/runner/image.json")["tags"]
    version = run(tags[1], "--version", options=("--entrypoint", "uv"))
    assert version.stdout.startswith("uv "), version.stderr
    assert "usage: python -m tasks.worker" in run(tags[1], "--help").stdout


def test_no_base_is_named(repository: Repository) -> None:
    """The ways to name one are told."""
    repository.add("good-python")

    done = repository.doit("image:good-python", **{**ENGINE, "MODEL_BASE_IMAGE": ""})

    assert 1 == done.returncode
    assert "No image is named that this one could be built on" in done.stdout
    assert "hint: `MODEL_BASE_IMAGE` names one" in done.stdout


@pytest.fixture
def engine(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    """Return the engine, as this process is told of it; the working directory is empty."""
    containers.base_image(cache.parent)
    monkeypatch.chdir(tmp_path)
    for name, value in ENGINE.items():
        monkeypatch.setenv(name, value)
    return find()


def test_an_engine_that_fails_says_nothing_of_a_base(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it could not ask is asked again; that there is no Python is known from then on."""
    state, base = State(str(tmp_path / "state.db")), image(engine, containers.BASE, "")
    monkeypatch.setenv("MODEL_CONTAINER_OPTIONS", "--runtime none-such")
    with pytest.raises(UserError, match="cannot start a container"):
        bases._there(engine, base, "3.11", state)
    monkeypatch.setenv("MODEL_CONTAINER_OPTIONS", containers.OPTIONS)

    assert [] == bases._there(engine, base, "3.11", state)

    monkeypatch.setenv("MODEL_CONTAINER_OPTIONS", "--runtime none-such")
    assert [] == bases._there(engine, base, "3.11", state)


def test_a_base_whose_name_is_given_to_another(engine: Engine, tmp_path: Path) -> None:
    """What was looked at is what is built on."""
    name = "localhost/modelmake-test:moving"
    containers.podman("tag", containers.BASE, name)
    base = image(engine, name, "")
    (tmp_path / "Containerfile").write_text(f"FROM {containers.BASE}\nCOPY Containerfile /\n")
    containers.podman("build", "--quiet", "--tag", name, str(tmp_path))
    newer = image(engine, name, "")
    program = Part("program", os.urandom(8).hex(), lambda: [Entry(build._PROGRAM, link="/bin/sh")])
    recipe = build.Recipe("moving", base, [program], {}, (), ("-c", "true"), "1")
    try:
        built = build._build(engine, recipe, lambda _said: None)
    finally:
        key = canonical("image layer", {"on": base.id, "part": program.key})
        containers.podman("rmi", "--force", newer.id, *recipe.tags, f"{build.LAYERS}:{key[:32]}")

    assert newer.layers != base.layers
    assert base.layers == built.image.layers[: len(base.layers)]
    assert newer.layers[-1] not in built.image.layers


def test_another_framework_is_another_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner in an image knows the frameworks that the one here knows."""
    monkeypatch.setattr(parts, "__file__", str(tmp_path / "tasks/images/parts.py"))
    (tmp_path / "envs/locks").mkdir(parents=True)
    framework = tmp_path / "envs/new.json"
    python = parts.Python("/usr/bin/python3.11", "3.11.7")
    framework.write_text("{}")
    before = parts.runner(python).key
    assert before == parts.runner(python).key

    framework.write_text("[]")

    assert before != parts.runner(python).key


def test_a_layer_follows_from_what_is_in_it(tmp_path: Path) -> None:
    """Neither times nor owners nor the order in which files are named make another archive."""
    entries = [Entry("a/b", data=b"text"), Entry("a/c", link="b"), Entry("open", open=True)]
    layers.write(str(tmp_path / "one.tar"), entries)
    time.sleep(0.01)

    layers.write(str(tmp_path / "two.tar"), reversed(entries))

    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_what_can_be_executed(tmp_path: Path) -> None:
    """Of data that is given, as of a file, an image keeps whether it can be."""
    entries = [Entry("/tool.sh", data=b"", runs=True), Entry("/data.csv", data=b"")]
    layers.write(str(tmp_path / "layer"), entries)

    with tarfile.open(tmp_path / "layer") as archive:
        assert {"tool.sh": 0o755, "data.csv": 0o644} == {
            one.name: one.mode for one in archive.getmembers()
        }
