"""Reads requests: typed look-ups in a JSON body, whose errors name the field, and messages in one common shape.

It knows no provider.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .format import BadRequestError, Json


def text_field(body: Mapping[str, Any], name: str) -> str:
    """Return the text of a field; it must be there and must not be empty."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequestError(f"{name!r} must be text and not empty, {_got(body, name)}")
    return value


def flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """Return a boolean field; the default if it is absent or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadRequestError(f"{name!r} must be true or false, {_got(body, name)}")
    return value


def objects(body: Mapping[str, Any], name: str, *, required: bool = False) -> list[Mapping[str, Any]]:
    """Return a field that is a list of JSON objects; unless it is required, absent and null mean an empty list."""
    value = body.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequestError(f"{name!r} must be a list of objects, {_got(body, name)}")
    if required and not value:
        raise BadRequestError(f"{name!r} must not be empty")
    return value


def rest(body: Mapping[str, Any], *taken: str) -> Json:
    """Return all fields but those that were taken."""
    return {name: value for name, value in body.items() if name not in taken}


def joined_text(parts: object) -> str:
    """Return the text of a message's content, which may be a text or a list of parts, some of them text."""
    if isinstance(parts, str):
        return parts
    if isinstance(parts, Mapping):
        text = parts.get("text", "")
        return text if isinstance(text, str) else ""
    return "".join(map(joined_text, parts)) if isinstance(parts, Iterable) else ""


def call_message(text: str, calls: Iterable[tuple[Any, Any, Any]]) -> Json:
    """Return an assistant's message with tool calls, each (id, name, arguments), in OpenAI's shape."""
    made = [
        {
            "id": call_id,
            "type": "function",
            "function": {
                "name": name,
                "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False),
            },
        }
        for call_id, name, arguments in calls
    ]
    return {"role": "assistant", "content": text, "tool_calls": made}


def _got(body: Mapping[str, Any], name: str) -> str:
    if name not in body:
        return "but it is missing"
    value = body[name]
    # Lists and objects are not repeated: they may hold anything.
    return f"but it is a {type(value).__name__}" if isinstance(value, list | dict) else f"but it is {value!r:.80}"
