"""Check the JSON documents that describe a model, and say everything that is wrong with them.

The rules are the JSON Schemas in `schemas/`, which languages there are is for `frameworks` to say.
Beside the standard's keywords they hold two of ours: `x-expected` says in English what a value must
be, or of each key the value of that, `x-hint` the way out.
"""

from __future__ import annotations

import difflib
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks import rules
from tasks.cron import faults as schedule_faults
from tasks.datasets import FILE_KEYS, is_misspelt
from tasks.errors import Fault, did_you_mean, without_password
from tasks.frameworks import LANGUAGES
from tasks.positions import Keys, Parsed, parse, shown
from tasks.resources import faults as resource_faults
from tasks.resources import nearest_memory
from tasks.slips import squashed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

# How near a key that a schema does not list must be to one that it lists, to be thought misspelled.
_NEAR = {"model": 0.6, "config": 0.8, "dataset": 0.88}

_TYPES = {
    "array": "a list",
    "boolean": "`true` or `false`",
    "null": "`null`",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


class Checked(NamedTuple):
    """A document, None where it is no JSON object, and all that is wrong with it, by line."""

    value: dict[str, Any] | None
    faults: tuple[Fault, ...]


def check(kind: str, text: str | bytes, path: str) -> Checked:
    """Check a document; `kind` is `model`, `config` or `dataset`, `path` its name in the faults."""
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        return Checked(None, (_not_utf8(error, path),))
    parsed = parse(text, path)
    faults = list(parsed.faults)
    value = parsed.value
    if isinstance(value, dict):
        faults += _schema_faults(kind, parsed)
        faults += _unknown_keys(kind, parsed)
        if kind == "dataset":
            faults += [*_download_faults(parsed), *rules.file_faults(parsed)]
        if kind == "model":
            faults += [*rules.argument_faults(parsed), *rules.threshold_faults(parsed)]
            faults += [*rules.column_faults(parsed), *resource_faults(parsed)]
            faults += schedule_faults(parsed)
        faults = sorted(dict.fromkeys(faults), key=lambda fault: fault.line)
        return Checked(value if parsed.valid else None, tuple(faults))
    if parsed.valid:
        faults.append(parsed.fault((), f"expected an object, found {_described(value)}"))
    return Checked(None, tuple(faults))


@functools.cache
def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of document."""
    path = Path(__file__).with_name("schemas") / f"{kind}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if kind == "model":
        document["$defs"]["engine"] |= _engine_rule()
    return document


def _engine_rule() -> dict[str, Any]:
    """Return the rule for the name of a language, in upper or lower case."""
    either = "|".join("".join(f"[{c.upper()}{c}]" for c in name) for name in LANGUAGES)
    return {
        "pattern": rf"^({either})$(?!\n)",
        "examples": list(LANGUAGES),
        "x-expected": _either(f"`{name}`" for name in LANGUAGES),
    }


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import, seldom needed

    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(schema(kind), format_checker=checker)


def _not_utf8(error: UnicodeDecodeError, path: str) -> Fault:
    data = error.object
    line = data.count(b"\n", 0, error.start) + 1
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    found = "UTF-16" if utf16 else f"the byte 0x{data[error.start]:02x}"
    message = f"expected text in UTF-8, found {found}"
    return Fault(path, line, "", message, "save the file as UTF-8")


# The schema's faults, in our words


def _schema_faults(kind: str, parsed: Parsed) -> Iterator[Fault]:
    for error in _validator(kind).iter_errors(parsed.value):
        yield from _translated(error, tuple(error.absolute_path), parsed)


def _translated(error: ValidationError, keys: Keys, parsed: Parsed) -> Iterator[Fault]:
    """Yield the faults that an error of jsonschema stands for; `keys` leads to its value."""
    rule: Any = error.schema
    value: Any = error.instance
    if error.validator == "required":
        yield from _missing_keys(rule, value, keys, parsed)
    elif error.validator == "additionalProperties":
        allowed = rule["properties"]
        expected = _either(f"`{name}`" for name in allowed)
        for key in value:
            if key in allowed:
                continue
            hint = _suggestion(key, [name for name in allowed if name not in value])
            yield parsed.fault((*keys, key), f"expected {expected}, found {shown(key)}", hint)
    else:
        if "propertyNames" in error.absolute_schema_path:
            keys = (*keys, value)
        expected = rule.get("x-expected") or _expected(error)
        hint = _suggestion(value, rule.get("examples", ())) or rule.get("x-hint", "")
        if isinstance(expected, dict):
            expected = expected[keys[-1]]
            hint = nearest_memory(value) if keys[-1] == "memory" else ""
        yield parsed.fault(keys, f"expected {expected}, found {_described(value)}", hint)


def _missing_keys(
    rule: Mapping[str, Any], value: Mapping[str, Any], keys: Keys, parsed: Parsed
) -> Iterator[Fault]:
    unknown = [key for key in value if key not in rule["properties"]]
    for missing in rule["required"]:
        if missing not in value:
            near = _nearest(missing, unknown, _NEAR["model"])
            there = f"line {parsed.lines[(*keys, near)]} has {shown(near)}: " if near else ""
            plain = rule["properties"][missing].get("x-hint") or rule.get("x-hint", "")
            hint = there + did_you_mean(missing, [missing]) if near else plain
            yield parsed.fault((*keys, missing), "expected this required key, found none", hint)


def _expected(error: ValidationError) -> str:
    """Return in English what a rule without `x-expected` asks for."""
    if error.validator == "type":
        types: Any = error.validator_value
        names = [types] if isinstance(types, str) else types
        return _either(_TYPES[name] for name in names if name != "null")
    if error.validator == "minLength":
        return "a string that is not empty"
    return f"{error.validator} {error.validator_value}"


def _either(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _described(value: object) -> str:
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, str):
        return f"the string {shown(value)}" if value else "an empty string"
    number = not isinstance(value, bool) and value is not None
    return f"the number {shown(json.dumps(value))}" if number else f"`{json.dumps(value)}`"


# Keys that nothing reads


def _unknown_keys(kind: str, parsed: Parsed) -> Iterator[Fault]:
    """Yield a warning for each key that looks misspelled, and in `model.json` for all unknown."""
    strict = kind == "model"
    for keys, siblings, known in _levels(schema(kind), schema(kind), parsed.value, ()):
        if keys and not strict:
            continue
        for key in siblings:
            if key in known:
                continue
            hint = _suggestion(key, _not_used(known, siblings), _NEAR[kind])
            if keys and key in schema(kind)["properties"]:
                hint = f"`{key}` stands at the top of the file"
            if strict or hint:
                message = f"expected a known key, found {shown(key)}"
                yield parsed.fault((*keys, key), message, hint, warning=True)


def _levels(
    root: Mapping[str, Any], rule: Mapping[str, Any], value: object, keys: Keys
) -> Iterator[tuple[Keys, Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the objects for which the schema lists keys: the way there, the object, the keys."""
    rule = root["$defs"][rule["$ref"].rpartition("/")[2]] if "$ref" in rule else rule
    known = rule.get("properties")
    if known is None or not isinstance(value, dict):
        return
    yield keys, value, known
    for key, item in value.items():
        if key in known:
            yield from _levels(root, known[key], item, (*keys, key))


def _not_used(known: Mapping[str, Any], siblings: Mapping[str, Any]) -> list[str]:
    """Return the keys that could be meant: neither there already nor out of use."""
    return [key for key in known if key not in siblings and not known[key].get("deprecated")]


def _suggestion(word: object, known: Iterable[str], cutoff: float = _NEAR["model"]) -> str:
    near = _nearest(word, known, cutoff) if isinstance(word, str) else ""
    return did_you_mean(near, [near]) if near else ""


def _nearest(word: str, known: Iterable[str], cutoff: float) -> str:
    """Return the known word that is nearest, whatever its case and joints, or nothing."""
    by_squashed = {squashed(name): name for name in known}
    near = difflib.get_close_matches(squashed(word), by_squashed, n=1, cutoff=cutoff)
    return by_squashed[near[0]] if near else ""


# Downloads


def _download_faults(parsed: Parsed) -> Iterator[Fault]:
    """Yield a fault for each address that is none, download without a checksum, and such a sum."""
    checksum = schema("dataset")["properties"]["sha256"]
    validator = _validator("dataset").evolve(schema=checksum)
    for keys, value in rules.objects(parsed.value, ()):
        sources = {key: value[key] for key in FILE_KEYS if isinstance(value.get(key), str)}
        for key, source in sources.items():
            found = shown(without_password(source))
            if is_misspelt(source):
                message = f"expected an address, found {found}"
                hint = "write it as `https://host:8080/path`, special signs as `%5B` for `[`"
                yield parsed.fault((*keys, key), message, hint)
            elif "sha256" not in value and source.startswith(("http://", "https://")):
                message = f"expected `sha256` beside the download, found {found} alone"
                hint = f'`sha256sum FILE` prints it: add `"sha256": "..."` beside `{key}`'
                yield parsed.fault((*keys, key), message, hint)
        for error in validator.iter_errors(value["sha256"]) if "sha256" in value else ():
            yield from _translated(error, (*keys, "sha256"), parsed)
