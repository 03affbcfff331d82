"""A step as it is sent elsewhere: all files that it reads, in the store, found by the step's key.

The request itself is a small JSON file in the store that others use too (`MODEL_STORE`), under
`requests/`; the files are objects, as those of results are.  It stays there for others who wait for
the same step, and `storekeeping` removes it when it is old.  Where `MODEL_STORE_KEY` is set it is
signed, and only then believed: what it holds is code that is going to be run.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tasks import datasets, discover, objects, plan, records, store
from tasks.answers import Unreachable
from tasks.environments import lock_file
from tasks.environments.requirements import package_files, read
from tasks.errors import UserError
from tasks.fingerprint import canonical
from tasks.folders import walk
from tasks.model import SAMPLES
from tasks.plan import Step
from tasks.profiles import STORE_VARIABLE
from tasks.shared import READ_ONLY_VARIABLE, SECRET_VARIABLE, Shared, shared
from tasks.sources import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tasks.preparation import Prepared
    from tasks.state import State

FORMAT = 2
PROGRAM = 0o755
_UP = "up"
"""The name of the folders that a repository is laid out in, so that `..` stays within them."""

_WRITABLE = f"see that `{STORE_VARIABLE}` names what can be written to from here"
_SENT_ANEW = "run the step again where it was sent from: that puts it there anew"
_SAME_STORE = f"see that `{STORE_VARIABLE}` is what it is where the step is sent from"


@dataclass(frozen=True)
class Contents:
    """What a request says of a step.

    `files` are digests by path, relative to the repository; `downloads` those below the cache's
    folder of data; `programs` are the files that can be executed.  `inputs` are what the step's key
    is made of, `trained` those of the training that it works on.  `commit` is what was checked out.
    `lasts` is how many seconds the request is kept after it was put or read.
    """

    folder: str
    step: str
    dataset: str
    files: Mapping[str, str]
    downloads: Mapping[str, str]
    programs: Sequence[str]
    inputs: Mapping[str, str]
    trained: Mapping[str, str] | None
    commit: str | None
    lasts: float


def put(
    prepared: Prepared,
    state: State,
    commit: str | None,
    scratch: str,
    lasts: float = objects.REQUEST_SECONDS,
) -> Shared:
    """Put a step's request, and all that it leads to, into the store; return the store.

    Data at an absolute path are not sent: they have to be at that path there too.  Raises UserError
    where there is no store, or it cannot be written to.
    """
    to = _store()
    step = prepared.step
    upstream = records.read(step.upstream.folder, state.files) if step.upstream else None
    files, downloads = _digests(step, state)
    programs = [path for path in files if os.stat(path).st_mode & stat.S_IXUSR]
    contents = Contents(
        step.model.folder, step.name, step.dataset_name, files, downloads, programs,
        prepared.inputs, upstream.inputs if upstream else None, commit,
        max(lasts, _lasts(to, prepared.key)),
    )  # fmt: skip
    try:
        with to.writing():
            # The request first: what it leads to is not collected then.
            written = _written(prepared.key, contents, to)
            to.put_document(objects.REQUESTS, prepared.key, written, scratch)
            for path, digest in files.items():
                to.put(digest, path)
            for name, digest in downloads.items():
                to.put(digest, os.path.join(datasets.data_folder(), name))
    except (Unreachable, OSError) as error:
        raise UserError(
            f"The step {step.task} cannot be put into the store",
            ("store", to.address),
            ("reason", error),
            hint=_WRITABLE,
        ) from error
    if upstream:
        _share(upstream, scratch)
    return to


def _lasts(to: Shared, key: str) -> float:
    """Return how long the request lasts that is there, which others may rely on; 0 without one."""
    with contextlib.suppress(Unreachable, UserError):
        if data := to.document(objects.REQUESTS, key):
            return _understood(data, key, to).lasts
    return 0.0


def _share(upstream: records.Record, scratch: str) -> None:
    """Have the training in the store too.  Raises UserError where it cannot be."""
    troubles: list[str] = []
    store.keep(upstream.folder, troubles.append)
    store.share(upstream.key, scratch, troubles.append)
    if troubles:
        raise UserError(
            f"The result of {upstream.task} cannot be put into the store",
            *(("reason", text) for text in troubles),
            hint=_WRITABLE,
        )


def _store() -> Shared:
    to = shared()
    if to is None:
        raise UserError(
            "A step that runs elsewhere needs a store that both sides reach",
            hint=f"`{STORE_VARIABLE}` names one: a folder on a shared disk, or for instance"
            " `s3://bucket/models`",
        )
    to.ask_again()  # such a step cannot do without it
    if to.read_only:
        raise UserError(
            "A step that runs elsewhere needs a store that can be written to",
            ("store", to.address),
            hint=f"unset `{READ_ONLY_VARIABLE}`",
        )
    if to.is_folder and not os.path.isdir(os.path.dirname(to.root)):
        raise UserError(
            "The store's folder is not there, nor the one that it would be in",
            ("store", to.address),
            hint=f"mount its disk, or make the folder; `{STORE_VARIABLE}` names it",
        )
    return to


def _digests(step: Step, state: State) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digest of each file that a step reads: of the repository, and downloaded."""
    data, files, downloads = datasets.data_folder(), {}, {}
    for path in {*model_paths(step, state), *plan.data_paths(step)}:
        if path.startswith(f"{data}/"):
            downloads[os.path.relpath(path, data)] = state.files.digest(path)
        elif not os.path.isabs(path):
            files[path] = state.files.digest(path)
    return dict(sorted(files.items())), dict(sorted(downloads.items()))


