"""What a script does not say of what came is told as lost, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_mockstream import Citation, Failed, ServerTool, Text, ToolCall
from pytest_mockstream.recordings.heard import Asked, Heard, heard
from pytest_mockstream.recordings.reply import Reply

RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "gpt",
    "output": [
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "f",
            "arguments": "{}",
            "status": "incomplete",
        }
    ],
    "incomplete_details": None,
    "error": None,
    "usage": None,
}


def proved(body: Any, *, provider: str = "openai", path: str = "/v1/responses") -> Heard:
    """Return what is heard of the body of a reply that is not streamed."""
    said = {"input": "hi", "messages": [{"role": "user", "content": "hi"}]}
    request = json.dumps({"model": "gpt", **said, "max_tokens": 9}).encode()
    asked = Asked(provider=provider, method="POST", url=f"https://localhost{path}", headers={}, body=request)
    return heard(asked, Reply(status=200, pieces=[(0.0, json.dumps(body).encode())]))


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (
            {"status": "failed", "error": {"code": "server_error", "message": "Oh"}},
            Failed("Oh", code="server_error"),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Failed(incomplete="max_output_tokens"),
        ),
    ],
)
def test_whole_response_that_failed_loses_nothing(said: Any, failed: Failed) -> None:
    found = proved(RESPONSE | said)

    call = ToolCall("f", {}, id="call_1", fragments="whole")
    assert found.script.steps == (call, failed)
    assert found.lost == ()


def test_what_a_failed_response_has_besides_is_lost() -> None:
    said = {"status": "failed", "error": {"code": "server_error", "message": "Oh", "param": "input"}}

    assert proved(RESPONSE | said).lost == ('error.param = "input"',)


def test_texts_that_stand_side_by_side_lose_nothing() -> None:
    cited = {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "c", "encrypted_index": "E"}
    content = [
        {"type": "text", "text": "It "},
        {"type": "text", "text": "rains", "citations": [cited]},
        {"type": "text", "text": "."},
    ]
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "gpt",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }

    found = proved(body, provider="anthropic", path="/v1/messages")

    source = Citation("u", "t", "c")
    assert found.script.steps == (
        Text(["It "]),
        Text(["rains"], new_block=True),
        source,
        Text(["."], new_block=True),
    )
    assert found.lost == ()


def test_web_search_that_opens_a_page_loses_nothing() -> None:
    page = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "open_page", "url": "u"}}

    found = proved(RESPONSE | {"status": "completed", "output": [page]})

    assert found.script.steps == (ServerTool("web_search", {"type": "open_page", "url": "u"}),)
    assert found.lost == ()


def test_tools_of_an_mcp_server_lose_nothing() -> None:
    tool = {"name": "f", "description": "Does it", "annotations": {"read_only": True}, "input_schema": {"a": []}}
    called = {"type": "mcp_call", "server_label": "docs", "name": "f", "approval_request_id": None}
    error = {"type": "http_error", "code": 502, "message": "Bad gateway"}
    output = [
        {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "docs", "tools": [tool]},
        {"id": "mcp_1", **called, "arguments": '{"a":1}', "output": "2", "error": None, "status": "completed"},
        {"id": "mcp_2", **called, "arguments": "{}", "output": None, "error": error, "status": "failed"},
    ]

    found = proved(RESPONSE | {"status": "completed", "output": output})

    assert found.script.steps == (
        ServerTool("tools/list", {}, [tool], server="docs"),
        ServerTool("f", {"a": 1}, "2", server="docs"),
        ServerTool("f", {}, {"error": error}, server="docs"),
    )
    assert found.lost == ()


def test_tools_of_an_mcp_server_that_anthropic_calls_lose_nothing() -> None:
    tool = {"name": "f", "description": "Does it", "input_schema": {"type": "object"}}
    text = [{"type": "text", "text": "2"}]
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "gpt",
        "content": [
            {"type": "mcp_tool_listing", "mcp_server_name": "docs", "tools": [tool]},
            {"type": "mcp_tool_use", "id": "mcptoolu_1", "server_name": "docs", "name": "f", "input": {"a": 1}},
            {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": text},
            {"type": "mcp_tool_use", "id": "mcptoolu_2", "server_name": "docs", "name": "f", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_2", "is_error": True, "content": text * 2},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }

    found = proved(body, provider="anthropic", path="/v1/messages")

    assert found.script.steps == (
        ServerTool("tools/list", {}, [tool], server="docs"),
        ServerTool("f", {"a": 1}, "2", server="docs"),
        ServerTool("f", {}, {"error": text * 2}, server="docs"),
    )
    assert found.lost == ()


@pytest.mark.parametrize("action", [{"type": "open_page", "url": None}, {"type": "dance"}, {"type": "find_in_page"}])
def test_web_search_that_no_script_says_is_lost(action: dict[str, str | None]) -> None:
    page = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": action}

    found = proved(RESPONSE | {"status": "completed", "output": [page]})

    assert found.script.steps == ()
    assert 'output[].type = "web_search_call"' in found.lost
