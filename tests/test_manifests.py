"""Kubernetes manifests: valid by the published schemas, strictly, and by what those cannot say."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_validate import utils

from tasks import clusters, discover, manifests, pods
from tasks.clusters import Settings
from tasks.errors import UserError
from tasks.fingerprint import Files
from tasks.model import STEPS, Model
from tasks.places import Request
from tasks.plan import Step
from tests.conftest import RUNNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Repository

VERSIONS = sorted({".".join(one.split(".")[:2]) for one in utils.all_versions()}, key=len)
KEY = "1234567e" * 8
"""A key that a parser of YAML could take for a number."""

MODELS = [model.name for model in discover.discover(Files())] if RUNNER.exists() else []
SECRETS = {"TD_USERNAME": "teradata/username", "TD_PASSWORD": "teradata/password"}
QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[KMGT]i)?")

ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "nested": ("Group One/churn_v2", {}),
    "long": ("a" * 200, {}),
    "digits": ("2026", {}),
    "foreign": ("価格予測", {}),
    "gpu": ("net", {"automation": {"training": {"resources": {"gpu": "2", "memory": "16Gi"}}}}),
    "scheduled": ("nightly", {"schedule": "0 3 * * mon-fri", "timeZone": "Europe/Berlin"}),
    "retried": ("shaky", {"retries": 3, "automation": {"training": {"timeout": 90.5}}}),
    "secret": ("bank", {"secrets": SECRETS}),
    "many": ("popular", {"serving": {"replicas": {"min": 2, "max": 6}, "timeout": 2.5}}),
    "one": ("alone", {"serving": {"replicas": {"max": 1}}}),
    "tiny": ("little", {"resources": {"cpu": "0.0001"}}),
    "amounts": ("old", {"resources": {"cpu": 0.25, "memory": "1g"}}),
}


@pytest.fixture(autouse=True, scope="module")
def _schemas_read_once() -> Iterator[None]:
    plain = utils.schema_contents
    utils.schema_contents = functools.cache(plain)
    yield
    utils.schema_contents = plain


def odd(case: str) -> Model:
    """Return a model that is unusual in one way."""
    name, more = ODD[case]
    folder = f"model_definitions/{name}"
    return Model(name, folder, folder, {"id": "1", "name": "Odd", "language": "python", **more})


def all_of(model: Model) -> list[dict[str, Any]]:
    """Return every manifest that there can be of a model, read back from what is written."""
    settings = Settings("models", {"MODEL_STORE_KEY": "store/key"}, "/mnt/store", "disk", "trainer")
    words = Request(Step(model, "train"), KEY, settings.store).words
    image = clusters.image_of(model.name, {"registry": "registry.invalid:5000/models/"})
    found = [pods.job(Step(model, step), KEY, image, words, settings) for step in STEPS]
    if "schedule" in model.document:
        found.append(manifests.scheduled(Step(model, "train"), image, words, settings))
    found += manifests.serving(model, image, settings)
    read = [yaml.safe_load(manifests.text_of(manifest)) for manifest in found]
    assert found == read
    return read


@pytest.mark.parametrize("name", MODELS)
def test_models_of_this_repository(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their manifests are valid for every version of Kubernetes whose schema there is."""
    monkeypatch.chdir(RUNNER)
    model = discover.read_model(f"model_definitions/{name}", Files())

    for manifest in all_of(model):
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)
        sound(manifest)


@pytest.mark.parametrize("case", ODD)
def test_odd_models(case: str) -> None:
    """So are those of models that are unusual, by the oldest and by the newest schema."""
    for manifest in all_of(odd(case)):
        for version in (VERSIONS[0], VERSIONS[-1]):
            kubernetes_validate.validate(manifest, version, strict=True)
        sound(manifest)


