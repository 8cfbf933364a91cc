"""Tools of MCP servers that the provider itself calls: what the SDKs read of them, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoders import decode_sse
from decoding_laws import Asked, Written, check_law, read
from door import HELLO, Door

from pytest_mockstream import Script, ScriptError, ServerTool, Text
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.wire import Event, Writer

RESPONSES = Asked("/v1/responses", {"model": "gpt", "input": "hi", "stream": True})
MESSAGES = Asked("/v1/messages", {"model": "claude", "messages": HELLO, "max_tokens": 9, "stream": True})
GEMINI = Asked("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "hi"}]}]})
CHAT = Asked("/v1/chat/completions", {"model": "gpt", "messages": HELLO, "stream": True})

TOOLS = [{"name": "search", "description": "Finds pages", "input_schema": {"type": "object"}}]
LISTING = ServerTool("tools/list", {}, TOOLS, server="docs")
CALL = ServerTool("search", {"query": "Paris"}, "Paris is lovely.", server="docs")
FAILED = ServerTool("search", {}, {"error": "no query"}, server="docs")
BLOCKS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
PROTOCOL_ERROR = {"type": "mcp_protocol_error", "code": -32601, "message": "no such tool"}


def whole(asked: Asked) -> Asked:
    return asked._replace(body={name: value for name, value in asked.body.items() if name != "stream"})


def heard(asked: Asked, *events: Any) -> Composed:
    frames = [Writer("sse").frame(Event(json.dumps(event), event["type"])) for event in events]
    return read(asked, Written(200, {}, frames, "end"))


def test_responses_list_tools_and_call_them() -> None:
    with Door(Script(LISTING, CALL, FAILED, "Go there.")).openai().responses.stream(model="gpt", input="hi") as stream:
        events: list[Any] = list(stream)
        output: list[Any] = stream.get_final_response().output

    listing, call, failed, message = output
    assert (listing.type, listing.server_label, listing.tools[0].name) == ("mcp_list_tools", "docs", "search")
    assert (call.type, call.server_label, call.name, call.status) == ("mcp_call", "docs", "search", "completed")
    assert (json.loads(call.arguments), call.output, call.error) == ({"query": "Paris"}, "Paris is lovely.", None)
    assert (failed.status, failed.output, failed.error.content) == (
        "failed",
        None,
        [{"type": "text", "text": "no query"}],
    )
    assert message.content[0].text == "Go there."
    assert [event.type.removeprefix("response.") for event in events if "mcp" in event.type] == [
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.failed",
    ]


def test_item_of_a_response_begins_without_what_is_streamed_of_it_later() -> None:
    code = ServerTool("code_execution", {"code": "print(1)"}, "1\n")
    body = Door(Script(LISTING, CALL, code)).body(*RESPONSES[:2])
    events = [json.loads(event.data) for event in decode_sse(body)]
    listing, call, code = (event["item"] for event in events if event["type"] == "response.output_item.added")

    assert (listing["tools"], "status" in listing) == ([], False)
    assert (call["arguments"], call["output"], call["status"]) == ("", None, "in_progress")
    assert (code["code"], code["outputs"], code["status"]) == ("", None, "in_progress")


@pytest.mark.parametrize("why", ["unreachable", ""])
def test_server_that_cannot_list_its_tools(why: str) -> None:
    script = Script(ServerTool("tools/list", {}, {"error": why}, server="docs"), times=None)

    with Door(script).openai().responses.stream(model="gpt", input="hi") as stream:
        types = [event.type for event in stream]
        (listing,) = stream.get_final_response().output

    assert listing.type == "mcp_list_tools"
    assert (listing.tools, listing.error) == ([], why)
    assert "response.mcp_list_tools.failed" in types
    assert check_law(script, RESPONSES).steps == script.steps


@pytest.mark.parametrize("streamed", [True, False])
def test_anthropic_lists_tools_and_calls_them(streamed: bool) -> None:
    client = Door(Script(LISTING, CALL, FAILED, "Go there.")).anthropic().beta.messages
    asked: Any = {"model": "c", "max_tokens": 9, "messages": HELLO, "betas": ["mcp-client-2026-09-15"]}
    if streamed:
        with client.stream(**asked) as stream:
            content: list[Any] = stream.get_final_message().content
    else:
        content = client.create(**asked).content

    listing, call, result, failing, failed, text = content
    assert (listing.type, listing.mcp_server_name, listing.tools[0].name) == ("mcp_tool_listing", "docs", "search")
    assert (call.type, call.server_name, call.name, call.input) == (
        "mcp_tool_use",
        "docs",
        "search",
        {"query": "Paris"},
    )
    assert (result.type, result.tool_use_id, result.is_error) == ("mcp_tool_result", call.id, False)
    assert [block.text for block in result.content] == ["Paris is lovely."]
    assert (failed.tool_use_id, failed.is_error, failed.content[0].text) == (failing.id, True, "no query")
    assert call.id != failing.id
    assert text.text == "Go there."


@pytest.mark.parametrize("result", [None, "", [], BLOCKS, {"error": "no"}, {"error": BLOCKS}, {"error": []}], ids=repr)
@pytest.mark.parametrize("asked", [MESSAGES, whole(MESSAGES)], ids=["streamed", "whole"])
def test_results_of_anthropic_come_back(asked: Asked, result: Any) -> None:
    found = check_law(Script(ServerTool("f", {"a": 1}, result, server="s")), asked, chunks_are_same=False)

    assert found.steps == (ServerTool("f", {"a": 1}, result or (None if result == [] else result), server="s"),)


@pytest.mark.parametrize("result", [None, "", "a", {"error": "no"}, {"error": PROTOCOL_ERROR}], ids=repr)
@pytest.mark.parametrize("asked", [RESPONSES, whole(RESPONSES)], ids=["streamed", "whole"])
def test_results_of_responses_come_back(asked: Asked, result: Any) -> None:
    found = check_law(Script(ServerTool("f", {"a": 1}, result, server="s")), asked, chunks_are_same=False)

    assert found.steps == (ServerTool("f", {"a": 1}, result, server="s"),)


def test_tool_of_a_server_can_be_named_as_one_of_the_provider() -> None:
    script = Script(ServerTool("web_search", {"type": "dance"}, "found", server="docs"))

    for asked in (RESPONSES, MESSAGES):
        assert check_law(script, asked).steps == script.steps


# As the providers document them.


def test_blocks_that_anthropic_documents() -> None:
    used = {"type": "mcp_tool_use", "id": "mcptoolu_014Q", "name": "echo", "server_name": "example-mcp", "input": {}}
    given = {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_014Q", "is_error": False}
    found = heard(
        MESSAGES,
        {"type": "content_block_start", "index": 0, "content_block": used},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"param1": '},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '"a"}'}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": given | {"content": [{"type": "text", "text": "Hello"}]},
        },
        {"type": "content_block_stop", "index": 1},
        {"type": "message_stop"},
    )

    assert found.steps == (ServerTool("echo", {"param1": "a"}, "Hello", server="example-mcp"),)


def test_call_of_anthropic_that_has_no_result_yet() -> None:
    used = {"type": "mcp_tool_use", "id": "mcptoolu_014Q", "name": "echo", "server_name": "s", "input": {"a": 1}}
    found = heard(
        MESSAGES,
        {"type": "content_block_start", "index": 0, "content_block": used},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "pause_turn"}},
        {"type": "message_stop"},
    )

    assert found.steps == (ServerTool("echo", {"a": 1}, server="s"),)


def test_items_that_openai_documents() -> None:
    tool = {"annotations": None, "description": "Rolls", "input_schema": {"type": "object"}, "name": "roll"}
    listing = {"id": "mcpl_68a6", "type": "mcp_list_tools", "server_label": "dmcp"}
    call = {"id": "mcp_68a6", "type": "mcp_call", "approval_request_id": None, "error": None, "name": "roll"}
    call |= {"server_label": "dmcp"}
    called = call | {"arguments": '{"n":2}', "output": "4"}
    found = heard(
        RESPONSES,
        {"type": "response.output_item.added", "output_index": 0, "item": listing | {"tools": []}},
        {"type": "response.mcp_list_tools.in_progress", "output_index": 0, "item_id": "mcpl_68a6"},
        {"type": "response.mcp_list_tools.completed", "output_index": 0, "item_id": "mcpl_68a6"},
        {"type": "response.output_item.done", "output_index": 0, "item": listing | {"tools": [tool]}},
        {"type": "response.output_item.added", "output_index": 1, "item": call | {"arguments": "", "output": None}},
        {"type": "response.mcp_call_arguments.delta", "output_index": 1, "item_id": "mcp_68a6", "delta": '{"n":2}'},
        {"type": "response.mcp_call_arguments.done", "output_index": 1, "item_id": "mcp_68a6", "arguments": '{"n":2}'},
        {"type": "response.mcp_call.completed", "output_index": 1, "item_id": "mcp_68a6"},
        {"type": "response.output_item.done", "output_index": 1, "item": called},
    )

    assert found.steps[:2] == (
        ServerTool("tools/list", {}, [tool], server="dmcp"),
        ServerTool("roll", {"n": 2}, "4", server="dmcp"),
    )


@pytest.mark.parametrize(
    "item",
    [
        {"type": "mcp_call", "name": "f", "server_label": "s", "arguments": '{"a":', "output": None},
        {"type": "mcp_call", "name": "f", "server_label": "s", "arguments": "[]", "output": None},
        {"type": "mcp_call", "name": "f", "server_label": "s", "arguments": "{}", "output": {"a": 1}},
        {"type": "mcp_call", "name": "tools/list", "server_label": "s", "arguments": "{}", "output": "a"},
        {"type": "mcp_list_tools", "server_label": "s", "tools": [{"description": "no name"}]},
        {"type": "mcp_approval_request", "name": "f", "server_label": "s", "arguments": "{}"},
    ],
    ids=repr,
)
def test_item_that_no_script_says_is_passed_over(item: Any) -> None:
    body = {"object": "response", "status": "completed", "output": [{"id": "x"} | item]}

    assert read(whole(RESPONSES), Written(200, {}, [json.dumps(body).encode()], "end")).steps == ()


@pytest.mark.parametrize("content", [5, {"type": "text"}, ["a"]], ids=repr)
def test_result_of_anthropic_that_no_script_says_is_passed_over(content: Any) -> None:
    used = {"type": "mcp_tool_use", "id": "m", "name": "f", "server_name": "s", "input": {}}
    given = {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": False, "content": content}
    body = {"type": "message", "content": [used, given, {"type": "text", "text": "a"}], "stop_reason": "end_turn"}

    found = read(whole(MESSAGES), Written(200, {}, [json.dumps(body).encode()], "end"))

    assert found.steps == (Text(["a"]),)


# Refusals.


@pytest.mark.parametrize(
    ("asked", "step", "message"),
    [
        (GEMINI, CALL, "it calls no tools of MCP servers, as ServerTool(name='search'"),
        (GEMINI, CALL, "give 'web_search', 'code_execution', without server="),
        (CHAT, CALL, "it has nothing that says ServerTool("),
        (RESPONSES, ServerTool("search"), "'code_execution', or the tool of an MCP server, with server="),
        (MESSAGES, ServerTool("tools/list"), "or the tool of an MCP server, with server="),
        (RESPONSES, ServerTool("f", {}, BLOCKS, server="s"), "give text, or {'error': ...} with text or a mapping"),
        (RESPONSES, ServerTool("f", {}, {"a": 1}, server="s"), "give text, or {'error': ...} with text or a mapping"),
        (MESSAGES, ServerTool("f", {}, 5, server="s"), "give text or a list of blocks, or {'error': ...} with one of"),
        (MESSAGES, ServerTool("f", {}, {"error": {}}, server="s"), "give text or a list of blocks, or {'error'"),
        (MESSAGES, ServerTool("tools/list", {}, "f", server="s"), "give a list of tools, each a mapping with a 'name'"),
        (MESSAGES, ServerTool("tools/list", {}, {"error": "a"}, server="s"), "give a list of tools, each a mapping"),
        (RESPONSES, ServerTool("tools/list", {}, [{}], server="s"), "with a 'name', or {'error': ...} with text"),
        (RESPONSES, ServerTool("tools/list", {"a": 1}, server="s"), "a list of tools is asked for without input"),
    ],
)  # fmt: skip
def test_what_a_provider_never_says_of_an_mcp_server_is_refused(asked: Asked, step: ServerTool, message: str) -> None:
    door = Door(Script(step, times=None))

    error = door.post(asked.path, asked.body).error

    assert isinstance(error, ScriptError)
    assert message in str(error)


@pytest.mark.parametrize("server", ["", 1, True])
def test_label_of_a_server_is_a_text(server: Any) -> None:
    with pytest.raises(ScriptError, match=r"ServerTool\(server=.*\): give the label of an MCP server, a non-empty str"):
        ServerTool("f", server=server)
