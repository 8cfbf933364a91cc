"""What a response says before its body, and the frames of one that is not streamed, by the script that it plays.

It keeps nothing and remembers nothing: the same script and request give the same response.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pytest_mockstream.playbook.ledger import Quota, entry_of
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.shape import Shape
from pytest_mockstream.script.steps import (
    Disconnect,
    ErrorEvent,
    Failed,
    HTTPError,
    KeepAlive,
    Malformed,
    Played,
    Truncate,
    Wait,
)
from pytest_mockstream.wire import (
    Encoder,
    Framing,
    Head,
    ParsedRequest,
    Reply,
    WireFormat,
    WireFrame,
    Writer,
    headers_of,
    json_text,
    ping,
    rate_limit_headers,
)

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_NONE: Mapping[str, str] = {}
_USUAL_RPM = 60  # requests per minute: what an error that is a rate limit names as the limit, where none is in force


def headers_for(
    content_type: str, request: Request, script: Script | None = None, own: Mapping[str, str] = _NONE
) -> dict[str, str]:
    """Return the headers of a response: of all, of the provider's, of the endpoint's ``own``, and of the script's."""
    number = f"req_{request.number}"
    headers = {"content-type": content_type, "x-request-id": number, "request-id": number}
    fault = script.steps[-1] if script and script.steps else None
    headers |= {**headers_of(request.provider, request.number), **own, **_quota_headers(request, fault)}
    if script is not None:
        headers |= script.headers
    return headers | fault.http_headers if isinstance(fault, HTTPError) else headers


def _quota_headers(request: Request, fault: object) -> dict[str, str]:
    """Return what the answer to a request says of its quota: of one that is in force, or of one that is used up."""
    quota = entry_of(request).quota
    refused = isinstance(fault, HTTPError) and fault.is_rate_limit
    if quota is None and isinstance(fault, HTTPError) and refused:
        quota = Quota(requests=(_USUAL_RPM, 0, fault.seconds_to_wait() or 1.0))
    return {} if quota is None else rate_limit_headers(request.provider, **quota._asdict(), refused=refused)


def head_of(parsed: ParsedRequest, request: Request, script: Script, status: int, prompt_tokens: int) -> Head:
    """Return what is known of the answer to a request before its body."""
    last = script.steps[-1] if script.steps else None
    error = last.type if isinstance(last, ErrorEvent) else None
    usage = script.usage or Usage(prompt_tokens=prompt_tokens, completion_tokens=max(0, script.chunk_count - 1))
    return Head(request.path, request.number, status, error, parsed.framing, usage)


def between_frames(encoder: Encoder, writer: Writer, framing: Framing, shape: Shape) -> bytes:
    """Return what is sent between frames; between the elements of an array, it can only be white space."""
    return ping(encoder, writer) if shape.between == "ping" and framing != "array" else writer.comment()


def status_of(wire: WireFormat, parsed: ParsedRequest, script: Script) -> int:
    """Return the status with which a script answers: an error that ends a reply is one, unless that is streamed."""
    last = script.steps[-1] if script.steps else None
    if isinstance(last, HTTPError):
        return last.status
    if isinstance(last, ErrorEvent) and parsed.framing is None:
        return wire.status_of(last)
    return 200


def breaks_at_once(script: Script) -> bool:
    """Tell whether the connection breaks before anything of the body is sent."""
    first = next((step for step in script.steps if not isinstance(step, Wait | Gate)), None)
    return isinstance(first, Disconnect) and not first.inside_frame


def whole_frames(
    wire: WireFormat, reply: Reply, units: Iterable[Played[StreamChunk | str]]
) -> Iterator[Played[WireFrame]]:
    """Join the chunks of a reply that is not streamed; its body arrives when the last chunk would have."""
    chunks: list[StreamChunk] = []
    garbage: str | None = None
    is_sent = False
    for step in units:
        if isinstance(step, str):
            chunks.append(StreamChunk(index=len(chunks), delta=step))
        elif isinstance(step, StreamChunk):
            chunks.append(step)
            if step.finish_reason is not None:
                is_sent = True
                body = wire.body(reply, chunks) if garbage is None else garbage.encode(errors="replace")
                yield WireFrame(body, chunks=len(chunks), last=True)
        elif isinstance(step, Malformed):
            garbage = step.data
            if is_sent:
                yield WireFrame(garbage.encode(errors="replace"))
        elif isinstance(step, Truncate | Disconnect):
            if (chunks or step.inside_frame) and not is_sent:
                body = wire.body(reply, chunks)
                yield WireFrame(body[: len(body) // 2])
            yield step
        elif isinstance(step, ErrorEvent | HTTPError):
            yield WireFrame(json_text(wire.error_body(step)).encode())
            yield step
        elif isinstance(step, Failed):
            yield WireFrame(json_text(wire.failed_body(reply, chunks, step)).encode())
            yield step
        elif not isinstance(step, KeepAlive):
            yield step