def test_a_wrong_field_is_found() -> None:
    """The validation that the other tests rely on finds a key that is misspelled."""
    (job, *_) = all_of(odd("gpu"))
    job["spec"]["template"]["spec"]["containers"][0]["resource"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def sound(manifest: dict[str, Any]) -> None:
    """Check what a cluster asks for and its schemas do not say."""
    kind, spec, about = manifest["kind"], manifest["spec"], manifest["metadata"]
    longest = {"CronJob": 52}.get(kind, 63)
    assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", about["name"])
    assert len(about["name"]) <= longest
    for value in about["labels"].values():
        assert re.fullmatch("[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", value)
        assert len(value) <= 63
    if kind in {"Deployment", "PodDisruptionBudget"}:
        assert spec["selector"]["matchLabels"].items() <= about["labels"].items()
    if kind == "Service":
        assert spec["selector"].items() <= about["labels"].items()
    job = spec["jobTemplate"]["spec"] if kind == "CronJob" else spec
    if "template" in job:
        pod(job["template"]["spec"], is_job=kind != "Deployment")
        assert (
            about["labels"].items()
            >= spec.get("template", job["template"])["metadata"]["labels"].items()
            or kind == "CronJob"
        )


def pod(spec: dict[str, Any], *, is_job: bool) -> None:
    """Check a pod: the profile `restricted` of the Pod Security Standards, and references."""
    assert ("Never" if is_job else None) == spec.get("restartPolicy")
    whole, (container,) = spec["securityContext"], spec["containers"]
    own = container["securityContext"]
    assert whole["runAsNonRoot"]
    assert whole["runAsUser"]
    assert {"type": "RuntimeDefault"} == whole["seccompProfile"]
    assert (False, True) == (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"])
    assert {"drop": ["ALL"]} == own["capabilities"]
    assert {"emptyDir", "persistentVolumeClaim"} >= {
        key for volume in spec["volumes"] for key in volume if key != "name"
    }
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}
    requests, limits = (container["resources"].get(key, {}) for key in ("requests", "limits"))
    for amount in (*requests.values(), *limits.values()):
        assert QUANTITY.fullmatch(amount)
    assert requests.get("nvidia.com/gpu") == limits.get("nvidia.com/gpu")
    names = [variable["name"] for variable in container["env"]]
    assert len(set(names)) == len(names)
    ports = {port["name"] for port in container.get("ports", ())}
    probes = [container[key] for key in container if key.endswith("Probe")]
    assert {probe["httpGet"]["port"] for probe in probes} <= ports


def test_gpu() -> None:
    """Processors for graphics are limits of the device's own name, and only of the step's."""
    job, evaluation, *_ = all_of(odd("gpu"))

    def limits(job: dict[str, Any]) -> Any:  # noqa: ANN401 - quantities
        return job["spec"]["template"]["spec"]["containers"][0]["resources"].get("limits")

    assert {"memory": "16640Mi", "nvidia.com/gpu": "2"} == limits(job)
    assert None is limits(evaluation)


def test_schedule() -> None:
    """A schedule is a CronJob in its time zone that trains whatever is stored already."""
    (cron,) = [one for one in all_of(odd("scheduled")) if one["kind"] == "CronJob"]

    assert ("0 3 * * mon-fri", "Europe/Berlin") == (
        cron["spec"]["schedule"],
        cron["spec"]["timeZone"],
    )
    assert "CronJob" not in [one["kind"] for one in all_of(odd("gpu"))]


def test_retries_and_timeout() -> None:
    """A pod that failed is tried again so often, one that the cluster ended does not count."""
    train, evaluation, *_ = all_of(odd("retried"))

    assert (3, 3) == (train["spec"]["backoffLimit"], evaluation["spec"]["backoffLimit"])
    assert (1800 + 91 + 600) * 4 == train["spec"]["activeDeadlineSeconds"]
    assert "activeDeadlineSeconds" not in evaluation["spec"]
    spec = pods.job_spec(Step(odd("retried"), "train"), "", [], clusters.settings({"wait": 60}))
    assert (60 + 91 + 600) * 4 == spec["activeDeadlineSeconds"]
    evicted, final = train["spec"]["podFailurePolicy"]["rules"]
    assert "DisruptionTarget" == evicted["onPodConditions"][0]["type"]
    assert ("Ignore", "FailJob") == (evicted["action"], final["action"])


def test_files_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay beside the manifests; manifests of before go."""
    monkeypatch.chdir(tmp_path)
    model = odd("one")
    folder = Path(
        manifests.write(model, {"train": {"kind": "Job"}, "service": {"kind": "Service"}})
    )
    (folder / "kustomization.yaml").write_text("resources: [train.yaml]")
    (folder / "overlays").mkdir()

    manifests.write(model, {"train": {"kind": "Job"}})

    left = {path.name for path in folder.iterdir()}
    assert {"train.yaml", "kustomization.yaml", "overlays"} == left


def test_an_image_of_which_too_little_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as one that was not built here."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "build/images/churn/image.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"format": 1, "tags": ["model')

    assert "an image is not built here yet: `doit image:churn`" == clusters.unbuilt(["churn"])
    assert "modelmake/churn:latest" == clusters.image_of("churn", {})


def test_secrets() -> None:
    """Secrets are referred to in every pod, and stand nowhere."""
    for manifest in all_of(odd("secret")):
        template = manifest["spec"].get("template")
        if template and manifest["kind"] in {"Job", "Deployment"}:
            env = {one["name"]: one for one in template["spec"]["containers"][0]["env"]}
            source = {"secretKeyRef": {"name": "teradata", "key": "password"}}
            assert {"name": "TD_PASSWORD", "valueFrom": source} == env["TD_PASSWORD"]
            assert ("MODEL_STORE" in env) == (manifest["kind"] == "Job")


def test_replicas() -> None:
    """As many pods as `model.json` says: a budget where several are there, no scaling of one."""
    by_kind = {one["kind"]: one["spec"] for one in all_of(odd("many"))}
    scaler = by_kind["HorizontalPodAutoscaler"]
    assert (2, 6) == (scaler["minReplicas"], scaler["maxReplicas"])
    assert 1 == by_kind["PodDisruptionBudget"]["maxUnavailable"]
    assert "replicas" not in by_kind["Deployment"]

    by_kind = {one["kind"]: one["spec"] for one in all_of(odd("one"))}
    assert {"Job", "Deployment", "Service"} == set(by_kind)
    assert 1 == by_kind["Deployment"]["replicas"]


@given(
    st.lists(
        st.text(min_size=1, max_size=60) | st.from_regex(r"[a-z0-9-]{1,60}", fullmatch=True),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_names(names: list[str]) -> None:
    """Every name of a model becomes a label, and two never the same; a plain name stays."""
    first, second = map(clusters.base_name, names)

    assert first != second
    for name in (first, second):
        assert re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert len(name) <= clusters.LONGEST_NAME
    assert first not in {clusters.base_name(first.upper()), clusters.base_name(f"{first}-")}


def test_plain_names_stay() -> None:
    """A name that a cluster takes is kept; one that looks like a digest's is not."""
    assert "python-xgboost-diabetes" == clusters.base_name("python-xgboost-diabetes")
    assert "a-0123456789" != clusters.base_name("a-0123456789")


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20) | st.integers() | st.booleans()))
def test_texts(mapping: dict[str, Any]) -> None:
    """What is written is read as it was."""
    assert mapping == yaml.safe_load(manifests.text_of(mapping))


