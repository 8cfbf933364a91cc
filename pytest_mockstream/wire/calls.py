"""Tool calls, for the formats that take their arguments whole.

The wall: pure; knows no provider.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ToolCall

from .format import Json


def arguments_of(text: str) -> Any:
    """Return the arguments of a call; no text at all means none."""
    return json.loads(text) if text.strip() else {}


def broken_arguments(script: Script) -> str | None:
    """Tell which call's arguments are no JSON object, or return None."""
    for step in script.steps:
        if isinstance(step, ToolCall):
            try:
                arguments = arguments_of(step.json)
            except ValueError:
                return f"the arguments of {step!r} are not JSON"
            if not isinstance(arguments, dict):
                return f"the arguments of {step!r} are not a JSON object"
    return None


def call_message(text: str, calls: Iterable[tuple[Any, Any, Any]]) -> Json:
    """Return the assistant's message that made calls of (id, name, arguments), in OpenAI's shape."""
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