def model_paths(step: Step, state: State) -> Iterator[str]:
    """Yield the files of the repository without which a step's model is not what it is here."""
    model = step.model
    requirements = read(model, state)
    packages = (f"{p.path}/{name}".rstrip("/") for p in requirements.packages
                for name in package_files(p.path))  # fmt: skip
    named = (
        f"{model.folder}/model.json",
        model.config_path,
        *(f"{model.root}/{name}" for name in SAMPLES),
        *(dataset.path for dataset in model.datasets.values()),
        lock_file.lock_path(model),
        *requirements.files,
        *requirements.links,
        *packages,
    )
    yield from (path for path in named if path and os.path.isfile(path))
    folder = f"{model.root}/{PACKAGE}"
    yield from (f"{folder}/{name}" for name in walk(folder, state.files))


def _written(key: str, contents: Contents, to: Shared) -> bytes:
    document = {"format": FORMAT, "key": key, **asdict(contents)}
    return (json.dumps({**document, "signature": _signature(document, to.secret)}) + "\n").encode()


def _signature(document: Mapping[str, Any], secret: str) -> str:
    """Return the HMAC-SHA256 (RFC 2104) of a request, empty where there is no secret."""
    text = canonical("request", dict(document))
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest() if secret else ""


def get(key: str) -> Contents:
    """Return the request of a key.

    Raises UserError where there is none in the store, the store cannot be read, or nobody who may
    has signed it.
    """
    to = _store()
    try:
        data = to.document(objects.REQUESTS, key)
    except Unreachable as error:
        raise UserError(
            "The store cannot be reached from here",
            ("store", to.address),
            ("reason", error),
            hint=_SAME_STORE,
        ) from error
    if data is None:
        raise UserError(
            "The store has no such request",
            ("store", to.address),
            ("key", key),
            hint=f"{_SAME_STORE}, and run it again there",
        )
    contents = _understood(data, key, to)
    to.used(objects.REQUESTS, key)
    return contents


def _understood(data: bytes, key: str, to: Shared) -> Contents:
    """Return what a request says.

    Raises UserError where it is damaged, in another form, or signed by nobody who may.
    """
    try:
        document = dict(json.loads(data))
        signature = str(document.pop("signature")).encode()
        known = (document.pop("format"), document.pop("key")) == (FORMAT, key)
        expected = _signature({"format": FORMAT, "key": key, **document}, to.secret)
        contents = Contents(**document) if known else None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            "The request in the store is damaged",
            ("store", to.address),
            ("key", key),
            hint=_SENT_ANEW,
        ) from error
    if to.secret and not hmac.compare_digest(signature, expected.encode()):
        raise UserError(
            f"The request is not signed with `{SECRET_VARIABLE}`: it is not carried out",
            ("store", to.address),
            hint="set the same one where it is sent from",
        )
    if contents is None:
        raise UserError(
            "The request is in a form that is not known here",
            hint="have the same version of modelmake on both sides",
        )
    return contents


def lay_out(contents: Contents, folder: str) -> str:
    """Write the files of a request below a folder; return the repository's.

    Downloads go into this machine's cache.  Raises UserError where a file cannot be had.
    """
    to = _store()
    ups = max((path.count("../") for path in contents.files), default=0)
    repository = os.path.join(folder, *[_UP] * ups, "repository")
    os.makedirs(repository)
    data = datasets.data_folder()
    places = ((folder, repository, contents.files), (data, data, contents.downloads))
    for inside, top, files in places:
        for name, digest in files.items():
            path = os.path.normpath(os.path.join(top, name))
            if not path.startswith(inside + os.sep):
                raise UserError(
                    "The request has a file that would lie outside", ("file", name),
                    hint=_SENT_ANEW,
                )  # fmt: skip
            if not (os.path.exists(path) and objects.digest_of(path) == digest):
                _fetch(to, digest, path, name)
    for name in contents.files.keys() & {*contents.programs}:
        os.chmod(os.path.join(repository, name), PROGRAM)
    return repository


def _fetch(to: Shared, digest: str, path: str, name: str) -> None:
    """Write a file of the store.  Raises UserError, with its name, where it cannot be had."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = objects.beside(path)
    try:
        to.fetch(digest, part)
        os.replace(part, path)
    except (Unreachable, objects.Unsound, OSError) as error:
        raise UserError(
            "A file of the request cannot be had from the store",
            ("file", name),
            ("store", to.address),
            ("reason", error),
            hint=_SENT_ANEW,
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)


def step_of(contents: Contents, state: State) -> Step:
    """Return the step that a laid-out request is about, in the repository that is current."""
    model = discover.read_model(contents.folder, state.files)
    return Step(model, contents.step, contents.dataset)
