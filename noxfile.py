"""nox's front door: the project's own checks, and evaluation for CI; `nox --list` names them."""

import os
import shutil
import subprocess
import sys

import nox

from tasks import matrix
from tasks.errors import UserError
from tasks.state import open_state

nox.needs_version = ">=2026.10.20"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]


def install(session: nox.Session) -> None:
    """Bring the locked tools and the project itself: the tests start the runner."""
    session.install("--require-hashes", "-r", "requirements-dev.txt")
    # A folder has no hash, whatever the user's settings for uv ask for.
    session.install("--offline", "--no-deps", "-e", ".", env={"UV_REQUIRE_HASHES": "0"})


def system(session: nox.Session, *packages: str) -> None:
    """Install what is missing of the system's packages, or say how where that takes another user.

    Tests that need one fail without it, and the others run all the same.
    """
    if not shutil.which("apt-get"):
        return
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status}"]
    said = [subprocess.run([*query, name], capture_output=True, check=False) for name in packages]
    missing = [name for name, one in zip(packages, said, strict=True) if one.stdout != b"installed"]
    if not missing:
        return
    update, install = "apt-get update", "apt-get install -y --no-install-recommends"
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if as_root and not (shutil.which("sudo") and _succeeds(*as_root, "true")):
        session.warn(f"as root: {update} && {install} {' '.join(missing)}")
        return
    for command in (update, f"{install} {' '.join(missing)}"):
        words = ["-qq", "-o", "DPkg::Lock::Timeout=300", *command.split()[1:]]
        quiet = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive"]
        session.run(*quiet, "apt-get", *words, external=True)


def _succeeds(*words: str) -> bool:
    """Return whether a command, which says nothing, ends well."""
    return not subprocess.run(words, capture_output=True, check=False).returncode


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, a file a processor; arguments go to pytest: `nox -s tests -- -k plan`."""
    system(session, "activemq", "podman", "runc")
    install(session)
    # pytest-xdist would begin with the files that have the most tests, not with the longest.
    parallel = ["-n", str(os.cpu_count()), "--dist", "loadfile", "--no-loadscope-reorder"]
    session.run("python", "-m", "pytest", *(session.posargs or parallel))


@nox.session(default=False)
def crash(session: nox.Session) -> None:
    """Run the tests of crashes in their long form and count; arguments go to pytest.

    A run of all of them that finds nothing wrong puts its counts into docs/reliability.md.
    """
    install(session)
    counts = os.path.abspath("build/crash")
    shutil.rmtree(counts, ignore_errors=True)
    os.makedirs(counts)
    variables = {"CRASH": "long", "CRASH_COUNTS": counts}
    parallel = ["-n", str(os.cpu_count()), "--dist", "load"]
    try:
        words = ["pytest", *parallel, *(session.posargs or ["tests/crash"])]
        session.run("python", "-m", *words, env=variables)
    finally:
        session.run("python", "-m", "tests.crash.summary", counts)
    if not session.posargs:
        session.run("python", "-m", "tests.crash.summary", counts, "--docs", silent=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the rules and the format of all Python files."""
    install(session)
    session.run("python", "-m", "ruff", "check")
    session.run("python", "-m", "ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of the build system, and apart those of what models run in."""
    install(session)
    session.run("python", "-m", "mypy", "--exclude", "^tasks/runtime/", "tasks")
    session.run("python", "-m", "mypy", "tasks/runtime")


@nox.session(venv_backend="none")
def evaluate(session: nox.Session) -> None:
    """Evaluate the models that changed, or those that are named: `nox -s evaluate -- churn`."""
    steps = [f"evaluate:{model}" for model in session.posargs] or ["evaluate"]
    session.run(sys.executable, "-m", "doit", "run", "--reporter", "evaluation", *steps)


@nox.session(default=False)
def tools(session: nox.Session) -> None:
    """Make the environment in which the tests of frameworks run."""
    install(session)


@nox.session(venv_backend="none", requires=["tools"])
@nox.parametrize(
    "name", [nox.param(one.name, id=one.name, tags=one.tags) for one in matrix.combinations()]
)
def framework(session: nox.Session, name: str) -> None:
    """Build and test a framework's models on versions that it promises, apart from all else."""
    combination = next(one for one in matrix.combinations() if one.name == name)
    try:
        models = matrix.lay_out(combination, open_state())
    except matrix.NotHere as reason:
        session.skip(str(reason))
    except UserError as error:
        session.error(str(error))
    python = os.path.abspath(f"{session.cache_dir.parent}/tools/bin/python")
    doit = [sys.executable, "-m", "doit", "run"]
    steps = [f"{step}:{model}" for model in models for step in ("evaluate", "score")]
    with session.chdir(combination.folder):
        session.run(*doit, *(f"env:{model}" for model in models))
        if combination.on_cluster:
            own = matrix.interpreter(models[0], open_state())
            doit = [python, "-m", "tests.spark", own, *doit]
        session.run(*doit, *steps, env=combination.variables, external=True)
        session.run(python, "-m", "pytest", "-m", combination.framework, external=True)


@nox.session
def lock(session: nox.Session) -> None:
    """Lock what `pyproject.toml` asks for; `nox -s lock -- --upgrade` takes newer versions."""
    options = "--quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url"
    command = ["uv", "pip", "compile", *options.split(), *session.posargs, "pyproject.toml"]
    command += ["--custom-compile-command", "./bootstrap nox -s lock"]
    session.run(*command, "-o", "requirements.txt")
    session.run(*command, "-o", "requirements-dev.txt", "--group=dev", "-c", "requirements.txt")
