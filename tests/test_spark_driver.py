"""A PySpark step whose driver runs on the cluster: as a pod, without a Python; as YARN takes it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.assertions import wait_until
from tests.conftest import RUNNER
from tests.pods import image, kubernetes
from tests.spark import QUICK, add_tiny, interpreter, without_java

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Repository

# Adds up with NumPy in the executors' own processes, and says with which Pythons.
COUNTS = """\
import sys
from . import sums

def train(spark, data_conf):
    numbers = spark.sparkContext.parallelize(range(10), 2)
    with open("models/sum", "w") as file:
        file.write(str(numbers.map(sums.double).sum()))
    print("with", sys.prefix, numbers.map(sums.python).first())
"""

SUMS = """\
import sys

def double(number):
    import numpy
    return int(numpy.add(number, number))

def python(_number):
    return sys.prefix
"""


def test_a_driver_on_the_cluster(repository: Repository, tmp_path: Path) -> None:
    """It runs in the step's folder; its result, and what it printed, are those of the step."""
    add_tiny(repository, COUNTS)
    repository.write("model_definitions/tiny/model_modules/sums.py", SUMS)
    bare = without_java(tmp_path / "programs")
    assert 0 == repository.doit("env:tiny", **bare).returncode
    pods = tmp_path / "pods"
    (pods / "uploads").mkdir(parents=True)
    (pods / "token").write_text("none")
    with kubernetes(pods, image(interpreter(repository.cache), pods)) as master:
        properties = {
            "kubernetes.container.image": "spark",
            "kubernetes.file.upload.path": f"file://{pods}/uploads",
            "kubernetes.driver.master": master.removeprefix("k8s://"),
            "kubernetes.authenticate.driver.mounted.oauthTokenFile": f"{pods}/token",
            "kubernetes.authenticate.driver.mounted.caCertFile": f"{pods}/token",
            "kubernetes.allocation.batch.delay": "200ms",
            "executor.instances": "1",
        }
        said = " ".join(f"--conf spark.{key}={value}" for key, value in properties.items())
        more = {"AOA_SPARK_CONF": f"--deploy-mode cluster {said}", "MODEL_SPARK_MASTER": master}
        done = repository.doit("train:tiny", **more, **QUICK, **bare)

    assert 0 == done.returncode, done.stdout
    assert "90" == repository.read("build/models/tiny/train/models/sum")
    log = repository.read("build/models/tiny/train/run.log")
    used = re.findall(rf"{pods}/\S+-(driver|exec-1)/environment", log)
    assert ["driver", "exec-1"] == used
    assert "SparkContext" in repository.read("build/models/tiny/train/logs/spark-driver.log")
    assert list(repository.path.glob("build/models/tiny/train/logs/spark-events/*"))


HADOOP = """\
<configuration>
<property><name>yarn.resourcemanager.address</name><value>127.0.0.1:1</value></property>
<property><name>ipc.client.connect.max.retries</name><value>0</value></property>
</configuration>
"""


def test_what_yarn_is_told(repository: Repository, tmp_path: Path) -> None:
    """Spark itself makes of the command what YARN is to be told, which nobody takes here."""
    add_tiny(repository, COUNTS)
    bare = without_java(tmp_path / "programs")
    (tmp_path / "hadoop").mkdir()
    (tmp_path / "hadoop/yarn-site.xml").write_text(HADOOP)
    wait = "--conf spark.hadoop.yarn.resourcemanager.connect.max-wait.ms=1"
    more = {
        "MODEL_SPARK_MASTER": "yarn", "HADOOP_CONF_DIR": str(tmp_path / "hadoop"),
        "AOA_SPARK_CONF": f"--deploy-mode cluster --verbose {wait}",
    }  # fmt: skip

    done = repository.doit("train:tiny", **more, **QUICK, **bare)

    assert 1 == done.returncode
    assert "The train step of model `tiny` ended without a result" in done.stdout
    assert "hint: where the driver has begun, the cluster's own log of it says more" in done.stdout
    log = repository.read("build/failed/tiny/train/run.log")
    told = log.partition("Main class:\n")[2].partition("Spark config:\n")[0]
    assert told.startswith("org.apache.spark.deploy.yarn.YarnClusterApplication\n")
    assert re.search(r"--primary-py-file\nfile:\S+/tasks/runtime/on_cluster.py\n", told)
    names = re.findall(r"--arg\n\S*/(\S+)", told)
    assert ["work", "run_step.py", "request.json", "result.json", "driver.log"] == names
    properties = log.partition("Spark config:\n")[2].partition("Classpath")[0]
    sent = r"\(spark.yarn.dist.{},file://\S+{}\)"
    assert re.search(sent.format("archives", ".tar.gz#environment"), properties)
    assert re.search(sent.format("files", "/model_modules.zip"), properties)
    assert "(spark.pyspark.driver.python,./environment/bin/python)" in properties


def driver(*words: object) -> subprocess.Popen[str]:
    """Start the program of a driver on a cluster."""
    return subprocess.Popen(
        [sys.executable, str(RUNNER / "tasks/runtime/on_cluster.py"), *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_the_folder_is_not_there(tmp_path: Path) -> None:
    """A driver on a machine without the repository's folder says so."""
    work = tmp_path / "work"

    process = driver(work, "run_step.py", "request.json", "result.json", "driver.log")

    assert f"has no {work}: a driver on a cluster needs the folder" in process.communicate()[0]
    assert 1 == process.returncode


def test_nobody_waits_for_the_result(tmp_path: Path) -> None:
    """A driver ends when the run's folder is taken away; it begins in the step's folder."""
    program, request = tmp_path / "run_step.py", tmp_path / "request.json"
    (tmp_path / "work").mkdir()
    request.write_text('{"trusted": []}')
    program.write_text("import time\nopen('begun', 'w').close()\ntime.sleep(60)\n")

    process = driver(tmp_path / "work", program, request, "result.json", tmp_path / "driver.log")

    assert wait_until((tmp_path / "work/begun").exists)
    assert process.poll() is None
    request.unlink()
    assert 1 == process.wait(timeout=20)
    process.communicate()
