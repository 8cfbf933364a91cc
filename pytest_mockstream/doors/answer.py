"""Answers an HTTP request: finds its script, and makes the playback of the response's bytes.

It has no socket and no HTTP library, and waits for nothing; ``delivery`` has what a door does with the answer.

Theory of operation: ``answer`` never raises an error of ours. Whatever is asked, the caller gets an HTTP response that
the provider might have given; our error is remembered in the playbook, which raises it at the end of the test. Every
answer is a playback of frames. A body that is not streamed is one frame, so it is paced and broken in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import MockStreamError, ScriptError, UnexpectedRequestError
from pytest_mockstream.playback import Playback
from pytest_mockstream.playbook.ledger import begin
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.request import Request, message_text, redacted
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.shape import Shape
from pytest_mockstream.script.steps import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Played,
    Truncate,
    Wait,
)
from pytest_mockstream.wire import (
    CONTENT_TYPES,
    ENDPOINTS,
    ERRORS,
    HOSTS,
    BadRequestError,
    Encoder,
    Frame,
    Framing,
    ParsedRequest,
    PlainEndpoint,
    Reply,
    WireFormat,
    Writer,
    endpoints_at,
    json_text,
    ping,
    provider_of,
    shaped,
    torn,
)

from .delivery import Answer, ChunkCounter, Close
from .http_request import HTTPRequest
from .unknown import unknown_path

__all__ = ["PROVIDERS", "WIRE_PROVIDERS", "Answer", "Close", "Frame", "answer"]

#: Whom a request can be for where the path alone says it, and where the host says it, too.
WIRE_PROVIDERS = tuple(dict.fromkeys(endpoint.provider for endpoint in ENDPOINTS))
PROVIDERS = tuple(dict.fromkeys((*WIRE_PROVIDERS, *HOSTS.values())))

# What reading JSON of any shape runs into, where a field is not what its format says.
_WRONG_TYPES = (AttributeError, LookupError, OverflowError, TypeError, ValueError)
_SECRET_FIELDS = {"api_key", "apikey", "authorization", "authorization_token", "access_token", "secret", "password"}


def answer(
    playbook: Playbook,
    incoming: HTTPRequest,
    *,
    opened_at: CallSite,
    pacing: Pacing | None = None,
    buffer_size: int = 100,
    background: bool = False,
    way_out: str = "",
) -> Answer:
    """Answer a request; call it where the frames will be read, in the running loop if there is one.

    Args:
        playbook: has the scripts, and keeps the record.
        incoming: the request.
        opened_at: the line that made the request.
        pacing: applies where the script sets none.
        buffer_size: how many frames the producer may be ahead of the reader.
        background: run the producer as a task or thread.
        way_out: what the user can do about a path that is not known; a sentence.
    """
    return _Answering(playbook, incoming, opened_at, pacing, buffer_size, background, way_out).answer()


@dataclass(slots=True)
class _Answering:
    """The answering of one request."""

    playbook: Playbook
    incoming: HTTPRequest
    opened_at: CallSite
    pacing: Pacing | None
    buffer_size: int
    background: bool
    way_out: str

    def answer(self) -> Answer:
        method, headers = self.incoming.method.upper(), self.incoming.lower_headers
        there = endpoints_at(self.incoming.path, headers)
        found = next(((endpoint, groups) for endpoint, groups in there if endpoint.method == method), None)
        if found is None:
            allowed = sorted({endpoint.method for endpoint, _ in there})
            if allowed:
                return self._refuse(405, there[0][0], f"this path is asked with {' or '.join(allowed)}.")
            why = unknown_path(self.incoming.path, self.incoming.host)
            return self._refuse(404, None, why + (f"\n  {self.way_out}" if self.way_out else ""))
        endpoint, groups = found
        try:
            body = {} if method == "GET" else _json_object(self.incoming.body)
            parsed = endpoint.parse(body, groups, self.incoming.query)
            if isinstance(endpoint, PlainEndpoint):
                return self._tell(endpoint, parsed)
            prompt_tokens = sum(len(message_text(message).split()) for message in parsed.messages)
        except BadRequestError as error:
            return self._refuse(400, endpoint, f"{endpoint.name} cannot read it: {error}.")
        except _WRONG_TYPES as error:
            why = f"something in it is of a type that no SDK sends ({type(error).__name__}: {error})"
            return self._refuse(400, endpoint, f"{endpoint.name} cannot read it: {why}.")
        return self._play(endpoint, parsed, prompt_tokens)

    def _tell(self, endpoint: PlainEndpoint, parsed: ParsedRequest) -> Answer:
        body = json_text(endpoint.answer(parsed)).encode()
        request = self._request(endpoint, parsed)
        self.playbook.record(request)
        return self._whole(200, request, body)

    def _play(self, wire: WireFormat, parsed: ParsedRequest, prompt_tokens: int) -> Answer:
        request = self._request(wire, parsed)
        try:
            script = self.playbook.answer(request)
        except UnexpectedRequestError as error:
            return self._error(400, wire, request, error)
        try:
            reply = wire.reply(parsed, script, number=request.number, prompt_tokens=prompt_tokens)
        except ScriptError as error:
            self.playbook.remember(error)
            return self._error(400, wire, request, error)
        units = script.units(pacing=self.pacing, salt=request.number, prompt_tokens=prompt_tokens)
        status = _status(wire, parsed, script)
        if parsed.framing is None or status != 200:
            headers = _headers("application/json", request, script)
            return self._begin(status, headers, request, _whole_frames(wire, reply, units), script)
        encoder, writer = wire.encoder(reply), Writer(parsed.framing, script.shape.line_ending or "\n")
        frames = shaped(
            torn(wire.frames(units, encoder, writer)),
            script.shape,
            between=_between(encoder, writer, parsed.framing, script.shape),
            seed=f"{script.pacing.seed or 0}/{request.number}",
        )
        headers = _headers(CONTENT_TYPES[parsed.framing], request, script)
        return self._begin(status, headers, request, frames, script, headers_first=not _breaks_at_once(script))

    def _request(self, endpoint: WireFormat | PlainEndpoint | None, parsed: ParsedRequest | None) -> Request:
        provider = provider_of(self.incoming.host) or (endpoint.provider if endpoint else "unknown")
        return Request(
            provider=provider,
            path=self.incoming.path,
            model=parsed.model or None if parsed else None,
            messages=parsed.messages if parsed else [],
            tools=_without_secrets(parsed.tools) if parsed else [],
            params=_without_secrets(parsed.params) if parsed else {},
            headers=redacted(self.incoming.lower_headers),
            streaming=parsed is not None and parsed.framing is not None,
            opened_at=self.opened_at,
        )

    def _refuse(self, status: int, endpoint: WireFormat | PlainEndpoint | None, why: str) -> Answer:
        request = self._request(endpoint, None)
        asked = f"{self.incoming.method} {self.incoming.path} of {self.incoming.host or 'no host'}"
        error = UnexpectedRequestError(f"{asked} (at {self.opened_at}): {why}")
        self.playbook.refuse(request, error)
        return self._error(status, endpoint, request, error)

    def _error(
        self, status: int, endpoint: WireFormat | PlainEndpoint | None, request: Request, error: MockStreamError
    ) -> Answer:
        shape = endpoint.error if endpoint else ERRORS.get(request.provider, ERRORS["openai"])
        body = json_text(shape(status, f"pytest-mockstream: {error}", None)).encode()
        return self._whole(status, request, body, error)

    def _whole(self, status: int, request: Request, body: bytes, error: MockStreamError | None = None) -> Answer:
        answered = self._begin(status, _headers("application/json", request), request, [Frame(body, last=True)])
        answered.error = error
        return answered

    def _begin(
        self,
        status: int,
        headers: dict[str, str],
        request: Request,
        steps: Iterable[Played[Frame]],
        script: Script | None = None,
        *,
        headers_first: bool = False,
    ) -> Answer:
        counter = ChunkCounter()
        playback: Playback[Frame] = Playback(
            counter.counted(steps),
            buffer_size=self.buffer_size,
            gates=script.gates if script else (),
            background=self.background,
        )
        counter.playback = playback
        return Answer(
            status=status,
            headers=headers,
            headers_first=headers_first,
            request=request,
            entry=begin(request, counter, chunk_count=script.chunk_count if script else 0),
            playback=playback,
        )


def _headers(content_type: str, request: Request, script: Script | None = None) -> dict[str, str]:
    number = f"req_{request.number}"
    headers = {"content-type": content_type, "x-request-id": number, "request-id": number}
    fault = script.steps[-1] if script and script.steps else None
    if isinstance(fault, HTTPError) and fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    return headers


def _without_secrets(value: Any) -> Any:
    """Return JSON in which the credentials are replaced; tools and parameters may have some."""
    if isinstance(value, dict):
        return {name: _field_without_secrets(name, item) for name, item in value.items()}
    return [_without_secrets(item) for item in value] if isinstance(value, list) else value


def _field_without_secrets(name: str, value: Any) -> Any:
    if name == "headers" and isinstance(value, dict):
        return redacted(value)
    if name.lower() in _SECRET_FIELDS and isinstance(value, str):
        return "[redacted]"
    return _without_secrets(value)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        # The text of a body is not repeated: it may hold a credential.
        raise BadRequestError(f"its body of {len(body)} bytes is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadRequestError(f"its body must be a JSON object, but it is a JSON {type(value).__name__}")
    return value


def _between(encoder: Encoder, writer: Writer, framing: Framing, shape: Shape) -> bytes:
    """Return what is sent between frames; between the elements of an array, it can only be white space."""
    return ping(encoder, writer) if shape.between == "ping" and framing != "array" else writer.comment()


def _status(wire: WireFormat, parsed: ParsedRequest, script: Script) -> int:
    last = script.steps[-1] if script.steps else None
    if isinstance(last, HTTPError):
        return last.status
    if isinstance(last, ErrorEvent) and parsed.framing is None:
        return wire.error_status.get(last.type or "", 500)
    return 200


def _breaks_at_once(script: Script) -> bool:
    first = next((step for step in script.steps if not isinstance(step, Wait | Gate)), None)
    return isinstance(first, Disconnect) and not first.inside_frame


def _whole_frames(
    wire: WireFormat, reply: Reply, units: Iterable[Played[StreamChunk | str]]
) -> Iterator[Played[Frame]]:
    """Join the chunks of a reply that is not streamed; its body arrives when the last chunk would have."""
    chunks: list[StreamChunk] = []
    garbage: str | None = None
    for step in units:
        if isinstance(step, str):
            chunks.append(StreamChunk(index=len(chunks), delta=step))
        elif isinstance(step, StreamChunk):
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
