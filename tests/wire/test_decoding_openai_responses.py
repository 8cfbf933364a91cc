"""What OpenAI's responses say comes back as the script that says it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_law, read, write
from hypothesis import given, settings
from hypothesis import strategies as st
from test_laws_of_all_steps import BLOCKS_THAT_GO_ON, WIRES, scripts, scripts_with_refusals

from pytest_mockstream import (
    Citation,
    Disconnect,
    ErrorEvent,
    Failed,
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
    ToolCall,
    Truncate,
    Usage,
)
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.wire import Event, Writer

CUTS = st.lists(st.integers(0, 400), max_size=20)
ASKED = {"model": "gpt", "input": "hi"}
STREAM = Asked("/v1/responses", ASKED | {"stream": True})
ENCRYPTED = Asked("/v1/responses", ASKED | {"stream": True, "include": ["reasoning.encrypted_content"]})
LOGPROBS = Asked("/v1/responses", ASKED | {"stream": True, "include": ["message.output_text.logprobs"]})
WHOLE = Asked("/v1/responses", ASKED)


def heard(*events: Any) -> Composed:
    """Return what is heard of events as OpenAI documents them."""
    told = ({**event, "sequence_number": number} for number, event in enumerate(events))
    frames = [Writer("sse").frame(Event(json.dumps(event), event["type"])) for event in told]
    return read(STREAM, Written(200, {}, frames, "end"))


def heard_whole(body: Any, status: int = 200) -> Composed:
    return read(WHOLE, Written(status, {}, [json.dumps(body).encode()], "end"))


# A script leaves open whether reasoning is encrypted, and says more of a source and of an image than the bytes do.


@pytest.mark.parametrize("asked", [STREAM, ENCRYPTED, LOGPROBS], ids=["stream", "encrypted", "logprobs"])
@given(script=scripts(WIRES["responses"]), cuts=CUTS)
@settings(max_examples=20)
def test_streams(asked: Asked, script: Script, cuts: list[int]) -> None:
    check_law(script, asked, cuts, items_are_same=False)


@given(script=scripts(WIRES["responses"]))
@settings(max_examples=25)
def test_whole_replies(script: Script) -> None:
    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.slow
@given(script=scripts(WIRES["responses"]), cuts=CUTS)
@settings(max_examples=200)
def test_many_more(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts, items_are_same=False)
    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.slow
@given(script=scripts_with_refusals(WIRES["responses"]), cuts=CUTS)
@settings(max_examples=100)
def test_refusals_among_all_steps(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts, chunks_are_same=False)
    check_law(script, WHOLE, chunks_are_same=False)


SCRIPTS = [
    Script(),
    Script(Text(["", "a", ""]), usage=Usage(prompt_tokens=9, cached_tokens=4, cache_write_tokens=5)),
    Script("a", finish_reason="length"),
    Script("b", finish_reason="content_filter"),
    Script("So: ", Refusal("not me"), "but you"),
    Script("a", Text(["", "b"], new_block=True), Refusal("no", new_block=True), "but", Text([], new_block=True)),
    Script(Reasoning(["", "a"]), Reasoning(["b", ""], signature="s", new_block=True), Refusal(["", "c"]), "d"),
    Script(ToolCall("f", id="call_x"), ToolCall("g", fragments=["", '{"b', '":2}'])),
    Script(ToolCall("f", "", fragments="whole"), ToolCall("g", '{"a": ')),
    Script(Reasoning("a", signature=False), Reasoning("b", signature="s"), Reasoning("c"), "x"),
    Script(Reasoning([], signature=False), "a"),
    Script(Reasoning("x", redacted=True), "a"),
    Script(Interleave(ToolCall("f", {"a": 1}), ToolCall("g", {"b": 2}))),
    Script(Interleave(Text("a b c d"), Reasoning("e f g"), order=[0, 1, 1, 0, 0, 1, 0])),
    Script(Interleave(Text("a b c"), ToolCall("f", {"a": 1}), Refusal("e f")), Truncate()),
    *BLOCKS_THAT_GO_ON,
    Script(ServerTool("file_search", {"query": "q"}, [{"file_id": "x", "score": 0.5}]), Image()),
    Script(ServerTool("web_search", {"query": "q", "queries": ["q", "r"]}, [{"url": "u"}])),
    Script(ServerTool("web_search", {"type": "open_page", "url": "u"})),
    Script(ServerTool("web_search", {"type": "find_in_page", "url": "u", "pattern": "p"}), "a"),
    Script("hello", Citation("u", "t"), ToolCall("f"), "b c", Citation("v"), Citation("w", start=6, end=7)),
    Script("a", Failed()),
    Script(Failed("too much", code="rate_limit_exceeded")),
    Script("a", Failed(incomplete="max_output_tokens")),
    Script(Reasoning("a"), ToolCall("f"), Failed(incomplete="content_filter")),
    Script("one ", Truncate()),
    Script(Truncate()),
    Script("one ", Truncate(inside_frame=True)),
    Script("one ", Disconnect()),
    Script("one ", Disconnect(how="cut", inside_frame=True)),
    Script(Disconnect()),
    Script("one ", Stall()),
    Script("one ", KeepAlive(), "two"),
    Script("one ", ErrorEvent("too much", code="insufficient_quota")),
    Script(ErrorEvent()),
    Script(HTTPError(429, message="slow down", retry_after=2)),
    Script(HTTPError(400, type="invalid_request_error", code="context_length_exceeded")),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=repr)
def test_faults_and_parts(script: Script) -> None:
    for asked in (STREAM, ENCRYPTED):
        check_law(script, asked, items_are_same=False)


@pytest.mark.parametrize("script", [Script("a", Failed()), Script("a", Failed(incomplete="content_filter"))], ids=repr)
def test_failures_of_a_whole_reply(script: Script) -> None:
    check_law(script, WHOLE, chunks_are_same=False)


def test_source_of_a_text_that_came_by_turns_is_in_its_message() -> None:
    script = Script(Interleave(ToolCall("f", '{"a": 1}'), Text("a b")), Citation("u", "t"), "c")

    found = check_law(script, WHOLE, chunks_are_same=False)

    call = ToolCall("f", {"a": 1}, id="call_1", fragments="whole")
    assert found.steps == (call, Text(["a bc"]), Citation("u", "t", start=0, end=3))


def test_bytes_may_be_cut_anywhere() -> None:
    written = write(Script(ToolCall("f", '{"é"', fragments="whole"), "ß", ErrorEvent("too much")), STREAM)
    whole = read(STREAM, written)

    for place in range(len(written.body)):
        assert read(STREAM, written, [place]) == whole


@pytest.mark.parametrize("data", ["{", "", "[]", '{"type": "response.output_text.delta", "output_index": 0}'])
def test_garbage_is_malformed(data: str) -> None:
    assert check_law(Script("a", Malformed(data), "b"), STREAM).steps == (Text(["a"]), Malformed(data), Text(["b"]))


def test_what_is_encrypted_of_reasoning_is_lost_with_the_end_of_its_item() -> None:
    script = Script(Reasoning("a", signature="s"), Truncate())

    assert read(STREAM, write(script, STREAM)).steps == (Reasoning(["a"]), Truncate())


# As the provider's pages show it.


def _response(status: str = "completed", output: Any = (), **more: Any) -> Any:
    return {"id": "resp_1", "object": "response", "status": status, "output": list(output), "usage": None} | more


BEGUN = (
    {"type": "response.created", "response": _response("in_progress")},
    {"type": "response.in_progress", "response": _response("in_progress")},
)
COUNTS = {
    "input_tokens": 37,
    "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 0},
    "output_tokens": 11,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 48,
}
COMPLETED = {"type": "response.completed", "response": _response(usage=COUNTS)}
MESSAGE = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}


def _added(index: int, **item: Any) -> Any:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(index: int, **item: Any) -> Any:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def _delta(index: int, name: str, text: str, **place: Any) -> Any:
    return {"type": f"response.{name}.delta", "output_index": index, "item_id": "x", "delta": text, **place}


def test_reasoning_text_and_call() -> None:
    call = {"id": "fc_1", "type": "function_call", "name": "f", "call_id": "call_x"}
    found = heard(
        *BEGUN,
        _added(0, id="rs_1", type="reasoning", summary=[]),
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0, "part": {}},
        _delta(0, "reasoning_summary_text", "**Plan**", summary_index=0),
        _delta(0, "reasoning_summary_text", "\n\nMore", summary_index=1),
        _done(0, id="rs_1", type="reasoning", summary=[{"type": "summary_text", "text": "**Plan**"}]),
        _added(1, **MESSAGE),
        _delta(1, "output_text", "Hel", content_index=0, logprobs=[], obfuscation="x"),
        _delta(1, "output_text", "lo", content_index=0, logprobs=[], obfuscation="xy"),
        {"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "Hello"},
        _done(1, **MESSAGE),
        {"type": "keepalive"},
        _added(2, **call, arguments=""),
        _delta(2, "function_call_arguments", '{"a":'),
        _delta(2, "function_call_arguments", "1}"),
        {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": '{"a":1}'},
        _done(2, **call, arguments='{"a":1}'),
        COMPLETED,
    )

    assert found.steps == (
        Reasoning(["**Plan**", "\n\nMore"], signature=False),
        Text(["Hel", "lo"]),
        KeepAlive(),
        ToolCall("f", id="call_x", fragments=['{"a":', "1}"]),
    )
    assert found.finish == "completed"
    assert found.usage == Usage(prompt_tokens=37, completion_tokens=11, cached_tokens=30, reasoning_tokens=4)


def test_reasoning_that_is_not_shown() -> None:
    hidden = {"id": "rs_1", "type": "reasoning", "summary": []}
    found = heard(
        *BEGUN,
        _added(0, **hidden, encrypted_content="gAAA"),
        _done(0, **hidden, encrypted_content="gAAABB"),
        _added(1, **hidden),
        _done(1, **hidden),
        COMPLETED,
    )

    assert found.steps == (Reasoning("gAAABB", redacted=True), Reasoning((), signature=False))


def test_reasoning_that_open_models_show() -> None:
    found = heard(
        *BEGUN,
        _added(0, id="rs_1", type="reasoning", summary=[]),
        _delta(0, "reasoning_text", "Hm", content_index=0),
        _done(0, id="rs_1", type="reasoning", summary=[], content=[{"type": "reasoning_text", "text": "Hm"}]),
        COMPLETED,
    )

    assert found.steps == (Reasoning(["Hm"], signature=False),)


def test_search_with_its_sources() -> None:
    found_pages = [{"type": "url", "url": "https://a"}, {"type": "api", "name": "oai-weather"}]
    action = {"type": "search", "query": "who won", "queries": ["who won"], "sources": found_pages}
    cited = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 1, "end_index": 3}
    file = {"type": "file_citation", "file_id": "file_1", "filename": "a.pdf", "index": 2}
    place = {"output_index": 2, "content_index": 0, "item_id": "x"}
    found = heard(
        *BEGUN,
        _added(0, id="ws_1", type="web_search_call", status="in_progress"),
        {"type": "response.web_search_call.searching", "output_index": 0, "item_id": "ws_1"},
        _done(0, id="ws_1", type="web_search_call", status="completed", action=action),
        _added(1, id="ws_2", type="web_search_call", status="in_progress"),
        _done(1, id="ws_2", type="web_search_call", status="completed", action={"type": "open_page", "url": "u"}),
        _added(2, **MESSAGE),
        _delta(2, "output_text", "Rain", content_index=0),
        {"type": "response.output_text.annotation.added", "annotation_index": 0, "annotation": cited, **place},
        {"type": "response.output_text.annotation.added", "annotation_index": 1, "annotation": file, **place},
        _delta(2, "output_text", ".", content_index=0),
        _done(2, **MESSAGE),
        COMPLETED,
    )

    assert found.steps == (
        ServerTool("web_search", {"query": "who won"}, [{"url": "https://a"}]),
        ServerTool("web_search", {"type": "open_page", "url": "u"}),
        Text(["Rain"]),
        Citation("https://a", "A", start=1, end=3),
        Text(["."]),
    )


def test_what_is_not_known_is_passed_over() -> None:
    found = heard(
        *BEGUN,
        {"type": "response.queued", "response": _response("queued")},
        _added(0, id="sh_1", type="local_shell_call", call_id="x", status="in_progress"),
        {"type": "response.shell_call_command.delta", "output_index": 0, "delta": "ls"},
        _done(0, id="sh_1", type="local_shell_call", call_id="x", status="completed", action={"type": "exec"}),
        _added(1, id="ig_1", type="image_generation_call", status="in_progress"),
        {"type": "response.image_generation_call.partial_image", "output_index": 1, "partial_image_b64": "AAAA"},
        _done(1, id="ig_1", type="image_generation_call", status="failed", result=None),
        {"type": "response.brand.new"},
        COMPLETED,
    )

    assert found.steps == ()
    assert found.finish == "completed"


def test_items_of_servers_that_say_them_once() -> None:
    text: Any = {"type": "output_text", "text": "a", "annotations": []}
    call: Any = {"id": "fc_1", "type": "function_call", "name": "f", "call_id": "call_x", "arguments": "{}"}
    items = ({**MESSAGE, "content": [text]}, call)
    steps = (Text(["a"]), ToolCall("f", {}, id="call_x", fragments="whole"))

    by_item = heard(*BEGUN, *(_done(number, **item) for number, item in enumerate(items)), COMPLETED)
    at_the_end = heard(*BEGUN, {"type": "response.completed", "response": _response(output=items)})

    assert by_item.steps == at_the_end.steps == steps


def test_call_that_says_its_name_at_the_end() -> None:
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_x"}
    found = heard(
        *BEGUN,
        _added(0, **call, arguments=""),
        _delta(0, "function_call_arguments", "{}"),
        _done(0, **call, name="f", arguments="{}"),
        COMPLETED,
    )

    assert found.steps == (ToolCall("f", {}, id="call_x", fragments="whole"),)


def test_stream_that_is_read_on_from_an_event() -> None:
    call = {"id": "fc_1", "type": "function_call", "call_id": "call_x", "name": "f"}
    found = heard(
        _delta(0, "output_text", "lo", content_index=0),
        _done(0, **MESSAGE),
        _delta(1, "function_call_arguments", "}"),
        _done(1, **call, arguments="{}"),
        COMPLETED,
    )

    assert found.steps == (Text(["lo"]), ToolCall("f", {}, id="call_x", fragments="whole"))


def test_custom_tool_is_a_call_whose_arguments_are_text() -> None:
    call = {"id": "ctc_1", "type": "custom_tool_call", "name": "sql", "call_id": "call_x"}
    found = heard(
        *BEGUN,
        _added(0, **call, input=""),
        _delta(0, "custom_tool_call_input", "SELECT "),
        _delta(0, "custom_tool_call_input", "1"),
        _done(0, **call, input="SELECT 1"),
        COMPLETED,
    )

    assert found.steps == (ToolCall("sql", id="call_x", fragments=["SELECT ", "1"]),)


@pytest.mark.parametrize(
    ("response", "steps", "finish"),
    [
        (_response("incomplete", incomplete_details={"reason": "content_filter"}, usage=COUNTS), (), "content_filter"),
        (
            _response("incomplete", incomplete_details={"reason": "max_output_tokens"}),
            (Failed(incomplete="max_output_tokens"),),
            None,
        ),
        (
            _response("failed", error={"code": "server_error", "message": "Oh"}),
            (Failed("Oh", code="server_error"),),
            None,
        ),
        (_response("failed"), (Failed(),), None),
    ],
)
def test_responses_that_are_not_completed(response: Any, steps: Any, finish: str | None) -> None:
    streamed = heard(*BEGUN, {"type": f"response.{response['status']}", "response": response})
    whole = heard_whole(response)

    assert (streamed.steps, streamed.finish) == (whole.steps, whole.finish) == (steps, finish)


def test_reply_that_has_only_begun_is_refused() -> None:
    with pytest.raises(ValueError, match="its status is 'queued'"):
        heard_whole(_response("queued"))


def test_errors() -> None:
    error = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow", "param": None}
    nested = {"type": "error", "error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Slow"}}
    body = {"error": {"type": "tokens", "code": "rate_limit_exceeded", "message": "Slow", "param": None}}

    assert heard(*BEGUN, error).steps == (ErrorEvent("Slow", code="rate_limit_exceeded"),)
    assert heard(*BEGUN, nested).steps == (ErrorEvent("Slow", type="tokens", code="rate_limit_exceeded"),)
    assert heard_whole(body, 429).steps == (HTTPError(429, type="tokens", code="rate_limit_exceeded", message="Slow"),)


def test_whole_reply() -> None:
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    found = heard_whole(
        _response(
            usage=COUNTS,
            output=[
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "gA"},
                {"type": "code_interpreter_call", "code": "1", "outputs": [{"type": "logs", "logs": "x"}]},
                {"type": "image_generation_call", "result": "AAAA", "output_format": "webp"},
                {
                    **MESSAGE,
                    "content": [
                        {"type": "output_text", "text": "One", "annotations": []},
                        {"type": "output_text", "text": "Two", "annotations": [cited]},
                        {"type": "refusal", "refusal": "No"},
                    ],
                },
            ],
        )
    )

    assert found.steps == (
        Reasoning(["Hm"], signature="gA"),
        ServerTool("code_execution", {"code": "1"}, "x"),
        Image("AAAA", media_type="image/webp"),
        Text(["One"]),
        Text(["Two"]),
        Citation("u", "t", start=3, end=4),
        Refusal(["No"]),
    )
    assert (found.finish, found.usage and found.usage.total_tokens) == ("completed", 48)


def test_reasoning_that_says_nothing_is_an_item_without_a_summary() -> None:
    reply = json.loads(write(Script(Reasoning([], signature="s"), "a"), WHOLE).body)

    assert reply["output"][0]["summary"] == []
    assert reply["output"][0]["encrypted_content"] == "s"
