"""Progress reaches a real ActiveMQ, and no state of a broker harms a training."""

from __future__ import annotations

import itertools
import re
import signal
import socket
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tasks import publish
from tasks.errors import UserError
from tasks.progress import PUBLISH_SECONDS
from tests.assertions import configure, trained
from tests.broker import PASSWORD, WAIT_SECONDS, Broker, Consumer, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Repository

TRAIN = "train:tells-progress"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Return a broker that runs as long as this module's tests."""
    started = Broker(tmp_path_factory.mktemp("broker"))
    try:
        started.start()
        yield started
    finally:
        started.kill()


@pytest.fixture
def model(repository: Repository) -> str:
    """Return the name of a model that tells its progress."""
    return repository.add("tells-progress")


def ends(message: dict[str, Any]) -> bool:
    """Return whether a message is the last one of a run."""
    return message["state"] in {"finished", "failed"}


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines that warn."""
    return [line for line in done.stdout.splitlines() if line.startswith("warning ")]


def assert_unharmed(repository: Repository, done: subprocess.CompletedProcess[str]) -> None:
    """Assert that a training is as it is without a broker, and that the password is nowhere."""
    assert (0, "") == (done.returncode, done.stderr)
    assert "20" == trained(repository, "tells-progress")
    assert PASSWORD not in done.stdout
    assert PASSWORD.replace(" ", "%20") not in done.stdout
    for path in repository.path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
            assert publish.VARIABLE.encode() not in path.read_bytes(), path


def test_messages_of_a_run(repository: Repository, model: str, broker: Broker) -> None:
    """Who listens learns how a training starts, goes on and ends, in this order."""
    consumer = Consumer(broker, "/topic/open.training")
    done = repository.doit(TRAIN, MODEL_PROGRESS_URL=broker.url("/topic/open.training"))
    messages = consumer.until(ends)
    consumer.close()

    assert_unharmed(repository, done)
    assert [] == warnings(done)
    assert ["started", "finished"] == [messages[0]["state"], messages[-1]["state"]]
    assert {"progress"} == {message["state"] for message in messages[1:-1]}
    told = [message["iter"] for message in messages[1:]]
    assert sorted(told) == told
    times = [datetime.fromisoformat(message.pop("time")) for message in messages]
    assert sorted(times) == times
    whose = {
        "model": model,
        "id": "00000000-0000-4000-8000-000000000050",
        "step": "train",
        "dataset": "",
    }
    assert messages[0] == {**whose, "state": "started"}
    assert messages[-1] == {**whose, "state": "finished", "iter": 20, "iters": 20, "score": 0.2}


def test_rate(repository: Repository, model: str, broker: Broker) -> None:
    """A model that tells thousands of messages has at most two a second published, the latest."""
    configure(repository, model, iters=20000, pause=0.0001)
    consumer = Consumer(broker, "/topic/open.rate")
    done = repository.doit(TRAIN, MODEL_PROGRESS_URL=broker.url("/topic/open.rate"))
    messages = consumer.until(ends)
    consumer.close()

    assert 0 == done.returncode
    assert messages[-1]["iter"] == 20000
    times = [datetime.fromisoformat(m["time"]) for m in messages if m["state"] == "progress"]
    assert len(times) > 1
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    assert min(gaps) > PUBLISH_SECONDS * 0.9


@pytest.mark.parametrize("end", ["fails", "is interrupted"])
def test_a_training_that_ends_badly(
    repository: Repository, model: str, broker: Broker, end: str
) -> None:
    """A training that fails, or that Ctrl-C ends, is published as failed."""
    destination = f"/queue/open.{end.replace(' ', '.')}"
    configure(repository, model, iters=3 if end == "fails" else 10000, pause=0.05, fails=True)
    consumer = Consumer(broker, destination)
    running = repository.start(TRAIN, MODEL_PROGRESS_URL=broker.url(destination))
    if end == "is interrupted":
        consumer.until(lambda message: message["state"] == "progress")
        running.send_signal(signal.SIGINT)
    running.communicate(timeout=WAIT_SECONDS)

    assert "failed" == consumer.until(ends)[-1]["state"]
    consumer.close()


def test_a_silent_training(repository: Repository, model: str, broker: Broker) -> None:
    """A training that says nothing for too long raises one alert everywhere, and goes on."""
    document = repository.json(f"model_definitions/{model}/model.json")
    document["progress"] = {"stallAfter": 0.5}
    repository.write(f"model_definitions/{model}/model.json", document)
    until = repository.path / "until"
    repository.write(f"model_definitions/{model}/datasets/train.json", {"wait_for": [str(until)]})
    consumer = Consumer(broker, "/topic/open.silent")
    running = repository.start(TRAIN, MODEL_PROGRESS_URL=broker.url("/topic/open.silent"))
    consumer.until(lambda message: message["state"] == "stalled" and "iter" in message)
    time.sleep(1.5)  # three times as long: it is to be told once
    until.touch()
    messages = consumer.until(ends)
    shown = running.communicate(timeout=WAIT_SECONDS)[0]
    consumer.close()

    states = [message["state"] for message in messages]
    assert re.search("stalled( progress)+ finished$", " ".join(states))
    assert "stalled stalled" not in " ".join(states)
    stalled = states.count("stalled")  # the start of a slow machine's Python may be one more
    log = repository.read(f"build/models/{model}/train/run.log")
    assert stalled == log.count("modelmake: no progress for 0.5 s\n")
    assert stalled == shown.count(f"\nwarning {TRAIN}: no progress for 0.5 s\n")


REFUSALS = {
    "login": ("/topic/open.any", "wrong sesame", "User name [modelmake] or password is invalid."),
    "topic": ("/topic/forbidden", PASSWORD, "User modelmake is not authorized to"),
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_a_broker_that_refuses(
    repository: Repository, model: str, broker: Broker, refused: str
) -> None:
    """A refusal is told in one line, with the broker's reason and without the password."""
    assert model in TRAIN
    destination, password, reason = REFUSALS[refused]
    done = repository.doit(TRAIN, MODEL_PROGRESS_URL=broker.url(destination, password))

    assert_unharmed(repository, done)
    place = f"stomp://modelmake@127.0.0.1:{broker.port}{destination}"
    assert 1 == len(warnings(done))
    assert warnings(done)[0].startswith(f"warning no progress reaches {place}: {reason}")
    assert "sesame" not in done.stdout


