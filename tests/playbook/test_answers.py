"""Answers that depend on the question: Echo, Template, Json, FromSchema, CallTools."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pytest_mockstream import CallTools, Echo, FromSchema, Json, MockStreamClient, ScriptError, Template, Text, ToolCall

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["name"],
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY}}
TOOL = {"type": "function", "function": {"name": "show_city", "parameters": CITY}}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
FORCED = {"type": "function", "function": {"name": "show_city"}}


def client_that_responds(*steps: Any, **options: Any) -> MockStreamClient:
    client = MockStreamClient()
    client.respond(*steps, **options)
    return client


def problem(client: MockStreamClient, **params: Any) -> str:
    with pytest.raises(ScriptError) as raised:
        client.complete("x", **params)
    with pytest.raises(ScriptError) as remembered:
        client.verify()
    assert str(raised.value) == str(remembered.value)
    return str(raised.value)


# Echo and Template.


def test_echo_is_the_text_of_the_user() -> None:
    client = client_that_responds("You said: ", Echo())

    assert client.complete("hi there").content == "You said: hi there"


def test_a_template_has_fields_of_the_request() -> None:
    client = client_that_responds(Template("{user}|{system}|{model}|{provider}|{turn}|{number}|{tool_result}|{{}}"))
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "Oslo?"},
        {"role": "assistant", "content": ""},
        {"role": "tool", "content": "cold"},
    ]

    answer = client.chat(messages, model="m-1").content

    assert answer == "Oslo?|Be brief.\nBe kind.|m-1|mock|2|1|cold|{}"


def test_a_template_that_is_not_shown_sends_what_was_said_secrets_and_all() -> None:
    key = "sk-proj-0123456789abcdefghij"

    assert client_that_responds(Template("{user}")).complete(key).content == key
    assert client_that_responds(Echo()).complete(key).content == key


@given(st.lists(st.one_of(st.text(), st.sampled_from(["{user}", "{turn:>3}", "{user!r}", "{number}"]))), st.text())
def test_a_template_is_what_str_format_makes_of_it(parts: list[str], user: str) -> None:
    text = "".join(part if part[:1] == "{" and part[-1:] == "}" and len(part) > 2 else _escaped(part) for part in parts)
    client = client_that_responds(Template(text))

    answer = client.complete(user).content

    assert answer == text.format(user=user, turn=1, number=1)


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{usr}", r"\{usr\} is not known\. Did you mean 'user'\? The fields are \{user\}, "),
        ("{}", r"\{\} is not known"),
        ("{0}", r"\{0\} is not known"),
        ("{user.__class__}", r"\{user\.__class__\} reaches into its value"),
        ("{user[0]}", r"\{user\[0\]\} reaches into its value"),
        ("{turn:{user}}", "reaches into its value"),
        ("{user", "write {{ and }} for braces"),
        ("}", "write {{ and }} for braces"),
        ("{turn:q}", "Unknown format code 'q'"),
        (3, r"Template\(3\): give a str"),
    ],
)
def test_a_template_that_cannot_be_filled_is_told_at_once(text: Any, told: str) -> None:
    with pytest.raises(ScriptError, match=told):
        Template(text)


# Json.


def test_json_is_text_where_the_request_wants_nothing() -> None:
    assert client_that_responds(Json([1, "ä", None])).complete("x").content == '[1, "ä", null]'


def test_json_that_fits_is_sent() -> None:
    client = client_that_responds(Json({"name": "Oslo"}))

    assert json.loads(client.complete("x", response_format=FORMAT).content) == {"name": "Oslo"}


def test_json_that_does_not_fit_fails_the_test_and_says_where() -> None:
    told = problem(client_that_responds(Json({"population": "many"})), response_format=FORMAT)

    assert "Json(value={'population': 'many'}) does not fit the schema 'City' of the request: $: 'name' is a" in told
    assert "$.population: 'many' is not of type 'integer'. Json(..., invalid=True) sends it all the same" in told


def test_json_that_is_meant_not_to_fit_is_sent() -> None:
    client = client_that_responds(Json({"population": "many"}, invalid=True))

    assert client.complete("x", response_format=FORMAT).content == '{"population": "many"}'


def test_json_is_the_call_of_the_tool_that_is_forced() -> None:
    client = client_that_responds(Json({"name": "Oslo"}))

    reply = client.complete("x", tools=[TOOL], tool_choice=FORCED)

    assert (reply.content, reply.finish_reason) == ("", "tool_calls")
    assert [(call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [("show_city", {"name": "Oslo"})]


def test_json_that_does_not_fit_the_forced_tool_fails_the_test() -> None:
    told = problem(client_that_responds(Json({})), tools=[TOOL], tool_choice=FORCED)

    assert "does not fit the parameters of tool 'show_city'" in told


def test_json_that_is_no_object_cannot_be_a_call() -> None:
    told = problem(client_that_responds(Json(3, invalid=True)), tools=[TOOL], tool_choice=FORCED)

    assert "the request forces a call of tool 'show_city', whose arguments are an object, not 3" in told


def test_json_takes_a_pydantic_model() -> None:
    class City(BaseModel):
        name: str

    assert client_that_responds(Json(City(name="Oslo"))).complete("x").content == '{"name": "Oslo"}'


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan")])
def test_what_json_cannot_say_is_told_at_once(value: object) -> None:
    with pytest.raises(ScriptError, match="cannot be written as JSON"):
        Json(value)


def test_json_takes_a_bool() -> None:
    with pytest.raises(ScriptError, match=r"Json\(invalid=1\): give True or False"):
        Json({}, invalid=1)  # type: ignore[arg-type]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)

    told = problem(client_that_responds(Json({"name": "Oslo"})), response_format=FORMAT)

    assert "which is not installed: pip install 'pytest-mockstream[schemas]'" in told
    assert client_that_responds(Json({"name": "Oslo"})).complete("x").content == '{"name": "Oslo"}'


# FromSchema.


def test_from_schema_is_the_same_for_the_same_seed() -> None:
    client = client_that_responds(FromSchema(seed=3), times=2)

    first, second = (client.complete("x", response_format=FORMAT).content for _ in range(2))

    assert first == second
    assert first != client_that_responds(FromSchema(seed=4)).complete("x", response_format=FORMAT).content


def test_from_schema_is_the_call_of_the_tool_that_is_forced() -> None:
    reply = client_that_responds(FromSchema()).complete("x", tools=[TOOL, CLOCK], tool_choice=FORCED)

    assert [call.name for call in reply.tool_calls] == ["show_city"]


def test_from_schema_needs_a_schema() -> None:
    assert "needs a request that has a schema for its answer" in problem(client_that_responds(FromSchema()))


@pytest.mark.parametrize("kind", [FromSchema, CallTools])
def test_a_seed_is_a_whole_number(kind: Any) -> None:
    with pytest.raises(ScriptError, match=rf"{kind.__name__}\(seed\)='one': give a whole number"):
        kind(seed="one")


# CallTools.


def turns(client: MockStreamClient, **params: Any) -> list[Any]:
    """Let an agent run that answers each call with its name, until the model calls no tool; return the replies."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "x"}]
    replies = []
    for _ in range(5):
        replies.append(client.chat(messages, **params))
        calls = replies[-1].tool_calls
        if not calls:
            break
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages += [{"role": "tool", "content": f"of {call.name}"} for call in calls]
    return replies


