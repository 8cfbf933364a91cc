"""What every wire format consists of: the parsed request, the encoder, and ``WireFormat``, which joins them.

To add a format, write a module with one ``WireFormat`` and list it in ``endpoints``. Formats do not know each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.chunks import ItemChunk, StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    EXTRAS,
    ErrorEvent,
    Failed,
    Frame,
    HTTPError,
    Interleave,
    KeepAlive,
    Malformed,
    Played,
    Step,
    Together,
)

from .decoding import Decoding
from .frames import WireFrame
from .sse import Around, Event, Framing, Writer, json_bytes, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Json: TypeAlias = dict[str, Any]
#: When every reply claims to have been made: 2025-01-01T00:00:00Z, so that replies are the same in every run.
CREATED = 1_735_689_600
CREATED_TEXT = "2025-01-01T00:00:00Z"
#: When what is made then ends: far away.
EXPIRES_TEXT = "2099-01-01T00:00:00Z"


def uuid_of(number: int) -> str:
    """Return the id of a reply whose id is a UUID, made of the number of the request."""
    return f"{number:08x}-0000-4000-8000-000000000000"


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

    # Neither is shown, in a traceback's locals for example: each may hold credentials.
    model: str = field(repr=False)
    messages: list[Mapping[str, Any]] = field(repr=False, default_factory=list)
    tools: list[Mapping[str, Any]] = field(repr=False, default_factory=list)
    params: Json = field(repr=False, default_factory=dict)
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
        usage: the tokens used, if the script says them; else those of one choice are counted.
        seed: of what is made up.
        provider: who was asked.
    """

    request: ParsedRequest
    number: int
    finish_reason: str
    prompt_tokens: int = 0
    usage: Usage | None = None
    seed: int = 0
    provider: str = ""


class Encoder(Protocol):
    """Turns the chunks of one stream into events, and remembers what later events need of earlier chunks."""

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        """Return the events for a chunk: at least one.

        Of a first chunk that brings a frame of the user's, only what comes before any chunk: perhaps nothing.
        """

    def text(self, text: str) -> Event | None:
        """Return the event for a chunk that has nothing but text.

        Return None unless, until the next call of ``chunk``, all such events differ in their text only: then the frame
        around the text needs to be made only once.
        """

    def ping(self) -> Event | str | None:
        """Return the format's own keep-alive event; without one, what a comment says, or None for the usual."""

    def error(self, error: ErrorEvent) -> Event:
        """Return the event for an error inside a stream."""


Parse: TypeAlias = Callable[[Json, Mapping[str, str], Mapping[str, str]], ParsedRequest]
Objection: TypeAlias = Callable[[ParsedRequest, Script], str | None]


class Failures(NamedTuple):
    """How a format says of a reply that it failed.

    Attributes:
        events: makes the last events of a stream; gets the encoder and the step.
        body: makes the body of a reply that is not streamed.
    """

    events: Callable[[Any, Failed], Sequence[Event]]
    body: Callable[[Reply, Sequence[StreamChunk], Failed], Json]


def frame_event(_encoder: object, frame: Frame) -> tuple[Event, ...]:
    """Return a frame of the user's as an event, just as it is."""
    return (Event(written(frame), frame.event or None, frame.id, frame.retry),)


def named_event(frame: Frame) -> Event:
    """Return a frame of the user's as an event that is named after its type, as all of the format's are."""
    said = frame.json
    name = said.get("type") if frame.event is None and isinstance(said, Mapping) else frame.event
    return Event(written(frame), name if isinstance(name, str) and name else None, frame.id, frame.retry)


