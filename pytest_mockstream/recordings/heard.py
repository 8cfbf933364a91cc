"""Makes a script of one exchange that was recorded, and proves it: what it does not say is told as lost."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    Disconnect,
    End,
    Failed,
    Frame,
    HTTPError,
    Malformed,
    Stall,
    Step,
    ToolCall,
    Truncate,
)
from pytest_mockstream.wire import (
    BadRequestError,
    Event,
    FrameReader,
    Framing,
    ParsedRequest,
    PlainEndpoint,
    WireFormat,
    WireFrame,
    Writer,
    endpoints_at,
    json_object,
    json_text,
    provider_of,
)

from .composer import Composed
from .reply import Reply, composed
from .shape import Shape, lost, shape_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_OF_OPENAI = ("stop", "tool_calls", "length", "content_filter", "function_call")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as it was sent.

    Attributes:
        provider: who was asked.
        method: of HTTP.
        url: the whole URL; it may hold credentials.
        headers: names in lower case.
        body: as sent.
    """

    provider: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The URL's path."""
        return urlsplit(self.url).path

    def endpoint(self) -> tuple[WireFormat | PlainEndpoint, ParsedRequest | None]:
        """Return what is asked, in the dialect of whom is asked, and the parsed request; None where nobody needs it.

        Raises:
            ValueError: nothing is known of it.
        """
        parts = urlsplit(self.url)
        found = endpoints_at(parts.path, self.headers, provider_of(parts.hostname or ""))
        for endpoint, groups in found:
            if endpoint.method == self.method.upper():
                if not isinstance(endpoint, WireFormat):
                    return endpoint, None
                wire = endpoint.dialects.get(self.provider, endpoint)
                body = json_object(self.body) if wire.reads == "json" else {}
                return wire, wire.parse(body, groups, dict(parse_qsl(parts.query, keep_blank_values=True)))
        raise ValueError(f"nothing is known of {self.method} {parts.path}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an exchange is as a script.

    Attributes:
        script: plays it.
        gaps: seconds before each chunk.
        ended: seconds from the last chunk to what broke it.
        lost: what the script does not say of what came.
        shape: of what came.
        format: its name, and whether it was streamed.
    """

    script: Script
    gaps: tuple[float, ...]
    ended: float
    lost: tuple[str, ...]
    shape: Shape
    format: str


def heard(asked: Asked, reply: Reply) -> Heard:
    """Return an exchange as a script.

    Raises:
        ValueError: nothing here can say it; the message says why.
    """
    try:
        endpoint, parsed = asked.endpoint()
    except BadRequestError as error:
        raise ValueError(f"the request cannot be read: {error}") from None
    if not isinstance(endpoint, WireFormat):
        return _plain(endpoint, reply)
    assert parsed is not None  # noqa: S101 - a wire format has one
    framing = parsed.framing
    name = f"{endpoint.name}{', streamed' if framing else ''}"
    came = shape_of(reply.body, framing if (reply.status or 0) < 400 else None)
    ended = max(0.0, reply.ended - (reply.pieces[-1][0] if reply.pieces else reply.begun))
    try:
        said = composed(endpoint, framing, reply, parsed)
        script = _script(endpoint, said)
        told = lost(came, shape_of(written(endpoint, parsed, script), framing if (reply.status or 0) < 400 else None))
        breaks = any(isinstance(step, Truncate | Disconnect | Stall) for step in script.steps)
        return Heard(
            script=script,
            gaps=said.gaps,
            ended=ended if breaks else 0.0,
            lost=(*said.lost, *told),
            shape=came,
            format=name,
        )
    except (ScriptError, ValueError) as error:
        script, gaps = _frames(framing, reply)
        why = f"everything but the frames themselves: {error}"
        return Heard(script=script, gaps=gaps, ended=0.0, lost=(why,), shape=came, format=name)


def _script(wire: WireFormat, said: Composed) -> Script:
    reason = None if said.finish is None else _portable(wire, said)
    usage = said.usage if said.finish is not None else None
    return Script(*said.steps, finish_reason=reason, usage=usage)


def _portable(wire: WireFormat, said: Composed) -> str | None:
    """Return why the model stopped in OpenAI's word, which every format knows; None if a script says so by itself."""
    calls = any(isinstance(step, ToolCall) for step in Script(*said.steps).contents)
    usual = "tool_calls" if calls else "stop"
    if wire.finish_reasons.get(usual) == said.finish:
        return None
    words = (word for word in _OF_OPENAI if wire.finish_reasons.get(word) == said.finish)
    return next(words, said.finish)


def written(wire: WireFormat, parsed: ParsedRequest, script: Script) -> bytes:
    """Return the bytes that our encoder makes of a script.

    Raises:
        ScriptError: the format cannot say it.
    """
    reply = wire.reply(parsed, script, number=1, prompt_tokens=0)
    fault = script.faults[-1] if script.faults else None
    if isinstance(fault, HTTPError):
        return json_text(wire.error_body(fault)).encode()
    if parsed.framing is None:
        chunks = [unit for unit in script.schedule() if isinstance(unit, StreamChunk)]
        if isinstance(fault, Failed):
            return json_text(wire.failed_body(reply, chunks, fault)).encode()
        return wire.body(reply, chunks)
    steps = wire.frames(script.units(), wire.encoder(reply), Writer(parsed.framing))
    return b"".join(step.data for step in steps if isinstance(step, WireFrame))


def _plain(endpoint: PlainEndpoint, reply: Reply) -> Heard:
    """Return what an endpoint tells that is no chat: its body, as one frame."""
    if reply.status is None:
        return Heard(
            script=Script(Disconnect(how="reset" if reply.ending == "reset" else "cut")),
            gaps=(),
            ended=0.0,
            lost=(),
            shape=Shape(),
            format=endpoint.name,
        )
    kind = reply.headers.get("content-type", "")
    if "json" not in kind:
        raise ValueError(f"{endpoint.name} answers with {kind or 'no content type'}, which no script can say")
    script, gaps = _frames(None, reply)
    return Heard(script=script, gaps=gaps, ended=0.0, lost=(), shape=shape_of(reply.body, None), format=endpoint.name)


def _frames(framing: Framing | None, reply: Reply) -> tuple[Script, tuple[float, ...]]:
    """Return a script of the frames themselves, which is the whole body."""
    steps: list[Step] = []
    gaps: list[float] = []
    before = reply.begun
    if framing is None:
        text = reply.body.decode(errors="replace")
        return Script(Frame(text) if _is_json(text) else Malformed(text)), (reply.ended - reply.begun,)
    reader = FrameReader(framing)
    for at, data in reply.pieces:
        for one in reader.feed(data):
            if isinstance(one, Event):
                steps.append(Frame(one.data, event=one.name, id=one.id, retry=one.retry))
                gaps.append(max(0.0, at - before))
                before = at
    if reply.ending != "end":
        steps += [End(), Disconnect(how="reset" if reply.ending == "reset" else "cut")]
    return Script(*steps), tuple(gaps)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def raw_frames(reply: Reply) -> tuple[str, ...]:
    """Return the pieces of a body as they came: text, or Base64 where they are not UTF-8."""
    return tuple(_raw(data) for _, data in reply.pieces)


def _raw(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "base64:" + b64encode(data).decode()
