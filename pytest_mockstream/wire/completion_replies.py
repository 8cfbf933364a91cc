"""What chats and completions of OpenAI's format say alike, in the dialect of a provider: tokens used, and errors."""

from __future__ import annotations

from dataclasses import replace

from pytest_mockstream.script.chunks import Usage

from .dialect import Dialect
from .errors import openai_error
from .format import Json, Reply

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def told_usage(dialect: Dialect, usage: Usage) -> Json:
    """Return the tokens used, as OpenAI says them, rewritten for the dialect."""
    return dialect.usage(
        {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": usage.prompt_audio_tokens}
            | ({"cache_write_tokens": usage.cache_write_tokens} if usage.cache_write_tokens else {}),
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning_tokens,
                "audio_tokens": usage.completion_audio_tokens,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
    )


def for_all(reply: Reply, usage: Usage, choices: int) -> Usage:
    """Return the tokens of all choices: those of one are counted, but what the script says is said of all."""
    if reply.usage is not None:
        return usage
    return replace(usage, completion_tokens=usage.completion_tokens * choices)


def told_error(dialect: Dialect, status: int, message: str, kind: str | None, code: str | None = None) -> Json:
    """Return the body of an error, as OpenAI says it, rewritten for the dialect."""
    return dialect.error(status, openai_error(status, message, kind, code)["error"])
