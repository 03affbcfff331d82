"""Steps on a Kubernetes cluster: the conversation with its API, and what goes wrong there.

No cluster can be had for tests: `kubernetes_api` stands for one.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from tasks import clusters, news, pods, profiles, shared
from tasks.errors import UserError
from tasks.model import Model
from tasks.places import Ended, Request, kubernetes, pod_log
from tasks.places import cluster as asking
from tasks.plan import Step
from tests.assertions import wait_until
from tests.conftest import RUNNER
from tests.kubernetes_api import NAMESPACE, Cluster, Fate
from tests.test_retries import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Repository

KEY = "0123456789abcdef" * 4
MODEL = "model_definitions/ant"
DOCUMENT = {"id": "1", "name": "Ant", "language": "python", "resources": {"memory": "64Mi"}}
COUNTING = "import time\nfor n in range(120): print('line', n, flush=True); time.sleep(0.003)"
PRINTED = "".join(f"line {n}\n" for n in range(120))


class Asked(Request):
    """A request that is carried out by a program of a test's own."""

    program = "print('done')"

    @property
    def words(self) -> list[str]:
        """The arguments of Python."""
        return ["-c", f"import sys; sys.argv = []\n{self.program}"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return a cluster, which must have been asked only for what the API has."""
    made = Cluster(tmp_path, {"teradata/password": "swordfish"})
    yield made
    made.close()
    assert [] == made.faults


@pytest.fixture
def here(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Have this process use the cluster, with short waits; return what sets keys of the profile."""
    for name, value in cluster.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    for module, name, value in (
        (kubernetes, "POLL_SECONDS", 0.05),
        (kubernetes, "LOOK_SECONDS", 0.02),
        (asking, "PAUSE_SECONDS", 0.02),
        (kubernetes, "FIRST_PATIENCE_SECONDS", 2),
        (pod_log, "PAUSE_SECONDS", 0.02),
    ):
        monkeypatch.setattr(module, name, value)

    def use(**keys: object) -> None:
        monkeypatch.setattr(profiles, "chosen", lambda: keys)

    use()
    return use


def request(program: str = "print('done')", **document: object) -> Asked:
    """Return a request for a program to be run."""
    model = Model("ant", MODEL, MODEL, {**DOCUMENT, **document})
    asked = type("OfTest", (Asked,), {"program": program})
    made: Asked = asked(Step(model, "train"), KEY, "s3://bucket/models")
    return made


def follow(job: kubernetes.Job, tick: Callable[[], None] = lambda: None) -> tuple[Ended, str, Any]:
    """Follow a job to its end; return how it ended, what it printed, and the alerts."""
    printed: list[bytes] = []
    alerts: list[str] = []
    reader = news.Reader(printed.append, lambda told: alerts.append(str(told.get("alert"))))
    ended = job.follow(reader.feed, tick)
    return ended, b"".join(printed).decode(), alerts


@pytest.mark.parametrize(
    ("call", "more", "said"),
    [
        ("create_namespaced_job", {"body": {"kind": "Job"}}, "apiVersion"),
        ("list_namespaced_job", {"watch": True}, "watch"),
        ("list_namespaced_cron_job", {}, "no such resource"),
    ],
)
def test_what_the_stand_in_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, more: dict[str, Any], said: str
) -> None:
    """What the API does not have, or what is not in its form, is noted: the tests fail by it."""
    cluster = Cluster(tmp_path)
    monkeypatch.setenv("KUBECONFIG", cluster.variables["KUBECONFIG"])
    asked = asking.Cluster()

    with pytest.raises(asking.Refused):
        asked.ask(getattr(asked.batch, call), patience=0, **more)

    cluster.close()
    assert said in cluster.faults[0]


