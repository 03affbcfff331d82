"""The sentiment model: its synthetic reviews, its files, and Keras itself beside it."""

from __future__ import annotations

import ast
import csv
import json
import runpy
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import RUNNER, Repository, ask
from tests.spark import with_lock

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "tensorflow-sentiment"
FOLDER = RUNNER / "model_definitions" / MODEL
SAMPLE = RUNNER / "datasets/reviews-sample.csv"
ANSWERS = (RUNNER / "tests/sentiment_reference.py").read_text()
LINEAR = (RUNNER / "tests/reviews_reference.py").read_text()
CALLBACKS = (RUNNER / "tests/keras_reference.py").read_text()


UNSEEDED = """
import keras
import numpy as np


def train(data_conf, model_conf):
    rows = np.random.normal(size=(64, 3))
    layers = keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(1)
    network = keras.Sequential(layers)
    network.compile("adam", "mse")
    network.fit(rows, rows.sum(axis=1), verbose=0)
    np.save("models/predictions.npy", network.predict(rows, verbose=0))
"""


@pytest.fixture(scope="module", name="rows")
def read_rows() -> list[dict[str, str]]:
    """Return the sample's rows."""
    with SAMPLE.open(newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", name="built")
def build(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, store: dict[str, str]
) -> Repository:
    """Return a repository in which the model has run every step, training twice."""
    repository = Repository(tmp_path_factory.mktemp("sentiment"), cache)
    for folder in ("datasets", "envs", f"model_definitions/{MODEL}"):
        shutil.copytree(RUNNER / folder, repository.path / folder)
    for words in ([f"train:{MODEL}", "--twice"], ["evaluate", "score"]):
        done = repository.doit(*words, **store)
        assert 0 == done.returncode, done.stdout + done.stderr
    return repository


@pytest.fixture(scope="module", name="python")
def find_python(built: Repository) -> str:
    """Return the interpreter of the model's environment."""
    record = built.json(f"build/models/{MODEL}/train/run.json")
    return f"{record['environment']['folder']}/bin/python"


class TestSample:
    """`datasets/reviews-sample.csv`."""

    def test_regenerates(self) -> None:
        """The script gives the committed file, byte for byte, and it is small."""
        script = runpy.run_path(str(RUNNER / "datasets/make_reviews_sample.py"))

        expected = SAMPLE.read_bytes()

        assert expected == script["sample"]().encode("ascii")
        assert len(expected) < 1_000_000

    def test_splits(self, rows: list[dict[str, str]]) -> None:
        """No review is there twice, so that none is both trained and tested on."""
        counts = Counter(row["split"] for row in rows)
        positive = Counter(row["split"] for row in rows if row["sentiment"] == "1")

        assert {"train": 3000, "test": 1000} == counts
        assert 4000 == len({row["review"] for row in rows})
        assert {"train": 0.5, "test": 0.5} == pytest.approx(
            {split: positive[split] / counts[split] for split in counts}, abs=0.03
        )

    def test_words_alone_do_not_tell(self, sql_python: str) -> None:
        """Logistic regression on words does poorly, on words in their order better."""
        accuracy = ask(sql_python, LINEAR, str(SAMPLE))

        assert 0.5 < accuracy["words"] < 0.75
        assert accuracy["words"] + 0.05 < accuracy["threes"] < 0.9

    def test_labelled(self) -> None:
        """The README says of the file, on one line, that it is synthetic."""
        lines = (RUNNER / "datasets/README.md").read_text(encoding="utf-8").splitlines()

        assert any(f"`{SAMPLE.name}`" in line and "**Synthetic.**" in line for line in lines)


class TestFiles:
    """`model_definitions/tensorflow-sentiment`, as it is on the disk."""

    @pytest.mark.parametrize("step", ["train", "evaluate", "score"])
    def test_default_data(self, step: str) -> None:
        """Every step reads the committed sample, so that no network is needed."""
        dataset = json.loads((FOLDER / f"datasets/{step}.json").read_text())

        assert SAMPLE == RUNNER / dataset["url"]

    @pytest.mark.parametrize(
        "path", sorted(FOLDER.glob("model_modules/*.py")), ids=lambda p: p.stem
    )
    def test_any_backend(self, path: Path) -> None:
        """No module imports what computes for Keras."""
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
        names |= {n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}

        assert set() == {name.partition(".")[0] for name in names} & {"tensorflow", "jax", "torch"}

    def test_hyperparameters_described(self) -> None:
        """The README has a line for each hyperparameter with its default."""
        readme = (FOLDER / "README.md").read_text(encoding="utf-8")
        hyper = json.loads((FOLDER / "config.json").read_text())["hyperParameters"]

        assert [] == [n for n, value in hyper.items() if f"`{n}` | {value} |" not in readme]


@pytest.mark.tensorflow
class TestBuilt:
    """What the model's steps have left."""

    def test_learns(self, built: Repository) -> None:
        """The order of words is what the network has learned, and every test review is scored."""
        metrics = built.json(f"build/models/{MODEL}/evaluate/metrics.json")["metrics"]
        predictions = built.read(f"build/models/{MODEL}/score/predictions.csv").splitlines()

        assert 1000 == metrics["rows"]
        assert 0.9 < metrics["accuracy"] < 1
        assert ["row,probability,class", 1000] == [predictions[0], len(predictions) - 1]

    def test_measured_as_scored(self, built: Repository, rows: list[dict[str, str]]) -> None:
        """The accuracy is that of the predictions, counted here."""
        with (built.path / f"build/models/{MODEL}/score/predictions.csv").open() as file:
            predicted = [row["class"] for row in csv.DictReader(file)]
        known = [row["sentiment"] for row in rows if row["split"] == "test"]

        right = sum(one == other for one, other in zip(predicted, known, strict=True))

        metrics = built.json(f"build/models/{MODEL}/evaluate/metrics.json")["metrics"]
        assert right / len(known) == pytest.approx(metrics["accuracy"])

    def test_answers_requests(self, built: Repository, python: str) -> None:
        """The numbers of the sample request stand for the first of the sample texts."""
        numbers, texts = (
            json.loads((FOLDER / f"samples/{name}.json").read_text())["data"]["ndarray"]
            for name in ("data", "texts")
        )
        alone = texts[0][0]
        requests = [numbers, [numbers], texts, [text for (text,) in texts], alone]
        result = (built.path / f"build/models/{MODEL}/train").resolve()

        answers = ask(python, ANSWERS, "answers", str(FOLDER), json.dumps(requests), cwd=result)

        first, second = answers[2]
        assert first > 0.5 > second
        expected = [[first], [first], [first, second], [first, second], [first]]
        assert [pytest.approx(one, abs=1e-5) for one in expected] == answers


@pytest.mark.tensorflow
class TestKeras:
    """Keras itself, in the model's environment."""

    def test_loaded_again(self, python: str, tmp_path: Path) -> None:
        """A network that was saved and loaded says the same, and has the sizes that it must."""
        found = ask(python, ANSWERS, "loaded_again", str(FOLDER), cwd=tmp_path)

        assert found["before"] == found["after"] != found["untrained"]
        assert [
            ["Embedding", 5000, 50],
            ["Dropout", 0.2],
            ["Conv1D", 250, 3],
            ["GlobalMaxPooling1D"],
            ["Dense", 250],
            ["Dropout", 0.2],
            ["Activation"],
            ["Dense", 1],
        ] == found["layers"]
        assert ("adam", "binary_crossentropy") == (found["optimizer"], found["loss"])

    def test_reads_the_imdb_data_as_keras_does(self, python: str, tmp_path: Path) -> None:
        """A file in the form of Keras's gives the numbers that `keras.datasets.imdb` gives."""
        found = ask(python, ANSWERS, "as_keras_reads", str(FOLDER), cwd=tmp_path)

        assert {"train": 4, "test": 2} == {split: len(both[0]) for split, both in found.items()}
        for theirs, ours in found.values():
            assert theirs == ours

    def test_trains_on_the_imdb_form(self, built: Repository, python: str) -> None:
        """Through every step: reviews as ranks, their words from a file beside them."""
        program = (
            "import numpy as np; r = np.random.default_rng(0)\n"
            "x = np.empty(40, dtype=object); x[:] = [r.integers(1, 60, 30).tolist() for _ in x]\n"
            "y = np.arange(40) % 2\n"
            "np.savez('imdb.npz', x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])\n"
            "print(0)"
        )
        ask(python, program, cwd=built.path)
        words = {f"word{rank}": rank for rank in range(1, 6000)}
        built.write("index.json", words)
        dataset: dict[str, Any] = {"url": "imdb.npz", "word_index": {"url": "index.json"}}
        built.write(f"model_definitions/{MODEL}/datasets/ranks.json", dataset)

        done = built.doit(f"train:{MODEL}@ranks", f"score:{MODEL}@ranks")

        assert 0 == done.returncode, done.stdout + done.stderr
        vocabulary = built.json(f"build/models/{MODEL}@ranks/train/models/vocabulary.json")
        assert {word: rank for word, rank in words.items() if rank + 3 < 5000} == vocabulary
        scored = built.read(f"build/models/{MODEL}@ranks/score/predictions.csv").splitlines()
        assert 1 + 10 == len(scored)


Told = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module", name="all_told")
def train_with_callbacks(python: str, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Return what is told of trainings, by metric and handler: Keras takes long to load."""
    wishes = ("accuracy", "acc", "", "accuracy/broken", "accuracy/none", "resumed")
    return dict(ask(python, CALLBACKS, *wishes, cwd=tmp_path_factory.mktemp("callbacks")))


@pytest.mark.tensorflow
class TestProgress:
    """`model_runtime.keras_callback`, called by the real Keras."""

    def test_tells_of_epochs(self, all_told: Told) -> None:
        """Batches count from 1 in each epoch, whose end is told once more, with the accuracy."""
        told = all_told["accuracy"]

        expected = [(epoch, batch) for epoch in (1, 2) for batch in [*range(1, 10), 9]]
        assert expected == [(message["epoc"], message["iter"]) for message in told]
        assert {(2, 9)} == {(message["epocs"], message["iters"]) for message in told}
        assert all(0 <= message["score"] <= 1 for message in told)

    def test_goes_on_from_a_checkpoint(self, all_told: Told) -> None:
        """Of four epochs those are left that had not been made when the training broke off."""
        assert [2, 3] == all_told["resumed"]

    @pytest.mark.parametrize("metric", ["acc", "accuracy"])
    def test_either_name_of_the_accuracy(self, all_told: Told, metric: str) -> None:
        """The score is what Keras itself reports under the name that the model has for it."""
        told = all_told[metric]

        assert told[-1]["score"] == pytest.approx(told[-1]["reported"][metric])

    def test_no_accuracy(self, all_told: Told) -> None:
        """The score is the loss where nothing else is measured."""
        told = all_told[""]

        assert told[-1]["score"] == pytest.approx(told[-1]["reported"]["loss"])

    @pytest.mark.parametrize("handler", ["broken", "none"])
    def test_never_fails_a_training(self, all_told: Told, handler: str) -> None:
        """A handler that raises, or is not there, changes nothing."""
        assert [] == all_told[f"accuracy/{handler}"]


def test_a_network_that_seeds_nothing(built: Repository) -> None:
    """A first try in Keras runs, and gives the same bytes twice: its random numbers are seeded."""
    about = json.loads((FOLDER / "model.json").read_text())
    kept = {key: about[key] for key in ("language", "framework", "python")}
    built.write("model_definitions/first/model.json", {"id": "first", "name": "First", **kept})
    built.write("model_definitions/first/model_modules/training.py", UNSEEDED)
    with_lock(built, MODEL, "first")

    done = built.doit("train:first", "--twice")

    assert 0 == done.returncode, done.stdout
