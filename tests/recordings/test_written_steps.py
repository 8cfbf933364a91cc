"""Each step of a script is written in the vocabulary of script files, and read again as the same step."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import (
    Citation,
    Disconnect,
    End,
    ErrorEvent,
    Failed,
    Frame,
    Gate,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Script,
    ServerTool,
    Stall,
    Text,
    Together,
    ToolCall,
    Truncate,
    Wait,
)
from pytest_mockstream.playbook.script_file import parse_script_file
from pytest_mockstream.recordings.toml_text import table_of
from pytest_mockstream.recordings.written import json_lines, step_table
from pytest_mockstream.script.steps import Step

STEPS: list[Step] = [
    Text(["a", 'b\n\x7f"\t\x00']),
    Text("x"),
    Text(["q"], new_block=True),
    Citation("u", new_block=True),
    Reasoning(["q"], signature="s", new_block=True),
    Reasoning(["q"], signature="s"),
    Reasoning(["q"], signature=False),
    Reasoning("zz", redacted=True),
    Reasoning(["a"]),
    Refusal(["no"]),
    ToolCall("f"),
    ToolCall("f", {"a": 1, "b": {"c": [1, 2.0, "é", True]}}, fragments="whole", id="x"),
    ToolCall("f", '{"a":', id=""),
    ToolCall("g", fragments=["", '{"a":'], id="y"),
    ToolCall("g", fragments=[None, '{"a":'], index=3),
    Interleave(Text(["a", "b"]), ToolCall("f", '{"a"', fragments=2), order=[0, 1, 1, 0, 1]),
    Interleave("a b", ToolCall("f")),
    Together("a", ToolCall("f")),
    ServerTool("web_search", {"query": "a"}, [{"url": "u", "title": "t"}]),
    ServerTool("f", {"a": 1}, {"error": "no"}, server="s"),
    ServerTool("tools/list", {}, [{"name": "f", "input_schema": {"type": "object"}}], server="s"),
    ServerTool("f", server="s"),
    Citation("http://a", "t", start=1, end=2),
    Citation("http://a"),
    Image(),
    Frame('{"a":[1,null]}'),
    Frame("[DONE]", chunks=0),
    Wait(0.5),
    KeepAlive(),
    Malformed("x", framed=False),
    Malformed(),
    Stall(2),
    End(),
    Truncate(),
    Truncate(inside_frame=True),
    Disconnect(),
    Disconnect(how="cut", inside_frame=True),
    Stall(),
    ErrorEvent("m", type="t"),
    ErrorEvent(),
    Failed("x", code="c"),
    Failed(incomplete="content_filter"),
    HTTPError(503),
    HTTPError(429, retry_after=2, headers={"x-ratelimit-limit": "3"}, message="m"),
]


def read_again(step: Step) -> Step:
    text = "[[script]]\n" + table_of([("steps", [step_table(step)])])
    script, _ = parse_script_file(text, name="replies.toml").scripts[0]
    assert isinstance(script, Script)
    (again,) = script.steps
    return again


@pytest.mark.parametrize("step", STEPS, ids=repr)
def test_step_is_read_as_it_was_written(step: Step) -> None:
    assert read_again(step) == step


def test_arguments_with_null_are_written_as_json() -> None:
    step = ToolCall("f", {"a": None}, fragments="whole")

    again = read_again(step)

    assert isinstance(again, ToolCall)
    assert again.json == step.json


def test_what_a_server_tool_gives_loses_its_nulls() -> None:
    assert read_again(ServerTool("f", {"a": None, "b": [1, None]})) == ServerTool("f", {"b": [1]})


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    assert read_again(Text([text, text])) == Text([text, text])


def test_half_of_a_surrogate_pair_is_no_character() -> None:
    assert read_again(Text(["\ud83d"])) == Text(["\ufffd"])


def test_gate_has_no_word() -> None:
    with pytest.raises(TypeError, match="opened by a test"):
        step_table(Gate())


def test_json_for_people_is_the_same_json_in_short_lines() -> None:
    value = {"b": [{"role": "user", "content": "é" * 50}, {"x": ["y" * 60, 1, None, True]}], "a": {}}

    text = json_lines(value)

    assert json.loads(text) == value
    assert max(map(len, text.splitlines())) <= 110
    assert len(text.splitlines()) == 7
