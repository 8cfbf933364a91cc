"""Writes the items of tools that OpenAI runs in a response: searches, code, images, and tools of MCP servers.

Items: https://platform.openai.com/docs/api-reference/responses/object; events:
https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ServerTool

from .blocks import Block, odd_tool, search_results
from .format import Json
from .mcp import LISTING, blocks_with, error_of, odd_mcp_tool, tools_of
from .sse import json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: The tools that OpenAI itself runs, and the type of their items.
_SERVER_TOOLS = {
    "web_search": "web_search_call",
    "file_search": "file_search_call",
    "code_interpreter": "code_interpreter_call",
    "code_execution": "code_interpreter_call",
}
#: What the ids of those items begin with.
_PREFIXES = {"web_search_call": "ws", "file_search_call": "fs", "code_interpreter_call": "ci"}
#: What a web search does, as the ``"type"`` of its input says, and the fields of it that a script may say:
#: https://platform.openai.com/docs/guides/tools-web-search
_WEB_ACTIONS = {"search": ("query", "queries"), "open_page": ("url",), "find_in_page": ("url", "pattern")}
#: What an item has at its end alone, and what it has there until then: readers add what is streamed to that.
_NOT_YET: Json = {
    "arguments": "",
    "code": "",
    "error": None,
    "output": None,
    "outputs": None,
    "result": None,
    "results": None,
    "status": "in_progress",
    "tools": [],
}
#: The whole item of a tool, and the names and fields of its events.
_Told: TypeAlias = tuple[Json, list[tuple[str, Json]]]


class ToolItem(NamedTuple):
    """How a response says that a tool ran.

    Attributes:
        begun: the item as it begins.
        item: the whole item.
        events: what a stream tells between them: the names of events, without ``response.``, and their own fields.
    """

    begun: Json
    item: Json
    events: list[tuple[str, Json]]


def tool_item(piece: Block, name: str) -> ToolItem:
    """Return the item of a tool.

    Args:
        piece: an image, or what a ``ServerTool`` says.
        name: what the ids in the item end with.
    """
    item, events = _image(piece, name) if piece.kind == "image" else _tool(piece.step, name)
    begun = item | {field: value for field, value in _NOT_YET.items() if field in item}
    return ToolItem(begun, item, events)


def odd_response_tool(script: Script) -> str | None:
    """Say which tool OpenAI does not run, or not so; None if there is none."""
    odd = odd_tool(
        script,
        _SERVER_TOOLS,
        searches=("web_search", "file_search"),
        code=("code_interpreter", "code_execution"),
        own_shape=False,
        odd_mcp=lambda tool: odd_mcp_tool(tool, in_blocks=False),
    )
    return odd or _odd_web_action(script)


def _image(piece: Block, name: str) -> _Told:
    kind = "image_generation_call"
    item = {"id": f"ig_{name}", "type": kind, "status": "completed", "result": piece.step.data}
    return item, [(f"{kind}.{state}", {}) for state in ("in_progress", "generating", "completed")]


def _tool(tool: ServerTool, name: str) -> _Told:
    if tool.server is not None:
        return _mcp_list(tool, name) if tool.name == LISTING else _mcp_call(tool, name)
    kind = _SERVER_TOOLS[tool.name]
    item: Json = {"id": f"{_PREFIXES[kind]}_{name}", "type": kind, "status": "completed"}
    if kind == "code_interpreter_call":
        code = tool.input.get("code", "")
        logs = [{"type": "logs", "logs": tool.result}] if isinstance(tool.result, str) else None
        return item | {"code": code, "container_id": f"cntr_{name}", "outputs": logs}, [
            (f"{kind}.in_progress", {}),
            (f"{kind}_code.delta", {"delta": code}),
            (f"{kind}_code.done", {"code": code}),
            (f"{kind}.interpreting", {}),
            (f"{kind}.completed", {}),
        ]
    if kind == "file_search_call":
        found = [dict(one) for one in search_results(tool.result)] or None
        item |= {"queries": [tool.input.get("query", "")], "results": found}
    else:
        item |= {"action": _web_action(tool)}
    return item, [(f"{kind}.{state}", {}) for state in ("in_progress", "searching", "completed")]


def _mcp_list(tool: ServerTool, name: str) -> _Told:
    """Return the list of the tools of an MCP server: https://platform.openai.com/docs/guides/tools-connectors-mcp."""
    kind, error = "mcp_list_tools", error_of(tool.result)
    tools = tools_of(tool.result, annotations=None, description=None)
    item = {"id": f"mcpl_{name}", "type": kind, "server_label": tool.server, "tools": tools, "error": error}
    return item, [(f"{kind}.in_progress", {}), (f"{kind}.{'completed' if error is None else 'failed'}", {})]


def _mcp_call(tool: ServerTool, name: str) -> _Told:
    """Return the call of a tool of an MCP server: https://platform.openai.com/docs/guides/tools-connectors-mcp."""
    kind, arguments, error = "mcp_call", json_text(dict(tool.input)), error_of(tool.result)
    if isinstance(error, str):
        error = {"type": "mcp_tool_execution_error", "content": blocks_with(error)}
    status = "completed" if error is None else "failed"
    item: Json = {"id": f"mcp_{name}", "type": kind, "status": status, "approval_request_id": None}
    item |= {"server_label": tool.server, "name": tool.name, "arguments": arguments}
    return item | {"output": tool.result if error is None else None, "error": error}, [
        (f"{kind}.in_progress", {}),
        (f"{kind}_arguments.delta", {"delta": arguments}),
        (f"{kind}_arguments.done", {"arguments": arguments}),
        (f"{kind}.{status}", {}),
    ]


def _web_action(tool: ServerTool) -> Json:
    action = tool.input.get("type", "search")
    said = {"query": ""} if action == "search" else {}
    said |= {name: tool.input[name] for name in _WEB_ACTIONS[action] if name in tool.input}
    sources = [{"type": "url", "url": one.get("url")} for one in search_results(tool.result)]
    return {"type": action, **said, **({"sources": sources} if sources else {})}


def _odd_web_action(script: Script) -> str | None:
    """Say which web search does what it never does, or lacks what that needs; None if there is none."""
    for step in script.contents:
        if not isinstance(step, ServerTool) or step.name != "web_search" or step.server is not None:
            continue
        action = step.input.get("type", "search")
        if not isinstance(action, str) or action not in _WEB_ACTIONS:
            return f"a search has no {action!r}, as in {brief(step)}: give {', '.join(map(repr, _WEB_ACTIONS))}"
        if action == "search":
            continue
        if lacking := [name for name in _WEB_ACTIONS[action] if not isinstance(step.input.get(name), str)]:
            return f"{brief(step)} lacks what {action!r} needs: give {', '.join(map(repr, lacking))} as a str"
        if step.result is not None:
            return f"only a search has results, and {brief(step)} is none"
    return None
