"""Whatever a provider sends, it is read as a script or refused with a ``ValueError``: nothing else is raised."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from pytest_mockstream import Citation, Image, Reasoning, Refusal, Script, ScriptError, ServerTool, Text, ToolCall
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.recordings.reply import Reply, composed
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.content import Content
from pytest_mockstream.wire import (
    ENDPOINTS,
    Event,
    FrameReader,
    Framing,
    ParsedRequest,
    WireFormat,
    WireFrame,
    Writer,
)

WIRES = {
    f"{wire.name}{', ' * bool(provider)}{provider}": wire
    for known in ENDPOINTS
    if isinstance(known, WireFormat)
    for provider, wire in {"": known, **known.dialects}.items()
    if wire.decoding is not None
}
#: One format for each decoder.
ONE_OF_EACH = list({id(wire.decoding): name for name, wire in reversed(WIRES.items())}.values())[::-1]
_DEEP = json.loads("[" * 200 + "]" * 200)
_HI: list[Any] = [{"role": "user", "content": "hi"}]
_VALUES: tuple[Any, ...] = (None, True, -1, 1.5, 1e999, 10**30, "", "\ud800", [], [[]], ["text"], {}, {"a": {}}, _DEEP)


def garbled(value: Any) -> Iterator[Any]:
    """Yield a value with each part of it replaced by each of other values, and left out."""
    yield from _VALUES
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            without = copy.copy(value)
            del without[key]
            yield without
            for part in garbled(value[key]):
                changed = copy.copy(value)
                changed[key] = part
                yield changed


_STEPS: tuple[Content, ...] = (Reasoning("Well."), Text("Hi there"), ToolCall("f", {"a": 1}), ToolCall("g", {}))
#: What only some formats can say.
_EXTRAS: tuple[Content, ...] = (
    Reasoning("Well.", signature="s"),
    Reasoning("x", redacted=True),
    ServerTool("web_search", {"query": "q"}, [{"url": "u"}]),
    Text("Hi"),
    Citation("u", "t"),
    ServerTool("code_execution", {"code": "1"}, "1"),
    ServerTool("tools/list", {}, [{"name": "f"}], server="s"),
    ServerTool("f", {"a": 1}, {"error": "no"}, server="s"),
    Image(),
    Refusal("No"),
)


def script_of(wire: WireFormat, request: ParsedRequest, wanted: tuple[Content, ...] = _STEPS) -> Script:
    """Return a script with all of some steps that a format can say."""
    steps = []
    for step in wanted:
        with contextlib.suppress(ScriptError):
            wire.reply(request, Script(step, finish_reason="stop"), number=1, prompt_tokens=1)
            steps.append(step)
    assert steps
    return Script(*steps, finish_reason="stop")


def framing_of(wire: WireFormat) -> Framing:
    return "aws" if wire.provider == "bedrock" else "sse"


def events_of(wire: WireFormat, wanted: tuple[Content, ...] = _STEPS) -> list[Event]:
    """Return what a format makes of a script when it is streamed."""
    request = ParsedRequest(model="m", messages=_HI, framing=framing_of(wire))
    script = script_of(wire, request, wanted)
    encoder = wire.encoder(wire.reply(request, script, number=1, prompt_tokens=1))
    frames = wire.frames(script.schedule(), encoder, Writer(framing_of(wire)))
    body = b"".join(frame.data for frame in frames if isinstance(frame, WireFrame))
    return [one for one in FrameReader(framing_of(wire)).feed(body) if isinstance(one, Event)]


def body_of(wire: WireFormat, wanted: tuple[Content, ...] = _STEPS) -> Any:
    """Return what a format makes of a script when it is not."""
    request = ParsedRequest(model="m", messages=_HI)
    script = script_of(wire, request, wanted)
    reply = wire.reply(request, script, number=1, prompt_tokens=1)
    return wire.whole(reply, [unit for unit in script.schedule() if isinstance(unit, StreamChunk)])


def heard(wire: WireFormat, framing: Framing | None, body: bytes, status: int = 200) -> Composed | None:
    """Return what is heard of a body; None if it is refused."""
    try:
        found = composed(wire, framing, Reply(status=status, pieces=[(0.0, body)]))
    except ValueError:
        return None
    Script(*found.steps, finish_reason=found.finish, usage=found.usage)  # legal, whatever came
    return found


def check_stream(wire: WireFormat, every: int = 1, wanted: tuple[Content, ...] = _STEPS) -> None:
    """Assert that streams are read in which one frame is garbled: each one of so many that can be made."""
    writer, events = Writer(framing_of(wire)), events_of(wire, wanted)
    frames = [writer.frame(event) for event in events]
    made = (
        (place, value)
        for place, event in enumerate(events)
        for value in (garbled(json.loads(event.data)) if event.data != "[DONE]" else ())
    )
    for place, value in islice(made, 0, None, every):
        frame = writer.frame(events[place]._replace(data=json.dumps(value)))
        assert heard(wire, writer.framing, b"".join([*frames[:place], frame, *frames[place + 1 :]])) is not None


def check_bodies(wire: WireFormat, every: int = 1, wanted: tuple[Content, ...] = _STEPS) -> None:
    """Assert that garbled bodies are read or refused: each one of so many that can be made."""
    body = body_of(wire, wanted)
    values = [body, *islice(garbled(body), 0, None, every)]
    assert heard(wire, None, json.dumps(values[0]).encode()) is not None
    for value in values:
        heard(wire, None, json.dumps(value).encode())


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_stream_of_garbage_is_a_script(name: str) -> None:
    check_stream(WIRES[name], every=29)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_body_of_garbage_is_a_script_or_refused(name: str) -> None:
    check_bodies(WIRES[name], every=7)


@pytest.mark.slow
@pytest.mark.parametrize("name", WIRES)
def test_all_garbage_is_a_script_or_refused(name: str) -> None:
    check_stream(WIRES[name])
    check_bodies(WIRES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_garbage_in_what_only_some_formats_say_is_a_script_or_refused(name: str) -> None:
    check_stream(WIRES[name], every=5, wanted=_EXTRAS)
    check_bodies(WIRES[name], wanted=_EXTRAS)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_stream_that_begins_anywhere_is_a_script(name: str) -> None:
    wire = WIRES[name]
    frames = [Writer(framing_of(wire)).frame(one) for one in events_of(wire)]
    for place in range(len(frames)):
        assert heard(wire, framing_of(wire), b"".join([*frames[place:], *frames[:place]])) is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", WIRES)
def test_stream_with_a_frame_in_a_wrong_place_is_a_script(name: str) -> None:
    wire = WIRES[name]
    frames = [Writer(framing_of(wire)).frame(one) for one in events_of(wire)]
    for frame in frames:
        for place in range(len(frames)):
            assert heard(wire, framing_of(wire), b"".join([*frames[:place], frame, *frames[place:]])) is not None


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_error_of_garbage_is_an_http_error(name: str) -> None:
    wire = WIRES[name]
    for value in garbled(wire.error(429, "slow down", None)):
        found = heard(wire, framing_of(wire), json.dumps(value).encode(), status=429)
        assert found is not None
        assert [type(step).__name__ for step in found.steps] == ["HTTPError"]


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize(
    "data", ["", "{", "[" * 100_000, "5" * 5000, "NaN", '"text"', "<html>"], ids=lambda text: text[:6]
)
def test_data_that_is_no_object_of_json_is_garbage(name: str, data: str) -> None:
    wire = WIRES[name]
    framing = framing_of(wire)
    frame = Writer(framing).frame(Event(data, events_of(wire)[1].name))

    assert heard(wire, framing, frame) is not None
    heard(wire, None, data.encode())
    assert heard(wire, None, data.encode(), status=500) is not None