def test_nobody_listens(repository: Repository, model: str) -> None:
    """A broker that is not there is told once in a run of two steps."""
    place = f"127.0.0.1:{free_port()}/topic/any"
    done = repository.doit(f"evaluate:{model}", MODEL_PROGRESS_URL=f"stomp://u:{PASSWORD}@{place}")

    assert_unharmed(repository, done)
    expected = f"warning no progress reaches stomp://u@{place}: Connection refused"
    assert [expected] == warnings(done)


def test_a_broker_that_never_answers(repository: Repository, model: str) -> None:
    """Who accepts connections and says nothing neither holds up a training nor its end."""
    assert model in TRAIN
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}/topic/any"
        done = repository.doit(TRAIN, MODEL_PROGRESS_URL=f"stomp://{place}")

    assert_unharmed(repository, done)
    expected = f"warning no progress reaches stomp://{place}: it does not answer in time"
    assert [expected] == warnings(done)


def test_a_broker_that_is_killed_and_started_again(
    repository: Repository, model: str, tmp_path: Path
) -> None:
    """Messages come again when the broker does; the training has not noticed anything."""
    killed, back = tmp_path / "killed", tmp_path / "back"
    waits = {"wait_for": [str(killed), str(back)]}  # after the first and the second message
    repository.write(f"model_definitions/{model}/datasets/train.json", waits)
    broker = Broker(tmp_path)
    try:
        broker.start()
        consumer = Consumer(broker, "/queue/open.training")
        running = repository.start(TRAIN, MODEL_PROGRESS_URL=broker.url("/queue/open.training"))
        consumer.until(lambda message: message.get("iter") == 1)
        broker.kill()
        killed.touch()
        line = running.stdout.readline() if running.stdout else ""
        while line and not line.startswith("warning "):
            line = running.stdout.readline() if running.stdout else ""
        broker.start()
        again = Consumer(broker, "/queue/open.training")
        again.until(lambda message: message["state"] == "progress")
        back.touch()
        messages = again.until(ends)
        shown = running.communicate(timeout=WAIT_SECONDS)[0]
        again.close()
    finally:
        broker.kill()

    assert 0 == running.returncode
    assert "20" == trained(repository, model)
    place = f"stomp://modelmake@127.0.0.1:{broker.port}/queue/open.training"
    assert line == f"warning no progress reaches {place}: Connection refused\n"
    assert "warning " not in shown
    assert [2, 20] == [messages[0]["iter"], messages[-1]["iter"]]
    assert {"progress", "finished"} == {message["state"] for message in messages}


