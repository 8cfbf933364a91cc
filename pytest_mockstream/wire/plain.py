"""Endpoints that answer without a script: lists of models, embeddings, files, batches, images and the like.

Theory of operation: an answer depends on the request and on what was made before, which the ``Store`` of the door keeps
for the test; nothing else is known here. A script answers in its place only if its condition names the path. Then what
it says, joined, is the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any, Literal, TypeAlias

from pytest_mockstream._base.store import Store
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent, Failed, Frame, Reasoning, Refusal, Text, ToolCall

from .errors import ERRORS, openai_error
from .format import BadRequestError, Json, ParsedRequest, Reply, WireFormat
from .multipart import File
from .reading import flag
from .sse import CONTENT_TYPES, Event, Framing, Writer, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: What a body is: JSON, a form with files, or bytes that mean something to their owner only.
Reads: TypeAlias = Literal["json", "form", "bytes"]
JSON_TYPE = "application/json"

_PLACE = re.compile(r"\{(\w+)\}")


class DeclinedError(Exception):
    """A request that is valid, and that the provider turns down; its answer is an HTTP error, which fails no test.

    Attributes:
        status: of the answer; 404 where what the request names is not there, or no more.
    """

    def __init__(self, message: str, status: int = 404) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRequest(ParsedRequest):
    """A request to an endpoint that needs no script.

    Attributes:
        groups: the named parts of the path.
        query: of the URL.
        headers: names in lower case.
        base: scheme and host, for URLs in the answer.
        content: the body as it came.
        files: the files of a form, by the name of their field.
        store: what was made before.
        number: of the request; ids are made from it.
        reply: answers a request that is inside of this one, as those of a batch are, from the scripts: it takes path
            and body, and returns status and body.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(repr=False, default_factory=dict)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    base: str = field(repr=False, default="")
    content: bytes = field(repr=False, default=b"")
    files: Mapping[str, Sequence[File]] = field(repr=False, default_factory=dict)
    store: Store = field(repr=False, default_factory=Store)
    number: int = 0
    reply: Callable[[str, Json], tuple[int, Json]] = field(repr=False, default=lambda _path, _body: (200, {}))

    def kept(self, kind: str, what: str, key: str | None = None) -> Any:
        """Return what was made before.

        Args:
            kind: in the store.
            what: its name for messages, such as ``"file"``.
            key: its id; by default the one in the path.

        Raises:
            DeclinedError: it is not there.
        """
        key = self.groups["id"] if key is None else key
        found = self.store.get(kind, key)
        if found is None:
            there = list(self.store.all(kind))
            known = f"there are {', '.join(there[-5:])}" if there else "none was made in this test"
            raise DeclinedError(f"no {what} has the id {key!r:.80}: {known}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer: the pieces of its body, each sent as a frame of its own.

    Attributes:
        pieces: of the body.
        content_type: of the body.
        status: the HTTP status.
        headers: besides the usual ones, names in lower case.
        streamed: whether status and headers are sent before the first piece.
    """

    pieces: tuple[bytes, ...] = field(repr=False, default=(b"",))
    content_type: str = JSON_TYPE
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    streamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A reply that can be asked for again.

    Attributes:
        wire: its format.
        request: what was asked.
        script: what answered it.
        number: of the request.
        prompt_tokens: of the request.
        provider: who was asked.
    """

    wire: WireFormat
    request: ParsedRequest
    script: Script
    number: int
    prompt_tokens: int
    provider: str

    @property
    def reply(self) -> Reply:
        """What an encoder must know."""
        return self.wire.reply(
            self.request,
            self.script,
            number=self.number,
            prompt_tokens=self.prompt_tokens,
            provider=self.provider,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """An answer that plays a kept reply again.

    Attributes:
        kept: the reply.
        framing: how it is streamed; None if it is not.
        after: the number of the last event that is left out; -1 leaves out none.
    """

    kept: Kept
    framing: Framing | None = None
    after: int = -1


def told_json(value: Any, **more: Any) -> Told:
    """Return an answer in JSON; ``more`` is what ``Told`` takes besides."""
    return Told(pieces=(json_text(value).encode(),), **more)


def told_events(framing: Framing, events: Iterable[Event | Json]) -> Told:
    """Return a streamed answer; an event that is a JSON object has no name."""
    writer = Writer(framing)
    whole = [event if isinstance(event, Event) else Event(json_text(event)) for event in events]
    pieces = tuple(writer.frame(event, last=event is whole[-1]) for event in whole)
    return Told(pieces=pieces, content_type=CONTENT_TYPES[framing], streamed=True)


def path_of(shown: str) -> re.Pattern[str]:
    """Return what matches the end of a path, of a method and path for messages such as ``GET …/files/{id}``."""
    parts = _PLACE.split(shown.split()[1].removeprefix("…"))
    names = (re.escape(part) if place % 2 == 0 else rf"(?P<{part}>[^/:]+)" for place, part in enumerate(parts))
    return re.compile("".join(names) + "$")


@dataclass(frozen=True, slots=True)
class PlainEndpoint:
    """An endpoint whose answer needs no script.

    Args:
        pattern: the ``path``; None makes it of ``shown``.

    Attributes:
        provider: the provider, where the host of the request does not say it; errors have this provider's shape.
        shown: method and path, for messages; ``{name}`` stands for a part of the path.
        path: matches the end of the path, after any prefix; a group ``model`` has the model.
        answer: makes the answer, or its JSON; raises ``BadRequestError`` or ``DeclinedError``.
        header: where several endpoints share a path, a header that only requests to this one have; ``"name: text"``
            if its value must begin so, in lower case.
        tells: what it answers, for the guide.
        reads: what the body of a request is.
        streams: tells how frames of the answer are told apart, None if it is not streamed; it gets the body.
        says: the content type of what a script says in its place; only JSON is checked.
    """

    provider: str
    shown: str
    pattern: InitVar[re.Pattern[str] | None]
    answer: Callable[[PlainRequest], Any]
    path: re.Pattern[str] = field(init=False)
    header: str | None = None
    tells: str = field(default="", kw_only=True)
    reads: Reads = field(default="json", kw_only=True)
    streams: Callable[[Json], Framing | None] = field(default=lambda _body: None, kw_only=True)
    says: str = field(default=JSON_TYPE, kw_only=True)

    def __post_init__(self, pattern: re.Pattern[str] | None) -> None:
        object.__setattr__(self, "path", pattern or path_of(self.shown))

    @property
    def method(self) -> str:
        """GET, POST, DELETE and so on."""
        return self.shown.split()[0]

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.provider}'s {self.shown.split()[1]}"

    def parse(self, body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
        """Return the parsed request; its parameters are the whole body, and its model is empty if it names none."""
        named = groups.get("model") or body.get("model") or (self.provider == "ollama" and body.get("name"))
        model = named if isinstance(named, str) else ""
        return ParsedRequest(model=model, params=body, framing=self.streams(body))

    def told(self, request: PlainRequest) -> Told | Recalled:
        """Return the answer that needs no script.

        Raises:
            BadRequestError: the request is not valid.
            DeclinedError: the provider turns it down.
        """
        made = self.answer(request)
        return made if isinstance(made, Told | Recalled) else told_json(made)

    def error(self, status: int, message: str, kind: str | None = None, code: str | None = None) -> Json:
        """Return the body of an HTTP error; only OpenAI's have a code."""
        if ERRORS[self.provider] is openai_error:
            return openai_error(status, message, kind, code)
        return ERRORS[self.provider](status, message, kind)

    @property
    def scripted(self) -> WireFormat:
        """The format in which a script answers in its place: what the script says is the body, or its frames."""
        return WireFormat(
            name=self.name,
            provider=self.provider,
            shown=self.shown,
            path=self.path,
            parse=self.parse,
            encoder=lambda _reply: _Said(self),
            whole=lambda _reply, chunks: self._said("".join(chunk.delta for chunk in chunks)),
            error=self.error,
            error_status={},
            has_codes=ERRORS[self.provider] is openai_error,
            finish_reasons={"stop": "stop"},
            objection=self._objection,
            lacks=dict.fromkeys((Reasoning, Refusal, ToolCall), "what a script says is the body here, or its frames"),
            whole_type=lambda _request: self.says,
        )

    def _objection(self, request: ParsedRequest, script: Script) -> str | None:
        """Say why a script cannot be the body, or its frames."""
        texts = [step for step in script.steps if isinstance(step, Text)]
        if request.framing is not None:
            frames = (delta for step in texts for delta in step.deltas(script.chunking))
            return None if all(map(_is_json, frames)) else _NO_FRAMES
        text = "".join(step.text for step in texts)
        return None if self.says != JSON_TYPE or not text or _is_json(text) else _NO_JSON

    def _said(self, text: str) -> Any:
        if self.says != JSON_TYPE:
            return text
        return json.loads(text) if text else {}


_NO_JSON = "what a script says is the whole body here, so its text must be JSON"
_NO_FRAMES = "each delta of a script is a frame here, so it must be JSON: give the frames as Text([...])"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


class _Said:
    """Makes a frame of each delta of a script."""

    def __init__(self, endpoint: PlainEndpoint) -> None:
        self._endpoint = endpoint

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        says_text = chunk.finish_reason is None and not isinstance(chunk.item, Frame)
        return [Event(chunk.delta)] if says_text else []

    def text(self, _text: str) -> None:
        return None  # each is JSON of its own

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(self._endpoint.error(500, error.message, error.type, error.code)))


class Resumed:
    """An encoder that leaves out the events up to a number, which they have as their ``sequence_number``."""

    def __init__(self, encoder: Any, after: int) -> None:
        self._encoder = encoder
        self._after = after

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        """Return the events for a chunk that come after that number."""
        return self._later(self._encoder.chunk(chunk))

    def frame(self, frame: Frame) -> Sequence[Event]:
        """Return the events for a frame of the user's that come after that number."""
        return self._later(self._encoder.frame(frame))

    def failed(self, failed: Failed) -> Sequence[Event]:
        """Return the events for a failure that come after that number."""
        return self._later(self._encoder.failed(failed))

    def _later(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events that come after that number, and those that have none, as a list of the user's."""
        numbered = ((event, json.loads(event.data)) for event in events)
        return [
            event for event, said in numbered if not isinstance(said, dict) or said["sequence_number"] > self._after
        ]

    def text(self, _text: str) -> None:
        """Return None: each event has a number of its own."""
        return

    def ping(self) -> Event | None:
        """Return what the encoder does."""
        ping: Event | None = self._encoder.ping()
        return ping

    def error(self, error: ErrorEvent) -> Event:
        """Return what the encoder does."""
        made: Event = self._encoder.error(error)
        return made


def refuse_streaming(body: Json) -> None:
    """Raise ``BadRequestError`` if the request asks for a stream."""
    if body.get("stream"):
        raise BadRequestError("'stream' is set, but this endpoint does not stream")


def streams_if_asked(framing: Framing, *, default: bool = False) -> Callable[[Json], Framing | None]:
    """Return what tells how the answer is streamed where ``"stream"`` in the body says whether it is."""
    # In a form, everything is text.
    return lambda body: framing if body.get("stream") == "true" or flag(body, "stream", default=default) else None


def page(things: Iterable[Json], **more: Any) -> Json:
    """Return a list as OpenAI and others have it, the newest first."""
    data = list(things)[::-1]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": False, **more}
