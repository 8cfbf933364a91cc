"""The table of what each SDK makes of each fault: that of the tests, cell by cell, for its reader."""

from __future__ import annotations

import re
import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from .pages import ROOT

#: Heading, with the oldest version that is tested, the test's name for the SDK, and the HTTP library that carries it.
_COLUMNS = (
    ("openai 3.14+, chat", "openai chat", "httpx2"),
    ("openai 3.14+, responses", "openai responses", "httpx2"),
    ("{anthropic}", "anthropic", "httpx2"),
    ("{google-genai}", "google-genai", "aiohttp"),
    ("{ollama}", "ollama", "httpx"),
    ("litellm, openai", "litellm openai", "aiohttp"),
)


def table() -> str:
    """Return the table in Markdown."""
    tests = _tests()
    oldest = _oldest()
    lines = [["what happens", "script", *(heading.format_map(oldest) for heading, _, _ in _COLUMNS)]]
    lines.append(["---"] * len(lines[0]))
    for fault, (steps, settings, _) in tests.TABLE.items():
        said = [_spelled(step) for step in steps] + [f"{name}={value!r}" for name, value in settings.items()]
        cells = [_cell(tests._expected(fault, tests.Talk(name, None, wire))) for _, name, wire in _COLUMNS]
        lines.append([fault, f"`{', '.join(said)}`", *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _oldest() -> dict[str, str]:
    """Return the name of each SDK with the oldest version that the tests' environments allow."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = project[project.index("\ntest = [") : project.index("\nlibraries = [")]
    found = re.findall(r'"([\w-]+)(?:\[\w+\])?>=([\d.]+)', extras)
    return {name: f"{name} {version}+" for name, version in found}


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
