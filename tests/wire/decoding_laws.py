"""The law that every decoder keeps: what the encoder wrote comes back as the same script, however its bytes are cut."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from door import Door

from pytest_mockstream import Disconnect, Script, Stall
from pytest_mockstream.playback import End
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.recordings.reply import Ending, Reply, composed
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.options import SHAPE_OPTIONS
from pytest_mockstream.wire import (
    Event,
    FrameReader,
    ParsedRequest,
    WireFormat,
    endpoints_at,
    provider_asked,
    provider_of,
)


class Asked(NamedTuple):
    """A request.

    Attributes:
        path: of the URL, with its query.
        body: the JSON of it.
        host: who is asked; a provider's host, for its dialect.
        headers: which tell formats at one path apart.
        form: the body as it is sent, where that is no JSON.
    """

    path: str
    body: dict[str, Any]
    host: str = "localhost"
    headers: Mapping[str, str] = {}
    form: bytes | None = None


class Written(NamedTuple):
    """What a door sends.

    Attributes:
        status: of the answer.
        headers: of the answer.
        pieces: the body, frame by frame.
        ending: how it ends.
    """

    status: int | None
    headers: dict[str, str]
    pieces: list[bytes]
    ending: Ending

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def wire_of(asked: Asked) -> tuple[WireFormat, ParsedRequest]:
    """Return the format that a request is in, in the dialect of whom is asked, and the parsed request."""
    path, _, query = asked.path.partition("?")
    wire, groups = endpoints_at(path, asked.headers, provider_of(asked.host))[0]
    assert isinstance(wire, WireFormat)
    provider = provider_asked(asked.host, path, "", given=None, usual=wire.provider)
    return wire.dialects.get(provider, wire), wire.parse(asked.body, groups, dict(parse_qsl(query)))


def write(script: Script, asked: Asked) -> Written:
    """Return what a door sends for a script."""
    url = f"https://{asked.host}{asked.path}"
    body = asked.body if asked.form is None else asked.form
    answered = Door(script).answer("POST", url, dict(asked.headers), body)
    assert answered.error is None, answered.error
    pieces = []
    while isinstance(got := answered.playback.receive(0), tuple):
        pieces.append(answered.delivered(*got))
    answered.leave()
    ending: Ending = "end"
    if isinstance(got, Disconnect):
        ending = "reset" if got.how == "reset" else "cut"
    elif got is None or isinstance(got, Stall):
        ending = "silence"
    elif isinstance(got, End):
        assert got is End.WHOLE
    begun = answered.headers_first or pieces or ending == "end"
    return Written(answered.status if begun else None, answered.headers, pieces, ending)


def read(asked: Asked, written: Written, cuts: Sequence[int] = ()) -> Composed:
    """Return what a reply says whose body comes in pieces of these lengths, and the rest."""
    wire, parsed = wire_of(asked)
    pieces, place = [], 0
    for length in (*cuts, len(written.body)):
        pieces.append((0.0, written.body[place : place + length]))
        place += length
    headers = {name.lower(): value for name, value in written.headers.items()}
    reply = Reply(status=written.status, headers=headers, pieces=pieces, ending=written.ending)
    return composed(wire, parsed.framing, reply, parsed)


def script_of(heard: Composed) -> Script:
    """Return the script that says what was heard."""
    return Script(*heard.steps, finish_reason=heard.finish, usage=heard.usage)


def said(script: Script, *, items: bool = True) -> list[tuple[Any, ...]]:
    """Return what the chunks of a script say, all but the last one, whose words the decoder has from the provider.

    Args:
        script: any.
        items: whether what no text can say counts in all its details, such as a signature.
    """
    chunks = [chunk for chunk in script.schedule() if isinstance(chunk, StreamChunk)]
    return [
        (chunk.delta, chunk.reasoning, chunk.refusal, _call(chunk), chunk.item if items else None)
        for chunk in chunks
        if chunk.finish_reason is None
    ]


def _call(chunk: StreamChunk) -> tuple[Any, ...] | None:
    call = chunk.tool_call
    return None if call is None else (call.index, call.id, call.name, call.arguments, call.null)


def _bare(script: Script) -> Script:
    """Return a script without what it says of the layout in bytes: nobody needs to know that of a reply."""
    options: dict[str, Any] = {key: value for key, value in script.options.items() if key not in SHAPE_OPTIONS}
    return Script(*script.steps, **options)


def _values(written: Written, asked: Asked) -> list[Any]:
    """Return what is in the frames of a body, in whatever order its keys come, and the bytes that are in none."""
    framing = wire_of(asked)[1].framing
    if framing is None or (written.status or 0) >= 400:
        return [_value(written.body.decode(errors="replace"))]
    reader = FrameReader(framing)
    found = [*reader.feed(written.body), *reader.end()]
    return [*(one._replace(data=_value(one.data)) if isinstance(one, Event) else one for one in found), reader.rest]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def check_law(
    script: Script, asked: Asked, cuts: Sequence[int] = (), *, chunks_are_same: bool = True, items_are_same: bool = True
) -> Composed:
    """Assert that a script comes back: played again it is the same bytes, and says the same in the same chunks.

    Args:
        script: any that the format can say.
        asked: the request.
        cuts: how the bytes of the body come.
        chunks_are_same: False where the format joins or adds chunks (a call in one piece, a reply that is not
            streamed): then the bytes alone are compared.
        items_are_same: False where the bytes have more of what the script leaves open, such as a signature.
    """
    heard = read(asked, write(script, asked), cuts)
    again = script_of(heard)
    first, second = write(_bare(script), asked), write(again, asked)
    assert (second.status, second.ending) == (first.status, first.ending)
    assert _values(second, asked) == _values(first, asked)
    if chunks_are_same:
        assert said(again, items=items_are_same) == said(script, items=items_are_same)
    return heard


def check_cuts(script: Script, asked: Asked) -> None:
    """Assert that a reply says the same wherever its bytes are cut, and if they come one by one."""
    written = write(script, asked)
    whole = read(asked, written)
    length = len(written.body)
    for cuts in (*([cut] for cut in range(length)), [1] * length):
        assert read(asked, written, cuts) == whole
