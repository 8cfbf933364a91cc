"""Tools of MCP servers that a provider calls: what formats have in common of them.

The servers' side: https://modelcontextprotocol.io/specification/2025-06-18/server/tools
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.steps import ServerTool

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: The tool of a ``ServerTool`` that lists the tools of a server; no tool is named so, as it is a method of MCP.
LISTING = "tools/list"


def error_of(result: Any) -> Any:
    """Return the error that the result of a tool is; None if it is none."""
    return result["error"] if isinstance(result, Mapping) and result.keys() == {"error"} else None


def blocks_with(text: str) -> list[dict[str, Any]]:
    """Return text as the content of a result."""
    return [{"type": "text", "text": text}]


def said_of(content: Any) -> Any:
    """Return the content of a result as a script says it: one block with text is that text."""
    match content:
        case [{"text": str(text)}] if content == blocks_with(text):
            return text
    return content


def tools_of(result: Any, **usual: Any) -> list[dict[str, Any]]:
    """Return the tools of a list, with what each of them has unless it says otherwise."""
    return [{"input_schema": {"type": "object"}, **usual, **one} for one in result] if _are_tools(result) else []


def odd_mcp_tool(tool: ServerTool, *, in_blocks: bool) -> str | None:
    """Say what is wrong with a tool of an MCP server; None if nothing is.

    Args:
        tool: the tool.
        in_blocks: whether the provider gives results and errors as blocks of content, and no errors of lists; else
            results are text, and errors are objects.
    """
    if tool.name == LISTING and tool.input:
        return f"a list of tools is asked for without input, unlike {brief(tool)}"
    error = error_of(tool.result)
    if tool.name == LISTING:
        legal = f"a list of tools, each a mapping with a 'name'{'' if in_blocks else f', or {_ERROR} with text'}"
        is_legal = _are_tools(tool.result) or (isinstance(error, str) and not in_blocks)
    elif in_blocks:
        legal = f"text or a list of blocks, or {_ERROR} with one of them"
        is_legal = _is_content(tool.result if error is None else error)
    else:
        legal = f"text, or {_ERROR} with text or a mapping"
        is_legal = isinstance(tool.result, str) or isinstance(error, str | Mapping)
    if is_legal or tool.result is None:
        return None
    return f"the result in {brief(tool)} is not what an MCP server gives: give {legal}"


_ERROR = "{'error': ...}"


def _are_tools(value: Any) -> bool:
    return _are_mappings(value) and all(isinstance(one.get("name"), str) for one in value)


def _is_content(value: Any) -> bool:
    return isinstance(value, str) or _are_mappings(value)


def _are_mappings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, Mapping) for one in value)
