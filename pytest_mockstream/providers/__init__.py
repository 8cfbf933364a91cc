"""The wire formats, one module each, and the table that finds the one a request speaks.

The wall: pure functions from requests to what they ask, and from steps of chunks to steps of events.
"""

from __future__ import annotations

from urllib.parse import unquote

from . import anthropic, gemini, ollama, openai_chat, openai_responses
from ._hosts import HOSTS, provider_of
from ._wire import Ask, BadRequestError, Reply, WireFormat

__all__ = [
    "FORMATS",
    "HOSTS",
    "Ask",
    "BadRequestError",
    "Reply",
    "WireFormat",
    "find_format",
    "provider_of",
]

FORMATS: tuple[WireFormat, ...] = (
    openai_chat.FORMAT,
    openai_responses.FORMAT,
    anthropic.FORMAT,
    gemini.FORMAT,
    ollama.CHAT,
    ollama.GENERATE,
)


def find_format(path: str) -> tuple[WireFormat, dict[str, str]] | None:
    """Return the format that speaks at a path, behind any prefix, and what the path itself says."""
    for wire in FORMATS:
        if found := wire.path.search(unquote(path).rstrip("/")):
            return wire, {name: value for name, value in found.groupdict().items() if value}
    return None
