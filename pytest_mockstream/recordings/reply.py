"""Turns a reply, as its bytes came, into what it says in the words of a script.

It knows no provider: each wire format brings its decoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias, TypeVar

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.steps import (
    Disconnect,
    ErrorEvent,
    Failed,
    HTTPError,
    KeepAlive,
    Malformed,
    Stall,
    Truncate,
)
from pytest_mockstream.wire import (
    Comment,
    Decoder,
    Decoding,
    Finish,
    FrameReader,
    Framing,
    Heard,
    ParsedRequest,
    Piece,
    Unframed,
    Unreadable,
    WireFormat,
)

from .composer import Composed, Composer

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")

#: How a reply ended: its body is complete; the connection was reset, or closed before the end of the body; nothing came
#: until the client gave up.
Ending: TypeAlias = Literal["end", "reset", "cut", "silence"]

# Of a frame that is not what its format says.
_GARBAGE = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
_KEPT = ("retry-after", "retry-after-ms", "x-should-retry")
#: Mistral's were x-ratelimitbysize-..., Together has x-tokenlimit-..., Cohere x-trial-endpoint-call-..., and those of
#: the IETF's draft are ratelimit and ratelimit-policy:
#: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
_KEPT_PREFIXES = (
    *("x-ratelimit", "anthropic-ratelimit-", "ratelimit", "x-ms-ratelimit-"),
    *("x-tokenlimit-", "x-trial-endpoint-call-"),
)


@dataclass(kw_only=True)
class Reply:
    """A reply as it came.

    Attributes:
        begun: when the request was sent, in seconds of any clock; all times are of the same.
        status: the HTTP status; None if the connection ended before it.
        headers: of the answer, names in lower case.
        pieces: the bytes of the body as they came, each with its time; nothing is compressed.
        ending: how it ended.
        ended: when.
    """

    begun: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    ending: Ending = "end"
    ended: float = 0.0

    @property
    def body(self) -> bytes:
        """All of the body that came."""
        return b"".join(data for _, data in self.pieces)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer that a recording keeps besides its content type: retries and rate limits."""
    return {name: value for name, value in headers.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}


def composed(wire: WireFormat, framing: Framing | None, reply: Reply, request: ParsedRequest | None = None) -> Composed:
    """Return what a reply says.

    Args:
        wire: the format of it.
        framing: how its frames are told apart; None if it is not streamed.
        reply: as it came.
        request: what was asked, which the reply may repeat; None if that does not matter.

    Raises:
        ValueError: it is not in this format.
    """
    decoding = wire.decoding
    if decoding is None:
        raise ValueError(f"{wire.name} has no decoder")
    repeated = "" if request is None else wire.repeats(request)
    composer = Composer(reply.begun, repeated=repeated, extras=wire.extras)
    if reply.status is None:
        _break(composer, reply.ending, inside_frame=False)
    elif reply.status >= 400:
        composer.add(_http_error(wire, reply))
    elif framing is None:
        _hear_whole(composer, wire, reply)
    else:
        _hear_stream(composer, decoding, framing, reply)
    return composer.composed()


def _known(value: T | None) -> T:
    """Return a value that ``composed`` has looked at."""
    assert value is not None  # noqa: S101
    return value


def _http_error(wire: WireFormat, reply: Reply) -> HTTPError:
    decoding, status = _known(wire.decoding), _known(reply.status)
    try:
        message, kind, code = decoding.error(json.loads(reply.body))
        _check_text(message, *(one for one in (kind, code) if one is not None))
    except _GARBAGE:
        message, kind, code = reply.body.decode(errors="replace"), None, None
    headers = kept_headers(reply.headers)
    made = partial(
        HTTPError,
        status,
        type=decoding.error_type(reply.headers) if kind is None else kind,
        code=code if wire.has_codes else None,
        message=message,
    )
    after = headers.get("retry-after")
    try:
        others = {name: value for name, value in headers.items() if name != "retry-after"}
        return made(headers=others or None, retry_after=after)
    except ScriptError:  # it says no time that a client could wait
        return made(headers=headers)


def _hear_whole(composer: Composer, wire: WireFormat, reply: Reply) -> None:
    if reply.ending != "end":
        _break(composer, reply.ending, inside_frame=bool(reply.body))
        return
    decoding = _known(wire.decoding)
    is_json = decoding.text is None or "json" in reply.headers.get("content-type", "json")
    text = reply.body.decode(errors="replace")
    try:
        body = json.loads(text) if is_json else text
    except (ValueError, RecursionError):
        composer.add(Malformed(text))
        return
    try:
        said = list(map(_checked, decoding.whole(body) if decoding.text is None or is_json else decoding.text(body)))
    except _GARBAGE as error:
        raise ValueError(f"the body of {len(reply.body)} bytes is no reply of {wire.name}: {error}") from error
    for heard in said:
        composer.hear([heard], reply.ended)


def _hear_stream(composer: Composer, decoding: Decoding, framing: Framing, reply: Reply) -> None:
    reader, decoder = FrameReader(framing), decoding.stream()
    frames = _frames(reader, reply)
    for one, at in frames:
        if _hear(composer, decoding, decoder, one, at):
            if next(frames, None) is not None:
                composer.lose("what came after an error")
            return
    is_torn = bool(reader.rest)
    _hear_rest(composer, decoding, decoder, reply.pieces[-1][0] if reply.pieces else reply.begun)
    if reply.ending != "end":
        _break(composer, reply.ending, inside_frame=is_torn)
    elif not composer.is_finished:
        composer.add(Truncate(inside_frame=is_torn))


def _frames(reader: FrameReader, reply: Reply) -> Iterator[tuple[Unframed, float]]:
    """Yield each frame, and when it was complete."""
    for at, data in reply.pieces:
        for one in reader.feed(data):
            yield one, at
    if reply.ending == "end":
        for one in reader.end():
            yield one, reply.ended


def _hear(composer: Composer, decoding: Decoding, decoder: Decoder, one: Unframed, at: float) -> bool:
    """Hear one frame; tell whether the reply ends there with an error."""
    if isinstance(one, Comment):
        composer.add(KeepAlive())
        return False
    if isinstance(one, Unreadable):
        composer.add(Malformed(one.data.decode(errors="replace"), framed=one.framed))
        return False
    try:
        heard = list(map(_checked, decoder.event(one)))
        breaks_off = any(isinstance(step, ErrorEvent | Failed) for step in heard)
        if breaks_off:
            _hear_rest(composer, decoding, decoder, at)
        composer.hear(heard, at)
    except _GARBAGE:
        composer.add(Malformed(one.data))
        return False
    return breaks_off


def _hear_rest(composer: Composer, decoding: Decoding, decoder: Decoder, at: float) -> None:
    """Hear what had begun when a reply breaks off; what a malformed frame began is in the script as that frame."""
    if not composer.is_finished:
        with suppress(*_GARBAGE):
            composer.hear(decoding.rest(decoder), at)


def _checked(heard: Heard) -> Heard:
    """Return what a decoder made of a frame; raise where the frame has for a text what is none."""
    if isinstance(heard, Piece):
        _check_text(heard.text, heard.id, heard.name)
    elif isinstance(heard, Finish):
        _check_text(heard.reason)
        if not heard.reason:
            raise ValueError("a finish reason that is empty")
    return heard


def _check_text(*texts: object) -> None:
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{brief(text)} is no text")


def _break(composer: Composer, ending: Ending, *, inside_frame: bool) -> None:
    if ending == "silence":
        composer.add(Stall())
    else:
        composer.add(Disconnect(how="reset" if ending == "reset" else "cut", inside_frame=inside_frame))
