"""Reads OpenAI's responses: the twin of ``formats.openai_responses``.

Events: https://platform.openai.com/docs/api-reference/responses-streaming; the object:
https://platform.openai.com/docs/api-reference/responses/object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import Citation, ErrorEvent, Failed, Image, KeepAlive, Reasoning, ServerTool
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Kind, Piece, counted
from pytest_mockstream.wire.mcp import LISTING, odd_mcp_tool, said_of
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_Json: TypeAlias = Mapping[str, Any]

#: What the events say that have a piece of text.
_DELTAS: dict[str, Kind] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
}
_ARGUMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
#: The types of items that are calls, and the field of each with what is called with.
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
#: What a web search does besides, and what it does that with.
_WEB_ACTIONS = {"open_page": ("url",), "find_in_page": ("url", "pattern")}
_BREAKS_OFF = ("max_output_tokens", "content_filter")


class _Decoder:
    def __init__(self) -> None:
        self._output = _Output()

    def event(self, event: Event) -> Iterable[Heard]:
        said = json.loads(event.data)
        kind = said.get("type", event.name)
        if kind in _DELTAS:
            return self._output.prose(said["output_index"], _DELTAS[kind], said["delta"], said.get("content_index"))
        if kind in _ARGUMENTS:
            return self._output.fragment(said["output_index"], said["delta"])
        match kind:
            case "response.output_item.added":
                self._output.begin(said["output_index"], said["item"])
            case "response.output_item.done":
                return self._output.end(said["output_index"], said["item"])
            case "response.output_text.annotation.added":
                return self._output.annotation(said["output_index"], said["annotation"], said.get("content_index"))
            case "response.completed" | "response.incomplete" | "response.failed":
                return self._end(said["response"])
            case "keepalive":
                return (KeepAlive(),)
            case "error":
                message, error_kind, code = _error(said)
                return (ErrorEvent(message, type=error_kind, code=code),)
        return ()

    def rest(self) -> Iterator[Piece]:
        """Hear the calls of which only the start came."""
        return self._output.rest()

    def _end(self, response: _Json) -> Iterator[Heard]:
        if not self._output.has_begun:  # there are servers that stream no items
            yield from self._output.all_of(response)
        yield from _outcome(response)


class _Output:
    """Hears the items of a response, and remembers what later events need of earlier ones."""

    def __init__(self) -> None:
        self._items: dict[int, _Json] = {}
        self._heard: set[int] = set()  # the items of which anything was heard
        self._blocks: dict[tuple[int, Kind, int | None], int] = {}  # the number of each part of an item, by its kind
        self._starts: dict[int, int] = {}  # where a block of text begins, in characters of the whole text
        self._said = 0  # characters of text

    @property
    def has_begun(self) -> bool:
        """Whether anything was heard."""
        return bool(self._items or self._heard)

    def begin(self, index: int, item: _Json) -> None:
        """Hear that an item begins."""
        self._items[index] = item

    def prose(self, index: int, kind: Kind, text: str, part: int | None) -> Iterator[Piece]:
        """Hear text of a part of an item; all parts of reasoning are one."""
        block = self._block(index, kind, None if kind == "reasoning" else part)
        if kind == "text":
            self._starts.setdefault(block, self._said)
            self._said += len(text)
        yield Piece(kind=kind, text=text, block=block, message=index)

    def fragment(self, index: int, text: str) -> Iterator[Piece]:
        """Hear the next arguments of a call; one whose name is not known is heard at its end."""
        item = self._items.get(index, {})
        if item.get("name"):
            begun = {} if index in self._heard else {"name": item["name"], "id": item.get("call_id") or item["id"]}
            number = self._block(index, "tool_call")
            yield Piece(kind="tool_call", call=number, text=text, block=number, **begun)

    def annotation(self, index: int, source: _Json, part: int | None) -> Iterator[Piece]:
        """Hear a source of a text; of files there is no address."""
        if url := source.get("url"):
            block = self._block(index, "text", part)
            begin = self._starts.setdefault(block, self._said)
            start, end = ((source.get(f"{place}_index") or 0) + begin for place in ("start", "end"))
            step = Citation(url, source.get("title") or "", start=start, end=max(start, end))
            yield Piece(kind="citation", step=step, block=block, message=index)

    def end(self, index: int, item: _Json) -> Iterator[Piece]:
        """Hear the end of an item, and all of it that was not heard yet."""
        kind = item["type"]
        is_new = index not in self._heard
        if kind == "message" and is_new:
            yield from self._message(index, item)
        elif kind == "reasoning":
            yield from self._reasoning(index, item, is_new=is_new)
        elif kind in _CALLS and is_new:
            self._items[index] = item
            yield from self.fragment(index, item[_CALLS[kind]])
        elif (piece := _tool(kind, item)) is not None:
            yield piece
        self._items.setdefault(index, item)

    def rest(self) -> Iterator[Piece]:
        """Hear the calls that have begun and have no arguments yet."""
        for index, item in self._items.items():
            if item["type"] in _CALLS and index not in self._heard:
                yield from self.fragment(index, "")

    def all_of(self, response: _Json) -> Iterator[Piece]:
        """Hear all items of a response."""
        for index, item in enumerate(response["output"]):
            yield from self.end(index, item)

    def _message(self, index: int, item: _Json) -> Iterator[Piece]:
        for number, part in enumerate(item.get("content") or ()):
            if part["type"] == "output_text":
                yield from self.prose(index, "text", part["text"], number)
                for source in part.get("annotations") or ():
                    yield from self.annotation(index, source, number)
            elif part["type"] == "refusal":
                yield from self.prose(index, "refusal", part["refusal"], number)

    def _reasoning(self, index: int, item: _Json, *, is_new: bool) -> Iterator[Piece]:
        """Hear reasoning: all that was not streamed of it, and what is encrypted, which without a text is all of it."""
        texts = [part["text"] for part in (*(item.get("summary") or ()), *(item.get("content") or ()))]
        for text in texts if is_new else ():
            yield from self.prose(index, "reasoning", text, None)
        is_hidden, number = index not in self._heard, self._block(index, "reasoning")
        sealed: str | None = item.get("encrypted_content")
        step = Reasoning(sealed, redacted=True) if is_hidden and sealed else Reasoning("", signature=sealed or False)
        yield Piece(kind="reasoning", step=step, block=number)

    def _block(self, index: int, kind: Kind, part: int | None = None) -> int:
        """Return the number of a part of an item, of which something is heard now."""
        self._heard.add(index)
        return self._blocks.setdefault((index, kind, part), len(self._blocks))


def _tool(kind: str, item: _Json) -> Piece | None:
    """Return what OpenAI ran itself; None if it is nothing that a script says."""
    if kind == "image_generation_call":
        if not item.get("result"):
            return None
        name = item.get("output_format") or "png"
        return Piece(kind="image", step=Image(item["result"], media_type=f"image/{name}"))
    made = _TOOLS[kind](item) if kind in _TOOLS else None
    return None if made is None else Piece(kind="server_tool", step=made)


def _web_search(item: _Json) -> ServerTool | None:
    action = item.get("action") or {}
    if (kind := action.get("type", "search")) != "search":
        said = {name: action.get(name) for name in ("type", *_WEB_ACTIONS.get(kind, ()))}
        return ServerTool("web_search", said) if kind in _WEB_ACTIONS and all(said.values()) else None
    queries = list(action.get("queries") or ())
    asked = action.get("query") or next(iter(queries), None)
    told = ({"query": asked} if asked else {}) | ({"queries": queries} if queries not in ([], [asked]) else {})
    found = [{"url": source["url"]} for source in action.get("sources") or () if source.get("url")]
    return ServerTool("web_search", told, found or None)


def _file_search(item: _Json) -> ServerTool:
    asked = next(iter(item.get("queries") or ()), None)
    return ServerTool("file_search", {"query": asked} if asked else {}, item.get("results") or None)


def _code_interpreter(item: _Json) -> ServerTool:
    logs = [one["logs"] for one in item.get("outputs") or () if one["type"] == "logs"]
    return ServerTool("code_execution", {"code": item.get("code") or ""}, "".join(logs) if logs else None)


def _mcp_call(item: _Json) -> ServerTool | None:
    try:
        given = json.loads(item["arguments"] or "{}")
    except ValueError:  # it broke off
        return None
    error = item.get("error")
    result = item.get("output") if error is None else {"error": _mcp_error(error)}
    return _mcp_tool(item, item["name"], given, result) if isinstance(given, dict) else None


def _mcp_list_tools(item: _Json) -> ServerTool | None:
    error = item.get("error")
    return _mcp_tool(item, LISTING, {}, item.get("tools") or None if error is None else {"error": error})


def _mcp_tool(item: _Json, name: str, given: _Json, result: Any) -> ServerTool | None:
    """Return the tool of an MCP server; None if it gives what no script says."""
    tool = ServerTool(name, given, result, server=item["server_label"])
    return tool if odd_mcp_tool(tool, in_blocks=False) is None else None


def _mcp_error(error: Any) -> Any:
    """Return an error as a script says it: one that a tool tells in words is that text."""
    is_of_tool = isinstance(error, dict) and error.get("type") == "mcp_tool_execution_error"
    said = said_of(error.get("content")) if is_of_tool else None
    return said if isinstance(said, str) and error.keys() == {"type", "content"} else error


_TOOLS: dict[str, Callable[[_Json], ServerTool | None]] = {
    "web_search_call": _web_search,
    "file_search_call": _file_search,
    "code_interpreter_call": _code_interpreter,
    "mcp_call": _mcp_call,
    "mcp_list_tools": _mcp_list_tools,
}


def _outcome(response: _Json) -> Iterator[Heard]:
    """Hear how a response ended, and what it used; one that breaks off before its end counts nothing."""
    status = response["status"]
    reason = (response.get("incomplete_details") or {}).get("reason")
    if counts := response.get("usage"):
        yield _usage(counts)
    if status == "failed":
        error = response.get("error") or {}
        said = {"message": error["message"]} if error.get("message") else {}
        yield Failed(code=error.get("code"), **said)
    elif status == "completed":
        yield Finish("completed")
    elif status == "incomplete":
        yield Failed(incomplete=reason) if reason in _BREAKS_OFF and not counts else Finish(reason or _BREAKS_OFF[0])
    else:
        raise LookupError(f"its status is {status!r}, so that it has no end yet")


def _usage(counts: _Json) -> Usage:
    into, out = counts.get("input_tokens_details") or {}, counts.get("output_tokens_details") or {}
    return counted(
        prompt_tokens=counts.get("input_tokens"),
        completion_tokens=counts.get("output_tokens"),
        cached_tokens=into.get("cached_tokens"),
        cache_write_tokens=into.get("cache_write_tokens"),
        reasoning_tokens=out.get("reasoning_tokens"),
    )


def _whole(body: _Json) -> Iterator[Heard]:
    yield from _Output().all_of(body)
    yield from _outcome(body)


def _error(body: _Json) -> tuple[str, str | None, str | None]:
    """Return message, type and code of an error; inside a stream it is the event itself, whose type says only that."""
    error = body.get("error") or body
    kind = None if error is body else error.get("type")
    return error["message"], kind or None, error.get("code") or None


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error, rest=_Decoder.rest)
