"""Values are checked against JSON schemas, and made to fit them."""

from __future__ import annotations

import random
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream import ScriptError
from pytest_mockstream.playbook.patterns import text_matching
from pytest_mockstream.playbook.schemas import problems_with, value_for

_NAMES = st.sampled_from(["name", "size", "tags", "kind"])
_LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.sampled_from([{"type": "null"}, {"type": "boolean"}, {"const": "x"}, {"enum": [1, "two", None]}]),
    st.sampled_from(["date", "date-time", "time", "email", "uuid", "uri", "ipv4", "ipv6", "hostname", "duration"]).map(
        lambda name: {"type": "string", "format": name}
    ),
    st.tuples(st.integers(0, 20), st.integers(0, 20)).map(
        lambda ends: {"type": "string", "minLength": min(ends), "maxLength": max(ends)}
    ),
    st.tuples(st.sampled_from(["integer", "number"]), st.integers(-50, 50), st.integers(0, 50)).map(
        lambda given: {"type": given[0], "minimum": given[1], "maximum": given[1] + given[2]}
    ),
    st.tuples(st.integers(-50, 50), st.sampled_from([1, 2, 5])).map(
        lambda given: {"type": "integer", "exclusiveMinimum": given[0], "multipleOf": given[1]}
    ),
    st.integers(-50, 50).map(lambda most: {"type": "number", "exclusiveMaximum": most}),
    st.sampled_from([{"type": "string", "pattern": "^[A-Z]{2}-\\d{3,}$"}, {"type": ["integer", "null"]}]),
)


def _object(properties: dict[str, Any], required: int, *, closed: bool) -> dict[str, Any]:
    made = {"type": "object", "properties": properties, "required": sorted(properties)[:required]}
    return made | ({"additionalProperties": False} if closed else {})


SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(_object, st.dictionaries(_NAMES, inner, max_size=3), st.integers(0, 3), closed=st.booleans()),
        st.tuples(inner, st.integers(0, 3)).map(lambda of: {"type": "array", "items": of[0], "minItems": of[1]}),
        st.lists(inner, min_size=1, max_size=2).map(lambda first: {"type": "array", "prefixItems": first}),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(SCHEMAS, st.integers())
def test_a_value_that_is_made_fits_and_is_the_same_for_the_same_seed(schema: dict[str, Any], seed: int) -> None:
    value = value_for(schema, seed)

    jsonschema.Draft202012Validator(schema).validate(value)
    assert value_for(schema, seed) == value


def _of_properties(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


FITTING: dict[str, dict[str, Any]] = {
    "references": _of_properties(a={"$ref": "#/$defs/A"}) | {"$defs": {"A": {"type": "integer"}}},
    "itself, in a list": _of_properties(value={"type": "string"}, children={"type": "array", "items": {"$ref": "#"}}),
    "itself, or null": _of_properties(next={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "itself, not required": {"type": "object", "properties": {"next": {"$ref": "#"}}},
    "all of": {"allOf": [_of_properties(a={"type": "integer"}), _of_properties(b={"type": "string"})]},
    "all of, twice": {"allOf": [_of_properties(a={"minimum": 3}), _of_properties(a={"type": "integer", "maximum": 3})]},
    "any of, with more": {**_of_properties(a={}), "anyOf": [_of_properties(b={}), _of_properties(c={})]},
    "one of": {"oneOf": [{"type": "integer", "minimum": 3}, {"type": "string"}]},
    "set": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": 5},
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    "required but not described": {"type": "object", "required": ["a"], "additionalProperties": {"type": "integer"}},
    "multiple of": {"type": "number", "multipleOf": 0.25, "minimum": 0.3, "maximum": 0.6},
    "not": {"type": "integer", "minimum": 0, "maximum": 3, "not": {"const": 2}},
    "draft 7": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"A": {"type": "integer"}},
        **_of_properties(a={"$ref": "#/definitions/A"}),
    },
    "without a type": {"properties": {"a": {"minimum": 3}}, "required": ["a"]},
}


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("seed", range(5))
def test_what_tools_and_answers_are_like_can_be_made(name: str, seed: int) -> None:
    assert problems_with(value_for(FITTING[name], seed), FITTING[name]) == []


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (_of_properties(a={"$ref": "#"}), "refers to itself without end"),
        (
            {"type": "integer", "minimum": 3, "maximum": 2},
            r"no value was found that fits the schema .*give one with Json",
        ),
        ({"type": "string", "pattern": r"^(?=x)y"}, r"does not match '\^\(\?=x\)y'\): give one with Json"),
        (_of_properties(a={"$ref": "#/$defs/gone"}), r"refers to '#/\$defs/gone', which is not in it"),
        ({"type": "string", "minLength": 10**9}, r"has minLength 1000000000: values are made up to 10000"),
        ({"type": "array", "minItems": 10**9}, r"has minItems 1000000000"),
        ({"type": "object", "minProperties": 10**9}, r"has minProperties 1000000000"),
        ({"type": "object", "required": 5}, "is not a JSON schema: "),
        ({"type": "text"}, "is not a JSON schema: .*'text' is not valid"),
    ],
)
def test_what_cannot_be_made_is_told(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(ScriptError, match=told):
        value_for(schema, 1)


def test_references_to_other_hosts_are_not_followed() -> None:
    with pytest.raises(ScriptError, match=r"cannot be followed: .*example\.com"):
        problems_with({}, {"$ref": "https://example.com/schema.json"})


def test_all_problems_up_to_three_are_told_with_their_places() -> None:
    schema = _of_properties(**{name: {"type": "integer"} for name in "abcde"})

    told = problems_with(dict.fromkeys("abcde", "x"), schema)

    assert told == [*(f"$.{name}: 'x' is not of type 'integer'" for name in "abc"), "and 2 more"]


# Patterns.


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z][a-z0-9_-]{2,30}$", r"^\d{4}-\d{2}-\d{2}$", r"^(red|green|blue)$", r"^#[0-9a-fA-F]{6}$",
        r"^\+?[1-9]\d*$",
        r"^[^@\s]+@[^@\s]+\.[a-z]+$", r"^(?:a|b)+?c?$", r"^(?P<year>\d+)$", r"\w+\W\S\D", r"^a{3}$", r"^\u0041\.\x42$",
        r"^.*$", r"^[\w.-]+/[\w.-]+$", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(5))
def test_a_text_is_made_for_a_pattern(pattern: str, seed: int) -> None:
    assert re.search(pattern, text_matching(pattern, random.Random(seed)))  # noqa: S311


@pytest.mark.parametrize(
    "pattern", [r"(?=a)", r"(a", r"[a", r"(?i)a", r"\bword", r"(a)\1", "a)", "a{1001}", "a{9999999999}"]
)
def test_a_pattern_that_is_not_read_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not read from"):
        text_matching(pattern, random.Random(1))  # noqa: S311
