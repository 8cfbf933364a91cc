"""What chats and completions of OpenAI's format say alike, read in whatever dialect: tokens used, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import ErrorEvent

from .decoding import counted
from .dialect import Dialect

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def object_of(value: Any) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for null.

    Raises:
        TypeError: it is another thing.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"a JSON {type(value).__name__} instead of an object")
    return value


def text_of(value: Any) -> str:
    """Return text; an empty one for null.

    Raises:
        TypeError: it is another thing.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"a JSON {type(value).__name__} instead of text")
    return value


def first_choice(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the first of the choices, the only one that a script can say; None if nothing is said of it.

    Raises:
        LookupError: there is no field for choices.
    """
    choices = map(object_of, body["choices"] or ())
    return next((choice for choice in choices if choice.get("index") in {None, 0}), None)


def usage_in(body: Mapping[str, Any]) -> Iterator[Usage]:
    """Yield the tokens used, if they are told: at the top, or in Groq's own field."""
    told = body.get("usage") or _object_or_none(body.get("x_groq")).get("usage")
    if isinstance(told, Mapping):
        yield _usage(told)


def _usage(told: Mapping[str, Any]) -> Usage:
    prompt = _object_or_none(told.get("prompt_tokens_details"))
    completion = _object_or_none(told.get("completion_tokens_details"))
    said, done, all_of_them = (told.get(f"{name}_tokens") for name in ("prompt", "completion", "total"))
    thought = completion.get("reasoning_tokens") or told.get("reasoning_tokens")
    if _is_count(thought) and _is_count(done) and _counts_reasoning_beside(said, done, thought, all_of_them):
        done += thought
    return counted(
        prompt_tokens=said,
        completion_tokens=done,
        reasoning_tokens=thought,
        cached_tokens=prompt.get("cached_tokens") or told.get("prompt_cache_hit_tokens"),
        cache_write_tokens=prompt.get("cache_write_tokens"),
        prompt_audio_tokens=prompt.get("audio_tokens"),
        completion_audio_tokens=completion.get("audio_tokens"),
    )


def _counts_reasoning_beside(said: Any, done: int, thought: int, all_of_them: Any) -> bool:
    """Tell whether reasoning is not among the output tokens, as xAI and Gemini count: the sum of all says it."""
    if _is_count(said) and _is_count(all_of_them) and all_of_them != said + done:
        return bool(all_of_them == said + done + thought)
    return thought > done


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _object_or_none(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def is_error(body: Mapping[str, Any]) -> bool:
    """Tell whether a frame or a body says an error: under ``error``, at its top, or as FastAPI has it."""
    return bool(body.get("error")) or body.get("object") == "error" or ("detail" in body and "choices" not in body)


def error_step(body: Mapping[str, Any], dialect: Dialect) -> ErrorEvent:
    """Return what an error inside of a stream says, as far as the dialect can say it."""
    message, kind, code = told_error(body)
    return ErrorEvent(message, type=kind, code=code if dialect.has_codes else None)


def told_error(body: Any) -> tuple[str, str | None, str | None]:
    """Return message, type and code of an error in any dialect; type and code may be None.

    Raises:
        LookupError: it is no error.
        TypeError: it is none either.
    """
    top = object_of(body)
    if not is_error(top) and "message" not in top:
        raise LookupError("no error in it")
    error = top.get("error")
    said = error if isinstance(error, Mapping) else top
    message = next((found for found in (said.get("message"), said.get("detail"), error) if found), "")
    return (
        message if isinstance(message, str) else json.dumps(message, ensure_ascii=False),
        _word(said.get("type")) or _word(said.get("error_type")),
        _word(said.get("code")),
    )


def _word(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None
