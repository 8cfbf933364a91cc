"""What every wire format consists of: the parsed request, the encoder, and ``WireFormat``, which joins them.

To add a format, write a module with one ``WireFormat`` and list it in ``endpoints``. Formats do not know each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent, KeepAlive, Malformed, Played, Wait

from .frames import Frame
from .sse import Event, Framing, Writer, json_bytes

Json: TypeAlias = dict[str, Any]
#: When every reply claims to have been made: 2025-01-01T00:00:00Z, so that replies are the same in every run.
CREATED = 1_735_689_600
CREATED_TEXT = "2025-01-01T00:00:00Z"


class BadRequestError(ValueError):
    """A request is not valid in its wire format; the message says what came and what would be valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A parsed request.

    Attributes:
        model: the model that is asked for.
        messages: the conversation in one shape for all formats, ``{"role", "content", ...}``: system text and the
            results of tools are messages of their own (roles ``"system"`` and ``"tool"``); tool calls are in OpenAI's
            shape (https://platform.openai.com/docs/api-reference/chat/create).
        tools: the tools that are offered, as the request has them.
        params: all other fields of the request.
        framing: how the frames of the reply are told apart; None if the reply is not streamed.
        include_usage: whether the stream says how many tokens were used.
    """

    model: str
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    tools: list[Mapping[str, Any]] = field(default_factory=list)
    params: Json = field(default_factory=dict)
    framing: Framing | None = None
    include_usage: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an encoder knows about a reply before its first chunk.

    Attributes:
        request: what was asked.
        number: the number of the request; ids are made from it, so that they are the same in every run.
        finish_reason: why the model stops, in the provider's own term.
        prompt_tokens: the number of input tokens, which some formats say before the first chunk.
    """

    request: ParsedRequest
    number: int
    finish_reason: str
    prompt_tokens: int = 0


class Encoder(Protocol):
    """Turns the chunks of one stream into events, and remembers what later events need of earlier chunks."""

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        """Return the events for a chunk: at least one."""

    def text(self, text: str) -> Event | None:
        """Return the event for a chunk that has nothing but text.

        Return None unless, until the next call of ``chunk``, all such events differ in their text only: then the frame
        around the text needs to be made only once.
        """

    def ping(self) -> Event | None:
        """Return the format's own keep-alive event; None if it has none, and a comment must serve."""

    def error(self, error: ErrorEvent) -> Event:
        """Return the event for an error inside a stream."""


Parse: TypeAlias = Callable[[Json, Mapping[str, str], Mapping[str, str]], ParsedRequest]
Objection: TypeAlias = Callable[[ParsedRequest, Script], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFormat:
    """How requests and replies of one API of a provider are written.

    Attributes:
        name: its name, for messages.
        provider: the provider, where the host of the request does not say it.
        shown: method and path, for messages.
        path: matches the end of the path, after any prefix; its named groups go to ``parse``.
        parse: makes a ``ParsedRequest`` from body, groups of the path and query; raises ``BadRequestError``.
        encoder: makes the encoder for one stream.
        whole: makes the body of a reply that is not streamed.
        error: makes the body of an HTTP error from status, message and the provider's name for the error (or None).
        error_status: the HTTP status for each of the provider's names of errors; it is used for an ``ErrorEvent`` in a
            reply that is not streamed.
        finish_reasons: the provider's finish reason for each of OpenAI's, and for each of its own.
        objection: says why the format cannot express a script in reply to a request; returns None if it can.
        garbled: the ``event:`` field of a frame whose data is garbage, for readers that skip frames without one.
        whole_calls: whether tool calls are streamed in one piece each, sent when the last fragment would have come.
    """

    name: str
    provider: str
    shown: str
    path: re.Pattern[str]
    parse: Parse
    encoder: Callable[[Reply], Encoder]
    whole: Callable[[Reply, Sequence[StreamChunk]], Json]
    error: Callable[[int, str, str | None], Json]
    error_status: Mapping[str, int]
    finish_reasons: Mapping[str, str]
    method: ClassVar[str] = "POST"
    objection: Objection = lambda _request, _script: None
    garbled: str | None = None
    whole_calls: bool = False

    def reply(self, request: ParsedRequest, script: Script, *, number: int, prompt_tokens: int) -> Reply:
        """Return what the encoder must know.

        Raises:
            ScriptError: the format cannot express the script.
        """
        finish_reason = self.finish_reasons.get(script.finish_reason)
        if finish_reason is None:
            msg = (
                f"finish_reason={script.finish_reason!r} is not a finish reason of {self.name}:"
                f" give {' or '.join(map(repr, self.finish_reasons))}"
            )
            raise ScriptError(msg)
        if objection := self.objection(request, script):
            raise ScriptError(f"{self.name} cannot express {script!r}: {objection}")
        if script.usage is not None:
            prompt_tokens = script.usage.prompt_tokens
        return Reply(request=request, number=number, finish_reason=finish_reason, prompt_tokens=prompt_tokens)

    def frames(
        self, units: Iterable[Played[StreamChunk | str]], encoder: Encoder, writer: Writer
    ) -> Iterator[Played[Frame]]:
        """Replace chunks by frames of bytes; steps that have no bytes pass through.

        An ``ErrorEvent`` becomes a frame, and then passes through, too, as the fault that ends the stream.
        """
        around: tuple[bytes, bytes] | None = None  # what comes before and after each text; the same for most chunks
        for step in _whole_calls(units) if self.whole_calls else units:
            if isinstance(step, str):
                if around is None and (around := _around_text(encoder, writer)) is None:
                    yield from _chunk_frames(StreamChunk(index=-1, delta=step), encoder, writer)
                else:
                    yield Frame(around[0] + json_bytes(step) + around[1], 1)
            elif isinstance(step, StreamChunk):
                around = None
                yield from _chunk_frames(step, encoder, writer)
            elif isinstance(step, KeepAlive):
                yield Frame(ping(encoder, writer))
            elif isinstance(step, Malformed):
                garbage = Event(step.data, self.garbled if step.data else None)
                yield Frame(writer.frame(garbage) if step.framed else step.data.encode(errors="replace"))
            elif isinstance(step, ErrorEvent):
                yield Frame(writer.frame(encoder.error(step), last=True))
                yield step
            else:
                yield step


def _chunk_frames(chunk: StreamChunk, encoder: Encoder, writer: Writer) -> Iterator[Frame]:
    events = encoder.chunk(chunk)
    count = chunk.count if isinstance(chunk, _WholeCall) else 1
    is_last = chunk.finish_reason is not None
    # A reader has a chunk with the last event that says something of it; OpenAI's end of the stream shows nobody.
    counted = len(events) - (2 if events[-1].data == "[DONE]" else 1)
    for place, event in enumerate(events[:-1]):
        yield Frame(writer.frame(event), count if place == counted else 0)
    yield Frame(writer.frame(events[-1], last=is_last), count if counted == len(events) - 1 else 0, is_last)


_PLACE = "\0the place of a text\0"


def _around_text(encoder: Encoder, writer: Writer) -> tuple[bytes, bytes] | None:
    event = encoder.text(_PLACE)
    if event is None:
        return None
    before, _, behind = writer.frame(event).partition(json_bytes(_PLACE))
    return before, behind


def ping(encoder: Encoder, writer: Writer) -> bytes:
    """Return the format's own keep-alive frame, or a comment if it has none."""
    event = encoder.ping()
    return writer.comment("keep-alive") if event is None else writer.frame(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WholeCall(StreamChunk):
    """A tool call in one piece, and how many chunks of the script it replaces."""

    count: int


def _whole_calls(units: Iterable[Played[StreamChunk | str]]) -> Iterator[Played[StreamChunk | str]]:
    """Join the fragments of each tool call, at the place and the instant of the last one."""
    held: list[StreamChunk] = []
    waits: list[Wait] = []
    for step in units:
        if held and isinstance(step, Wait):
            waits.append(step)
            continue
        if held and not (isinstance(step, StreamChunk) and _same_call(held[0], step)):
            yield _joined(held)
            held = []
        yield from waits
        waits = []
        if isinstance(step, StreamChunk) and step.tool_call is not None:
            held.append(step)
        else:
            yield step
    if held:
        yield _joined(held)
    yield from waits


def _same_call(one: StreamChunk, other: StreamChunk) -> bool:
    return one.tool_call is not None and other.tool_call is not None and one.tool_call.index == other.tool_call.index


def _joined(fragments: list[StreamChunk]) -> _WholeCall:
    calls = [fragment.tool_call for fragment in fragments if fragment.tool_call is not None]
    call = replace(calls[0], arguments="".join(call.arguments for call in calls))
    first = fragments[0]
    return _WholeCall(index=first.index, role=first.role, tool_call=call, count=len(fragments))


def words(*own: str, **of_openai: str) -> dict[str, str]:
    """Return a table of finish reasons: the provider's for each of OpenAI's, and for each of the provider's itself."""
    return of_openai | {word: word for word in (*of_openai.values(), *own)}
