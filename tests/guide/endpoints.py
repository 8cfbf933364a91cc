"""The table of all endpoints: what each answers, and how it is scripted."""

from __future__ import annotations

from pytest_mockstream.wire import ENDPOINTS, PlainEndpoint, WireFormat

_NAMES = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
    "ollama": "Ollama",
    "cohere": "Cohere",
    "mistral": "Mistral",
    "jina": "Jina",
    "voyage": "Voyage",
}


def table() -> str:
    """Return a table for each provider in Markdown."""
    parts = []
    for provider in dict.fromkeys(endpoint.provider for endpoint in ENDPOINTS):
        rows = [_row(endpoint) for endpoint in ENDPOINTS if endpoint.provider == provider]
        lines = [["request", "answered with", "scripted with"], ["---"] * 3, *rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"### {_NAMES.get(provider, provider)}\n\n{table}")
    return "\n\n".join(parts)


def _row(endpoint: WireFormat | PlainEndpoint) -> list[str]:
    if isinstance(endpoint, WireFormat):
        return [f"`{endpoint.shown}`", "the next script", "`respond(...)`"]
    path = endpoint.shown.replace("…", "")
    for name in ("id", "item", "file", "batch", "model", "digest", "version"):
        path = path.replace(f"{{{name}}}", "*")
    return [f"`{endpoint.shown}`", endpoint.tells, f'`when(path="{path}").respond(...)`']
