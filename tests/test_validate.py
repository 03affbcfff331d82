"""What is said of documents that are wrong, where, and that right ones are left in peace."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from packaging.specifiers import SpecifierSet

from tasks.environments.interpreters import specifier
from tasks.errors import Fault
from tasks.positions import DEEPEST, Keys, dotted, parse
from tasks.validate import check, schema

KINDS = ("model", "config", "dataset")
DIGITS = "0123456789abcdefABCDEF0123456789" * 2

# What is wrong, and the whole text that is said of it.
GOLDEN = r"""
### missing-comma: model
{
  "id": "1"
  "name": "n"
}
--- says
model.json:3: invalid JSON in column 3: expected `,` or `}`, found `"name"`
  hint: a comma is missing after `"1"` on line 2

### missing-comma-after-object: model
{
  "a": {
    "b": 1
  }
  "c": 1
}
--- says
model.json:5: invalid JSON in column 3: expected `,` or `}`, found `"c"`
  hint: a comma is missing after `}` on line 4

### missing-comma-in-list: model
{"a": [1 2]}
--- says
model.json:1: invalid JSON in column 10: expected `,` or `]`, found `2`
  hint: a comma is missing after `1` on line 1

### trailing-comma: model
{
  "id": "1",
}
--- says
model.json:3: invalid JSON in column 1: expected a value after the comma, found `}`
  hint: remove the comma of line 2

### trailing-comma-in-list: model
{"a": [1,]}
--- says
model.json:1: invalid JSON in column 10: expected a value after the comma, found `]`
  hint: remove the comma of line 1

### double-comma: model
{"a": 1,, "b": 2}
--- says
model.json:1: invalid JSON in column 9: expected a key in double quotes, found `,`