MALFORMED = {
    "host:61613/topic/x": "it does not begin with `stomp://`",
    "http://u:open%20sesame@host/topic/x": "it does not begin with `stomp://`",
    "stomp:///topic/x": "it names no host",
    "stomp://u:open%20sesame@host:port/topic/x": "its host or port cannot be read",
    "stomp://u:open#sesame@host/topic/x": "its host or port cannot be read",
    "stomp://u:open%20sesame@host/topic/x?y": "it has a `?` or `#`",
    "stomp://u:open%20sesame@host": "it ends with neither `/topic/NAME` nor `/queue/NAME`",
    "stomp://u:open%20sesame@host/topics/x": "it ends with neither `/topic/NAME` nor `/queue/NAME`",
    "stomp://u:open%20sesame@host/topic/": "it ends with neither `/topic/NAME` nor `/queue/NAME`",
}


@pytest.mark.parametrize(("url", "reason"), MALFORMED.items())
def test_malformed_address(url: str, reason: str) -> None:
    """What is no address is refused with the variable's name, and no part of it is shown."""
    with pytest.raises(UserError) as caught:
        publish.parsed(url)

    assert f"`MODEL_PROGRESS_URL` is no address of a broker: {reason}" == caught.value.headline
    assert "sesame" not in str(caught.value)


def test_malformed_address_stops_doit(repository: Repository, model: str) -> None:
    """A malformed address is an error before anything runs."""
    done = repository.doit(TRAIN, MODEL_PROGRESS_URL="stomp://u:open%20sesame@host")

    assert 3 == done.returncode
    assert "`MODEL_PROGRESS_URL` is no address of a broker: it ends with neither" in done.stderr
    assert "sesame" not in done.stdout + done.stderr
    assert not (repository.path / f"build/models/{model}").exists()


ADDRESSES = {
    "stomp://u:p@host:1/topic/a": ("host", 1, "/topic/a", "u", "p", "stomp://u@host:1/topic/a"),
    "stomp://host/queue/a.b/c": (
        "host", 61613, "/queue/a.b/c", None, None, "stomp://host:61613/queue/a.b/c"
    ),
    "stomp://a%40b:p%2F%23%25@[::1]:2/topic/x": (
        "::1", 2, "/topic/x", "a@b", "p/#%", "stomp://a%40b@[::1]:2/topic/x"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("url", "expected"), ADDRESSES.items())
def test_address(url: str, expected: tuple[object, ...]) -> None:
    """An address is read with what is escaped in it, and shown without its password."""
    found = publish.parsed(url)

    parts = (found.host, found.port, found.destination, found.user, found.password, str(found))
    assert expected == parts
    assert "p/#%" not in repr(found)


def test_changes_of_state_are_never_dropped(broker: Broker) -> None:
    """What several steps tell at once all arrives, each step's in its order."""
    consumer = Consumer(broker, "/topic/open.many")
    publisher = publish.Publisher(publish.parsed(broker.url("/topic/open.many")))

    def tell(step: str) -> None:
        for number in range(100):
            publisher.send(step, {"step": step, "number": number}, lasting=True)

    threads = [threading.Thread(target=tell, args=(step,)) for step in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publisher.send("d", {"step": "d", "number": float("nan")}, lasting=True)
    messages = consumer.until(lambda message: message["step"] == "d")
    publisher.close()
    consumer.close()

    assert messages[-1] == {"step": "d", "number": None}
    for step in "abc":
        assert list(range(100)) == [m["number"] for m in messages if m["step"] == step]


def test_what_waits_is_bounded() -> None:
    """While no broker is there, a newer progress takes an older one's place, and little is kept."""
    publisher = publish.Publisher(publish.parsed(f"stomp://127.0.0.1:{free_port()}/topic/x"))
    publisher.send("a", {"number": 0}, lasting=True)
    for number in range(5):
        publisher.send("a", {"number": number}, lasting=False)
    assert [0, 4] == [message["number"] for message in publisher._waiting.values()]
    publisher.send("a", {"number": 9}, lasting=True)
    assert [0, 9] == [message["number"] for message in publisher._waiting.values()]
    for number in range(2000):
        publisher.send("b", {"number": number}, lasting=True)
    assert publish.LIMIT == len(publisher._waiting)
    publisher.close()

    assert {} == publisher._waiting
    assert publisher.trouble().endswith(": Connection refused")
    assert "" == publisher.trouble()
