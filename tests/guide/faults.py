"""The table of what each SDK makes of each fault: that of the tests, cell by cell, for its reader."""

from __future__ import annotations

import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

#: Heading, the test's name for the SDK, and the HTTP library that carries it.
_COLUMNS = (
    ("openai 3, chat", "openai chat", "httpx2"),
    ("openai 3, responses", "openai responses", "httpx2"),
    ("anthropic", "anthropic", "httpx2"),
    ("google-genai", "google-genai", "aiohttp"),
    ("ollama", "ollama", "httpx"),
    ("litellm, openai", "litellm openai", "aiohttp"),
)


def table() -> str:
    """Return the table in Markdown."""
    tests = _tests()
    lines = [["what happens", "script", *(heading for heading, _, _ in _COLUMNS)]]
    lines.append(["---"] * len(lines[0]))
    for fault, (steps, settings, _) in tests.TABLE.items():
        said = [_spelled(step) for step in steps] + [f"{name}={value!r}" for name, value in settings.items()]
        cells = [_cell(tests._expected(fault, tests.Talk(name, None, wire))) for _, name, wire in _COLUMNS]
        lines.append([fault, f"`{', '.join(said)}`", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tests() -> Any:
    folder = str(Path(__file__).parent.parent / "doors" / "in_process")
    sys.path.insert(0, folder)
    try:
        return import_module("test_sdk_faults")
    finally:
        sys.path.remove(folder)


def _spelled(step: Any) -> str:
    """Write a step as its user would, without what is the default."""
    if not is_dataclass(step):
        return repr(step)
    said = [
        f"{field.name}={value!r}" if field.kw_only else repr(value)
        for field in fields(step)
        if (value := getattr(step, field.name)) is not None and value != field.default
    ]
    return f"{type(step).__name__}({', '.join(said)})"


def _cell(outcome: str) -> str:
    """Say in a word or two what a consumer got, or the exception that it sees, without its cause."""
    if not outcome.startswith("'"):
        return f"`{outcome.partition(' <- ')[0].removeprefix('builtins.')}`"
    text, _, finish = outcome.rpartition(" ")
    if outcome.endswith("error event"):
        return "an event of type `error`"
    if finish == "None":
        return "**success**, no text" if text == "''" else f"**success**, `{text}`, no finish reason"
    return "**success**, no text" if text == "''" else "the whole answer"
