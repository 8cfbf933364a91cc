from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    HTTPError,
    KeepAlive,
    Malformed,
    MockStreamClient,
    Reasoning,
    Refusal,
    Script,
    ScriptError,
    Stall,
    StreamChunk,
    Text,
    ToolCall,
    Truncate,
    Usage,
    Wait,
)
from pytest_mockstream.script.steps import cut


def chunks(script: Script) -> list[StreamChunk]:
    return [step for step in script.schedule() if isinstance(step, StreamChunk)]


@given(st.text(), st.one_of(st.sampled_from(["word", "char"]), st.integers(1, 50)))
def test_deltas_joined_are_the_text_however_cut(text: str, chunking: Any) -> None:
    deltas = cut(text, chunking)

    assert "".join(deltas) == text
    assert all(deltas)


def test_word_chunking_keeps_the_white_space_behind_each_word() -> None:
    assert cut("Paris is\nlovely.", "word") == ("Paris ", "is\n", "lovely.")


def test_chunking_by_a_callable() -> None:
    assert [c.delta for c in chunks(Script("a-b", chunking=lambda text: text.partition("-")))] == ["a", "-", "b", ""]


def test_exact_deltas_are_kept() -> None:
    assert [c.delta for c in chunks(Script(Text(["o", "", "ne"])))] == ["o", "", "ne", ""]


def test_exact_deltas_may_come_from_an_iterator_and_be_played_twice() -> None:
    script = Script(Text(iter(["a", "b"])))

    assert [c.delta for c in chunks(script)] == [c.delta for c in chunks(script)] == ["a", "b", ""]


def test_str_is_a_text_and_a_script_gives_its_steps() -> None:
    assert Script("a", Script(Wait(1), "b")).steps == (Text("a"), Wait(1), Text("b"))


def test_script_queued_alone_keeps_its_settings_but_for_those_said_there() -> None:
    client = MockStreamClient()
    client.respond(Script("ab", chunking="char", finish_reason="length"), finish_reason="stop")

    chunks = list(client.complete_stream("hi"))

    assert [(c.delta, c.finish_reason) for c in chunks] == [("a", None), ("b", None), ("", "stop")]


def test_first_chunk_has_the_role_and_the_last_the_finish_reason_and_usage() -> None:
    got = chunks(Script("a b", usage=Usage(prompt_tokens=1, completion_tokens=2)))

    assert [c.role for c in got] == ["assistant", None, None]
    assert [c.finish_reason for c in got] == [None, None, "stop"]
    assert [c.done for c in got] == [False, False, True]
    assert got[-1].usage == Usage(prompt_tokens=1, completion_tokens=2)


def test_tool_call_is_streamed_as_its_identity_and_then_fragments_of_its_arguments() -> None:
    got = chunks(Script(ToolCall("get_weather", {"city": "Paris"}), ToolCall("f", "{", id="x"), chunking=8))
    fragments = [c.tool_call for c in got if c.tool_call]

    assert [(f.index, f.id, f.name) for f in fragments if f.name] == [(0, "call_1", "get_weather"), (1, "x", "f")]
    assert "".join(f.arguments for f in fragments if f.index == 0) == '{"city": "Paris"}'
    assert [f.arguments for f in fragments if f.index == 1] == ["", "{"]
    assert len(fragments) > 4


def test_finish_reason_of_a_script_that_calls_a_tool_is_tool_calls() -> None:
    assert chunks(Script(ToolCall("f")))[-1].finish_reason == "tool_calls"
    assert chunks(Script(ToolCall("f"), finish_reason="length"))[-1].finish_reason == "length"


def test_reasoning_and_refusal_are_no_content() -> None:
    got = chunks(Script(Reasoning("hm hm"), Refusal("no"), "yes"))

    assert [(c.reasoning, c.refusal, c.delta) for c in got[:-1]] == [
        ("hm ", "", ""),
        ("hm", "", ""),
        ("", "no", ""),
        ("", "", "yes"),
    ]
    assert got[-1].content == "yes"


