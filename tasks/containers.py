"""Container engines: which one there is, and what is asked of it."""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tasks import profiles
from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.model import Model

VARIABLE = "MODEL_CONTAINER_ENGINE"
"""The variable that names the engine, by its name or the path of its program."""

OPTIONS = "MODEL_CONTAINER_OPTIONS"
"""The variable with further options for `ENGINE run`, split as a shell does."""

RUNNERS = ("podman", "docker")
BUILDERS = ("podman", "docker", "buildah")
ANSWER_SECONDS = 30

_PASSING = ("--rm", "--log-driver", "none", "--pull", "never")
"""Options of a run of which nothing is left, in an image that is there."""

NOT_FOUND = 127
FAILED = (125, 126, NOT_FOUND)
"""The exit statuses of `ENGINE run` where the container did not begin."""

SYSTEM = ("/usr/", "/bin/", "/sbin/", "/lib")
"""What is an image's own, never this machine's."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for in an image that does not say."""

IMAGES = "build/images"
"""The folder that says of each image of ours how it is called."""

RUNNER = "runner"
"""The name of the image without a model: it carries out steps, of whichever model."""

HOME = "/opt/modelmake"
"""The folder in an image that all of ours is in."""

CACHE = f"{HOME}/cache"
PORT = 8080
USER = 10001
"""Whom an image runs as: nobody's number, who owns nothing there."""

EPOCH = 315532800
"""The time of all that is built, 1980: the first that the entry of a zip archive can have."""

# What an engine is asked for its version; docker's own is that of a server that may not be there.
_VERSION = {
    "podman": ("version", "--format", "{{.Client.Version}}"),
    "docker": ("version", "--format", "{{.Server.Version}}"),
    "buildah": ("version", "--json"),
}
_INSPECT = {"buildah": ("inspect", "--type", "image")}


