"""What every wire format is made of: the parsed request, the encoder, and the table entry that joins them.

The wall: no input or output, no clock. Formats know this module and never each other.
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

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        """Return the events that say what a chunk says: one at least."""

    def text(self, text: str) -> Event | None:
        """Return the event of one more chunk that is nothing but text.

        None, unless until the next call of ``chunk`` all such events are the same but for the text.
        """

    def ping(self) -> Event | None:
        """Return the format's own event that says nothing; None if a comment has to do."""

    def error(self, error: ErrorEvent) -> Event:
        """Return the event of an error inside a stream."""


Parse: TypeAlias = Callable[[Json, Mapping[str, str], Mapping[str, str]], Ask]
Objection: TypeAlias = Callable[[Ask, Script], str | None]


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
        garbled: the ``event:`` of a frame whose data is garbage: without one, some readers would not look at it.
        whole_calls: whether a stream says each tool call at once, when its last fragment would have come.
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
    objection: Objection = lambda _ask, _script: None
    garbled: str | None = None
    whole_calls: bool = False

    def reply(self, ask: Ask, script: Script, *, number: int, prompt_tokens: int) -> Reply:
        """Return what the encoder must know.

        Raises:
            ScriptError: the format cannot express this script.
        """
        finish_reason = self.finish_reasons.get(script.finish_reason)
        if finish_reason is None:
            msg = (
                f"finish_reason={script.finish_reason!r} is not a finish reason of {self.name}:"
                f" give {' or '.join(map(repr, self.finish_reasons))}"
            )
            raise ScriptError(msg)
        if objection := self.objection(ask, script):
            raise ScriptError(f"{self.name} cannot express {script!r}: {objection}")
        if script.usage is not None:
            prompt_tokens = script.usage.prompt_tokens
        return Reply(ask=ask, number=number, finish_reason=finish_reason, prompt_tokens=prompt_tokens)

    def frames(
        self, units: Iterable[Played[StreamChunk | str]], encoder: Encoder, writer: Writer
    ) -> Iterator[Played[Frame]]:
        """Turn steps of chunks into steps of frames; whatever has no bytes passes through.

        An ``ErrorEvent`` becomes its frame and then ends the steps as the fault that it is.
        """
        around: tuple[bytes, bytes] | None = None  # what stands before and behind each text; the same for most chunks
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
    for event in events[:-1]:
        yield Frame(writer.frame(event))
    count = chunk.count if isinstance(chunk, _WholeCall) else 1
    is_last = chunk.finish_reason is not None
    yield Frame(writer.frame(events[-1], last=is_last), count, is_last)


_PLACE = "\0the place of a text\0"


def _around_text(encoder: Encoder, writer: Writer) -> tuple[bytes, bytes] | None:
    event = encoder.text(_PLACE)
    if event is None:
        return None
    before, _, behind = writer.frame(event).partition(json_bytes(_PLACE))
    return before, behind


def ping(encoder: Encoder, writer: Writer) -> bytes:
    """Return the format's own frame that says nothing, or a comment if it has none."""
    event = encoder.ping()
    return writer.comment("keep-alive") if event is None else writer.frame(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class _WholeCall(StreamChunk):
    """A tool call in one chunk, and for how many of the script it stands."""

    count: int


def _whole_calls(units: Iterable[Played[StreamChunk | str]]) -> Iterator[Played[StreamChunk | str]]:
    """Join the fragments of each tool call at the place of the last one; time passes as it would have."""
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
    """Return a table of finish reasons: OpenAI's words to the provider's, and each of the provider's to itself."""
    return of_openai | {word: word for word in (*of_openai.values(), *own)}
