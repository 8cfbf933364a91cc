"""Tells the name of a model from the date of its snapshot."""

from __future__ import annotations

import re

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATES = (
    rf"20[0-9]{{2}}-{_MONTH}-{_DAY}",  # OpenAI, Qwen: gpt-5-2025-08-07
    rf"20[0-9]{{2}}{_MONTH}{_DAY}",  # Anthropic: claude-sonnet-4-20250514, with an @ before it at Vertex
    rf"{_MONTH}-20[0-9]{{2}}",  # Cohere: command-a-03-2025; Gemini: gemini-2.5-flash-preview-09-2025
    rf"{_MONTH}-{_DAY}",  # Gemini: gemini-2.5-pro-preview-05-06
    rf"2[3-9]{_MONTH}",  # Mistral: mistral-large-2411
    rf"{_MONTH}{_DAY}",  # OpenAI before 2024, xAI, DeepSeek, Kimi: gpt-4-0613, grok-4-0709
    "latest",  # whichever is the newest: Mistral's, Anthropic's and Gemini's aliases, Ollama's tag
)
#: A date stands at the end, or before what some providers put behind it: ``gpt-4-0125-preview``, and Bedrock's
#: ``anthropic.claude-sonnet-4-20250514-v1:0``.
_DATED = re.compile(rf"(?<=[A-Za-z0-9])[-@:](?:{'|'.join(_DATES)})(?=$|-preview$|-v[0-9]+(?::[0-9]+)?$)")


def undated(model: str) -> str:
    """Return the name of a model without the date of its snapshot, and without ``latest``.

    Versions that are no dates stay: ``gemini-2.0-flash-001``, ``gpt-4-32k``, ``llama3.2:3b``.
    Sources: https://platform.openai.com/docs/models, https://docs.anthropic.com/en/docs/about-claude/models,
    https://ai.google.dev/gemini-api/docs/models, https://docs.mistral.ai/getting-started/models,
    https://docs.cohere.com/docs/models, https://docs.x.ai/docs/models.
    """
    return _DATED.sub("", model.removeprefix("models/"), count=1)
