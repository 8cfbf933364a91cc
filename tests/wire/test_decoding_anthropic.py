"""What Anthropic says comes back as the script that says it; also by way of Vertex AI and Bedrock."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_law, read, script_of, write
from door import HELLO
from hypothesis import given, settings
from hypothesis import strategies as st
from test_laws_of_all_steps import BLOCKS_THAT_GO_ON, WIRES, scripts, scripts_with_refusals

from pytest_mockstream import (
    Citation,
    Disconnect,
    ErrorEvent,
    HTTPError,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Script,
    ServerTool,
    Stall,
    Text,
    ToolCall,
    Truncate,
    Usage,
)
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.wire import Event, Writer

CUTS = st.lists(st.integers(0, 200), max_size=20)
ASKED = {"messages": HELLO, "max_tokens": 9}
STREAM = Asked("/v1/messages", {"model": "claude", "stream": True, **ASKED})
WHOLE = Asked("/v1/messages", {"model": "claude", **ASKED})
_VERTEX = "/v1/projects/p/locations/l/publishers/anthropic/models/claude"
VERTEX = Asked(f"{_VERTEX}:streamRawPredict", {"anthropic_version": "vertex-2023-10-16", "stream": True, **ASKED})
VERTEX_WHOLE = Asked(f"{_VERTEX}:rawPredict", {"anthropic_version": "vertex-2023-10-16", **ASKED})
_BEDROCK = "/model/anthropic.claude-v2:1"
BEDROCK = Asked(f"{_BEDROCK}/invoke-with-response-stream", {"anthropic_version": "bedrock-2023-05-31", **ASKED})
BEDROCK_WHOLE = Asked(f"{_BEDROCK}/invoke", {"anthropic_version": "bedrock-2023-05-31", **ASKED})


def heard(*events: Any, asked: Asked = STREAM) -> Composed:
    """Return what is heard of events as Anthropic documents them."""
    frames = [Writer("sse").frame(Event(json.dumps(event), event["type"])) for event in events]
    return read(asked, Written(200, {}, frames, "end"))


def heard_whole(body: Any, status: int = 200) -> Composed:
    return read(WHOLE, Written(status, {}, [json.dumps(body).encode()], "end"))


# A signature is made up where the script says none, and the steps of a script say less of a source than the bytes do.


@pytest.mark.parametrize("asked", [STREAM, VERTEX, BEDROCK], ids=["anthropic", "vertex", "bedrock"])
@given(script=scripts(WIRES["anthropic-beta"]), cuts=CUTS)
@settings(max_examples=25)
def test_streams(asked: Asked, script: Script, cuts: list[int]) -> None:
    check_law(script, asked, cuts, items_are_same=False)


@pytest.mark.parametrize("asked", [WHOLE, VERTEX_WHOLE, BEDROCK_WHOLE], ids=["anthropic", "vertex", "bedrock"])
@given(script=scripts(WIRES["anthropic-beta"]))
@settings(max_examples=15)
def test_whole_replies(asked: Asked, script: Script) -> None:
    check_law(script, asked, chunks_are_same=False)


@pytest.mark.slow
@given(script=scripts(WIRES["anthropic-beta"]), cuts=CUTS)
@settings(max_examples=200)
def test_many_more(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts, items_are_same=False)
    check_law(script, BEDROCK, cuts, items_are_same=False)
    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.slow
@given(script=scripts_with_refusals(WIRES["anthropic-beta"]), cuts=CUTS)
@settings(max_examples=100)
def test_refusals_among_all_steps(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts, chunks_are_same=False)
    check_law(script, BEDROCK, cuts, chunks_are_same=False)
    check_law(script, WHOLE, chunks_are_same=False)


SCRIPTS = [
    Script(),
    Script(Text(["", "a", ""]), usage=Usage(prompt_tokens=9, cached_tokens=4, cache_write_tokens=5)),
    Script(ToolCall("f", id="toolu_1"), ToolCall("g", fragments=["", '{"b', '":2}'])),
    Script(ToolCall("f", "", fragments="whole"), ToolCall("g", '{"a": ')),
    Script(Reasoning("a", signature=False), Reasoning("b", signature=False), Reasoning([], signature="s"), "x"),
    Script(Reasoning("a b", signature="s"), Truncate()),
    Script(Reasoning("a b"), ErrorEvent()),
    Script(Interleave(ToolCall("f", {"a": 1}), ToolCall("g", {"b": 2}))),
    Script(Interleave(Text("a b c d"), Reasoning("e f g"), order=[0, 1, 1, 0, 0, 1, 0])),
    Script(Interleave(Text("a b c"), ToolCall("f", {"a": 1}), Reasoning("e f", signature="s")), Truncate()),
    *BLOCKS_THAT_GO_ON,
    Script("a", Text(["", "b"], new_block=True), Text([], new_block=True), "c", Citation("u", new_block=True), "d"),
    Script("a", Interleave(Text("b c", new_block=True), Reasoning("d e")), Text("f", new_block=True)),
    Script(Interleave(Reasoning("a b"), Text("c d")), Text("e", new_block=True), Reasoning("f", new_block=True)),
    Script(Reasoning(["", "a", ""]), Reasoning(["", "b"], new_block=True), Reasoning([], new_block=True), "c"),
    Script("a", Text("b", new_block=True), Truncate()),
    Script(ServerTool("web_search", {"query": "q"}, {"type": "web_search_tool_result_error", "error_code": "x"})),
    Script(ServerTool("bash_code_execution", {"command": "ls"}, "a")),
    Script(ServerTool("web_fetch", {"url": "u"}, {"type": "web_fetch_result", "url": "u"})),
    Script("x", finish_reason="pause_turn"),
    Script("one ", Truncate()),
    Script(Truncate()),
    Script("one ", Truncate(inside_frame=True)),
    Script("one ", Disconnect()),
    Script("one ", Disconnect(how="cut", inside_frame=True)),
    Script(Disconnect()),
    Script("one ", Stall()),
    Script("one ", KeepAlive(), "two"),
    Script("one ", ErrorEvent("too much", type="overloaded_error")),
    Script("one ", ErrorEvent("what", type="Unheard of")),
    Script(ErrorEvent()),
    Script(HTTPError(429, message="slow down", retry_after=2)),
    Script(HTTPError(529, headers={"anthropic-ratelimit-requests-limit": "5"})),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=repr)
def test_faults_and_parts(script: Script) -> None:
    for asked in (STREAM, VERTEX, BEDROCK):
        check_law(script, asked, items_are_same=False)


def test_refusal_that_comes_by_turns_is_one_block_with_the_text() -> None:
    by_turns = Interleave(Text("a b"), Reasoning("g h i j"), Refusal("c d e f"))

    found = check_law(Script(by_turns), STREAM, chunks_are_same=False)

    (step,) = found.steps
    assert isinstance(step, Interleave)
    assert step.parts[0] == Text(["a ", "c ", "b", "d ", "e ", "f"])


@pytest.mark.parametrize("asked", [STREAM, BEDROCK], ids=["anthropic", "bedrock"])
def test_bytes_may_be_cut_anywhere(asked: Asked) -> None:
    written = write(Script(KeepAlive(), ToolCall("f", {"ü": "ß"}, fragments="whole"), ErrorEvent("é")), asked)
    whole = read(asked, written)

    for place in range(len(written.body)):
        assert read(asked, written, [place]) == whole


@pytest.mark.parametrize("data", ["{", "{}", "", "[]", '{"type": "content_block_delta", "index": 7}'])
def test_garbage_is_malformed(data: str) -> None:
    assert check_law(Script("a", Malformed(data), "b"), STREAM).steps == (Text(["a"]), Malformed(data), Text(["b"]))


def test_refusal_is_text_and_the_reason_says_so() -> None:
    found = check_law(Script("So: ", Refusal("not me")), STREAM, chunks_are_same=False)

    assert (found.steps, found.finish) == ((Text(["So: ", "not ", "me"]),), "refusal")


def test_signature_behind_a_ping_is_a_chunk_of_its_own() -> None:
    found = check_law(Script(Reasoning("a"), KeepAlive(), "b"), STREAM, chunks_are_same=False)

    first, ping, signed, text = found.steps
    assert (first, ping, text) == (Reasoning(["a"]), KeepAlive(), Text(["b"]))
    assert isinstance(signed, Reasoning)
    assert signed.signature


# As the provider's pages show it.

START = {
    "type": "message_start",
    "message": {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-opus-4-6",
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "cache_read_input_tokens": 100, "output_tokens": 1, "service_tier": "standard"},
    },
}
STOP = {"type": "message_stop"}


def _begin(index: int, **block: Any) -> Any:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, kind: str, **said: Any) -> Any:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **said}}


def _end(index: int) -> Any:
    return {"type": "content_block_stop", "index": index}


def _finish(reason: str | None, **usage: Any) -> Any:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


def test_thoughts_text_and_call() -> None:
    found = heard(
        START,
        _begin(0, type="thinking", thinking="", signature=""),
        _delta(0, "thinking_delta", thinking="Let me"),
        _delta(0, "thinking_delta", thinking=" see"),
        _delta(0, "signature_delta", signature="EqQBCg"),
        _end(0),
        _begin(1, type="redacted_thinking", data="EmwKAh"),
        _end(1),
        _begin(2, type="text", text=""),
        {"type": "ping"},
        _delta(2, "text_delta", text="I ask"),
        _end(2),
        _begin(3, type="tool_use", id="toolu_01", name="get_weather", input={}, caller={"type": "direct"}),
        _delta(3, "input_json_delta", partial_json=""),
        _delta(3, "input_json_delta", partial_json='{"city": '),
        _delta(3, "input_json_delta", partial_json='"Paris"}'),
        _end(3),
        _finish("tool_use", output_tokens=89, output_tokens_details={"thinking_tokens": 40}),
        STOP,
    )

    assert found.steps == (
        Reasoning(["Let me", " see"], signature="EqQBCg"),
        Reasoning("EmwKAh", redacted=True),
        KeepAlive(),
        Text(["I ask"]),
        ToolCall("get_weather", id="toolu_01", fragments=["", '{"city": ', '"Paris"}']),
    )
    assert found.finish == "tool_use"
    assert found.usage == Usage(prompt_tokens=125, cached_tokens=100, completion_tokens=89, reasoning_tokens=40)
    assert script_of(found).finish_reason == "tool_use"


def test_search_with_its_sources() -> None:
    page = {"url": "https://a", "title": "A", "encrypted_content": "Eo8", "page_age": "April 30, 2025"}
    cited = {"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "It is"}
    found = heard(
        START,
        _begin(0, type="server_tool_use", id="srvtoolu_01", name="web_search", input={}),
        _delta(0, "input_json_delta", partial_json='{"query":'),
        _delta(0, "input_json_delta", partial_json=' "weather"}'),
        _end(0),
        _begin(
            1,
            type="web_search_tool_result",
            tool_use_id="srvtoolu_01",
            content=[{"type": "web_search_result", **page}],
        ),
        _end(1),
        _begin(2, type="text", text="", citations=[]),
        _delta(2, "citations_delta", citation={**cited, "encrypted_index": "Eo8"}),
        _delta(2, "citations_delta", citation={"type": "char_location", "cited_text": "x", "document_index": 0}),
        _delta(2, "text_delta", text="Rain"),
        _end(2),
        _finish("end_turn", output_tokens=5, server_tool_use={"web_search_requests": 1}),
        STOP,
    )

    assert found.steps == (
        ServerTool("web_search", {"query": "weather"}, [page]),
        Citation("https://a", "A", "It is"),
        Text(["Rain"]),
    )


def test_texts_that_stand_side_by_side() -> None:
    cited = {"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "It is"}
    found = heard(
        START,
        _begin(0, type="text", text=""),
        _delta(0, "text_delta", text="So: "),
        _end(0),
        _begin(1, type="text", text="", citations=[]),
        _delta(1, "citations_delta", citation=cited),
        _delta(1, "text_delta", text="it "),
        _delta(1, "text_delta", text="rains"),
        _end(1),
        _begin(2, type="text", text=""),
        _delta(2, "text_delta", text=", and "),
        _end(2),
        _begin(3, type="text", text="", citations=[]),
        _delta(3, "text_delta", text="snows"),
        _delta(3, "citations_delta", citation=cited),
        _end(3),
        _begin(4, type="text", text=""),
        _delta(4, "text_delta", text="."),
        _end(4),
        _finish("end_turn", output_tokens=5),
        STOP,
    )

    source = Citation("https://a", "A", "It is")
    assert found.steps == (
        Text(["So: "]),
        replace(source, new_block=True),
        Text(["it ", "rains"]),
        Text([", and "], new_block=True),
        Text(["snows"], new_block=True),
        source,
        Text(["."], new_block=True),
    )
    check_law(script_of(found), STREAM, items_are_same=False)


def test_tool_without_a_result_yet() -> None:
    found = heard(
        START,
        _begin(0, type="server_tool_use", id="srvtoolu_01", name="web_fetch", input={"url": "https://a"}),
        _end(0),
        _finish("pause_turn", output_tokens=5),
        STOP,
    )

    assert (found.steps, found.finish) == ((ServerTool("web_fetch", {"url": "https://a"}),), "pause_turn")


def test_what_is_not_known_is_passed_over() -> None:
    found = heard(
        START,
        {"type": "vendor_event", "data": 1},
        _begin(0, type="server_tool_use", id="srvtoolu_01", name="advisor", input={}),
        _delta(0, "input_json_delta", partial_json="{}"),
        _end(0),
        _begin(1, type="advisor_tool_result", tool_use_id="srvtoolu_01", content={"type": "advisor_result"}),
        _end(1),
        _begin(2, type="container_upload", file_id="file_01"),
        _end(2),
        _end(9),
        _begin(3, type="text", text="He"),
        _delta(3, "vendor_delta", x=1),
        _delta(3, "text_delta", text="llo"),
        _end(3),
        _finish(None),
        _finish("end_turn", input_tokens=None, output_tokens=2),
        STOP,
    )

    assert found.steps == (Text(["He", "llo"]),)
    assert found.usage == Usage(prompt_tokens=125, cached_tokens=100, completion_tokens=2)


def test_blocks_of_servers_that_count_none() -> None:
    found = heard(
        START,
        _begin(0, type="text", text=""),
        _delta(0, "text_delta", text="a"),
        _end(0),
        _begin(0, type="tool_use", id="1", name="f", input={"a": 1}),
        _end(0),
        _begin(0, type="text", text=""),
        _end(0),
        STOP,
    )

    assert found.steps == (Text(["a"]), ToolCall("f", {"a": 1}, id="1", fragments="whole"), Text([""]))
    assert found.finish == "end_turn"


def test_error_of_google_inside_a_stream() -> None:
    google = {"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}
    frames = [Writer("sse").frame(Event(json.dumps(google)))]

    found = read(VERTEX, Written(200, {}, frames, "end"))

    assert found.steps == (ErrorEvent("Overloaded", type="UNAVAILABLE"),)


def test_errors_inside_a_stream() -> None:
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}

    assert heard(START, said).steps == (ErrorEvent("Overloaded", type="overloaded_error"),)
    assert heard_whole(said).steps == (ErrorEvent("Overloaded", type="overloaded_error"),)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "Slow"}}, "rate_limit_error"),
        ({"error": {"code": 429, "message": "Slow", "status": "RESOURCE_EXHAUSTED"}}, "RESOURCE_EXHAUSTED"),
        ([{"error": {"code": 429, "message": "Slow", "status": "RESOURCE_EXHAUSTED"}}], "RESOURCE_EXHAUSTED"),
    ],
)
def test_errors_of_whoever_stands_before_it(body: Any, kind: str | None) -> None:
    assert heard_whole(body, status=429).steps == (HTTPError(429, message="Slow", type=kind),)


def test_type_of_an_error_of_bedrock_is_in_a_header() -> None:
    headers = {"x-amzn-ErrorType": "ModelNotReadyException:http://internal.amazon.com/"}
    found = read(BEDROCK_WHOLE, Written(429, headers, [b'{"message": "Wait"}'], "end"))

    assert found.steps == (HTTPError(429, message="Wait", type="ModelNotReadyException"),)


def test_whole_reply() -> None:
    found = heard_whole(
        {
            "type": "message",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "EqQ"},
                {"type": "server_tool_use", "id": "s", "name": "code_execution", "input": {"code": "1"}},
                {
                    "type": "code_execution_tool_result",
                    "tool_use_id": "s",
                    "content": {"type": "encrypted_code_execution_result", "stdout": "1", "encrypted_stdout": "x"},
                },
                {"type": "text", "text": "One", "citations": [{"type": "search_result_location", "source": "u"}]},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"ü": 1}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 3, "output_tokens": 4},
        }
    )

    encrypted = {"type": "encrypted_code_execution_result", "stdout": "1", "encrypted_stdout": "x"}
    assert found.steps == (
        Reasoning(["Hm"], signature="EqQ"),
        ServerTool("code_execution", {"code": "1"}, encrypted),
        Text(["One"]),
        Citation("u"),
        ToolCall("f", {"ü": 1}, id="toolu_1", fragments="whole"),
    )
    assert (found.finish, found.usage) == ("tool_use", Usage(prompt_tokens=3, completion_tokens=4))
