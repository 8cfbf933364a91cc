"""The table of all endpoints, and the look-up of those that a request may be meant for."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from .format import WireFormat
from .formats import anthropic, embeddings, gemini, metadata, ollama, openai_chat, openai_responses
from .plain import PlainEndpoint

#: All endpoints; of several that fit a request, the first counts.
ENDPOINTS: tuple[WireFormat | PlainEndpoint, ...] = (
    openai_chat.FORMAT,
    openai_responses.FORMAT,
    anthropic.FORMAT,
    gemini.FORMAT,
    ollama.CHAT,
    ollama.GENERATE,
    *embeddings.ENDPOINTS,
    *metadata.ENDPOINTS,
)


def endpoints_at(path: str, headers: Mapping[str, str]) -> list[tuple[WireFormat | PlainEndpoint, dict[str, str]]]:
    """Return the endpoints at a path, after any prefix and for any method, each with the parameters in the path."""
    path = unquote(path).rstrip("/")
    found = ((endpoint, endpoint.path.search(path)) for endpoint in ENDPOINTS if _is_meant(endpoint, headers))
    return [
        (endpoint, {name: value for name, value in match.groupdict().items() if value})
        for endpoint, match in found
        if match is not None
    ]


def _is_meant(endpoint: WireFormat | PlainEndpoint, headers: Mapping[str, str]) -> bool:
    return not isinstance(endpoint, PlainEndpoint) or endpoint.header is None or endpoint.header in headers
