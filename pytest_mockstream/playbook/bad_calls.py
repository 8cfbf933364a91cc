"""Tool calls as no code expects them, by the names that people have for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import one_of
from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.steps import ToolCall

from .asked import Schema, Tool, tools_of
from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_kind = one_of("unknown tool", "not json", "wrong types", "duplicate id")
_VALUES: dict[str, Any] = {
    "string": "text",
    "integer": 7,
    "number": 7,
    "boolean": True,
    "array": ["text"],
    "object": {"text": "text"},
    "null": None,
}
# A word is no number, even where numbers may be given as text.
_WRONG: tuple[tuple[str, Any], ...] = (("integer", 7), ("string", "seven"), ("object", {"wrong": "type"}))


@dataclass(frozen=True, slots=True)
class BadToolCall:
    """The model calls a tool as it should not; the tool is the first that the request offers.

    Attributes:
        kind: ``"unknown tool"`` calls one that was not offered; ``"not json"`` breaks off in the arguments;
            ``"wrong types"`` gives each argument a value of another type than the tool's schema says;
            ``"duplicate id"`` calls the tool twice, with one id.
        tool: another tool than the first.
        arguments: what the arguments would be; by default made up from the schema. Not for ``"wrong types"``.

    Raises:
        ScriptError: there is no such kind, or a value is not legal. Or, when it is asked for, the request offers no
            tool, or one whose schema says no type that could be wrong.

    Example:
        >>> client.respond("Let me see.", BadToolCall("not json"))  # doctest: +SKIP
    """

    kind: Literal["unknown tool", "not json", "wrong types", "duplicate id"]
    tool: str | None = field(default=None, kw_only=True)
    arguments: Mapping[str, Any] | None = field(default=None, kw_only=True, hash=False)

    def __post_init__(self) -> None:
        _kind(self.kind, "BadToolCall(kind)")
        ToolCall("any" if self.tool is None else self.tool, {} if self.arguments is None else self.arguments)
        if self.arguments is not None and self.kind == "wrong types":
            raise ScriptError(
                f"BadToolCall('wrong types', arguments={brief(self.arguments)}): the wrong ones are made up; to send"
                " those, write ToolCall(name, arguments)"
            )

    def __call__(self, request: Request) -> list[ToolCall]:
        """Return the answer to a request.

        Raises:
            ScriptError: the request offers no tool, or none of whose arguments could have a wrong type.
        """
        if self.kind == "unknown tool":
            return [ToolCall(self._unknown(request), self.arguments or {})]
        tool = self._tool(request)
        if self.kind == "wrong types":
            return [ToolCall(tool.name, _wrong(tool))]
        arguments = _values(tool.schema) if self.arguments is None else self.arguments
        call = ToolCall(tool.name, arguments)
        if self.kind == "not json":
            text = call.json if arguments else '{"'
            return [ToolCall(tool.name, text[: max(1, len(text) - 1)])]
        return [ToolCall(tool.name, arguments, id="call_1")] * 2

    def _unknown(self, request: Request) -> str:
        name = self.tool or "no_such_tool"
        if self.tool in request.tool_names:
            raise ScriptError(f"{self!r}: the request offers {self.tool!r}; leave tool= out for one that it does not")
        while name in request.tool_names:
            name += "_"
        return name

    def _tool(self, request: Request) -> Tool:
        offered = tools_of(request.tools)
        if self.tool is None and offered:
            return offered[0]
        found = next((tool for tool in offered if tool.name == self.tool), None)
        if found is None and (self.tool is None or self.kind == "wrong types"):
            names = ", ".join(map(repr, request.tool_names)) or "none"
            raise ScriptError(f"{self!r} needs a request that offers the tool; this one offers {names}")
        return found or Tool(self.tool or "", {})


def _properties(schema: Schema) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the types of each argument."""
    properties = schema.get("properties")
    for name, said in (properties if isinstance(properties, Mapping) else {}).items():
        yield str(name), list(_types(said))


def _types(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    kinds = schema.get("type")
    yield from (kind.lower() for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str))
    for name in ("anyOf", "oneOf"):
        for one in schema.get(name) or ():
            yield from _types(one)


def _values(schema: Schema) -> dict[str, Any]:
    return {name: _VALUES.get(next(iter(types), "string"), "text") for name, types in _properties(schema)}


def _wrong(tool: Tool) -> dict[str, Any]:
    found = {}
    for name, types in _properties(tool.schema):
        legal = {*types, *(["integer"] if "number" in types else [])}
        if types:
            found[name] = next((value for kind, value in _WRONG if kind not in legal), ["wrong type"])
    if not found:
        raise ScriptError(f"no argument of tool {tool.name!r} can have a wrong type: its schema names no types")
    return found
