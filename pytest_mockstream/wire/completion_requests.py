"""Reads requests in OpenAI's formats of chats and completions: https://platform.openai.com/docs/api-reference/chat/create.

Providers of these formats take the same fields, whatever their replies look like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mockstream._base.redaction import brief

from .format import BadRequestError, Json, ParsedRequest
from .logprobs import top_of
from .reading import choices_of, flag, objects, refuse, rest, text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: https://platform.openai.com/docs/api-reference/completions/create#completions-create-logprobs
MOST_LOGPROBS = 5
_TAKEN = ("model", "stream", "stream_options")


def chat(body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    """Read a request for a chat."""
    choices_of(body)
    if top_of(body, "top_logprobs") and not flag(body, "logprobs"):
        raise BadRequestError("'top_logprobs' is set, but 'logprobs' is not true")
    refuse(body, "prompt_logprobs", "a script has no log probabilities of its prompt")
    refuse(body, "modalities", "a script says text and images only", unless=_has_no_sound)
    refuse(body, "audio", "a script says text only")
    return ParsedRequest(
        # Azure has the deployment in the path: /openai/deployments/{model}/chat/completions
        model=groups.get("model") or text_field(body, "model"),
        messages=objects(body, "messages", required=True),
        tools=objects(body, "tools"),
        params=rest(body, *_TAKEN, "messages", "tools"),
        framing="sse" if flag(body, "stream") else None,
        include_usage=_wants_usage(body),
    )


def _has_no_sound(modalities: object) -> bool:
    return not modalities or (isinstance(modalities, list) and all(one in {"text", "image"} for one in modalities))


def agent(body: Json, groups: Mapping[str, str], query: Mapping[str, str]) -> ParsedRequest:
    """Read a request for what an agent says, whose model is not told: https://docs.mistral.ai/api/#tag/agents."""
    return chat({**body, "model": text_field(body, "agent_id")}, groups, query)


def code(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    """Read a request for the code between a prompt and a suffix: https://docs.mistral.ai/api/#tag/fim."""
    return ParsedRequest(
        model=text_field(body, "model"),
        messages=[{"role": "user", "content": text_field(body, "prompt")}],
        params=rest(body, *_TAKEN, "prompt"),
        framing="sse" if flag(body, "stream") else None,
    )


def completion(body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    """Read a request for a legacy completion; each prompt is one message of the user."""
    top_of(body, "logprobs", most=MOST_LOGPROBS)
    best, count = body.get("best_of") or 1, choices_of(body)
    if not isinstance(best, int) or (best != 1 and best < count):
        raise BadRequestError(f"'best_of' must be a whole number, and at least 'n', which is {count}")
    prompts = _prompts(body.get("prompt", ""))
    if flag(body, "echo") and not all(isinstance(prompt, str) for prompt in prompts):
        refuse(body, "echo", "the text of a prompt that is tokens is not known")
    return ParsedRequest(
        model=groups.get("model") or text_field(body, "model"),
        messages=[
            {"role": "user", "content": prompt if isinstance(prompt, str) else " ".join(map(str, prompt))}
            for prompt in prompts
        ],
        params=rest(body, *_TAKEN, "prompt"),
        framing="sse" if flag(body, "stream") else None,
        include_usage=_wants_usage(body),
    )


def _prompts(given: Any) -> list[Any]:
    """Return the prompts: each a text, or a list of tokens."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(_is_token(item) for item in given):
            return [given]
        if all(isinstance(item, str) or (isinstance(item, list) and all(map(_is_token, item))) for item in given):
            return given
    raise BadRequestError("'prompt' must be text, a list of tokens, or a list of such that is not empty")


def _is_token(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _wants_usage(body: Json) -> bool:
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise BadRequestError(f"'stream_options' must be an object, but it is {brief(options)}")
    return flag(options, "include_usage")