@dataclass(frozen=True)
class Engine:
    """A container engine that answers: its kind (`podman`), its program, its version."""

    kind: str
    program: str
    version: str

    def __str__(self) -> str:
        """Return what a record says of it."""
        return f"{self.kind} {self.version}"

    def ask(self, *words: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to its end."""
        return subprocess.run(
            [self.program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=seconds,
        )  # fmt: skip

    @functools.cached_property
    def rootless(self) -> bool:
        """Whether root in its containers is the user here."""
        if self.kind == "docker":
            return "rootless" in self.ask("info", "--format", "{{.SecurityOptions}}").stdout
        return os.geteuid() != 0


@dataclass(frozen=True)
class Image:
    """An image that is there: the digest of its configuration, and what that says.

    `path` is its PATH, empty where it says nothing; `key` is where its name is written.
    """

    name: str
    id: str
    path: str
    size: int
    labels: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    key: str = ""


def find(kinds: Sequence[str] = RUNNERS) -> Engine:
    """Return the engine that the user names, else the first on PATH that answers.

    Raises UserError where there is none.
    """
    return _find(tuple(kinds), os.environ.get(VARIABLE, ""), os.environ.get("PATH", ""))


@functools.cache
def _find(kinds: tuple[str, ...], named: str, _path: str) -> Engine:
    reasons: list[tuple[str, str]] = []
    for word in (named,) if named else kinds:
        kind, program = os.path.basename(word), shutil.which(word)
        if kind not in kinds:
            reasons.append((word, f"not one of {', '.join(kinds)}"))
        elif program is None:
            reasons.append((word, "not found on PATH"))
        else:
            version, reason = _ask_version(kind, program)
            if version:
                return Engine(kind, program, version)
            reasons.append((word, reason))
    if named:
        raise UserError(
            f"`{VARIABLE}={named}` is no container engine that can be used here", *reasons,
            hint=f"unset {VARIABLE}: then the first of {' and '.join(kinds)} that answers is used",
        )  # fmt: skip
    raise UserError(
        "There is no container engine here that answers", *reasons,
        hint="`apt-get install podman` installs one that needs no service; `--on local` runs the"
        " step without a container",
    )  # fmt: skip


def _ask_version(kind: str, program: str) -> tuple[str, str]:
    """Return the version that an engine answers with, or why it does not."""
    try:
        done = Engine(kind, program, "").ask(*_VERSION[kind], seconds=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    said = done.stdout.strip()
    if done.returncode or not said:
        return "", last_line(done.stderr) or f"exited with status {done.returncode}"
    return (json.loads(said)["version"] if kind == "buildah" else said), ""


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def failed(image: str, status: int, said: str) -> UserError:
    """Return the error for a container that an engine could not start; `said` is its output."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = (line for line in lines if "error" in line.lower())  # behind its warnings
    return UserError(
        f"The container engine cannot start a container of the image `{image}`",
        ("it says", next(telling, lines[0] if lines else "nothing")),
        ("status", status),
        hint=f"`{OPTIONS}` adds what `run` needs on this machine, such as `--runtime runc --ulimit"
        " nofile=1024:1024`: docs/containers.md",
    )


def image(engine: Engine, name: str, key: str) -> Image:
    """Return an image, fetched where it is not there.  Raises UserError where it cannot be had."""
    if not profiles.IMAGE.fullmatch(name):
        raise UserError(
            f"`{name}` is no name of an image", ("key", key),
            hint="write it like `python:3.11-slim` or `registry.example/team/image:1.0`",
        )  # fmt: skip
    found = look_up(engine, name)
    if found is None:
        done = engine.ask("pull", "--quiet", name)
        found = look_up(engine, name)
        if found is None:
            raise UserError(
                f"The image `{name}` is not here and cannot be fetched",
                ("key", key),
                (f"{engine.kind} says", last_line(done.stderr)),
                hint="correct the name, see that its registry answers, or make the image:"
                f" `{engine.kind} images` shows those that are there",
            )
    return replace(found, key=key)


def look_up(engine: Engine, name: str) -> Image | None:
    """Return an image that is there, None if it is not."""
    done = engine.ask(*_INSPECT.get(engine.kind, ("image", "inspect")), name)
    if done.returncode:
        return None
    facts = json.loads(done.stdout)
    if engine.kind == "buildah":
        config, number = facts["OCIv1"].get("config") or {}, facts["FromImageID"]
        size = sum(layer["size"] for layer in json.loads(facts["Manifest"])["layers"])
        layers = facts["OCIv1"]["rootfs"]["diff_ids"]
    else:
        config, number = facts[0].get("Config") or {}, facts[0]["Id"]
        size, layers = facts[0]["Size"], facts[0]["RootFS"]["Layers"]
    variables = dict(one.partition("=")[::2] for one in config.get("Env") or ())
    return Image(
        name,
        f"sha256:{number.removeprefix('sha256:')}",
        variables.get("PATH", ""),
        size,
        config.get("Labels") or {},
        tuple(layers),
    )


def image_named(model: Model | None, phase: str) -> tuple[str, str]:
    """Return the image that a model names for a phase of it, or the profile for all models.

    With it comes where its name is written; both are empty where it is nowhere.
    """
    for keys in (("automation", phase, "dockerImage"), ("docker", "trainerImage")):
        if model and (name := _named(model.document, *keys)):
            return name, f"{'.'.join(keys)} of {model.folder}/model.json"
    if name := profiles.chosen().get("image", ""):
        return name, f"image of the profile in {profiles.FILE}"
    return "", ""


def _named(document: Mapping[str, Any], *keys: str) -> str:
    """Return the image that `model.json` names at a key, empty where it names none there."""
    place: Any = document
    for key in keys:
        place = place.get(key) if isinstance(place, dict) else None
    return place if isinstance(place, str) else ""


def further_options() -> list[str]:
    """Return the options that the user adds.  Raises UserError where they cannot be split."""
    text = os.environ.get(OPTIONS, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"`{OPTIONS}` cannot be split",
            ("options", text),
            ("reason", error),
            hint="close each quote, as for a shell",
        ) from error


def run_options(engine: Engine) -> list[str]:
    """Return the options of a run that is to leave nothing and whose files are the user's own."""
    options = [*_PASSING, "--security-opt", "label=disable"]
    if engine.kind == "podman" and engine.rootless:
        options += ["--userns", "keep-id"]
    owner = "0:0" if engine.kind == "docker" and engine.rootless else _user()
    return [*options, "--user", owner, *further_options()]


def _user() -> str:
    return f"{os.geteuid()}:{os.getegid()}"


def build(engine: Engine, folder: str, containerfile: str) -> str:
    """Build an image from a folder, the same bytes at whatever time, and return its id.

    Raises UserError, with what the engine says, where it cannot.
    """
    path = f"{folder}/Containerfile"
    with open(path, "w", encoding="utf-8") as file:
        file.write(containerfile)
    fixed = ["--timestamp", str(EPOCH), "--layers=false"]
    if engine.kind == "docker":
        fixed = ["--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
    done = engine.ask("build", "--quiet", *fixed, "--file", path, folder)
    if done.returncode:
        raise UserError(
            "An image cannot be built",
            (f"{engine.kind} says", done.stderr.strip() or done.stdout.strip()),
            hint=f"see that `{engine.kind} build` works here, or name another engine: `{VARIABLE}`",
        )
    return last_line(done.stdout)


def tag(engine: Engine, number: str, *names: str) -> None:
    """Give an image names."""
    for name in names:
        done = engine.ask("tag", number, name)
        if done.returncode:
            raise UserError(
                f"The image `{name}` cannot be named so",
                (f"{engine.kind} says", done.stderr),
                hint=f"`{engine.kind} tag {number} {name}` must work; then run this again",
            )


def run_once(
    engine: Engine, image_id: str, command: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in an image; nothing of that is left."""
    if engine.kind == "buildah":  # which makes images, and runs commands only on the way there
        made = engine.ask("from", "--pull-never", image_id).stdout.strip()
        try:
            return engine.ask("run", made, "--", *command)
        finally:
            engine.ask("rm", made)
    options = [*_PASSING, *further_options()]
    program, *words = command
    return engine.ask("run", *options, "--entrypoint", program, image_id, *words)
