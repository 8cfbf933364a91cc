"""``Dialect``: what one provider of OpenAI's format says in its own way, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .dialect_shapes import Json, nothing, openai_body
from .format import words

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

UsagePlace: TypeAlias = Literal["own chunk, if asked", "own chunk", "last chunk", "each chunk"]
ReasoningPlace: TypeAlias = Literal["reasoning_content", "reasoning", "thinking parts", "<think>"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one provider says in its own way.

    Attributes:
        title: its name, for people.
        source: where its format is documented.
        base: the path of the base URL that its own SDK is given, or OpenAI's if it has none; another server's begins
            with the provider's name.
        path: found in the paths of its API, and in no other provider's; None if its paths are OpenAI's.
        agent: found in the ``User-Agent`` of its own SDK; None if it has no SDK of its own.
        reasoning: where reasoning is: in a field of the message, in parts of its content, or in its text.
        reasoning_details: whether reasoning comes as a list of parts, too.
        beside_reasoning: the further fields of a delta of reasoning.
        usage_in: where a stream says its usage: in a chunk behind the last, in the last, or in each.
        usage_has_choice: whether the chunk behind the last has a choice, which says nothing.
        null_usage: whether chunks before say ``"usage": null``; where usage comes if asked for, only then.
        usage: rewrites OpenAI's usage.
        finish_reasons: its finish reason for each of OpenAI's, and for each of its own.
        opening: the first delta, which has no content; None if there is none, and the role is in the first with some.
        closing: the delta that has the finish reason.
        role_in_each: whether each delta says the role.
        whole_calls: whether a tool call is streamed in one piece.
        numbers_calls: whether the tool calls of a whole message are numbered, too.
        name_first: whether the first fragment of a tool call has no ``arguments``.
        refusals: whether it has a field for refusals.
        head: further fields of each chunk and of a whole reply.
        first: further fields of the first chunk.
        last: further fields of the last chunk, given the usage.
        whole: further fields of a whole reply, given the usage.
        prelude: a chunk before all others; None if there is none.
        choice: further fields of a choice, given the choice.
        null_logprobs: whether a choice says ``"logprobs": null`` where there are none.
        cumulative: whether each choice of a chunk has the whole message so far, too, and that of a whole reply a delta.
        id_prefix: how ids begin.
        error: makes the body of an error, given the status and OpenAI's.
        has_codes: whether the code of an error is said, besides or instead of its type.
        error_ends_choice: whether an error inside a stream comes in a chunk, with the finish reason ``"error"``.
        comment: what its keep-alive comments say.
        headers: further headers of its responses; ``{number}`` stands for the number of the request.
    """

    title: str
    source: str
    base: str = "/v1"
    path: re.Pattern[str] | None = None
    agent: re.Pattern[str] | None = None
    reasoning: ReasoningPlace = "reasoning_content"
    reasoning_details: bool = False
    beside_reasoning: Json = field(default_factory=dict)
    usage_in: UsagePlace = "own chunk, if asked"
    usage_has_choice: bool = False
    null_usage: bool = False
    usage: Callable[[Json], Json] = dict
    finish_reasons: Mapping[str, str] = field(
        default_factory=lambda: words(
            stop="stop",
            length="length",
            tool_calls="tool_calls",
            content_filter="content_filter",
            function_call="function_call",
        )
    )
    opening: Json | None = field(default_factory=lambda: {"content": ""})
    closing: Json = field(default_factory=dict)
    role_in_each: bool = False
    whole_calls: bool = False
    numbers_calls: bool = False
    name_first: bool = False
    refusals: bool = False
    head: Json = field(default_factory=dict)
    first: Json = field(default_factory=dict)
    last: Callable[[Json], Json] = nothing
    whole: Callable[[Json], Json] = nothing
    prelude: Json | None = None
    choice: Callable[[Json], Json] = nothing
    null_logprobs: bool = True
    cumulative: bool = False
    id_prefix: str = "chatcmpl-"
    error: Callable[[int, Json], Json] = openai_body
    has_codes: bool = True
    error_ends_choice: bool = False
    comment: str = "keep-alive"
    headers: Mapping[str, str] = field(default_factory=dict)
