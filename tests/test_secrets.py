"""Secrets of the environment: what a model prints of them does not get into logs and messages."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import redaction

if TYPE_CHECKING:
    from tests.conftest import Repository

PASSWORD = 'cor"rect\\horse-é'  # noqa: S105 - of nobody

WORDS = ["abab", "ababab", "babc", "cccc", "abcabcd"]


def logged(chunks: list[bytes], *hidden: bytes) -> bytes:
    """Return what is in the log after these pieces of output."""
    file = io.BytesIO()
    log = redaction.Redacted(file.write, hidden)
    for chunk in chunks:
        log.write(chunk)
    log.finish()
    return file.getvalue()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_secret_in_pieces(size: int) -> None:
    """However the output is cut, the secret is hidden and all else is there."""
    text = b"a: hunter22, hunter2, hunterhunter22"
    chunks = [text[at : at + size] for at in range(0, len(text), size)]

    assert b"a: ***, hunter2, hunter***" == logged(chunks, b"hunter22")


def test_the_longest_secret() -> None:
    """Of two secrets that begin alike the longer one is hidden whole."""
    assert b"*** *** ab" == logged([b"ab", b"cd", b"ef abcd", b" ab"], b"abcdef", b"abcd")


@given(
    st.lists(st.text("abcd", max_size=5)),
    st.sets(st.sampled_from(WORDS), min_size=1),
)
def test_pieces_make_no_difference(chunks: list[str], words: set[str]) -> None:
    """Output in pieces is hidden as it is in one piece, and no secret is left."""
    hidden = redaction.secrets({f"X_PASSWORD_{number}": word for number, word in enumerate(words)})
    pieces = [chunk.encode() for chunk in chunks]
    found = logged(pieces, *hidden)

    assert logged([b"".join(pieces)], *hidden) == found
    assert not [secret for secret in hidden if secret in found]


def test_which_variables() -> None:
    """Passwords, tokens and secrets by their names; short values are left alone."""
    variables = {
        "TD_PASSWORD": "first", "PGPASSWORD": "second", "API_TOKEN_2": "third", "SECRET": "fourth",
        "TOKENIZERS_PARALLELISM": "false", "MAX_TOKENS": "4096", "HOME": "/home", "A_TOKEN": "abc",
    }  # fmt: skip

    assert {b"first", b"second", b"third", b"fourth"} == set(redaction.secrets(variables))


TRAINING = """
import json, os
def train(data_conf, model_conf, progress_callback_handler):
    password = os.environ["TD_PASSWORD"]
    print("connecting as alice with", password)
    open("models/model.txt", "w").write("trained")
    for name in ("logs/library.log", "logs/" + "x" * 255, "logs.redacted"):
        with open(name, "w", errors="surrogateescape") as log:
            log.write("user alice, password " + password * name.startswith("logs/"))
    json.dump({{"user": "alice", "password": password}}, open("logs/events.json", "w"))
    if {fails}:
        raise ValueError("login refused: " + password)
"""


@pytest.mark.parametrize("fails", [False, True])
def test_a_model_that_logs_a_password(repository: Repository, *, fails: bool) -> None:
    """The password is in no message, and in no file that is left of a run."""
    name = repository.add("good-python")
    path = f"model_definitions/{name}/model_modules/training.py"
    repository.write(path, TRAINING.format(fails=fails))

    done = repository.doit(f"train:{name}", TD_PASSWORD=PASSWORD)

    assert fails == bool(done.returncode)
    files = [path for path in (repository.path / "build").rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes().decode("utf-8", "replace") for path in files}
    texts["output"] = done.stdout + done.stderr
    assert [] == [name for name, text in texts.items() if "horse" in text]
    place = f"failed/{name}/train" if fails else f"models/{name}/train"
    logs = f"build/{place}/{'work/' * fails}logs"
    for name in ("library.log", "x" * 255):
        assert "user alice, password ***" == repository.read(f"{logs}/{name}")
    assert "user alice, password " == repository.read(f"{logs}.redacted")
    events = repository.json(f"{logs}/events.json")
    assert {"user": "alice", "password": "***"} == events
    assert "connecting as alice with ***" in repository.read(f"build/{place}/run.log")
    assert not fails or "ValueError: login refused: ***" in done.stdout


def test_a_secret_need_not_be_text(repository: Repository) -> None:
    """A variable may hold any bytes: they are hidden, and the step runs."""
    name = repository.add("good-python")
    training = (
        TRAINING.format(fails=False)
        .replace('print("', "os.write(1, b'")
        .replace('", password)', " ' + os.fsencode(password))")
    )
    repository.write(f"model_definitions/{name}/model_modules/training.py", training)

    done = repository.doit(f"train:{name}", TD_PASSWORD=os.fsdecode(b"\xff\xfe-horse"))

    assert 0 == done.returncode, done.stdout
    log = (repository.path / f"build/models/{name}/train/run.log").read_bytes()
    assert b"connecting as alice with ***" == log


RETURNING = """
def evaluate(data_conf, model_conf, **kwargs):
    if {fails}:
        raise ValueError("read nothing")
    return {{"accuracy": 0.5, "read": 1, "how": "read"}}
"""


@pytest.mark.parametrize("secret", ["true", "read", "evaluation", "0.5,", "accuracy"])
def test_a_secret_that_is_a_word_of_ours(repository: Repository, secret: str) -> None:
    """A step runs as it would with another one, and its numbers are what they are."""
    name = repository.add("good-python")
    path = f"model_definitions/{name}/model_modules/evaluation.py"
    repository.write(path, RETURNING.format(fails=False))

    done = repository.doit(DB_PASSWORD=secret)

    assert 0 == done.returncode, done.stdout + done.stderr
    metrics = repository.json(f"build/models/{name}/evaluate/metrics.json")
    assert {"accuracy": 0.5, "read": 1} == metrics["metrics"]
    assert {"how": {"read": "***"}.get(secret, "read")} == metrics["other"]


def test_a_short_secret_in_an_error(repository: Repository) -> None:
    """It is hidden in what is shown and kept, and what is kept is still JSON."""
    name = repository.add("good-python")
    path = f"model_definitions/{name}/model_modules/evaluation.py"
    repository.write(path, RETURNING.format(fails=True))

    done = repository.doit(DB_PASSWORD="read", API_TOKEN="false")  # noqa: S106 - of nobody

    assert 1 == done.returncode
    assert f"Model `{name}` failed to evaluate: ValueError: *** nothing\n" in done.stdout
    kept = repository.json(f"build/failed/{name}/evaluate/result.json")
    assert kept["ok"] is False
    assert "*** nothing" == kept["error"]["message"]