@pytest.mark.parametrize("end", [Truncate(), Disconnect(), ErrorEvent()])
def test_script_that_ends_with_a_fault_has_no_last_chunk(end: Any) -> None:
    script = Script("a b", end)

    assert [c.done for c in chunks(script)] == [False, False]
    assert script.chunk_count == 2


def test_chunk_count_is_what_a_whole_reading_gets() -> None:
    script = Script("a b", ToolCall("f", {"x": 1}), Malformed(), Wait(1))

    assert script.chunk_count == len(chunks(script))


def test_steps_that_are_no_output_pass_through_in_their_place() -> None:
    gate = Gate()
    script = Script("a", gate, KeepAlive(), Wait(2), "b", Stall(1), Disconnect(), delay=0.5)

    assert [step for step in script.schedule() if not isinstance(step, StreamChunk)] == [
        Wait(0.5),
        gate,
        KeepAlive(),
        Wait(2),
        Wait(0.5),
        Stall(1),
        Disconnect(),
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Script(3), ["3 is not a step", "Wait(3)"]),  # type: ignore[arg-type]
        (lambda: Script(["a"]), ["['a'] is not a step", "Text(['a'])"]),  # type: ignore[arg-type]
        (lambda: Script(Truncate), ["not a step", "Did you mean Truncate()?"]),  # type: ignore[arg-type]
        (lambda: Script(None), ["None is not a step", "ToolCall"]),  # type: ignore[arg-type]
        (lambda: Script(ConnectionError("x")), ["Disconnect"]),  # type: ignore[arg-type]
        (lambda: Wait(-1), ["Wait(-1) is not a duration"]),
        (lambda: Wait(math.inf), ["Wait(inf)"]),
        (lambda: Wait(math.nan), ["Wait(nan)"]),
        (lambda: Wait("soon"), ["Wait('soon')", "50ms"]),
        (lambda: Wait(True), ["Wait(True)"]),
        (lambda: Stall(-0.1), ["Stall(-0.1)"]),
        (lambda: Script("a", delay=-1), ["delay=-1"]),
        (lambda: Script("a", jitter=math.nan), ["jitter=nan"]),
        (lambda: Script("a", seed=1.5), ["seed=1.5"]),  # type: ignore[arg-type]
        (lambda: Script("a", tokens_per_second=0), ["tokens_per_second=0"]),
        (lambda: Script("a", delay=1, tokens_per_second=3), ["delay=1.0", "tokens_per_second=3.0", "contradict"]),
        (lambda: Script("a", chunking=0), ["chunking=0", "int > 0"]),
        (lambda: Script("a", chunking=-3), ["chunking=-3"]),
        (lambda: Script("a", chunking="line"), ["chunking='line'", "'word'"]),  # type: ignore[arg-type]
        (lambda: Script("a", chunking=lambda text: [text, "x"]), ["joined they are not the text"]),
        (lambda: Script("a", times=0), ["times=0"]),
        (lambda: Script("a", times=True), ["times=True"]),
        (lambda: Script("a", finish_reason=""), ["finish_reason=''"]),
        (lambda: Script("a", usage={}), ["usage={}"]),  # type: ignore[arg-type]
        (lambda: HTTPError(200), ["HTTPError(200)", "400 to 599"]),
        (lambda: HTTPError("500"), ["HTTPError('500')"]),  # type: ignore[arg-type]
        (lambda: HTTPError(500, retry_after=-1), ["retry_after=-1"]),
        (lambda: Script("a", HTTPError(500)), ["HTTPError(status=500", "comes after Text", "ErrorEvent"]),
        (lambda: Script(Truncate(), "a"), ["never played", "Text"]),
        (lambda: Script("a", Script("b", delay=1)), ["'delay': 1", "settings of its own"]),
        (lambda: Script("a", Stall(), Wait(1)), ["never played", "Stall"]),
        (lambda: Text(3), ["Text(3)"]),  # type: ignore[arg-type]
        (lambda: Text(["a", 3]), ["got 3"]),  # type: ignore[list-item]
        (lambda: ToolCall(""), ["ToolCall(name='')"]),
        (lambda: ToolCall("f", [1]), ["[1]"]),  # type: ignore[arg-type]
        (lambda: ToolCall("f", {"x": object()}), ["JSON"]),
        (lambda: ToolCall("f", {"x": math.nan}), ["JSON"]),
        (lambda: ToolCall("f", id=3), ["ToolCall(id=3)"]),  # type: ignore[arg-type]
        (lambda: Malformed(3), ["Malformed(3)"]),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_played_is_refused_when_it_is_made(make: Any, words: list[str]) -> None:
    with pytest.raises(ScriptError) as caught:
        make()

    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("step", "hint"),
    [
        (3, " For a pause write Wait(3)."),
        (["a"], " For exact deltas write Text(['a'])."),
        (iter(["a"]), " For exact deltas write Text(...) around it."),
        (b"a", " Text is a str: write b'a'.decode()."),
        (None, " For a reply without content write ''. If a function of yours makes the step, does it return it?"),
        (ConnectionError("x"), " To break the connection write Disconnect()."),
        (ConnectionResetError, " To break the connection write Disconnect()."),
        (TimeoutError(), " To let the stream fall silent write Stall()."),
        (
            ValueError("x"),
            " Failures are steps, too: Disconnect(), Stall(), HTTPError(500) or ErrorEvent('what the provider says').",
        ),
        ({"name": "f", "arguments": {"x": 1}}, " For a tool call write ToolCall('f', {'x': 1})."),
        ({"function": {"name": "f", "arguments": "{}"}}, " For a tool call write ToolCall('f', '{}')."),
        ({"type": "tool_use", "name": "f", "input": {"x": 1}}, " For a tool call write ToolCall('f', {'x': 1})."),
        ({"functionCall": {"name": "f", "args": {}}}, " For a tool call write ToolCall('f', {})."),
        (
            {"city": "Paris"},
            " For a tool call write ToolCall(name, arguments); for a frame, Frame(...); for text, json.dumps(...).",
        ),
        (Disconnect, " Did you mean Disconnect()?"),
        (ToolCall, " Did you mean ToolCall(...)?"),
        (object, ""),
        (True, ""),
    ],
)
def test_what_is_no_step_is_told_with_the_step_that_may_be_meant(step: Any, hint: str) -> None:
    with pytest.raises(ScriptError) as caught:
        Script(step)

    told, _, rest = str(caught.value).partition(" is not a step. A step is a str, or one of: ")
    assert (told, rest.partition(".")[2]) == (repr(step), hint)


def test_script_error_is_a_value_error() -> None:
    assert issubclass(ScriptError, ValueError)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ("x: y", "headers='x: y': give a mapping, such as"),
        ({"Content-Length": "3"}, "'Content-Length': ...}: it says where the body ends or how it is sent"),
        ({"transfer-encoding": "chunked"}, "it says where the body ends"),
        ({"Connection": "close"}, "it says where the body ends"),
        ({"x y": "z"}, "'x y': ...}: give the name of a header"),
        ({3: "z"}, "3: ...}: give the name of a header"),
        ({"x-left": 3}, "'x-left': 3}: give a str of one line"),
        ({"x-left": "3\r\nx: y"}, "give a str of one line"),
        ({"x-left": " 3"}, "without space around it"),
        ({"x-left": "\u20ac"}, "in Latin-1"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(headers: Any, told: str) -> None:
    with pytest.raises(ScriptError, match=re.escape(told)):
        Script("Hi", headers=headers)


def test_names_of_headers_are_in_lower_case() -> None:
    assert Script("Hi", headers={"X-Left": "3"}).headers == {"x-left": "3"}
