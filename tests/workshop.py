"""Models with requirements for tests: tiny wheels made by hand, packages that uv builds itself."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import io
import json
import platform
import subprocess
import textwrap
import threading
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.environments import build, interpreters, lock_file, locks, uv
from tasks.model import Model
from tasks.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from tasks.environments.build import Environment
    from tests.conftest import Repository

OFFLINE = "--no-index\n--find-links wheels\n"
"""The start of a requirements.txt that needs no index."""


ASK = functools.cache(interpreters._ask)
"""Asks each interpreter once for all tests."""


@dataclass(frozen=True)
class Workshop:
    """A repository in the working directory, and its state."""

    repository: Repository
    state: State

    @classmethod
    def opened(cls, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Workshop:
        """Return a workshop with a folder of locks, as a repository of our own has."""
        monkeypatch.chdir(repository.path)
        monkeypatch.setenv("MODEL_CACHE", str(repository.cache))
        monkeypatch.setattr(interpreters, "_ask", ASK)
        (repository.path / "envs/locks").mkdir(parents=True)
        (repository.path / "wheels").mkdir()
        return cls(repository, State("build/state.db"))

    def model(self, requirements: str | bytes | None, name: str = "tiny", **document: str) -> Model:
        """Return a model with these requirements, none where they are None."""
        root = f"model_definitions/{name}"
        path = self.repository.write(f"{root}/model_modules/requirements.txt", "")
        if requirements is None:
            path.unlink()
        else:
            data = requirements.encode() if isinstance(requirements, str) else requirements
            path.write_bytes(data)
        self.again()
        return Model(name, root, root, {"language": "python", **document})

    def again(self) -> None:
        """Forget what was seen of files, as another run of doit does."""
        self.state.files.forget(list(self.state.files.known))

    def wheel(
        self, name: str, version: str, *requires: str, python: str = "", only: str = ""
    ) -> None:
        """Put a wheel into the folder `wheels`: one module that tells its version.

        `python` are the Pythons that it says it is for, `only` the one (`3.9`) that it is made for.
        """
        cpython = f"cp{only.replace('.', '')}"
        tag = f"{cpython}-{cpython}-linux_{platform.machine()}" if only else "py3-none-any"
        info = f"{name}-{version}.dist-info"
        metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
        metadata += [f"Requires-Python: {python}"] if python else []
        metadata += [f"Requires-Dist: {line}" for line in requires]
        files = {
            f"{name}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": "\n".join(metadata) + "\n",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        }
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            for path, text in files.items():
                archive.writestr(zipfile.ZipInfo(path), text)
        target = self.repository.path / f"wheels/{name}-{version}-{tag}.whl"
        target.write_bytes(data.getvalue())

    @contextlib.contextmanager
    def index(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Have uv ask an index first that has what is in `wheels`: there it looks at tags."""
        links: dict[str, str] = {}
        for path in sorted((self.repository.path / "wheels").iterdir()):
            name, digest = path.name.partition("-")[0], hashlib.sha256(path.read_bytes())
            link = f'<a href="/wheels/{path.name}#sha256={digest.hexdigest()}">{path.name}</a>'
            links[name] = links.get(name, "") + link
        for name, text in links.items():
            self.repository.write(f"simple/{name}/index.html", text)
        handler = functools.partial(_Quiet, directory=str(self.repository.path))
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever).start()
            monkeypatch.setenv("UV_INDEX", f"http://127.0.0.1:{server.server_port}/simple/")
            try:
                yield
            finally:
                server.shutdown()

    def package(self, name: str, *requires: str, value: int = 1, more: str = "") -> str:
        """Write a package that uv builds by itself, and return its folder."""
        folder = f"packages/{name}"
        project = f"""\
            [build-system]
            requires = ["uv_build>=0.13.9,<0.14"]
            build-backend = "uv_build"

            [project]
            name = "{name}"
            version = "1.0"
            dependencies = {json.dumps(requires)}
            """
        self.repository.write(f"{folder}/pyproject.toml", textwrap.dedent(project) + more)
        self.repository.write(f"{folder}/src/{name}/__init__.py", f"VALUE = {value}\n")
        self.again()
        return folder

    def lock(self, model: Model, *, upgrade: bool = False) -> str:
        """Lock a model's requirements and return the text of the lock."""
        locks.make_lock(model, self.state, say=_quiet, upgrade=upgrade)
        return self.lock_text(model)

    def lock_text(self, model: Model) -> str:
        """Return the text of a model's lock."""
        return self.repository.read(lock_file.lock_path(model))

    def pins(self, model: Model) -> list[str]:
        """Return the pins of a model's lock without hashes."""
        lines = self.lock_text(model).splitlines()
        return [line.removesuffix(" \\") for line in lines if line[:1] not in ("#", " ", "")]

    def find(self, model: Model) -> Environment | None:
        """Return a model's environment, None without a lock that fits."""
        return build.find(model, self.state)

    def ensure(self, model: Model, alert: Callable[[str], None] | None = None) -> Environment:
        """Return a model's environment, locked and built."""
        return build.ensure(model, self.state, _quiet, alert or _quiet)

    def evaluate(self, environment: Environment, code: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return what an expression is inside an environment."""
        program = f"import json, importlib; print(json.dumps({code}))"
        command = [environment.python, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def version(self, environment: Environment, module: str) -> str:
        """Return the version of one of our wheels inside an environment."""
        return str(self.evaluate(environment, f"importlib.import_module({module!r}).VERSION"))


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return a list that grows with the words of each call of uv."""
    calls: list[tuple[str, ...]] = []
    run = uv.run

    def counted(*words: str) -> uv.Answer:
        calls.append(words)
        return run(*words)

    monkeypatch.setattr(uv, "run", counted)
    return calls


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _quiet(message: str) -> None:
    del message
