"""What requests are matched by, and what is said where none matches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import ScriptError
from pytest_mockstream.recordings.matching import checked_match, first_difference, narrowed, nearest

FORM: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-5",
    "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
    "tools": [{"name": "f", "parameters": {}}, {"name": "g", "parameters": {}}],
    "params": {"temperature": 1},
}


def test_all_of_a_request_counts_by_default() -> None:
    assert narrowed(FORM, None) == FORM


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model", "gpt-5"),
        ("messages[-1].content", "hi"),
        ("messages[0]", {"role": "system", "content": "be brief"}),
        ("messages[*].role", ["system", "user"]),
        ("tools[*].name", ["f", "g"]),
        ("params.temperature", 1),
        ("params.top_p", None),
        ("messages[7].content", None),
        ("endpoint", None),
        ("model[0]", None),
    ],
)
def test_path_says_what_counts(path: str, value: Any) -> None:
    assert narrowed(FORM, [path]) == {path: value}


def test_callable_says_what_counts() -> None:
    def last_word(form: dict[str, Any]) -> str:
        form["model"] = "changed"
        return str(form["messages"][-1]["content"])

    assert narrowed(FORM, last_word) == {"match": "hi"}
    assert FORM["model"] == "gpt-5"


@pytest.mark.parametrize(
    ("match", "why"),
    [
        ("model", "give a list of paths"),
        ([], "give a list of paths"),
        (7, "give a list of paths"),
        (["temperature"], "a request has no 'temperature'"),
        (["messages[].content"], "'messages[].content' is no path"),
        (["messages[-1]content"], "is no path"),
        (["model", 3], "3 is no path"),
        ([""], "'' is no path"),
    ],
)
def test_bad_match_is_refused_with_what_is_legal(match: Any, why: str) -> None:
    with pytest.raises(ScriptError) as caught:
        checked_match(match)

    assert why in str(caught.value)
    assert "such as 'messages[-1].content', 'params.temperature' or 'tools[*].name'" in str(caught.value)


def test_callable_must_return_json() -> None:
    with pytest.raises(ScriptError, match="cannot be written as JSON"):
        narrowed(FORM, lambda _form: object())


def changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (FORM | fields).items() if value is not None}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (changed(), None),
        (changed(model="gpt-4o"), "model: asked 'gpt-4o', recorded 'gpt-5'"),
        (changed(params=None), 'params: not asked, recorded {"temperature": 1}'),
        (changed(params={"temperature": 1, "n": 2}), "params.n: asked 2, not recorded"),
        (changed(params={"temperature": True}), "params.temperature: asked true, recorded 1"),
        (changed(messages=FORM["messages"][:1]), 'messages[1]: not asked, recorded {"role": "user", "content": "hi"}'),
        (
            changed(messages=[FORM["messages"][0], {"role": "user", "content": "ho"}], params={}),
            "messages[1].content: asked 'ho', recorded 'hi'",
        ),
    ],
)
def test_first_difference_is_said_with_both_values(asked: Any, expected: str | None) -> None:
    assert first_difference(asked, FORM) == expected


def test_difference_in_a_long_text_is_shown_where_it_is() -> None:
    one, other = ({"model": f"{'a' * 500}{letter}{'c' * 500}"} for letter in "bd")

    said = first_difference(one, other)

    assert said == f"model: asked '...{'a' * 20}b{'c' * 39}...', recorded '...{'a' * 20}d{'c' * 39}...'"


def test_nearest_is_the_one_that_differs_least() -> None:
    others = [
        changed(provider="anthropic", model="claude-sonnet-4"),
        changed(messages=[FORM["messages"][0], {"role": "user", "content": "something else"}]),
        changed(messages=[FORM["messages"][0], {"role": "user", "content": "hi!"}]),
        changed(messages=FORM["messages"][1:], params=None),
    ]

    assert nearest(FORM, others) == 2
    assert nearest(FORM, [*others, changed()]) == 4
    assert nearest(FORM, []) is None


def test_nearest_of_a_loop_is_the_same_turn() -> None:
    def turn(count: int, last: str) -> dict[str, Any]:
        said = [{"role": "user", "content": f"turn {number}"} for number in range(count)]
        return changed(messages=[*said, {"role": "user", "content": last}])

    others = [turn(count, "end") for count in range(100)]

    assert nearest(turn(70, "END"), others) == 70


class Counted(str):
    """A text that counts how often it is looked at."""

    __slots__ = ()
    looks = 0

    def __eq__(self, other: object) -> bool:
        Counted.looks += 1
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        Counted.looks += 1
        return str.__ne__(self, other)

    __hash__ = str.__hash__


def looks_at(messages: int, others: int) -> int:
    """Return how many texts are looked at in conversations that differ in the middle."""
    texts = [f"text {number}" for number in range(messages)]
    form = changed(messages=list(map(Counted, texts)))
    texts[messages // 2] = "another"
    Counted.looks = 0
    nearest(form, [changed(messages=list(texts))] * others)
    return Counted.looks


def test_looking_for_the_nearest_costs_the_same_for_each() -> None:
    assert looks_at(messages=200, others=50) == 50 * looks_at(messages=200, others=1) > 0


def test_looking_for_the_nearest_costs_no_more_for_long_conversations() -> None:
    assert looks_at(messages=20_000, others=1) == looks_at(messages=200, others=1)


def test_same_request_is_the_nearest_however_long_it_is() -> None:
    def form(count: int) -> dict[str, Any]:
        return changed(messages=[{"role": "user", "content": f"turn {number}"} for number in range(count)], tools=[])

    assert nearest(form(150), [form(149), form(150), form(151)]) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_difference_is_found_if_there_is_one(one: Any, other: Any) -> None:
    is_same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (first_difference({"a": one}, {"a": other}) is None) == is_same