@pytest.mark.usefixtures("here")
def test_a_step_is_a_job(cluster: Cluster) -> None:
    """It is created, its output is handed on, and nothing of it is left."""
    ended, printed, alerts = follow(kubernetes.Place().submit(request(COUNTING)))

    assert (Ended(ok=True), PRINTED, []) == (ended, printed, alerts)
    assert {} == cluster.jobs == cluster.pods
    (created,) = [asked for asked in cluster.asked if asked.startswith("POST")]
    assert f"POST /apis/batch/v1/namespaces/{NAMESPACE}/jobs?fieldValidation=Strict" == created


@pytest.mark.usefixtures("here")
def test_log_that_is_cut(cluster: Cluster) -> None:
    """Every line comes once and in order, although the clock there is not the one here."""
    cluster.cuts.extend([20, 50, 0, 70, 7])

    _, printed, alerts = follow(kubernetes.Place().submit(request(COUNTING)))

    assert (PRINTED, []) == (printed, alerts)
    assert not cluster.cuts
    assert 6 <= sum("/log" in asked for asked in cluster.asked)


@pytest.mark.usefixtures("here")
def test_log_whose_lines_are_equal(cluster: Cluster) -> None:
    """Equal lines are told apart by their times, and what has no end of line is kept."""
    cluster.cuts.extend([3, 5])

    program = "for n in range(50): print('same')\nprint('end', end='')"
    _, printed, _ = follow(kubernetes.Place().submit(request(program)))

    assert "same\n" * 50 + "end" == printed


@pytest.mark.usefixtures("here")
def test_log_that_may_not_be_read(cluster: Cluster) -> None:
    """That is said, and the step is not lost by it."""
    cluster.refusals.extend([("GET .*/log", 403)] * 1000)

    ended, printed, alerts = follow(kubernetes.Place().submit(request()))

    assert (True, "") == (ended.ok, printed)
    (alert,) = alerts
    assert alert.startswith("the end of what it printed could not be had: jobs.batch is forbidden")


@pytest.mark.usefixtures("here")
def test_a_job_that_is_there(cluster: Cluster) -> None:
    """A second runner follows the Job of the first from its beginning."""
    kubernetes.Place().submit(request(COUNTING))
    time.sleep(0.3)

    ended, printed, _ = follow(kubernetes.Place().submit(request(COUNTING)))

    assert (True, PRINTED) == (ended.ok, printed)
    assert 2 == sum(asked.startswith("POST") for asked in cluster.asked)


@pytest.mark.usefixtures("here")
def test_a_job_that_has_failed(cluster: Cluster) -> None:
    """One of a run before is taken away, and a new one created."""
    job = kubernetes.Place().submit(request("raise SystemExit(1)"))
    assert wait_until(lambda: "conditions" in cluster.jobs[job.name]["status"])

    ended, printed, _ = follow(kubernetes.Place().submit(request("print('new')")))

    assert (True, "new\n") == (ended.ok, printed)


@pytest.mark.usefixtures("here")
def test_a_job_of_another_step(cluster: Cluster) -> None:
    """One that only has the same name is left alone."""
    job = kubernetes.Place().submit(request(COUNTING))
    cluster.jobs[job.name]["metadata"]["annotations"]["modelmake/key"] = "other"

    with pytest.raises(UserError, match="that is not of this step"):
        kubernetes.Place().submit(request())

    assert job.name in cluster.jobs


@pytest.mark.usefixtures("here")
def test_what_passes(cluster: Cluster) -> None:
    """Where the API fails for a moment, the same is asked again, and nothing is made twice."""
    kinds = ("POST", "GET .*/jobs/", "GET .*/pods$", "GET .*/log")
    cluster.refusals.extend((asked, code) for code in (0, 410, 429, 500, 503) for asked in kinds)

    ended, printed, _ = follow(kubernetes.Place().submit(request(COUNTING)))

    assert (True, PRINTED) == (ended.ok, printed)
    assert not cluster.refusals


