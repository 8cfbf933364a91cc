"""From a request's bytes to a playback of an answer's bytes: the doors without their input and output.

The wall: no socket, no HTTP library, no waiting. A door reads frames with ``playback.receive`` or ``areceive`` and says
what became of them with ``Answer.delivered``, ``finished``, ``leave`` or ``dropped``.

Theory of operation: ``answer`` never raises. Whatever a request asks for, the caller gets an HTTP answer that its
provider might have given; our own error is remembered in the playbook, which raises it when the test is over. Every
answer is a playback of frames, a whole body too: it is one frame, and what paces or breaks a stream does so here too.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ._callsite import CallSite
from ._chunks import StreamChunk
from ._exceptions import MockStreamError, ScriptError, UnclosedStreamWarning, UnexpectedRequestError
from ._frames import CONTENT_TYPES, Frame, frames_of
from ._gate import Gate
from ._pacing import Pacing
from ._playback import End, Ending, Playback
from ._playbook import Playbook, Request, State, message_text, redacted
from ._script import Disconnect, ErrorEvent, HTTPError, KeepAlive, Malformed, Played, Script, Truncate, Wait
from ._sse import json_text
from .providers import FORMATS, Ask, BadRequestError, Reply, WireFormat, find_format, provider_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A request as it came, its body read whole.

    Attributes:
        method: ``"POST"`` and so on.
        url: the whole URL; what it has of credentials goes nowhere.
        headers: as sent.
        body: as sent.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")

    @property
    def host(self) -> str:
        """The host asked, without port and user."""
        return urlsplit(self.url).hostname or ""

    @property
    def path(self) -> str:
        """The URL's path, without query."""
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        """The URL's query."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))


class Close(Enum):
    """What a door does with the connection when an answer is over."""

    END = "end"
    RESET = "reset"
    CUT = "cut"


@dataclass(eq=False, slots=True, kw_only=True)
class Answer:
    """What a door sends, and the ledger's entry for it.

    Attributes:
        status: the HTTP status.
        headers: of the answer; how the body is delimited is the door's business.
        headers_first: whether status and headers go out at once, or only with the first frame (or the ending, if that
            comes before any frame; on ``Close.RESET`` and ``Close.CUT`` they then never do).
        request: the ledger's entry.
        playback: the frames of the body.
        error: our own error, if the request was refused; the playbook remembers it.
        whole: whether the body's last frame was handed over. The connection is the consumer's until it has seen the end
            of the body or closed it, so this alone does not settle anything.
    """

    status: int
    headers: dict[str, str]
    headers_first: bool
    request: Request
    playback: Playback[Frame]
    error: MockStreamError | None = None
    whole: bool = False

    def delivered(self, instant: float, frame: Frame) -> bytes:
        """Note that a frame was handed to the consumer, and return its bytes."""
        self.request.chunks_sent += frame.chunks
        self.request.last_sent_at = instant
        self.whole = frame.last
        return frame.data

    def finished(self, ending: Ending) -> Close:
        """Note how the playback ended, and return what that means for the connection."""
        self.request.settle(_state_of(ending) if self.status < 400 else "broken")
        if isinstance(ending, Disconnect):
            return Close.RESET if ending.how == "reset" else Close.CUT
        return Close.CUT if ending in {End.CANCELLED, End.TIMED_OUT} else Close.END

    def leave(self, state: State = "closed") -> None:
        """Note that the consumer went away, or timed out (``"broken"``), and end the producer. Any number of times."""
        self.request.settle("broken" if self.status >= 400 else "exhausted" if self.whole else state)
        self.playback.stop(End.LEFT)

    def dropped(self) -> None:
        """Do as ``leave``, from the finaliser of a body that nobody closed; warns if it was open."""
        if not self.request.settle("dropped"):
            return
        self.playback.stop(End.LEFT)
        message = (
            f"{self.request.title()} was never closed: only its finaliser did it. A real one would have kept its"
            f" connection open and the model generating. {self.request.remedy}"
        )
        site = self.request.opened_at
        warnings.warn_explicit(message, UnclosedStreamWarning, site.filename, site.lineno)


def _state_of(ending: Ending) -> State:
    match ending:
        case End.WHOLE:
            return "exhausted"
        case End.LEFT:
            return "closed"
        case End.CANCELLED | End.TIMED_OUT:
            return "cancelled"
    return "broken"


class _Progress:
    """Chunks behind frames: what the ledger asks of a playback whose units are not chunks."""

    def __init__(self) -> None:
        self._chunks_by_frame = [0]
        self.playback: Playback[Frame] | None = None

    def counted(self, steps: Iterable[Played[Frame]]) -> Iterator[Played[Frame]]:
        for step in steps:
            if isinstance(step, Frame):
                self._chunks_by_frame.append(self._chunks_by_frame[-1] + step.chunks)
            yield step

    @property
    def produced(self) -> int:
        return 0 if self.playback is None else self._chunks_by_frame[self.playback.produced]

    @property
    def timed_out(self) -> bool:
        return self.playback is not None and self.playback.timed_out

    def now(self) -> float:
        return 0.0 if self.playback is None else self.playback.now()


def answer(
    playbook: Playbook,
    incoming: Incoming,
    *,
    opened_at: CallSite,
    pacing: Pacing | None = None,
    buffer_size: int = 100,
    background: bool = False,
) -> Answer:
    """Answer a request; call it where the frames will be read, in the running loop if there is one.

    Args:
        playbook: has the scripts, and keeps the record.
        incoming: the request.
        opened_at: the caller's line.
        pacing: decides what the script leaves open.
        buffer_size: how many frames the producer may be ahead of the reader.
        background: run the producer as a task or thread.
    """
    return _Desk(playbook, incoming, opened_at, pacing, buffer_size, background).answer()


@dataclass(slots=True)
class _Desk:
    """One request being answered."""

    playbook: Playbook
    incoming: Incoming
    opened_at: CallSite
    pacing: Pacing | None
    buffer_size: int
    background: bool

    def answer(self) -> Answer:
        found = find_format(self.incoming.path)
        if found is None:
            return self._refuse(404, None, f"nothing is known of this path. Known are:\n{_known()}")
        wire, groups = found
        if self.incoming.method.upper() != "POST":
            return self._refuse(405, wire, f"{wire.name} is asked with POST.")
        try:
            ask = wire.parse(_json_object(self.incoming.body), groups, self.incoming.query)
        except BadRequestError as error:
            return self._refuse(400, wire, f"{wire.name} cannot read the request: {error}.")
        return self._play(wire, ask)

    def _play(self, wire: WireFormat, ask: Ask) -> Answer:
        request = self._request(wire, ask)
        try:
            script = self.playbook.answer(request)
        except UnexpectedRequestError as error:
            return self._error(400, wire, request, error)
        prompt = sum(len(message_text(message).split()) for message in ask.messages)
        try:
            reply = wire.reply(ask, script, number=request.number, prompt_tokens=prompt)
        except ScriptError as error:
            self.playbook.remember(error)
            return self._error(400, wire, request, error)
        schedule = script.schedule(pacing=self.pacing, salt=request.number, prompt_tokens=prompt)
        status = _status(wire, ask, script)
        if ask.framing is None or status != 200:
            steps = _whole_frames(wire, reply, schedule)
            content_type, headers_first = "application/json", False
        else:
            encoder = wire.encoder(reply)
            steps = frames_of(
                wire.encoded(schedule, encoder),
                framing=ask.framing,
                shape=script.shape,
                ping=encoder.keep_alive(),
                seed=f"{script.pacing.seed or 0}/{request.number}",
            )
            content_type, headers_first = CONTENT_TYPES[ask.framing], not _breaks_at_once(script)
        headers = {"content-type": content_type, wire.request_id: f"req_{request.number}"}
        if isinstance(fault := script.steps[-1] if script.steps else None, HTTPError) and fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        return self._begin(status, headers, request, steps, script, headers_first=headers_first)

    def _request(self, wire: WireFormat | None, ask: Ask | None) -> Request:
        provider = provider_of(self.incoming.host) or (wire.provider if wire else "unknown")
        return Request(
            provider=provider,
            path=self.incoming.path,
            model=ask.model if ask else None,
            messages=ask.messages if ask else [],
            tools=ask.tools if ask else [],
            params=ask.params if ask else {},
            headers=redacted(self.incoming.headers),
            streaming=ask is not None and ask.framing is not None,
            opened_at=self.opened_at,
        )

    def _refuse(self, status: int, wire: WireFormat | None, why: str) -> Answer:
        request = self._request(wire, None)
        asked = f"{self.incoming.method} {self.incoming.path} of {self.incoming.host or 'no host'}"
        error = UnexpectedRequestError(f"{asked} (at {self.opened_at}): {why}")
        self.playbook.refuse(request, error)
        return self._error(status, wire, request, error)

    def _error(self, status: int, wire: WireFormat | None, request: Request, error: MockStreamError) -> Answer:
        wire = wire or next((wire for wire in FORMATS if wire.provider == request.provider), FORMATS[0])
        body = json_text(wire.error(status, f"pytest-mockstream: {error}", None)).encode()
        headers = {"content-type": "application/json", wire.request_id: f"req_{request.number}"}
        answered = self._begin(status, headers, request, [Frame(body, last=True)], None, headers_first=False)
        answered.error = error
        return answered

    def _begin(
        self,
        status: int,
        headers: dict[str, str],
        request: Request,
        steps: Iterable[Played[Frame]],
        script: Script | None,
        *,
        headers_first: bool,
    ) -> Answer:
        progress = _Progress()
        playback: Playback[Frame] = Playback(
            progress.counted(steps),
            buffer_size=self.buffer_size,
            gates=script.gates if script else (),
            background=self.background,
        )
        progress.playback = playback
        request.begin(progress, script.chunk_count if script else 0)
        return Answer(status=status, headers=headers, headers_first=headers_first, request=request, playback=playback)


def _known() -> str:
    return "\n".join(f"    {wire.shown} ({wire.name})" for wire in FORMATS)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        # The text of a body is not repeated: it may hold a credential.
        raise BadRequestError(f"its body of {len(body)} bytes is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadRequestError(f"its body must be a JSON object, but it is a JSON {type(value).__name__}")
    return value


def _status(wire: WireFormat, ask: Ask, script: Script) -> int:
    last = script.steps[-1] if script.steps else None
    if isinstance(last, HTTPError):
        return last.status
    if isinstance(last, ErrorEvent) and ask.framing is None:
        return wire.error_status.get(last.type or "", 500)
    return 200


def _breaks_at_once(script: Script) -> bool:
    first = next((step for step in script.steps if not isinstance(step, Wait | Gate)), None)
    return isinstance(first, Disconnect) and not first.inside_frame


def _whole_frames(wire: WireFormat, reply: Reply, schedule: Iterable[Played[StreamChunk]]) -> Iterator[Played[Frame]]:
    """Gather a reply that is not streamed; its body comes when the last chunk would have."""
    chunks: list[StreamChunk] = []
    garbage: str | None = None
    for step in schedule:
        if isinstance(step, StreamChunk):
            chunks.append(step)
        elif isinstance(step, Malformed):
            garbage = step.data
        elif isinstance(step, Truncate | Disconnect):
            if chunks or step.inside_frame:
                body = json_text(wire.whole(reply, chunks)).encode()
                yield Frame(body[: len(body) // 2])
            yield step
        elif isinstance(step, ErrorEvent | HTTPError):
            status = step.status if isinstance(step, HTTPError) else wire.error_status.get(step.type or "", 500)
            kind = step.type if isinstance(step, ErrorEvent) else None
            yield Frame(json_text(wire.error(status, step.message, kind)).encode())
            yield step
        elif not isinstance(step, KeepAlive):
            yield step
    body = json_text(wire.whole(reply, chunks)).encode() if garbage is None else garbage.encode(errors="replace")
    yield Frame(body, chunks=len(chunks), last=True)