def test_it_calls_all_tools_at_once_and_then_answers() -> None:
    client = client_that_responds(CallTools())

    first, last = turns(client, tools=[TOOL, CLOCK])

    assert [call.name for call in first.tool_calls] == ["show_city", "clock"]
    assert json.loads(first.tool_calls[0].arguments).keys() == {"name", "population"}
    assert last.content == "The tools gave: of show_city; of clock"
    client.verify()


def test_it_ends_with_what_fits_the_schema_of_the_request() -> None:
    _, last = turns(client_that_responds(CallTools()), tools=[CLOCK], response_format=FORMAT)

    assert json.loads(last.content).keys() == {"name", "population"}


def test_where_calls_are_forced_it_calls_the_last_tool_last() -> None:
    client = client_that_responds(CallTools(), times=2)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "x"}]
    params: Any = {"tools": [CLOCK, TOOL], "tool_choice": "required"}

    first = client.chat(messages, **params)
    messages += [{"role": "assistant", "content": ""}, {"role": "tool", "content": "noon"}]
    last = client.chat(messages, **params)

    assert [call.name for reply in (first, last) for call in reply.tool_calls] == ["clock", "show_city"]


@pytest.mark.parametrize("params", [{}, {"tools": []}, {"tools": [TOOL], "tool_choice": "none"}])
def test_without_a_tool_to_call_it_answers_at_once(params: Any) -> None:
    (only,) = turns(client_that_responds(CallTools()), **params)

    assert only.content == "No tool was called."


def test_it_answers_as_often_as_it_is_told() -> None:
    client = client_that_responds(CallTools(), times=1)
    client.complete("x")

    with pytest.raises(AssertionError, match="no script left"):
        client.complete("x")


def test_what_no_value_fits_is_told() -> None:
    tool = {"name": "never", "input_schema": {"type": "object", "properties": {"x": False}, "required": ["x"]}}

    assert "no value was found that fits the schema" in problem(client_that_responds(CallTools()), tools=[tool])


def test_they_may_be_called_by_a_function_of_ones_own() -> None:
    client = client_that_responds(lambda request: ["> ", Echo(), Text("!")] if request.text else ToolCall("ask"))

    assert client.complete("hi").content == "> hi!"