@pytest.mark.usefixtures("here")
def test_no_answer_any_more(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that stays away is waited for, but not for ever; others can look on meanwhile."""
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(asking.Cluster.ask, "__kwdefaults__", {"patience": 0.3})
    job = kubernetes.Place().submit(request("import time; time.sleep(60)"))
    cluster.refusals.extend([("GET .*/jobs/", 503)] * 1000)
    ticks: list[int] = []

    with pytest.raises(UserError, match="The cluster gives no answer: cannot follow the Job"):
        follow(job, lambda: ticks.append(1))

    assert len(ticks) > 3
    cluster.refusals.clear()
    job.cancel()
    assert {} == cluster.jobs


@pytest.mark.usefixtures("here")
def test_forbidden(cluster: Cluster) -> None:
    """What one is not allowed is said, with what the cluster says of it."""
    cluster.refusals.append(("POST", 403))

    with pytest.raises(UserError, match="The cluster does not let you create the Job") as caught:
        kubernetes.Place().submit(request())

    assert 'User "me" cannot create resource "jobs"' in str(caught.value)
    assert NAMESPACE in str(caught.value)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ImagePullBackOff", 'Back-off pulling image "modelmake/runner:latest"'),
        ("InvalidImageName", "couldn't parse image name"),
        ("CreateContainerError", "context deadline exceeded"),
    ],
)
def test_a_container_that_cannot_start(cluster: Cluster, reason: str, message: str) -> None:
    """It is not waited for: the reason is said, and the Job taken away."""
    cluster.fates.append(Fate(waiting=reason, message=message))

    ended, _, _ = follow(kubernetes.Place().submit(request()))

    assert Ended(ok=False, reason=reason, message=f"{reason}: {message}") == ended
    assert {} == cluster.jobs == cluster.pods


def test_secrets(cluster: Cluster, here: Callable[..., None]) -> None:
    """A pod has the secrets that it refers to; one that is not there is said."""
    here(secrets={"TD_PASSWORD": "teradata/password"})
    program = "import os; print(os.environ['TD_PASSWORD'][::-1])"
    ended, printed, _ = follow(kubernetes.Place().submit(request(program)))
    assert (True, "hsifdrows\n") == (ended.ok, printed)

    here(secrets={"TD_PASSWORD": "teradata/missing"})
    ended, _, _ = follow(kubernetes.Place().submit(request(program)))
    assert "CreateContainerConfigError" == ended.reason
    assert "teradata/missing" in ended.message
    assert {} == cluster.jobs


@pytest.mark.usefixtures("here")
def test_no_machine_for_it_yet(cluster: Cluster) -> None:
    """That a pod waits for a machine is said once, with the reason; then it runs."""
    cluster.fates.append(Fate(unplaced=0.5))

    ended, printed, alerts = follow(kubernetes.Place().submit(request()))

    assert (True, "done\n") == (ended.ok, printed)
    assert ["no machine takes its pod: 0/3 nodes are available: 3 Insufficient memory."] == alerts


@pytest.mark.parametrize("quota", [False, True])
def test_no_machine_for_it_ever(
    cluster: Cluster, here: Callable[..., None], *, quota: bool
) -> None:
    """It is waited for no longer than the profile says."""
    here(wait=1)
    cluster.fates.append(Fate(unplaced=30))
    cluster.warning = "exceeded quota: compute, requested: memory=64Mi" if quota else ""

    ended, _, _ = follow(kubernetes.Place().submit(request()))

    assert (False, "unschedulable") == (ended.ok, ended.reason)
    assert ("exceeded quota" if quota else "3 Insufficient memory") in ended.message
    assert {} == cluster.jobs


@pytest.mark.usefixtures("here")
def test_out_of_memory(cluster: Cluster) -> None:
    """That a pod was killed for its memory is said, with its limit."""
    cluster.fates.append(Fate(after=3, by="oom"))

    ended, printed, _ = follow(kubernetes.Place().submit(request(COUNTING)))

    assert "oom" == ended.reason
    assert "it used more memory than its limit of 320Mi, and was killed" == ended.message
    assert printed.startswith("line 0\nline 1\nline 2\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("slow", [False, True])
def test_evicted(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, *, slow: bool) -> None:
    """A pod that the cluster has ended is made anew, and its log comes after the one before."""
    cluster.fates.append(Fate(after=30, by="evicted"))
    if slow:  # the end of the first log comes when the second pod prints already
        cluster.cuts.append(10)
        monkeypatch.setattr(pod_log, "PAUSE_SECONDS", 0.3)

    ended, printed, alerts = follow(kubernetes.Place().submit(request(COUNTING)))

    assert ended.ok
    assert printed.endswith(PRINTED)
    assert 150 <= printed.count("\n")
    (alert,) = alerts
    assert "EvictionByEvictionAPI: Eviction API: evicting; the step is started anew" in alert


@pytest.mark.usefixtures("here")
def test_evicted_again_and_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """That ends at some time."""
    monkeypatch.setattr(kubernetes, "MOST_DISRUPTIONS", 2)
    cluster.fates.extend([Fate(after=1, by="evicted")] * 50)

    ended, _, _ = follow(kubernetes.Place().submit(request("print(1, flush=True)")))

    assert "preempted" == ended.reason
    assert {} == cluster.jobs


def test_machine_lost(cluster: Cluster, here: Callable[..., None]) -> None:
    """A machine that gives no answer is waited for as one that is not found."""
    here(wait=1)
    cluster.fates.append(Fate(after=2, by="lost"))

    ended, _, alerts = follow(kubernetes.Place().submit(request(COUNTING)))

    assert (False, "lost") == (ended.ok, ended.reason)
    assert ["the machine of its pod gives no answer"] == alerts


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("program", "ended"),
    [
        (
            "raise SystemExit(1)",
            Ended(ok=False, reason="BackoffLimitExceeded", message="exit status 1"),
        ),
        (
            "raise SystemExit(65)",
            Ended(ok=False, reason="PodFailurePolicy", message="exit status 65"),
        ),
        (
            "import os; os.kill(os.getpid(), 9)",
            Ended(ok=False, reason="lost", message="exit status 137"),
        ),
    ],
)
def test_one_pod_is_one_try(cluster: Cluster, program: str, ended: Ended) -> None:
    """Who submits a Job tries again, and not the cluster as well."""
    found, _, _ = follow(kubernetes.Place().submit(request(program, retries=2)))

    assert (ended, 1) == (found, cluster.made)
    assert {} == cluster.jobs


@pytest.mark.usefixtures("here")
def test_a_wait_for_a_machine_is_no_part_of_the_timeout(cluster: Cluster) -> None:
    """The cluster would count it: the runner in the pod holds the step to its time."""
    job = kubernetes.Place().submit(request(timeout=1))

    assert "activeDeadlineSeconds" not in cluster.jobs[job.name]["spec"]
    follow(job)


@pytest.mark.parametrize(
    ("code", "document", "pods_made"),
    [
        (1, {"retries": 2}, 3),
        (65, {"retries": 2}, 1),
        (137, {"retries": 1}, 2),
        (137, {"retries": 1, "retryOn": ["timeout"]}, 1),
    ],
)
def test_tries_of_a_manifest(
    cluster: Cluster, code: int, document: dict[str, Any], pods_made: int
) -> None:
    """Of a Job that is applied the cluster tries again, as often and for what the model says."""
    step = request(**document).step
    words = ["-c", f"raise SystemExit({code})"]
    job = cluster.create(pods.job(step, KEY, "runner", words, clusters.settings({})))

    assert wait_until(lambda: "conditions" in job["status"])

    assert pods_made == cluster.made


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("reached", [True, False])
def test_deleted_by_somebody(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reached: bool
) -> None:
    """A Job that is gone has not ended well, also where the store cannot tell."""
    monkeypatch.setenv("MODEL_STORE", str(tmp_path / "store") if reached else "http://127.0.0.1:9/")
    shared.shared.cache_clear()
    job = kubernetes.Place().submit(request("import time; time.sleep(60)"))
    later = time.monotonic() + 0.3

    def tick() -> None:
        if time.monotonic() > later and cluster.jobs:
            cluster.delete(job.name, {"propagationPolicy": "Background"})

    ended, _, _ = follow(job, tick)

    shared.shared.cache_clear()
    assert Ended(ok=False, reason="deleted", message="its Job was deleted") == ended


@pytest.mark.usefixtures("here")
def test_cancelled(cluster: Cluster) -> None:
    """A Job that is cancelled is gone, with its pod's processes; that may be said twice."""
    job = kubernetes.Place().submit(request("print(1, flush=True); import time; time.sleep(60)"))
    assert wait_until(lambda: any(pod.lines for pod in cluster.pods.values()))
    (pod,) = cluster.pods.values()

    job.cancel()
    job.cancel()

    assert {} == cluster.jobs == cluster.pods
    assert pod.process
    assert -signal.SIGKILL == pod.process.poll()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "It is not known how a Kubernetes cluster is reached"),
        ("{", "It is not known how a Kubernetes cluster is reached"),
        ("[]", "It is not known how a Kubernetes cluster is reached"),
        ("current-context: none", "It is not known how a Kubernetes cluster is reached"),
        ("http://127.0.0.1:9", "The cluster gives no answer: cannot create the Job"),
    ],
)
def test_no_cluster(
    cluster: Cluster, here: Callable[..., None], config: str | None, said: str
) -> None:
    """It is said what is wrong, soon."""
    here()
    path = Path(os.environ["KUBECONFIG"])
    if config is None:
        path.unlink()
    elif config.startswith("http"):
        path.write_text(path.read_text().replace(cluster.address, config))
    else:
        path.write_text(config)
    began = time.monotonic()

    with pytest.raises(UserError, match=said) as caught:
        kubernetes.Place().submit(request())

    assert caught.value.hint
    assert time.monotonic() - began < 10


