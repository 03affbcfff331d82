"""Digests of files, looked at once, and of values in canonical form."""

from __future__ import annotations

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.fingerprint import Files, Seen, canonical
from tasks.hashing import BIG, Gauge
from tasks.looks import COARSE_TICK_NS, SECOND_NS, TICK_NS

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip

LONG_AGO_NS = 1_000_000_000 * SECOND_NS + 5


def digest_of(data: bytes) -> str:
    """Return what the digest should be."""
    return hashlib.sha256(data).hexdigest()


def settle(path: Path) -> None:
    """Make the file one that was written long before it is looked at."""
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def old(files: Files) -> Files:
    """Return what the next run knows, as if all had been hashed long after it was written."""
    later = {
        path: seen._replace(hashed_ns=seen.hashed_ns + COARSE_TICK_NS)
        for path, seen in files.known.items()
    }
    return Files(later.get)


def test_reads_a_file_once(tmp_path: Path) -> None:
    """The same file asked for twice is read once."""
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    files = Files()

    assert digest_of(b"abc") == files.digest(str(path)) == files.digest(str(path))
    assert 1 == files.reads


def test_the_next_run_reads_nothing(tmp_path: Path) -> None:
    """What an earlier run saw is believed while stat says the same."""
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    first = Files()
    first.digest(str(path))
    second = old(first)

    assert digest_of(b"abc") == second.digest(str(path))
    assert 0 == second.reads


def test_a_touched_file_is_read_once_and_not_for_ever(tmp_path: Path) -> None:
    """A new time costs one read; the time is remembered for the run after it."""
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    first = Files()
    first.digest(str(path))
    settle(path)
    second = old(first)
    second.digest(str(path))
    third = old(second)
    third.digest(str(path))

    assert (1, 0) == (second.reads, third.reads)


def test_a_file_hashed_in_the_tick_of_its_writing_is_not_believed(tmp_path: Path) -> None:
    """It could have been written again without its time moving."""
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    first = Files()
    first.digest(str(path))
    known = {
        name: seen._replace(hashed_ns=max(seen.mtime_ns, seen.ctime_ns))
        for name, seen in first.known.items()
    }
    second = Files(known.get)
    second.digest(str(path))

    assert 1 == second.reads


def test_same_size_and_time_but_other_content_is_noticed(tmp_path: Path) -> None:
    """Whoever sets the time back cannot set back the time of the change."""
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    before = path.stat()
    first = Files()
    first.digest(str(path))
    path.write_bytes(b"xyz")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert digest_of(b"xyz") == old(first).digest(str(path))


def test_a_note_is_made_once_and_again_for_another_kind(tmp_path: Path) -> None:
    """What is worked out from a file is remembered by digest and method."""
    path = tmp_path / "data.json"
    path.write_text('{"a": 1}')
    made = []

    def make(data: bytes) -> str:
        made.append(data)
        return f"{len(data)} bytes"

    first = Files()
    second = old(first) if first.note(str(path), "size 1", make) else first

    assert "8 bytes" == second.note(str(path), "size 1", make)
    assert 1 == len(made)
    assert "8 bytes" == second.note(str(path), "size 2", make)
    assert 2 == len(made)


def test_forget_looks_again(tmp_path: Path) -> None:
    """A file that a step has made is looked at anew."""
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    files = Files()
    files.digest(str(path))
    path.write_bytes(b"abcd")

    assert digest_of(b"abc") == files.digest(str(path))
    files.forget([str(path)])
    assert digest_of(b"abcd") == files.digest(str(path))


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    """Only files have a digest."""
    with pytest.raises(IsADirectoryError):
        Files().digest(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Files().digest(str(tmp_path / "missing"))


@given(JSON_VALUES)
def test_canonical_form_survives_json(value: object) -> None:
    """Writing a value as JSON and reading it again changes nothing."""
    assert canonical("tag", value) == canonical("tag", json.loads(json.dumps(value)))


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_never_matters(value: dict[str, int]) -> None:
    """Two mappings that are equal have one digest."""
    assert canonical("tag", value) == canonical("tag", dict(reversed(value.items())))


@given(JSON_VALUES, JSON_VALUES)
def test_any_value_matters(first: object, second: object) -> None:
    """Different values have different digests; the tag tells kinds apart."""
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)

    assert same == (canonical("tag", first) == canonical("tag", second))
    assert canonical("one", first) != canonical("other", first)


def test_seen_is_a_row() -> None:
    """The fields are the columns of the state file after the path, in order."""
    expected = ("size", "mtime_ns", "ctime_ns", "inode", "hashed_ns", "digest", "kind", "note")

    assert expected == Seen._fields


def test_forget_may_look_at_files_to_know_what_to_forget(tmp_path: Path) -> None:
    """A generator of paths that itself asks for digests does not wait for ever."""
    path = tmp_path / "data"
    path.write_bytes(b"abc")
    files = Files()

    files.forget(str(path) for _ in [files.digest(str(path))])

    assert digest_of(b"abc") == files.digest(str(path))


def big_files(folder: Path, count: int) -> dict[str, bytes]:
    """Write files that are big together, each ending within a piece, and return their bytes."""
    found = {str(folder / f"part-{n}"): bytes([n]) * (BIG + n) for n in range(count)}
    for path, data in found.items():
        Path(path).write_bytes(data)
    return found


@pytest.mark.parametrize("count", [1, 5])
def test_big_files_are_hashed_ahead(tmp_path: Path, count: int) -> None:
    """On all cores, each once, to what it should be; then nothing is read any more."""
    data = big_files(tmp_path, count)
    files = Files()

    files.digest_ahead([*data, str(tmp_path / "missing")])
    reads = files.reads

    assert {path: digest_of(part) for path, part in data.items()} == {
        path: files.digest(path) for path in data
    }
    assert (count, count) == (reads, files.reads)


def test_a_file_that_many_threads_ask_for_is_read_once(tmp_path: Path) -> None:
    """Who comes second waits for the first."""
    (path,) = big_files(tmp_path, 1)
    settle(Path(path))
    time.sleep(2 * TICK_NS / 1e9)
    files = Files()

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(files.digest, [path] * 8))

    assert 1 == len(found)
    assert 1 == files.reads


def test_how_far_it_is_is_told_after_a_while() -> None:
    """Not of what takes no time; and in the end it is taken back."""
    told: list[str] = []
    gauge = Gauge(3_000_000_000, told.append)
    gauge.hashed(1_000_000_000)
    assert [] == told

    gauge._next = 0.0
    gauge.hashed(500_000_000)
    gauge.end()

    assert ["hashed 1.5 of 3.0 GB", ""] == told
