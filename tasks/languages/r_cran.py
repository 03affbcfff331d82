"""Repositories of R packages, CRAN or those of `R_REPOS`: their indexes and source packages."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.client
import io
import os
import re
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass

from tasks.errors import UserError
from tasks.languages.r_home import at_least, description, needs

CRAN = "https://cloud.r-project.org"

_SECONDS = 60
_FAILURES = (
    OSError, ValueError, EOFError, zlib.error, tarfile.TarError, http.client.HTTPException
)  # fmt: skip


class NotToBeHad(Exception):
    """No repository has the package; the message is what the last of them said."""


@dataclass(frozen=True)
class Source:
    """A source package: where it lies on this machine, its digest, and the packages it needs."""

    path: str
    sha256: str
    needs: tuple[tuple[str, str], ...]


def repositories() -> list[str]:
    """Return the addresses of the repositories that are asked, in order."""
    return [one.rstrip("/") for one in os.environ.get("R_REPOS", "").split()] or [CRAN]


def newest(name: str, r_version: str) -> str:
    """Return the newest version of a package that this version of R can have.

    Raises NotToBeHad where there is none.
    """
    found, reasons = [], []
    for repository in repositories():
        try:
            entries = _index(repository).get(name, [])
        except _FAILURES as error:
            reasons.append(f"{repository}: {getattr(error, 'reason', None) or error}")
            continue
        for entry in entries:
            fields = description(entry)
            if all(at_least(r_version, least) for of, least in needs(fields) if of == "R"):
                found.append(fields["Version"])
        reasons.append(f"{repository} has none for R {r_version}")
    if not found:
        raise NotToBeHad("; ".join(reasons))
    return functools.reduce(lambda one, other: other if at_least(other, one) else one, found)


@functools.cache
def _index(repository: str) -> dict[str, list[bytes]]:
    """Return the entries of a repository by the name of the package."""
    try:
        data = gzip.decompress(_read(f"{repository}/src/contrib/PACKAGES.gz"))
    except _FAILURES:
        data = _read(f"{repository}/src/contrib/PACKAGES")
    entries: dict[str, list[bytes]] = {}
    for entry in re.split(rb"\n\s*\n", data):
        if named := re.search(rb"^Package:\s*(\S+)", entry, re.MULTILINE):
            entries.setdefault(named[1].decode(), []).append(entry)
    return entries


def _read(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310
        return bytes(answer.read())


def fetch(name: str, version: str, cache: str, sha256: str = "") -> Source:
    """Return a version of a package, from the cache of this machine where it is there.

    Raises NotToBeHad where no repository has it, UserError where its bytes are not those of the
    digest.
    """
    path = f"{cache}/r-packages/{name}_{version}.tar.gz"
    data = _kept(path, sha256)
    if data:
        return Source(path, sha256, tuple(needs(_description_in(name, data))))
    try:
        data = _download(name, version)
    except _FAILURES as error:
        raise NotToBeHad(f"{name} {version}: {getattr(error, 'reason', None) or error}") from error
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and digest != sha256:
        raise UserError(
            f"The R package `{name}` {version} is not the one that was locked",
            ("expected", sha256),
            ("found", digest),
            hint="`R_REPOS` names another repository; `doit lock:MODEL` locks what is there now",
        )
    _keep(path, data)
    return Source(path, digest, tuple(needs(_description_in(name, data))))


def _kept(path: str, sha256: str) -> bytes:
    """Return the bytes in the cache, nothing where they are not there or not those wanted."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return b""
    return data if hashlib.sha256(data).hexdigest() == sha256 else b""


def _keep(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def _download(name: str, version: str) -> bytes:
    """Return a package's bytes; an older version of it is in the archive beside."""
    file = f"{name}_{version}.tar.gz"
    last: Exception = FileNotFoundError(file)
    for repository in repositories():
        for place in (file, f"Archive/{name}/{file}"):
            try:
                return _read(f"{repository}/src/contrib/{place}")
            except _FAILURES as error:  # noqa: PERF203 - each is a look into a network
                last = error
    raise last


def _description_in(name: str, data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile(f"{name}/DESCRIPTION")
        return description(member.read()) if member else {}