def written(frame: Frame) -> str:
    """Return the text of a frame: that of the user, or JSON as all frames have it."""
    return frame.data if isinstance(frame.data, str) else json_text(frame.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How the replies of a format are kept, to be asked for again later.

    Attributes:
        kind: what they are in the store.
        prefix: what comes before the number of the request in the id of a reply.
        keeps: tells whether the reply to a request is kept.
        begun: makes the body that says that the reply is being made; None if the request waits for its reply.
    """

    kind: str
    prefix: str
    keeps: Callable[[ParsedRequest], bool] = lambda _request: True
    begun: Callable[[Reply], Json | None] = lambda _reply: None


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
        error: makes the body of an HTTP error from status, message, the provider's name for the error (or None) and,
            if the format's errors have one, the code.
        error_status: the HTTP status for each of the provider's names of errors, and codes; it is used for an
            ``ErrorEvent`` in a reply that is not streamed.
        has_codes: whether an error has a code besides its type.
        failures: how a reply says that it failed; None if it cannot.
        extras: the steps with content that it can say, of those that not every format can: ``Interleave``,
            ``Together``, ``ServerTool``, ``Citation``, ``Image``.
        lacks: the other steps with content that it has no field for, also inside of ``Interleave`` and ``Together``,
            each with the reason.
        finish_reasons: the provider's finish reason for each of OpenAI's, and for each of its own.
        objection: says why the format cannot express a script in reply to a request; returns None if it can.
        frame: makes events of a frame in the user's own words, with what must come between the last event and it, such
            as the end of a block; gets the encoder and the frame.
        plain_frames: the data of frames that are not JSON.
        garbled: the ``event:`` field of a frame whose data is garbage, for readers that skip frames without one.
        whole_calls: whether tool calls are streamed in one piece each, sent when the last fragment would have come.
        dialects: the format as each provider has it that says some of it in its own way.
        header: where several endpoints share a path, a header that only requests to this one have; ``"name: text"`` if
            its value must begin so, in lower case.
        reads: what the body of a request is: JSON, a form with files, or bytes.
        whole_type: the content type of a reply that is not streamed; where it is not JSON's, ``whole`` makes text.
        keeping: how replies are kept, to be asked for again later; None if they are not.
        decoding: how replies are read; None if nobody can.
        repeats: returns the text of a request that its reply begins with, before what the model says.
    """

    name: str
    provider: str
    shown: str
    path: re.Pattern[str]
    parse: Parse
    encoder: Callable[[Reply], Encoder]
    whole: Callable[[Reply, Sequence[StreamChunk]], Any]
    error: Callable[..., Json]
    error_status: Mapping[str, int]
    finish_reasons: Mapping[str, str]
    method: ClassVar[str] = "POST"
    objection: Objection = lambda _request, _script: None
    frame: Callable[[Any, Frame], Sequence[Event]] = frame_event
    plain_frames: tuple[str, ...] = ()
    has_codes: bool = False
    failures: Failures | None = None
    extras: tuple[type[Step], ...] = ()
    lacks: Mapping[type[Step], str] = field(default_factory=dict)
    garbled: str | None = None
    whole_calls: bool = False
    dialects: Mapping[str, WireFormat] = field(default_factory=dict, repr=False)
    header: str | None = None
    reads: Literal["json", "form", "bytes"] = "json"
    whole_type: Callable[[ParsedRequest], str] = lambda _request: "application/json"
    keeping: Keeping | None = None
    decoding: Decoding | None = field(default=None, repr=False)
    repeats: Callable[[ParsedRequest], str] = lambda _request: ""

    def reply(
        self, request: ParsedRequest, script: Script, *, number: int, prompt_tokens: int, provider: str = ""
    ) -> Reply:
        """Return what the encoder must know.

        Raises:
            ScriptError: the format cannot express the script.
        """
        own = (
            self._objection_to_words(request, script)
            or self._objection_to_faults(script)
            or self._objection_to_frames(request, script)
        )
        if objection := own or self.objection(request, script):
            raise ScriptError(f"{self.name} cannot express {brief(script)}: {objection}")
        finish_reason = self.finish_reasons.get(script.finish_reason)
        if finish_reason is None:
            msg = (
                f"finish_reason={brief(script.finish_reason)} is not a finish reason of {self.name}:"
                f" give {' or '.join(map(repr, self.finish_reasons))}{self._who_has(script.finish_reason)}"
            )
            raise ScriptError(msg)
        if script.usage is not None:
            prompt_tokens = script.usage.prompt_tokens
        return Reply(
            request=request,
            number=number,
            finish_reason=finish_reason,
            prompt_tokens=prompt_tokens,
            usage=script.usage,
            seed=script.pacing.seed or 0,
            provider=provider,
        )

    def _who_has(self, finish_reason: str) -> str:
        """Say which other dialects have a finish reason."""
        who = [provider for provider, wire in self.dialects.items() if finish_reason in wire.finish_reasons]
        return f". It is one of {' and '.join(who)}: a door plays it with provider={who[0]!r}" if who else ""

    def _objection_to_words(self, request: ParsedRequest, script: Script) -> str | None:
        for step in script.contents:
            # Where nothing is streamed, the parts are one behind the other.
            in_order = request.framing is None and isinstance(step, Interleave | Together)
            if isinstance(step, EXTRAS) and not isinstance(step, self.extras) and not in_order:
                known = ", ".join(kind.__name__ for kind in self.extras) or "none"
                all_of_them = ", ".join(kind.__name__ for kind in EXTRAS)
                return f"it has nothing that says {brief(step)}. Of {all_of_them} it has {known}; a Frame says anything"
            why = next((why for kind, why in self.lacks.items() if isinstance(step, kind)), None)
            if why is not None:
                return f"it has no place for {brief(step)}: {why}"
        return None

    def _objection_to_faults(self, script: Script) -> str | None:
        for step in script.faults:
            if isinstance(step, Failed) and self.failures is None:
                return "only OpenAI Responses says of a reply that it failed; here an error is ErrorEvent(...)"
            if isinstance(step, ErrorEvent | HTTPError) and step.code is not None and not self.has_codes:
                return f"its errors have no code, as {brief(step)} has: give type="
        return None

    def _objection_to_frames(self, request: ParsedRequest, script: Script) -> str | None:
        if not script.frames:
            return None
        if request.framing is None and (
            len(script.frames) > 1 or not script.frames[0].chunks or script.chunk_count > 1
        ):
            return (
                "this reply is not streamed, and has no frames: one single Frame, with no content beside it,"
                " would be its body"
            )
        for frame in script.frames:
            if frame.json is None and (request.framing is None or frame.data not in self.plain_frames):
                also = "".join(f" or the text {text!r}" for text in self.plain_frames if request.framing)
                return f"{brief(frame)} is not JSON: give JSON{also}, or for garbage Malformed(...)"
            if objection := _objection_to_fields(frame, request.framing):
                return f"{brief(frame)} {objection}"
        if request.framing == "array" and script.frames_after_end:
            return "after the end of a JSON array no frame can come: stream with ?alt=sse, or leave it out"
        return None

    def status_of(self, error: ErrorEvent | HTTPError) -> int:
        """Return the HTTP status of an error that is the whole reply."""
        if isinstance(error, HTTPError):
            return error.status
        known = (self.error_status.get(word) for word in (error.type, error.code) if word is not None)
        return next((status for status in known if status is not None), 500)

    def error_body(self, error: ErrorEvent | HTTPError) -> Json:
        """Return the body of an error that is the whole reply."""
        code = {} if error.code is None else {"code": error.code}
        return self.error(self.status_of(error), error.message, error.type, **code)

    def failed_body(self, reply: Reply, chunks: Sequence[StreamChunk], failed: Failed) -> Json:
        """Return the body of a reply that says that it failed."""
        return self.failures.body(reply, chunks, failed)  # type: ignore[union-attr] # `reply` refuses it otherwise

    def body(self, reply: Reply, chunks: Sequence[StreamChunk]) -> bytes:
        """Return the body of a reply that is not streamed: what the chunks say, or the one frame that stands for it."""
        frame = next((chunk.item for chunk in chunks if isinstance(chunk.item, Frame)), None)
        if frame is not None:
            return written(frame).encode(errors="replace")
        made = self.whole(reply, chunks)
        return (made if isinstance(made, str) else json_text(made)).encode(errors="replace")

    def frames(
        self, units: Iterable[Played[StreamChunk | str]], encoder: Encoder, writer: Writer
    ) -> Iterator[Played[WireFrame]]:
        """Replace chunks by frames of bytes; steps that have no bytes pass through.

        An ``ErrorEvent`` becomes a frame, and then passes through, too, as the fault that ends the stream.
        """
        around: Around | None = None  # what comes before and after each text; the same for most chunks
        for step in _whole_calls(units) if self.whole_calls else units:
            if isinstance(step, str):
                if around is None and (around := _around_text(encoder, writer)) is None:
                    yield from self._chunk_frames(StreamChunk(index=-1, delta=step), encoder, writer)
                else:
                    before, behind, seal = around
                    data = before + json_bytes(step) + behind
                    yield WireFrame(data if seal is None else seal(data), 1)
            elif isinstance(step, StreamChunk):
                around = None
                yield from self._chunk_frames(step, encoder, writer)
            elif isinstance(step, Frame):
                around = None
                yield from (WireFrame(writer.frame(event)) for event in self.frame(encoder, step))
            elif isinstance(step, KeepAlive):
                yield WireFrame(ping(encoder, writer))
            elif isinstance(step, Malformed):
                garbage = Event(step.data, self.garbled if step.data else None)
                yield WireFrame(writer.garbage(garbage) if step.framed else step.data.encode(errors="replace"))
            elif isinstance(step, ErrorEvent):
                yield WireFrame(writer.frame(encoder.error(step), last=True))
                yield step
            elif isinstance(step, Failed):
                events = self.failures.events(encoder, step)  # type: ignore[union-attr] # `reply` refuses it otherwise
                yield from (WireFrame(writer.frame(event)) for event in events)
                yield step
            else:
                yield step

    def _chunk_frames(self, chunk: StreamChunk, encoder: Encoder, writer: Writer) -> Iterator[WireFrame]:
        if not (events := self._events(chunk, encoder)):
            return
        count = chunk.count if isinstance(chunk, _WholeCall) else 1
        is_last = chunk.finish_reason is not None
        # A reader has a chunk with the last event that says something of it; OpenAI's end of the stream shows nobody.
        counted = len(events) - (2 if events[-1].data == "[DONE]" and len(events) > 1 else 1)
        for place, event in enumerate(events[:-1]):
            yield WireFrame(writer.frame(event), count if place == counted else 0)
        yield WireFrame(writer.frame(events[-1], last=is_last), count if counted == len(events) - 1 else 0, is_last)

    def _events(self, chunk: StreamChunk, encoder: Encoder) -> Sequence[Event]:
        if not isinstance(chunk, ItemChunk) or not isinstance(chunk.item, Frame):
            return encoder.chunk(chunk)
        opening = encoder.chunk(chunk) if chunk.role is not None else ()
        return (*opening, *self.frame(encoder, chunk.item))


def _objection_to_fields(frame: Frame, framing: Framing | None) -> str | None:
    """Say which fields of a frame its stream has no place for, or needs."""
    only_of_sse = (frame.id, frame.retry) != (None, None)
    if framing in {"ndjson", "array"} and (only_of_sse or frame.event is not None):
        return "has fields of an event stream, but it is streamed as JSON: give the data alone"
    if framing == "aws-chunks" and (only_of_sse or frame.event is not None):
        return "has fields of an event stream, but each event of this one is a 'chunk': give the data alone"
    if framing == "aws" and only_of_sse:
        return "has an id or retry, which AWS's event stream has no place for: give data and event alone"
    if framing == "aws" and not frame.event:
        return "has no event, which is its type in AWS's event stream: give event=, such as 'contentBlockDelta'"
    return None


_PLACE = "\0the place of a text\0"


def _around_text(encoder: Encoder, writer: Writer) -> Around | None:
    event = encoder.text(_PLACE)
    return None if event is None else writer.around(event, json_bytes(_PLACE))


def ping(encoder: Encoder, writer: Writer) -> bytes:
    """Return the format's own keep-alive frame, or a comment if it has none."""
    ping = encoder.ping() if writer.takes_events else None
    return writer.frame(ping) if isinstance(ping, Event) else writer.comment(ping or "keep-alive")


@dataclass(frozen=True, slots=True, kw_only=True)
class _WholeCall(StreamChunk):
    """A tool call in one piece, and how many chunks of the script it replaces."""

    count: int


def _whole_calls(units: Iterable[Played[StreamChunk | str]]) -> Iterator[Played[StreamChunk | str]]:
    """Join the fragments of each tool call, at the place and the instant of the last one.

    The role of a fragment that waits goes to the next chunk, which is the first now.
    """
    held: dict[int, list[StreamChunk]] = {}
    role: str | None = None
    for step in units:
        played = step
        if isinstance(step, StreamChunk) and step.tool_call is not None:
            fragments = held.setdefault(step.tool_call.index, [])
            fragments.append(step)
            role = role or step.role
            if step.unfinished:
                continue
            del held[step.tool_call.index]
            played = _joined(fragments) if len(fragments) > 1 else step
        if role is not None and isinstance(played, str | StreamChunk):
            played = _with_role(played, role)
            role = None
        yield played


def _with_role(unit: StreamChunk | str, role: str) -> StreamChunk:
    return StreamChunk(index=-1, delta=unit, role=role) if isinstance(unit, str) else replace(unit, role=role)


def _joined(fragments: list[StreamChunk]) -> _WholeCall:
    calls = [fragment.tool_call for fragment in fragments if fragment.tool_call is not None]
    call = replace(calls[0], arguments="".join(call.arguments for call in calls), null=False, unfinished=False)
    return _WholeCall(index=fragments[0].index, tool_call=call, count=len(fragments))


def words(*own: str, **of_openai: str) -> dict[str, str]:
    """Return a table of finish reasons: the provider's for each of OpenAI's, and for each of the provider's itself."""
    return of_openai | {word: word for word in (*of_openai.values(), *own)}