### unclosed-object: model
{
"a": {

--- says
model.json:3: invalid JSON in column 1: expected a value or `}`, found the end of the file
  hint: the `{` of line 2 is not closed

### ends-after-comma: model
{"a": 1,
--- says
model.json:1: invalid JSON in column 9: expected a value after the comma, found the end of the file
  hint: the `{` of line 1 is not closed

### crossed-brackets: model
{"a": [1}
--- says
model.json:1: invalid JSON in column 9: expected `,` or `]`, found `}`
  hint: the `[` of line 1 is not closed

### missing-colon: model
{"a" 1}
--- says
model.json:1: invalid JSON in column 6: expected `:` after the key `a`, found `1`

### more-after-the-end: model
{"a": 1}}
--- says
model.json:1: invalid JSON in column 9: expected the end of the file, found `}`

### bare-key: model
{max_depth: 1}
--- says
model.json:1: invalid JSON in column 2: expected a key in double quotes, found `max_depth`
  hint: text is written in double quotes: `"max_depth"`

### single-quotes: model
{'a': 1}
--- says
model.json:1: invalid JSON in column 2: expected a key in double quotes, found `'a'`
  hint: JSON has double quotes only

### python-literal: model
{"a": True}
--- says
model.json:1: invalid JSON in column 7: expected a value, found `True`
  hint: did you mean `true`?

### python-none: model
{"a": None}
--- says
model.json:1: invalid JSON in column 7: expected a value, found `None`
  hint: did you mean `null`?

### bare-text: model
{"a": nope}
--- says
model.json:1: invalid JSON in column 7: expected a value, found `nope`
  hint: text is written in double quotes: `"nope"`

### bad-number: model
{"a": .5}
--- says
model.json:1: invalid JSON in column 7: expected a value, found `.5`
  hint: numbers are written as `12`, `-0.5` or `1e-3`

### leading-zero: model
{"a": 01}
--- says
model.json:1: invalid JSON in column 7: expected a value, found `01`
  hint: numbers are written as `12`, `-0.5` or `1e-3`

### comment: model
{
// which one
"a": 1}
--- says
model.json:2: invalid JSON in column 1: expected a key in double quotes, found `//`
  hint: JSON has no comments: remove it

### comment-after-a-value: model
{"a": 1 # one
}
--- says
model.json:1: invalid JSON in column 9: expected `,` or `}`, found `#`
  hint: JSON has no comments: remove it

### unclosed-string: model
{"a": "x
}
--- says
model.json:1: invalid JSON in column 9: expected a `"` at the end of the string, found the end of the line
  hint: a string ends on its own line

### unclosed-string-at-the-end: model
{"a": "x
--- says
model.json:1: invalid JSON in column 7: expected a `"` at the end of the string, found `"x`
  hint: a string ends on its own line

### quote-in-a-string: model
{"a": "x"y"}
--- says
model.json:1: invalid JSON in column 10: expected `,` or `}`, found `y`
  hint: a `"` inside a string is written `\"`

### backslash: model
{"a": "C:\data"}
--- says
model.json:1: invalid JSON in column 10: expected an escape that JSON has, found `\data`
  hint: a `\` inside a string is written `\\`

### empty: model

--- says
model.json:1: invalid JSON in column 1: expected an object, found the end of the file
  hint: the smallest document is `{}`

### list: config
[]
--- says
config.json:1: expected an object, found an empty list

### null: dataset
null
--- says
dataset.json:1: expected an object, found `null`

### nan: config
{"hyperParameters": {
"n.trees": NaN,
"eta": -Infinity}}
--- says
config.json:2: `hyperParameters["n.trees"]`: expected a finite number, found `NaN`
  hint: leave the key out, or write `null`
config.json:3: `hyperParameters.eta`: expected a finite number, found `-Infinity`
  hint: leave the key out, or write `null`

### too-large: config
{"seed": 1e999}
--- says
config.json:1: `seed`: expected a finite number, found `1e999`

### key-twice: config
{
"a": 1,
"b": {"a": 1},
"a": 2}
--- says
config.json:4: `a`: expected each key once, found it on line 2 too
  hint: the last one counts: remove the others

### all-missing: model

{}
--- says
model.json:2: `id`: expected this required key, found none
  hint: any text that no other model has: `python3 -c 'import uuid; print(uuid.uuid4())'`
model.json:2: `name`: expected this required key, found none
model.json:2: `language`: expected this required key, found none

### misspelled-required: model
{
"nmae": "x",
"ID": "1",
"language": "sql"}
--- says
model.json:1: `id`: expected this required key, found none
  hint: line 3 has `ID`: did you mean `id`?
model.json:1: `name`: expected this required key, found none
  hint: line 2 has `nmae`: did you mean `name`?
model.json:2: warning: `nmae`: expected a known key, found `nmae`
  hint: did you mean `name`?
model.json:3: warning: `ID`: expected a known key, found `ID`
  hint: did you mean `id`?

### wrong-types: model
{"id": "",
"name": 3,
"language": null}
--- says
model.json:1: `id`: expected a string that is not empty, found an empty string
  hint: any text that no other model has: `python3 -c 'import uuid; print(uuid.uuid4())'`
model.json:2: `name`: expected a string, found the number `3`
model.json:3: `language`: expected `python`, `pyspark`, `r` or `sql`, found `null`

### unknown-language: model
{"id": "1", "name": "n",
"language": "pyton"}
--- says
model.json:2: `language`: expected `python`, `pyspark`, `r` or `sql`, found the string `pyton`
  hint: did you mean `python`?

### python-as-number: model
{"id": "1", "name": "n", "language": "R",
"python": 3.10}
--- says
model.json:2: `python`: expected a version or a range in double quotes, such as `"3.11"` or `">=3.10,<3.13"`, found the number `3.1`

### python-in-words: model
{"id": "1", "name": "n", "language": "R",
"python": "three"}
--- says
model.json:2: `python`: expected a version or a range in double quotes, such as `"3.11"` or `">=3.10,<3.13"`, found the string `three`

### unknown-engine: model
{"id": "1", "name": "n", "language": "R", "automation": {
"trainingEngine": "Spark"}}
--- says
model.json:2: `automation.trainingEngine`: expected `python`, `pyspark`, `r` or `sql`, found the string `Spark`
  hint: did you mean `pyspark`?

### resources: model
{"id": "1", "name": "n", "language": "R", "automation": {"training": {
"resources": {
"memory": [],
"cpus": 1}}}}
--- says
model.json:3: `automation.training.resources.memory`: expected a quantity such as `500Mi` or `1.5Gi`, found an empty list
model.json:4: warning: `automation.training.resources.cpus`: expected a known key, found `cpus`
  hint: did you mean `cpu`?

### misplaced: model
{"id": "1", "name": "n", "language": "R", "automation": {"training": {
"runOn": "dask"}}}
--- says
model.json:2: warning: `automation.training.runOn`: expected a known key, found `runOn`
  hint: `runOn` stands at the top of the file

### thresholds: model
{"id": "1", "name": "n", "language": "R", "evaluation": {"thresholds": {
"a": {},
"b": {"mn": 1},
"c": 3,
"d": {"min": "1"}}}}
--- says
model.json:2: `evaluation.thresholds.a`: expected an object with `min`, `max` or both, found an empty object
model.json:3: `evaluation.thresholds.b.mn`: expected `min` or `max`, found `mn`
  hint: did you mean `min`?
model.json:4: `evaluation.thresholds.c`: expected an object with `min`, `max` or both, found the number `3`
model.json:5: `evaluation.thresholds.d.min`: expected a number, found the string `1`

### what-cannot-be: model
{"id": "1", "name": "n", "language": "pyspark",
"evaluation": {"thresholds": {
"auc": {"min": 0.9, "max": 0.5}}},
"resources": {"training": {
"args": "--conf 'spark.a=b"}}}
--- says
model.json:3: `evaluation.thresholds.auc`: expected `min` below `max`, found 0.9 and 0.5
model.json:5: `resources.training.args`: expected arguments, found no closing quotation

### dates-and-seconds: model
{"id": "1", "name": "n", "language": "R",
"resolveAsOf": "2019-02-30",
"progress": {"stallAfter": 0}}
--- says
model.json:2: `resolveAsOf`: expected a date such as `2019-08-31`, found the string `2019-02-30`
model.json:3: `progress.stallAfter`: expected a number of seconds above 0, found the number `0`

### columns: model
{"id": "1", "name": "n", "language": "R", "serving": {"schemas": {}, "schema": {
"inputs": [
{"name": "age", "type": "nummer"},
{"name": "age", "type": "number", "nullable": 1,
"null": true},
{"type": "string"},
{"name": "", "type": "float"},
"bmi"],
"outputs": []}}}
--- says
model.json:1: warning: `serving.schemas`: expected a known key, found `schemas`
model.json:3: `serving.schema.inputs[0].type`: expected `number`, `integer`, `string`, `boolean` or `any`, found the string `nummer`
  hint: did you mean `number`?
model.json:4: `serving.schema.inputs[1].nullable`: expected `true` or `false`, found the number `1`
model.json:4: `serving.schema.inputs[1].name`: expected each name once, found `age` on line 3 too
model.json:5: `serving.schema.inputs[1].null`: expected `name`, `type` or `nullable`, found `null`
model.json:6: `serving.schema.inputs[2].name`: expected this required key, found none
model.json:7: `serving.schema.inputs[3].name`: expected a string that is not empty, found an empty string
model.json:7: `serving.schema.inputs[3].type`: expected `number`, `integer`, `string`, `boolean` or `any`, found the string `float`
model.json:8: `serving.schema.inputs[4]`: expected an object, found the string `bmi`
model.json:9: `serving.schema.outputs`: expected a list of columns, such as `[{"name": "age", "type": "number"}]`, found an empty list

### tables: dataset
{"tables": {
"events": {"url": "a.csv"},
"my events": {"url": "a.csv"},
"db.events": {"sha256": "0000000000000000000000000000000000000000000000000000000000000000"},
"customers": "a.csv"}}
--- says
dataset.json:3: `tables["my events"]`: expected the name of a table: letters, digits, `_`, `$` and `#`, not a digit first, found the string `my events`
dataset.json:4: `tables["db.events"]`: expected an object with the table's file, such as `{"url": "datasets/events.csv"}`, found an object
dataset.json:5: `tables.customers`: expected an object with the table's file, such as `{"url": "datasets/events.csv"}`, found the string `a.csv`

### list-item: model
{"id": "1", "name": "n", "language": "R",
"supportedFrameworks": [
"DOCKER",
2]}
--- says
model.json:4: `supportedFrameworks[1]`: expected a string, found the number `2`

### unknown-keys: model
{"id": "1", "name": "n", "language": "R",
"zzz": 1,
"descripton": "x"}
--- says
model.json:2: warning: `zzz`: expected a known key, found `zzz`
model.json:3: warning: `descripton`: expected a known key, found `descripton`
  hint: did you mean `description`?

### hyperparameters-misspelled: config
{"hyper_params": {}}
--- says
config.json:1: warning: `hyper_params`: expected a known key, found `hyper_params`
  hint: did you mean `hyperParameters`?

### hyperparameters-list: config
{"hyperParameters": [1]}
--- says
config.json:1: `hyperParameters`: expected an object, found a list

### checksum-too-short: dataset
{"sha256": "abc"}
--- says
dataset.json:1: `sha256`: expected 64 hexadecimal digits, found the string `abc`
  hint: `sha256sum FILE` prints them

### download-without-checksum: dataset
{
"url": "https://example.org/a.csv"}
--- says
dataset.json:2: `url`: expected `sha256` beside the download, found `https://example.org/a.csv` alone
  hint: `sha256sum FILE` prints it: add `"sha256": "..."` beside `url`

### address-that-is-none: dataset
{"url": "https://[your-bucket.example.org/a.csv", "parts": {
"location": "https://me:secret@example.org:port/a", "sha256": "0000000000000000000000000000000000000000000000000000000000000000"}}
--- says
dataset.json:1: `url`: expected an address, found `https://[your-bucket.example.org/a.csv`
  hint: write it as `https://host:8080/path`, special signs as `%5B` for `[`
dataset.json:2: `parts.location`: expected an address, found `https://***@example.org:port/a`
  hint: write it as `https://host:8080/path`, special signs as `%5B` for `[`

### nested-download: dataset
{"parts": [
{"data_path": "http://example.org/a"},
{"url": "http://example.org/b", "sha256": 5}]}
--- says
dataset.json:2: `parts[0].data_path`: expected `sha256` beside the download, found `http://example.org/a` alone
  hint: `sha256sum FILE` prints it: add `"sha256": "..."` beside `data_path`
dataset.json:3: `parts[1].sha256`: expected 64 hexadecimal digits, found the number `5`
  hint: `sha256sum FILE` prints them

### dataset-keys: dataset
{"tabe": "t",
"featureName": [],
"test_split": [],
"mine": 1}
--- says
dataset.json:1: warning: `tabe`: expected a known key, found `tabe`
  hint: did you mean `table`?
dataset.json:2: warning: `featureName`: expected a known key, found `featureName`
  hint: did you mean `featureNames`?
dataset.json:3: `test_split`: expected a number or a string, found an empty list

### file-keys-misspelled: dataset
{"ulr": "a.csv", "data_psth": "b.csv",
"parts": [{"Data-Path": "c.csv", "shaa256": "00"}],
"urls": "d.csv"}
--- says
dataset.json:1: warning: `ulr`: expected a known key, found `ulr`
  hint: did you mean `url`?
dataset.json:1: warning: `data_psth`: expected a known key, found `data_psth`
  hint: did you mean `data_path`?
dataset.json:2: warning: `parts[0].Data-Path`: expected a known key, found `Data-Path`
  hint: did you mean `data_path`?
dataset.json:2: warning: `parts[0].shaa256`: expected a known key, found `shaa256`
  hint: did you mean `sha256`?
dataset.json:3: warning: `urls`: expected a known key, found `urls`
  hint: did you mean `url`?

### no-file: dataset
{"url": "",
"data_path": null}
--- says
dataset.json:1: warning: `url`: expected a file, found an empty string
  hint: leave the key out, or write `null`

### escapes-cannot-reach-the-terminal: model
{"id": "1", "name": "n", "language": "R", "\u001b[31m": "\ud800"}
--- says
model.json:1: warning: `["\u001b[31m"]`: expected a known key, found `\u001b[31m`
"""  # noqa: E501 - the text is what a person sees, line for line

UNPRINTABLE = {
    "no-break-space": (
        "model",
        '{\u00a0"a": 1}',
        (
            "model.json:1: invalid JSON in column 2: expected a key in double quotes, "
            "found `\\u00a0`\n  hint: it looks like a space and is none: replace it"
        ),
    ),
    "tab-in-a-string": (
        "model",
        '{"a": "x\ty"}',
        (
            "model.json:1: invalid JSON in column 9: expected no control character in a string, "
            "found `\\t`\n  hint: write it `\\t`"
        ),
    ),
    "unclosed-string-windows": (
        "model",
        '{"a": "x\r\n}',
        (
            'model.json:1: invalid JSON in column 9: expected a `"` at the end of the string, '
            "found the end of the line\n  hint: a string ends on its own line"
        ),
    ),
    "too-deep": (
        "model",
        "[" * (DEEPEST + 2),
        (
            "model.json:1: invalid JSON in column 102: expected at most 100 objects and lists in "
            "each other, found `[`"
        ),
    ),
}


def golden_cases() -> dict[str, tuple[str, str, str]]:
    """Return kind, text and what is said of it, by name, from the golden text."""
    cases = {}
    for block in GOLDEN.strip().split("### ")[1:]:
        title, _, rest = block.partition("\n")
        name, _, kind = title.partition(": ")
        text, _, said = rest.partition("\n--- says\n")
        cases[name] = (kind, text, said.strip())
    return cases


CASES = {**golden_cases(), **UNPRINTABLE}


# Documents of every age, as they were found in repositories of this family.
RIGHT = [
    ("model", {"id": "1", "name": "n", "language": "Python", "supportedFrameworks": ["DOCKER"]}),
    ("model", {"launcher": "pyspark", "docker": {"trainerImage": "someone/r_trainer:2.9"}}),
    ("model", {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "50Mi"}}}),
    ("model", {"resources": {"training": {"limits": {"cpu": "200m", "memory": "100Mi"}}}}),
    ("model", {"resources": {"training": {"master": "local[1]", "args": "--num-executors 1"}}}),
    ("model", {"automation": {"trainingEngine": "pyspark", "trainerId": "d8d5b0e3"}}),
    ("model", {"automation": {"resources": {"training": {"args": "--master local[1]"}}}}),
    ("model", {"automation": {"resources": {"cpu": "200m", "master": "local", "args": ""}}}),
    ("model", {"automation": {"training": {"resources": {"gpu": "1"}, "dockerImage": "a/b:c"}}}),
    ("model", {"automation": {"evaluation": {"engine": "SQL"}, "deployment": {}}}),
    ("model", {"inputShape": [1, 2], "includeModuleContents": "false", "jsonEnvDetails": {}}),
    ("model", {"modelConfigurations": {"DOCKER_GENERIC_RAW": []}, "classificationPage": ""}),
    ("model", {"source_model_id": "03c9a01f", "description": ""}),
    ("model", {"python": ">=3.10, <3.13", "resolveAsOf": "2019-08-31"}),
    ("model", {"python": "~=3.10", "progress": {"stallAfter": 0.5}}),
    ("model", {"evaluation": {"thresholds": {"auc": {"min": 0.7}, "r mse": {"max": 1}}}}),
    ("model", {"serving": {"schema": {"inputs": [{"name": "a", "type": "any"}]}}}),
    ("config", {}),
    ("config", {"hyperparameters": {"n.trees": 2000, "use": "False", "of": [1, None]}}),
    ("config", {"hyperParameters": {}, "formula": "a ~ b", "hyperParams": "deliberate"}),
    ("dataset", {"url": "data/a.csv", "test_split": "0.2"}),
    ("dataset", {"data_path": "https://example.org/a.csv", "sha256": DIGITS}),
    ("dataset", {"type": "CatalogBody", "sql": "SELECT 1", "featureNames": ["a"]}),
    ("dataset", {"predictions": {"database": "d", "table": "p"}, "featureMetadata": {}}),
    ("dataset", {"url": "a.csv", "ulr": "b.csv", "parts": [{"location": "x", "locations": "y"}]}),
    ("dataset", {"uri": "a", "urn": "b", "sql": "c", "ul": "d", "url2": "e", "ulr": 5}),
    ("dataset", {"meta_path": "a", "data_date": "b", "vacation": "d"}),
    ("dataset", {"predictions": "predictions.csv", "start_date": "{{ start }}", "schema": ""}),
    ("dataset", {"url": "a.csv", "url2": "b.csv", "anything": {"goes": [1, {}]}}),
]

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    LEAVES.filter(lambda leaf: not isinstance(leaf, float) or math.isfinite(leaf)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(), VALUES, max_size=5)


@st.composite
def nearly_json(draw: st.DrawFn) -> str:
    """Return JSON with one piece of it replaced by something short."""
    text = json.dumps(draw(DOCUMENTS), indent=draw(st.sampled_from([None, 1])))
    start = draw(st.integers(0, len(text)))
    piece = draw(st.text("{}[]\",:\\/#' \t\n\r\u00a00123.eE-+truefalsnNI", max_size=3))
    return text[:start] + piece + text[start + draw(st.integers(0, 3)) :]


def said_of(kind: str, text: str | bytes) -> str:
    """Return all that is said of a document, as it is printed."""
    return "\n".join(map(str, check(kind, text, f"{kind}.json").faults))


def paths(value: object, keys: Keys = ()) -> set[Keys]:
    """Return the way to every part of a value, found without its text."""
    found = {keys}
    if isinstance(value, dict):
        found.update(*(paths(item, (*keys, key)) for key, item in value.items()))
    elif isinstance(value, list):
        found.update(*(paths(item, (*keys, index)) for index, item in enumerate(value)))
    return found


def strictly(text: str) -> tuple[bool, object]:
    """Return whether a text is JSON that holds only finite numbers, and its value."""

    def finite(word: str) -> float:
        number = float(word)
        if not math.isfinite(number):
            raise ValueError(word)
        return number

    try:
        return True, json.loads(text, parse_constant=finite, parse_float=finite)
    except ValueError:
        return False, None


@pytest.mark.parametrize(("kind", "text", "expected"), CASES.values(), ids=CASES)
def test_faults_are_told_in_full(kind: str, text: str, expected: str) -> None:
    """Each flaw gets its line, its key, what was expected and found, and the way out."""
    assert expected == said_of(kind, text)


@pytest.mark.parametrize(("kind", "text", "expected"), CASES.values(), ids=CASES)
def test_messages_are_of_one_form(kind: str, text: str, expected: str) -> None:
    """Every fault names a line of the text, says what it found and ends without a full stop."""
    for fault in check(kind, text, f"{kind}.json").faults:
        assert 1 <= fault.line <= text.count("\n") + 1
        assert not fault.message.endswith(".")
        assert not fault.hint.endswith(".")
        assert "found " in fault.message
        assert str(fault) in expected


@pytest.mark.parametrize(("kind", "document"), RIGHT)
def test_documents_of_every_age_pass(kind: str, document: dict[str, Any]) -> None:
    """Nothing is said of what older and newer repositories hold."""
    required = {"id": "1", "name": "n", "language": "python"} if kind == "model" else {}
    whole = {**required, **document}

    assert (whole, ()) == check(kind, json.dumps(whole), "x.json")


@pytest.mark.parametrize("indent", [None, 2])
def test_byte_order_mark_and_windows_line_ends_are_fine(indent: int | None) -> None:
    """Both come from editors on Windows, and neither moves a line."""
    document = {"id": "1", "name": "n", "language": "R", "zzz": 1}
    text = "\ufeff" + json.dumps(document, indent=indent).replace("\n", "\r\n")
    line = 5 if indent else 1
    message = "expected a known key, found `zzz`"
    expected = (Fault("m", line, "zzz", message, warning=True),)

    assert expected == check("model", text, "m").faults
    assert expected == check("model", text.encode(), "m").faults


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b'{"a":\n"caf\xe9"}',
            (
                "model.json:2: expected text in UTF-8, found the byte 0xe9\n"
                "  hint: save the file as UTF-8"
            ),
        ),
        (
            "{}".encode("utf-16"),
            "model.json:1: expected text in UTF-8, found UTF-16\n  hint: save the file as UTF-8",
        ),
    ],
)
def test_other_encodings_are_named(data: bytes, expected: str) -> None:
    """Bytes that are not UTF-8 are a fault like any other."""
    assert expected == said_of("model", data)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"id": 1}', {"id": 1}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"a": NaN}', None),
        ('{"a": 1e400}', None),
        ('{"a": 1', None),
        ("[]", None),
    ],
)
def test_only_json_objects_are_handed_on(text: str, kept: dict[str, Any] | None) -> None:
    """A document with faults is still a value, unless JSON itself refuses it."""
    checked = check("model", text, "m")

    assert kept == checked.value
    assert any(not fault.warning for fault in checked.faults)


@given(st.sampled_from(["python", "r", "sql", "pyspark"]), st.data())
def test_language_may_be_in_any_case(language: str, data: st.DataObject) -> None:
    """`python`, `Python` and `PYTHON` are one language."""
    mixed = "".join(data.draw(st.sampled_from([c, c.upper()])) for c in language)
    document = {"id": "1", "name": "n", "language": mixed}

    assert not check("model", json.dumps(document), "m").faults


@pytest.mark.parametrize("language", ["", "python\n", "python3", "pyr", " r", "sqlr"])
def test_no_other_language_is_taken(language: str) -> None:
    """What only begins or ends like a language is none."""
    document = {"id": "1", "name": "n", "language": language}
    faults = check("model", json.dumps(document), "m").faults

    assert {"language"} == {fault.key for fault in faults}


@pytest.mark.parametrize(
    "python", ["3", "3.11", "3.11.7", "3.9.*", "==3.9.*", ">=3.13rc1", ">=3.6,!=3.8.1 , <4"]
)
def test_python_takes_versions_and_ranges(python: str) -> None:
    """A version or a PEP 440 set passes."""
    document = {"id": "1", "name": "n", "language": "r", "python": python}

    assert not check("model", json.dumps(document), "m").faults


@pytest.mark.parametrize(
    "python", ["", "3.", "py3", ">=", "3.9,3.10", ">=3.9,", "^3.9", " 3.9", "3.9\n"]
)
def test_python_takes_nothing_else(python: str) -> None:
    """What neither uv nor packaging reads is a fault here already."""
    document = {"id": "1", "name": "n", "language": "r", "python": python}

    faults = check("model", json.dumps(document), "m").faults

    assert {"python"} == {fault.key for fault in faults}


@given(st.from_regex(schema("model")["properties"]["python"]["pattern"]))
@example(">=3.9.*")
@example("~=3")
def test_python_is_what_interpreters_are_chosen_by(python: str) -> None:
    """What the pattern takes can be read where it is used."""
    document = {"id": "1", "name": "n", "language": "r", "python": python}

    if not check("model", json.dumps(document), "m").faults:
        assert isinstance(specifier(python), SpecifierSet)


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_schemas(kind: str) -> None:
    """Each is right by the standard and describes every key that it lists."""
    rule = schema(kind)
    Draft202012Validator.check_schema(rule)

    assert set() == undescribed(rule)


def undescribed(rule: dict[str, Any], place: str = "") -> set[str]:
    """Return the listed keys, at every level, that have no description or no type."""
    found = set()
    for name, inner in rule.get("properties", {}).items():
        typed = "type" in inner or "$ref" in inner
        if not inner.get("description") or not typed:
            found.add(f"{place}/{name}")
        found |= undescribed(inner, f"{place}/{name}")
    for name, inner in rule.get("$defs", {}).items():
        found |= undescribed(inner, f"{place}/$defs/{name}")
    return found


def test_faults_come_in_the_order_of_lines() -> None:
    """Syntax, schema and unknown keys are told together, from top to bottom."""
    text = '{"zzz": 1,\n"id": 2,\n"name": NaN,\n"id": "1",\n"language": "R"\n}'
    expected = [(1, "zzz"), (3, "name"), (3, "name"), (4, "id")]

    assert expected == [(fault.line, fault.key) for fault in check("model", text, "m").faults]


def test_jsonschema_is_imported_only_for_a_check() -> None:
    """A run in which no document changed does not pay for it."""
    code = "import sys, tasks.validate; sys.exit('jsonschema' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_deep_documents_are_read_and_deeper_ones_refused() -> None:
    """The bound keeps this reader, json and jsonschema from running out of stack."""
    deep = '{"a":' * DEEPEST + "1" + "}" * DEEPEST

    for kind in KINDS:
        assert check(kind, deep, "x").value is not None
        assert check(kind, f'{{"a":{deep}}}', "x").value is None
        assert check(kind, '{"a":' * 100_000, "x").value is None


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((), ""),
        (("automation", "training"), "automation.training"),
        (("a", 0, 1, "b"), "a[0][1].b"),
        (("hyperParameters", "n.trees"), 'hyperParameters["n.trees"]'),
        (("", "\x1b"), '[""]["\\u001b"]'),
    ],
)
def test_keys_are_written_as_people_do(keys: Keys, expected: str) -> None:
    """Dots join plain names; what would be taken for something else is quoted."""
    assert expected == dotted(keys)


@given(DOCUMENTS, st.sampled_from([None, 0, 3]), st.booleans())
def test_positions_are_those_of_the_value(
    document: dict[str, Any],
    indent: int | None,
    ascii_only: bool,  # noqa: FBT001 - by Hypothesis
) -> None:
    """The reader finds json's value, a line for every part of it and for nothing else."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    parsed = parse(text, "x")

    assert json.loads(text) == parsed.value
    assert paths(json.loads(text)) == set(parsed.lines)
    assert not parsed.faults
    assert parsed.valid


@given(DOCUMENTS)
def test_lines_are_those_of_the_keys(document: dict[str, Any]) -> None:
    """Indented JSON has one key or item a line, in the order of the document."""
    text = json.dumps(document, indent=1)
    lines = text.split("\n")
    parsed = parse(text, "x")

    assert sorted(parsed.lines.values()) == list(parsed.lines.values())
    for keys, line in parsed.lines.items():
        if keys and isinstance(keys[-1], str):
            assert lines[line - 1].lstrip().startswith(f"{json.dumps(keys[-1])}: ")


@given(nearly_json())
@example('{"a": 1e400}')
@example('{"a": 0.1E+2, "b": -0}')
@example('{"a": "\\ud800"}')
def test_what_json_refuses_is_refused(text: str) -> None:
    """The reader takes what json takes, but for numbers that are not finite."""
    valid, value = strictly(text)
    parsed = parse(text, "x")

    assert valid == parsed.valid
    if valid:
        assert value == parsed.value
        assert paths(value) <= set(parsed.lines)
    else:
        assert parsed.faults


@given(st.sampled_from(KINDS), st.text() | nearly_json() | DOCUMENTS.map(json.dumps) | st.binary())
@example("model", "9" * 5000)
@example("model", '{"a": ' + "9" * 5000 + "}")
@example("dataset", '{"url": "http://x", "sha256": {}}')
@example("model", '{"$ref": "#", "automation": {"$ref": 1, "training": []}}')
def test_check_never_raises(kind: str, text: str | bytes) -> None:
    """Whatever a file holds, the answer is a value, faults or both, and can be printed."""
    checked = check(kind, text, "x")

    assert checked.value is not None or checked.faults
    said_of(kind, text).encode()


KNOWN_KEYS = sorted({key for kind in KINDS for key in schema(kind)["properties"]})


@given(
    st.sampled_from(KINDS),
    st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from([*KNOWN_KEYS, "training", "thresholds"]), inner)
        ),
    ),
)
def test_check_never_raises_for_known_keys(kind: str, value: object) -> None:
    """Every rule copes with every type of value, at any place, and says the same twice."""
    text = json.dumps(value)

    assert said_of(kind, text) == said_of(kind, text)
