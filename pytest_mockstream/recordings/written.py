"""Writes the steps of a script in the vocabulary of script files; the twin of ``playbook.script_file``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.steps import (
    Frame,
    Interleave,
    Reasoning,
    Refusal,
    ServerTool,
    Step,
    Text,
    Together,
    ToolCall,
)

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_WIDTH = 110  # characters of a line of JSON
_PROSE = (Text, Reasoning, Refusal)
_NAMES = {"HTTPError": "http_error", "KeepAlive": "keep_alive", "ServerTool": "server_tool", "ToolCall": "tool_call"}


def step_table(step: Step) -> dict[str, Any]:
    """Return a step as a table with one key.

    Raises:
        TypeError: a file has no word for it.
    """
    return {_name_of(step): _value_of(step)}


def usage_table(usage: Usage) -> dict[str, int]:
    """Return the tokens used as a table."""
    return {name: value for name in usage.__slots__ if (value := getattr(usage, name))}


def _name_of(step: Step) -> str:
    if isinstance(step, Gate):
        raise TypeError("a Gate() is opened by a test, and no file can say it")
    kind = type(step).__name__
    known = _NAMES.get(kind)
    return known or "".join(f"_{char.lower()}" if char.isupper() else char for char in kind).removeprefix("_")


def _value_of(step: Any) -> Any:
    if isinstance(step, Interleave):
        parts = list(map(step_table, step.parts))
        return parts if step.order is None else {"parts": parts, "order": list(step.order)}
    if isinstance(step, Together):
        return list(map(step_table, step.parts))
    said = _said(step)
    if isinstance(step, ToolCall):
        return _call(step, said)
    if isinstance(step, Frame):
        said["data"] = step.data if isinstance(step.data, str) else step.text
    if isinstance(step, ServerTool):
        said |= {name: _without_null(said[name]) for name in ("input", "result") if name in said}
    if isinstance(step, _PROSE):
        content = step.content
        return content if said.keys() <= {"content"} else {"content": content, **said | {"content": content}}
    if not said:
        return True
    first = fields(step)[0]
    is_alone = said.keys() == {first.name} and not first.kw_only and not isinstance(said[first.name], Mapping)
    return said[first.name] if is_alone else said


def _said(step: Any) -> dict[str, Any]:
    """Return the fields of a step that are not as they are by default."""
    told = {field.name: getattr(step, field.name) for field in fields(step) if field.init}
    defaults = {field.name: _default_of(field) for field in fields(step)}
    return {name: value for name, value in told.items() if value is not None and value != defaults[name]}


def _default_of(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _call(call: ToolCall, said: dict[str, Any]) -> dict[str, Any]:
    if isinstance(call.fragments, tuple):
        said["fragments"] = tuple(False if one is None else one for one in call.fragments)
        said.pop("arguments", None)
    elif "arguments" in said and (not isinstance(call.arguments, str)) and not _is_toml(call.arguments):
        said["arguments"] = call.json
    order = ("name", "id", "arguments", "fragments", "index")
    return {name: said[name] for name in order if name in said}


def _is_toml(value: Any) -> bool:
    """Tell whether TOML gives back just this value: it has no null, and numbers have a kind."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_toml(one) for key, one in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_toml, value))
    return isinstance(value, bool | int | float) or (isinstance(value, str) and _is_text(value))


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_null(one) for key, one in value.items() if one is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_null(one) for one in value if one is not None]
    return value


def json_lines(value: Any) -> str:
    """Return JSON on several lines, for a person: what fits on a line is on one."""
    return _laid_out(value, "") + "\n"


def _laid_out(value: Any, indent: str) -> str:
    inline = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if not isinstance(value, dict | list) or len(indent) + len(inline) <= _WIDTH:
        return inline
    deeper = f"{indent} "
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(one, deeper)}" for key, one in sorted(value.items())
        ]
    else:
        parts = [_laid_out(one, deeper) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{closing}"