def test_no_client(here: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client it is said what to install."""
    here()
    monkeypatch.setitem(sys.modules, "kubernetes", None)

    with pytest.raises(UserError, match="which is not installed") as caught:
        kubernetes.Place().submit(request())

    assert "kubernetes" in caught.value.hint


@pytest.mark.usefixtures("here")
def test_role_in_the_documents(cluster: Cluster) -> None:
    """The role that a user of the cluster needs allows all that is asked for, and no more."""
    text = (RUNNER / "docs/kubernetes.md").read_text(encoding="utf-8")
    role = yaml.safe_load(re.findall("(?s)```yaml\n(.*?)```", text)[0])
    kubernetes_validate.validate(role, kubernetes_validate.latest_version(), strict=True)
    allowed = {
        (resource, verb)
        for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }  # fmt: skip
    cluster.warning = "exceeded quota"
    job = kubernetes.Place().submit(request())
    with pytest.raises(ZeroDivisionError):
        follow(job, lambda: 1 // (not any("events" in asked for asked in cluster.asked)))
    job.cancel()
    cluster.warning = ""
    follow(kubernetes.Place().submit(request()))

    verbs = {"POST": "create", "DELETE": "delete", "GET": "get"}
    asked = set()
    for line in cluster.asked:
        method, path = line.split()
        kind, *rest = path.partition("?")[0].partition(f"/{NAMESPACE}/")[2].split("/")
        resource = f"{kind}/log" if rest[-1:] == ["log"] else kind
        asked.add((resource, "list" if method == "GET" and not rest else verbs[method]))
    assert allowed == asked


# Through doit, with a model


@pytest.fixture
def sent(repository: Repository, cluster: Cluster) -> Callable[..., dict[str, str]]:
    """Return what gives the variables for doit to run a repository's steps on the cluster."""
    repository.write(
        "pyproject.toml",
        '[tool.modelmake.profiles.default]\non = "kubernetes"\nclaim = "disk"\n'
        f'variables = {{MODEL_CACHE = "{repository.cache}"}}\n'
        'secrets = {SWORD_PASSWORD = "teradata/password"}\n',
    )
    return lambda: {"MODEL_STORE": str(repository.path.parent / "store"), **cluster.variables}


def test_trained_and_evaluated_there(
    repository: Repository, cluster: Cluster, sent: Callable[..., dict[str, str]]
) -> None:
    """A model is trained and evaluated by Jobs, and its results are here as any others."""
    name = repository.add("tells-progress")
    cluster.cuts.extend([1, 4])

    done = repository.doit("--reporter", "json", f"evaluate:{name}", **sent())

    assert 0 == done.returncode, done.stdout + done.stderr
    run = repository.json(f"build/models/{name}/train/run.json")
    job = f"{name}-train-{run['key'][:12]}"
    assert {"place": "kubernetes", "namespace": NAMESPACE, "job": job} == run["where"]
    assert 2 == sum(asked.startswith("POST") for asked in cluster.asked)
    assert {} == cluster.jobs == cluster.pods
    assert "up to date" in repository.doit("--on", "local", f"evaluate:{name}", **sent()).stdout


def test_a_model_that_fails_there(
    repository: Repository, cluster: Cluster, sent: Callable[..., dict[str, str]]
) -> None:
    """It is told in the same words as here, and the Job is gone."""
    name = repository.add("crashes-in-train")

    done = repository.doit(f"train:{name}", **sent())

    assert 1 == done.returncode
    assert (
        "Model `crashes-in-train` failed to train: ZeroDivisionError: division by zero"
        in done.stdout
    )
    assert "features.py:" in done.stdout
    assert {} == cluster.jobs


def test_tries_are_not_multiplied(
    repository: Repository, cluster: Cluster, sent: Callable[..., dict[str, str]]
) -> None:
    """A model that is killed each time has as many pods as it may be tried."""
    told(repository, "kill 0", "kill 0", "kill 0", retries=1)

    done = repository.doit("train:ends-as-told", **sent())

    assert 1 == done.returncode
    assert "first attempt: it was lost (" in done.stdout
    assert 2 == cluster.made


def waiting(repository: Repository) -> str:
    """Add a model whose training goes on until there is a file `until`; return its name."""
    name = repository.add("waits-in-train")
    conf = {key: str(repository.path / key) for key in ("started", "until")}
    repository.write(f"model_definitions/{name}/datasets/train.json", conf)
    return name


def test_a_runner_that_was_killed(
    repository: Repository, cluster: Cluster, sent: Callable[..., dict[str, str]]
) -> None:
    """The Job goes on; the next runner follows it instead of creating another."""
    name = waiting(repository)
    first = repository.start(f"train:{name}", **sent())
    assert wait_until((repository.path / "started").exists)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    (pod,) = cluster.pods.values()

    second = repository.start(f"train:{name}", **sent())
    assert wait_until(lambda: sum(asked.startswith("POST") for asked in cluster.asked) == 2)
    (repository.path / "until").touch()
    printed, _ = second.communicate()

    assert 0 == second.returncode, printed
    assert pod.process
    assert 0 == pod.process.poll()
    assert {} == cluster.jobs


def test_interrupted(
    repository: Repository, cluster: Cluster, sent: Callable[..., dict[str, str]]
) -> None:
    """Ctrl-C deletes the Job, so that nothing of it goes on."""
    name = waiting(repository)
    runner = repository.start(f"train:{name}", **sent())
    assert wait_until((repository.path / "started").exists)
    (pod,) = cluster.pods.values()

    os.killpg(runner.pid, signal.SIGINT)
    runner.communicate()

    assert 130 == runner.returncode
    assert {} == cluster.jobs == cluster.pods
    assert pod.process
    assert pod.process.poll() is not None
