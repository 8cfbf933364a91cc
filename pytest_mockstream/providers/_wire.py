"""What every wire format is made of: the parsed request, the encoder, and the table entry that joins them.

The wall: no input or output, no clock. Formats know this module and never each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from pytest_mockstream._chunks import StreamChunk
from pytest_mockstream._exceptions import ScriptError
from pytest_mockstream._script import ErrorEvent, KeepAlive, Malformed, Played, Script, Wait
from pytest_mockstream._sse import Event, Framing

Json: TypeAlias = "dict[str, Any]"
#: A chunk, and for how many of the script it stands.
_Counted: TypeAlias = "tuple[StreamChunk, int]"

#: The instant that every reply says it was made at: 2025-01-01T00:00:00Z. A fake has no reason to differ each run.
CREATED = 1_735_689_600
CREATED_TEXT = "2025-01-01T00:00:00Z"


class BadRequestError(ValueError):
    """A request that a wire format cannot make sense of; its text says what came and what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, parsed.

    Attributes:
        model: the model asked for.
        messages: the conversation as ``{"role", "content", ...}``: system text, and each tool's result, are messages
            of their own (roles ``"system"`` and ``"tool"``); tool calls are in OpenAI's shape.
        tools: the tools offered, as the request has them.
        params: everything else that the request said.
        framing: how the answer is streamed; None if it is not.
        include_usage: whether the stream tells the usage.
    """

    model: str
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    tools: list[Mapping[str, Any]] = field(default_factory=list)
    params: Json = field(default_factory=dict)
    framing: Framing | None = None
    include_usage: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an encoder knows about the answer before its first chunk.

    Attributes:
        ask: the request.
        number: the request's number, which makes the ids: the same on every run.
        finish_reason: why the model stops, in the provider's own word.
        prompt_tokens: for the formats that tell them before the first chunk.
    """

    ask: Ask
    number: int
    finish_reason: str
    prompt_tokens: int = 0


class Encoder(Protocol):
    """Turns one stream of chunks into events; holds what the format makes a stream remember."""

    def chunk(self, chunk: StreamChunk) -> Iterable[Event]:
        """Return the events that say what a chunk says: one at least."""

    def keep_alive(self) -> Event:
        """Return an event that says nothing."""

    def error(self, error: ErrorEvent) -> Event:
        """Return the event of an error inside a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFormat:
    """One provider's byte shape.

    Attributes:
        name: for messages.
        provider: who is asked, where the host does not say it.
        shown: method and path, for messages.
        path: finds the format's path behind any prefix; named groups go to ``parse``.
        parse: request body, path's groups and query to ``Ask``; raises ``BadRequestError``.
        encoder: makes the encoder of one stream.
        whole: makes the body of a reply that is not streamed.
        error: makes the body of an HTTP error from status, message and the provider's word for it (or None).
        error_status: HTTP statuses of the provider's error words, for an ``ErrorEvent`` where nothing is streamed.
        finish_reasons: OpenAI's words, and the provider's own, to the provider's own.
        objection: why a script cannot be said in answer to a request, or None.
        whole_calls: whether a stream says each tool call at once, when its last fragment would have come.
        request_id: the header that tells the request's id.
    """

    name: str
    provider: str
    shown: str
    path: re.Pattern[str]
    parse: Callable[[Json, Mapping[str, str], Mapping[str, str]], Ask]
    encoder: Callable[[Reply], Encoder]
    whole: Callable[[Reply, Sequence[StreamChunk]], Json]
    error: Callable[[int, str, str | None], Json]
    error_status: Mapping[str, int]
    finish_reasons: Mapping[str, str]
    objection: Callable[[Ask, Script], str | None] = lambda _ask, _script: None
    whole_calls: bool = False
    request_id: str = "x-request-id"

    def reply(self, ask: Ask, script: Script, *, number: int, prompt_tokens: int) -> Reply:
        """Return what the encoder must know.

        Raises:
            ScriptError: the format cannot say this script.
        """
        finish_reason = self.finish_reasons.get(script.finish_reason)
        if finish_reason is None:
            msg = (
                f"finish_reason={script.finish_reason!r} is no word of {self.name}:"
                f" give {' or '.join(map(repr, self.finish_reasons))}"
            )
            raise ScriptError(msg)
        if objection := self.objection(ask, script):
            raise ScriptError(f"{self.name} cannot say {script!r}: {objection}")
        if script.usage is not None:
            prompt_tokens = script.usage.prompt_tokens
        return Reply(ask=ask, number=number, finish_reason=finish_reason, prompt_tokens=prompt_tokens)

    def encoded(self, steps: Iterable[Played[StreamChunk]], encoder: Encoder) -> Iterator[Played[Event]]:
        """Turn steps of chunks into steps of events; see ``encoded``."""
        return encoded(_whole_calls(steps) if self.whole_calls else _one_by_one(steps), encoder)


def encoded(steps: Iterable[Played[_Counted]], encoder: Encoder) -> Iterator[Played[Event]]:
    """Turn steps of chunks into steps of events; whatever has no bytes passes through.

    An ``ErrorEvent`` becomes its event and then ends the steps as the fault that it is.
    """
    for step in steps:
        if isinstance(step, tuple):
            chunk, count = step
            *events, last = encoder.chunk(chunk)
            yield from events
            yield replace(last, chunks=count, last=chunk.finish_reason is not None)
        elif isinstance(step, KeepAlive):
            yield encoder.keep_alive()
        elif isinstance(step, Malformed):
            yield Event(step.data)
        elif isinstance(step, ErrorEvent):
            yield encoder.error(step)
            yield step
        else:
            yield step


def _one_by_one(steps: Iterable[Played[StreamChunk]]) -> Iterator[Played[_Counted]]:
    for step in steps:
        yield (step, 1) if isinstance(step, StreamChunk) else step


def _whole_calls(steps: Iterable[Played[StreamChunk]]) -> Iterator[Played[_Counted]]:
    """Join the fragments of each tool call at the place of the last one; time passes as it would have."""
    held: list[StreamChunk] = []
    waits: list[Wait] = []
    for step in steps:
        if held and isinstance(step, Wait):
            waits.append(step)
            continue
        goes_on = bool(held) and isinstance(step, StreamChunk) and _same_call(held[-1], step)
        if held and not goes_on:
            yield _joined(held), len(held)
            held = []
        yield from waits
        waits = []
        if isinstance(step, StreamChunk):
            if step.tool_call is not None:
                held.append(step)
            else:
                yield step, 1
        else:
            yield step
    if held:
        yield _joined(held), len(held)
    yield from waits


def _same_call(one: StreamChunk, other: StreamChunk) -> bool:
    return one.tool_call is not None and other.tool_call is not None and one.tool_call.index == other.tool_call.index


def _joined(fragments: list[StreamChunk]) -> StreamChunk:
    first = fragments[0]
    calls = [fragment.tool_call for fragment in fragments if fragment.tool_call is not None]
    return replace(first, tool_call=replace(calls[0], arguments="".join(call.arguments for call in calls)))


def words(*own: str, **of_openai: str) -> dict[str, str]:
    """Return a table of finish reasons: OpenAI's words to the provider's, and each of the provider's to itself."""
    return of_openai | {word: word for word in (*of_openai.values(), *own)}