@pytest.mark.parametrize(
    "text", ["1234e567", "0o17", "y", "No", "1_000", ".inf", "2026-01-01", "0x1F"]
)
def test_texts_that_look_like_other_things(text: str) -> None:
    """Such a text has quotes, whatever a parser of another kind would make of it."""
    assert re.fullmatch(
        rf"""name: (["']){re.escape(text)}\1\n""", manifests.text_of({"name": text})
    )


@pytest.mark.parametrize(
    ("profile", "store", "said"),
    [
        ({}, "/mnt/store", "The store is a folder, which no pod can see"),
        ({}, "file:///mnt/store", "The store is a folder, which no pod can see"),
        ({}, "https://me:secret@host/models", "The store's address has a password"),
        ({}, "s3://bucket/models", "Pods would not have `MODEL_STORE_KEY`"),
    ],
)
def test_stores_that_pods_cannot_use(
    profile: dict[str, Any], store: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what to do about them, and no password is shown."""
    monkeypatch.setenv("MODEL_STORE_KEY", "hush")
    with pytest.raises(UserError, match=said) as caught:
        clusters.settings(profile, store)
    assert "secret@" not in str(caught.value)


def test_written_by_doit(repository: Repository) -> None:
    """`doit k8s` writes what is needed, each time anew, and says what is missing."""
    name = repository.add("good-python")
    repository.write(
        "pyproject.toml",
        '[tool.modelmake.profiles.default]\nregistry = "registry.invalid"\nclaim = "disk"\n'
        'secrets = {TD_PASSWORD = "teradata/password"}\n',
    )
    folder = repository.path / "build/k8s" / name

    def written() -> list[str]:
        return sorted(path.stem for path in folder.iterdir())

    serving = ["autoscaler", "deployment", "service"]
    done = repository.doit(f"k8s:{name}")
    assert 0 == done.returncode, done.stderr
    unbuilt = f"an image is not built here yet: `doit image:{name}`"
    assert f"build/k8s/{name}; no Jobs: `MODEL_STORE` names no store; {unbuilt}" in done.stdout
    assert serving == written()

    store = {"MODEL_STORE": str(repository.path / "store")}
    done = repository.doit(f"k8s:{name}", **store)
    assert 0 == done.returncode, done.stderr
    assert "no Job for evaluate" in done.stdout
    unbuilt = f"images are not built here yet: `doit image:{name}` and `doit image:runner`"
    assert unbuilt in done.stdout
    assert sorted([*serving, "train"]) == written()
    job = yaml.safe_load((folder / "train.yaml").read_text())
    key = job["metadata"]["annotations"]["modelmake/key"]
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert ["python", "-m", "tasks.worker", key] == container["command"]
    assert "registry.invalid/modelmake/runner:latest" == container["image"]
    assert (repository.path / "store/requests" / key[:2] / key[2:]).exists()

    repository.doit(f"train:{name}", **store)
    tags = {"tags": ["modelmake/good-python:c0ffee", "modelmake/good-python:latest"]}
    repository.write(f"build/images/{name}/image.json", tags)
    (folder / "disruption-budget.yaml").touch()  # of before
    done = repository.doit(f"k8s:{name}", **store)
    assert 0 == done.returncode
    assert "an image is not built here yet: `doit image:runner`" in done.stdout
    assert sorted([*serving, "train", "evaluate"]) == [one for one in written() if one != "score"]
    assert (
        "image: registry.invalid/modelmake/good-python:c0ffee\n"
        in (folder / "deployment.yaml").read_text()
    )
    for path in folder.iterdir():
        kubernetes_validate.validate(yaml.safe_load(path.read_text()), VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"schedule": "0 3 * *"}, "found `0 3 * *`: it has 4 fields in place of 5"),
        ({"schedule": "@daily", "timeZone": "Berlin"}, "a time zone such as `Europe/Berlin`"),
        ({"secrets": {"TD_PASSWORD": "hunter2"}}, "such as `teradata/password`"),
        ({"secrets": {"TD PASSWORD": "a/b"}}, "the name of a variable"),
    ],
)
def test_faults_of_model_json(repository: Repository, more: dict[str, Any], said: str) -> None:
    """What a cluster would refuse is refused with the file and the line."""
    name = repository.add("good-python")
    path = f"model_definitions/{name}/model.json"
    repository.write(path, repository.json(path) | more)

    done = repository.doit("check")

    assert said in done.stdout
    assert f"{path}:" in done.stdout
