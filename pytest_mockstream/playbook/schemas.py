"""Checks values against JSON schemas, and makes values that fit.

Checking needs the library jsonschema. No well-kept library makes values that fit and are the same in every run:
hypothesis-jsonschema 0.23 breaks with hypothesis 6.170, and jsf 0.11 neither reads all schemas nor is deterministic. So
values are made here, for what schemas of tools and of structured output say, and each is checked before it is used.

Theory of operation: where a schema leaves a choice, a seeded generator makes it. If the value does not fit, because the
schema says something that is not looked at here, the next choices are tried.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

from .asked import Schema
from .patterns import text_matching

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_TRIES = 50
_DEEP = 3  # from here on, only what has to be there
_DEEPEST = 60
_SHOWN = 3  # problems in a message
_MANY = 100  # as large as a number gets without a limit
_LONGEST = 10_000  # characters, items and properties

_FORMATS = {
    "date": "2025-01-{:02}",
    "date-time": "2025-01-01T00:00:{:02}Z",
    "time": "00:00:{:02}Z",
    "duration": "PT{}S",
    "email": "user{}@example.com",
    "idn-email": "user{}@example.com",
    "hostname": "host{}.example.com",
    "idn-hostname": "host{}.example.com",
    "ipv4": "192.0.2.{}",
    "ipv6": "2001:db8::{}",
    "uri": "https://example.com/{}",
    "url": "https://example.com/{}",
    "iri": "https://example.com/{}",
    "uri-reference": "/{}",
    "uuid": "00000000-0000-4000-8000-0000000000{:02}",
    "byte": "{:04}",
}


def problems_with(value: object, schema: Schema) -> list[str]:
    """Return what keeps a value from fitting a schema, each with the place in the value; nothing if it fits.

    Raises:
        ScriptError: the schema is none, or there is no library to check with.
    """
    validator = _validator(schema)
    try:
        found = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
    except Exception as error:  # a reference that leads nowhere; the library has a class of its own for it
        raise ScriptError(f"the schema {brief(schema)} cannot be followed: {error}") from None
    told = [f"{error.json_path}: {brief_text(error.message)}" for error in found]
    return [*told[:_SHOWN], f"and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else told


def brief_text(text: str) -> str:
    """Return a text, of a long one the end, which says what is wrong."""
    return text if len(text) <= 200 else f"... {text[-200:]}"


def _validator(schema: Schema) -> Any:
    try:
        import jsonschema
        import referencing
    except ModuleNotFoundError as error:
        raise ScriptError(
            f"schemas are checked with {error.name}, which is not installed: pip install 'pytest-mockstream[schemas]'"
        ) from None
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = f"{error.json_path}: {brief_text(error.message)}"
        raise ScriptError(f"the schema {brief(schema)} is not a JSON schema: {where}") from None
    # With a registry of its own, which is empty: by default, references to other hosts would be fetched.
    return kind(schema, registry=referencing.Registry())


def value_for(schema: Schema, seed: int) -> Any:
    """Return a value that fits a schema: the same for the same seed.

    Raises:
        ScriptError: none was found, the schema is none, or there is no library to check with.
    """
    _validator(schema)  # what follows relies on it
    found: list[str] = []
    for attempt in range(_TRIES):
        maker = _Maker(schema, random.Random(f"{seed}/{attempt}"))  # noqa: S311 - choices, not cryptography
        try:
            value = maker.value(schema, "value", 0)
        except _EndlessError:
            found = found or ["it refers to itself without end"]
            continue
        if not (problems := problems_with(value, schema)):
            return value
        found = found or problems
    msg = f"no value was found that fits the schema {brief(schema)} ({'; '.join(found)}): give one with Json(...)"
    raise ScriptError(msg)


class _EndlessError(Exception):
    """A schema refers to itself without end."""


class _Maker:
    """Makes one value."""

    def __init__(self, root: Schema, draw: random.Random) -> None:
        self._root = root
        self._draw = draw

    def value(self, schema: object, name: str, depth: int) -> Any:
        """Return a value for a schema; ``name`` is the property that it is for, and appears in texts."""
        if not isinstance(schema, Mapping):
            return name  # `true` takes anything; `false` takes nothing, which the check tells
        if depth > _DEEPEST:
            raise _EndlessError
        schema = self._merged(schema)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._draw.choice(schema["enum"])
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                rest = {name: value for name, value in schema.items() if name != key}
                return self.value({"allOf": [rest, self._choice(schema[key], depth)]}, name, depth + 1)
        kind = self._kind(schema, depth)
        if kind == "object":
            return self._object(schema, name, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in {"integer", "number"}:
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return self._draw.random() < 0.5
        return None if kind == "null" else self._text(schema, name)

    def _merged(self, schema: Schema) -> Schema:
        """Return a schema without references and ``allOf``."""
        made: dict[str, Any] = {}
        for one in self._parts(schema, 0):
            for key, value in one.items():
                before = made.get(key)
                if key in {"properties", "patternProperties"} and isinstance(before, Mapping):
                    both = before.keys() & value.keys()
                    made[key] = {**before, **value, **{name: {"allOf": [before[name], value[name]]} for name in both}}
                elif key == "required" and before is not None:
                    made[key] = [*before, *(name for name in value if name not in before)]
                elif key in {"minimum", "exclusiveMinimum", "minLength", "minItems"} and before is not None:
                    made[key] = max(before, value)
                elif key in {"maximum", "exclusiveMaximum", "maxLength", "maxItems"} and before is not None:
                    made[key] = min(before, value)
                elif key in {"anyOf", "oneOf"} and before is not None:
                    made["allOf"] = [*made.get("allOf", ()), {key: value}]
                elif key == "enum" and before is not None:
                    made[key] = [item for item in before if item in value]
                elif key == "type" and before is not None:
                    made[key] = [kind for kind in _listed(before) if kind in _listed(value)] or before
                else:
                    made[key] = value
        return made

    def _parts(self, schema: object, depth: int) -> Iterator[Schema]:
        if depth > _DEEPEST:
            raise _EndlessError
        if not isinstance(schema, Mapping):
            return
        if isinstance(schema.get("$ref"), str):
            yield from self._parts(self._referred(schema["$ref"]), depth + 1)
        for one in schema.get("allOf") or ():
            yield from self._parts(one, depth + 1)
        yield {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}

    def _referred(self, reference: str) -> object:
        found: Any = self._root
        parts = [part.replace("~1", "/").replace("~0", "~") for part in reference.removeprefix("#").split("/")[1:]]
        for part in parts:
            if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, Mapping) and part in found:
                found = found[part]
            else:
                raise ScriptError(f"the schema {brief(self._root)} refers to {brief(reference)}, which is not in it")
        return found

    def _choice(self, options: list[Any], depth: int) -> Any:
        if depth < _DEEP:
            return self._draw.choice(options)
        simple = [one for one in options if isinstance(one, Mapping) and not {"$ref", "allOf", "anyOf"} & one.keys()]
        plain = [one for one in simple if one.get("type") not in {"object", "array"}]
        return self._draw.choice(plain or simple or options)

    def _kind(self, schema: Schema, depth: int) -> str:
        kinds = _listed(schema.get("type") or _implied(schema))
        if depth >= _DEEP and "null" in kinds:
            return "null"
        return str(self._draw.choice(kinds)) if kinds else "string"

    def _object(self, schema: Schema, name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = [one for one in schema.get("required") or () if isinstance(one, str)]
        wanted = [one for one in properties if one in required or depth < _DEEP]
        names = dict.fromkeys([*wanted, *required])
        more = schema.get("additionalProperties", True)
        made = {one: self.value(properties.get(one, more), one, depth + 1) for one in names}
        for number in range(_count(schema, "minProperties")):
            if len(made) >= schema["minProperties"]:
                break
            key = next((one for one in properties if one not in made), f"{name}_{number + 1}")
            made[key] = self.value(properties.get(key, more), key, depth + 1)
        return made

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        least, most = _count(schema, "minItems"), schema.get("maxItems")
        count = least if depth >= _DEEP else max(least, self._draw.randint(1, 3))
        count = min(count, int(most)) if most is not None else count
        first = schema.get("prefixItems") or []
        made: list[Any] = []
        for number in range(max(count, min(len(first), count if most is not None else len(first)))):
            one = first[number] if number < len(first) else schema.get("items", True)
            for _ in range(_TRIES):
                item = self.value(one, name, depth + 1)
                if not schema.get("uniqueItems") or json.dumps(item) not in map(json.dumps, made):
                    break
            else:
                break
            made.append(item)
        return made

    def _number(self, schema: Schema, *, whole: bool) -> float | int:
        over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        step = schema.get("multipleOf") or (1 if whole else 0.25)
        least = max(_numbers(schema.get("minimum"), over), default=None)
        most = min(_numbers(schema.get("maximum"), under), default=None)
        if least is None:
            least = 0 if most is None or most > 0 else most - _MANY * step
        if most is None:
            most = least + _MANY * step
        first, last = math.ceil(least / step), math.floor(most / step)
        first += any(first * step <= one for one in _numbers(over))
        last -= any(last * step >= one for one in _numbers(under))
        if first > last:  # the two are nearer to one another than a step; or it is not to be
            return least if whole else (least + most) / 2
        number = self._draw.randint(first, last) * step
        return int(number) if whole else number

    def _text(self, schema: Schema, name: str) -> str:
        number = self._draw.randint(1, 28)
        if "pattern" in schema:
            with contextlib.suppress(ValueError):  # what cannot be made is told by the check
                return text_matching(schema["pattern"], self._draw)
        if (made := _FORMATS.get(str(schema.get("format")))) is not None:
            return made.format(number)
        text = f"{name} {number}"
        text += "." * (_count(schema, "minLength") - len(text))
        return text if schema.get("maxLength") is None else text[: int(schema["maxLength"])]


def _count(schema: Schema, key: str) -> int:
    """Return how many there have to be.

    Raises:
        ScriptError: there have to be so many that nobody means it.
    """
    count = int(schema.get(key) or 0)
    if count > _LONGEST:
        raise ScriptError(f"the schema {brief(schema)} has {key} {count}: values are made up to {_LONGEST}")
    return count


def _listed(kinds: Any) -> list[Any]:
    return list(kinds) if isinstance(kinds, list) else [kinds]


def _implied(schema: Schema) -> str:
    if {"properties", "required", "additionalProperties", "minProperties"} & schema.keys():
        return "object"
    if {"items", "prefixItems", "minItems"} & schema.keys():
        return "array"
    if {"minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"} & schema.keys():
        return "number"
    return "string"


def _numbers(*values: object) -> list[int | float]:
    return [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
