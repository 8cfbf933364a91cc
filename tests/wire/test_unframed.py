"""Frames are read as they were written, however their bytes are cut; garbage is read as garbage, at no higher cost."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from struct import pack
from typing import Any, Literal, get_args
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream.wire import Comment, Event, FrameReader, Framing, Unframed, Unreadable, Writer

FRAMINGS: tuple[Framing, ...] = get_args(Framing)
KINDS: tuple[Literal["event", "exception", "error"], ...] = ("event", "exception", "error")
CUTS = st.lists(st.integers(0, 60), max_size=20)
DEEP = b"[" * 100_000


def read(framing: Framing, pieces: Iterable[bytes]) -> tuple[list[Unframed], bytes]:
    """Return the frames of a body that comes in pieces and ends, and what is left of it."""
    reader = FrameReader(framing)
    frames = [one for piece in pieces for one in reader.feed(piece)]
    return frames + reader.end(), reader.rest


def cut(body: bytes, lengths: Sequence[int]) -> list[bytes]:
    """Return a body in pieces of these lengths, and the rest."""
    pieces, place = [], 0
    for length in (*lengths, len(body)):
        pieces.append(body[place : place + length])
        place += length
    return pieces


def written(framing: Framing, events: Sequence[Event], line_ending: Any = "\n") -> bytes:
    writer = Writer(framing, line_ending)
    return b"".join(writer.frame(event, last=event is events[-1]) for event in events)


# What is written is read.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_DATA = st.dictionaries(st.text(max_size=5), _JSON, max_size=3).map(json.dumps)
_NAME = st.none() | st.from_regex(r"[a-z.]{1,9}", fullmatch=True)
_EVENTS: dict[Framing, st.SearchStrategy[Event]] = {
    "sse": st.tuples(_DATA | st.just("[DONE]"), _NAME, _NAME, st.none() | st.integers(0, 9999)).map(
        lambda fields: Event(*fields)
    ),
    "ndjson": _DATA.map(Event),
    "array": _DATA.map(Event),
    "aws": st.tuples(_DATA, st.sampled_from(KINDS)).map(lambda fields: Event(fields[0], "metadata", kind=fields[1])),
    "aws-chunks": _DATA.map(Event),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@given(data=st.data())
@settings(max_examples=20)
def test_what_is_written_is_read_however_it_is_cut(framing: Framing, data: st.DataObject) -> None:
    events = data.draw(st.lists(_EVENTS[framing], max_size=5))
    body = written(framing, events, data.draw(st.sampled_from(["\n", "\r\n"])))

    assert read(framing, cut(body, data.draw(CUTS))) == (events, b"")
    assert read(framing, cut(body, [1] * len(body))) == (events, b"")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_comments_are_read_as_comments(framing: Framing) -> None:
    writer, event = Writer(framing), Event('{"a": 1}', "messageStop" if framing == "aws" else None)
    body = writer.frame(event) + writer.comment("x") + writer.frame(event, last=True)

    said = [one for one in read(framing, [body])[0] if not isinstance(one, Comment)]

    assert said == [event, event]
    if framing != "array":  # in which white space says nothing
        assert len(read(framing, [body])[0]) == 3


@pytest.mark.parametrize("framing", ["ndjson", "aws"])
def test_garbage_is_one_frame_among_others(framing: Framing) -> None:
    writer, event = Writer(framing), Event('{"a": 1}', "messageStop" if framing == "aws" else None)
    garbage = writer.garbage(Event("{", "messageStop"))

    assert read(framing, [writer.frame(event) + garbage + writer.frame(event)])[0] == [
        event,
        Unreadable(garbage.rstrip(b"\n")),
        event,
    ]


# Garbage of any kind.

WORDS = [b"data:", b"event: a", b"\xef\xbb\xbf", *(bytes([byte]) for byte in b'\r\n{}[]"\\, 1')]


@pytest.mark.parametrize("framing", FRAMINGS)
@given(data=st.data())
@settings(max_examples=20)
def test_any_bytes_are_read_the_same_however_they_are_cut(framing: Framing, data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=40) | st.lists(st.sampled_from(WORDS), max_size=30).map(b"".join))

    whole = read(framing, [body])

    assert read(framing, cut(body, data.draw(CUTS))) == whole
    assert read(framing, cut(body, [1] * len(body))) == whole


@pytest.mark.parametrize("framing", FRAMINGS)
@given(data=st.data())
@settings(max_examples=20)
def test_a_body_with_a_wrong_byte_is_read_the_same_however_it_is_cut(framing: Framing, data: st.DataObject) -> None:
    events = data.draw(st.lists(_EVENTS[framing], min_size=1, max_size=4))
    body = bytearray(written(framing, events))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    assert read(framing, cut(bytes(body), data.draw(CUTS))) == read(framing, [bytes(body)])


@pytest.mark.slow
@pytest.mark.parametrize("framing", FRAMINGS)
@given(data=st.data())
@settings(max_examples=1000)
def test_many_more_bytes_are_read_the_same(framing: Framing, data: st.DataObject) -> None:
    events = data.draw(st.lists(_EVENTS[framing], max_size=5))
    assert read(framing, cut(written(framing, events), data.draw(CUTS))) == (events, b"")
    body = data.draw(st.text(' \r\n\\"[]{},:1adet', max_size=60)).encode()

    assert read(framing, cut(body, [1] * len(body))) == read(framing, [body])


@pytest.mark.parametrize("framing", ["ndjson", "array", "aws"])
def test_what_is_nested_too_deeply_is_garbage(framing: Framing) -> None:
    frames, rest = read(framing, [DEEP, b"]" * len(DEEP), b"\n\n"])

    assert all(isinstance(frame, Unreadable | Comment) for frame in frames)
    assert frames or rest


# Server-sent events, as the standard has them.


@pytest.mark.parametrize(
    ("body", "frames", "rest"),
    [
        (b"data: a\rdata:b\r\r", [Event("a\nb")], b""),
        (b"data: a\r\ndata\r\n\r\nevent: x\n\ndata: b\n\n", [Event("a\n"), Event("b")], b""),
        (
            b"data:  two spaces\nid: 7\nretry: 1\nretry: x\nretry: \xc2\xb2\n\n",
            [Event(" two spaces", None, "7", 1)],
            b"",
        ),
        (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [Event("a")], b""),
        (b"event: one\nevent: two\ndata: a\nnothing: b\n\n", [Event("a", "two")], b""),
        (b": ping\n\n:\ndata: a\n\n\n\n", [Comment("ping"), Comment(""), Event("a")], b""),
        (
            b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
            [Event("a"), Unreadable(b"\xef\xbb\xbfdata: b\n\n", framed=False)],
            b"",
        ),
        (b"data: \xff\n\ndata: half", [Event("\ufffd")], b"data: half"),
        (b"data: a\n\ndata: b\n", [Event("a")], b"data: b\n"),
        (b"\xef\xbb", [], b"\xef\xbb"),
        (b"", [], b""),
    ],
    ids=repr,
)
def test_events_are_read_as_the_standard_says(body: bytes, frames: list[Unframed], rest: bytes) -> None:
    assert read("sse", [body]) == (frames, rest)
    assert read("sse", cut(body, [1] * len(body))) == (frames, rest)


def test_event_is_read_at_the_first_byte_of_the_line_end_that_ends_it() -> None:
    reader = FrameReader("sse")

    assert reader.feed(b"data: a\r\n\r") == [Event("a")]
    assert (reader.feed(b"\n"), reader.rest) == ([], b"")
    assert reader.feed(b"data: b\n\n") == [Event("b")]


# Lines, and arrays.


@pytest.mark.parametrize(
    ("body", "frames", "rest"),
    [
        (b'{"a": 1}\r\n\n{"b"', [Event('{"a": 1}'), Comment("")], b'{"b"'),
        (b'{"a": 1}', [Event('{"a": 1}')], b""),
        (b"<html>\n1\n", [Unreadable(b"<html>"), Event("1")], b""),
    ],
    ids=repr,
)
def test_lines_are_read(body: bytes, frames: list[Unframed], rest: bytes) -> None:
    assert read("ndjson", [body]) == (frames, rest)


@pytest.mark.parametrize(
    ("body", "frames", "rest"),
    [
        (b'[{"a": "]}\\"["}\n,\r\n{"b": [1, {}]}\n]\n', [Event('{"a": "]}\\"["}'), Event('{"b": [1, {}]}')], b""),
        (b'[{"a": 1},\n', [Event('{"a": 1}')], b""),
        (b'[{"a": 1},\n{"b"', [Event('{"a": 1}')], b'{"b"'),
        (b'{"error": {}}', [Event('{"error": {}}')], b""),
        (b'[1, "a,]b", null ,[[2]]]', [Event("1"), Event('"a,]b"'), Event("null"), Event("[[2]]")], b""),
        (b'[{"a": x}, }, {"b": 1}]', [Unreadable(b'{"a": x}'), Unreadable(b"}"), Event('{"b": 1}')], b""),
        (b"[]", [], b""),
        (b"<html>", [], b"<html>"),
    ],
    ids=repr,
)
def test_elements_are_read(body: bytes, frames: list[Unframed], rest: bytes) -> None:
    assert read("array", [body]) == (frames, rest)
    assert read("array", cut(body, [1] * len(body))) == (frames, rest)


# AWS's event stream.


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


def text(name: bytes, value: bytes) -> bytes:
    return header(name, 7, pack("!H", len(value)) + value)


def message(headers: bytes, payload: bytes = b"{}") -> bytes:
    """Return a message whose checksums are right, whatever is in it."""
    prelude = pack("!II", 16 + len(headers) + len(payload), len(headers))
    checked = prelude + pack("!I", crc32(prelude)) + headers + payload
    return checked + pack("!I", crc32(checked))


def test_headers_of_all_types_are_passed_over() -> None:
    others = b"".join(
        header(b"x", kind, bytes(length)) for kind, length in enumerate([0, 0, 1, 2, 4, 8, 3, 3, 8, 16]) if kind != 7
    ).replace(header(b"x", 6, bytes(3)), header(b"x", 6, b"\0\1b"))

    assert read("aws", [message(others + text(b":event-type", b"metadata"))]) == ([Event("{}", "metadata")], b"")


@pytest.mark.parametrize(
    "headers",
    [
        b"\xff",
        header(b"x", 99, b""),
        b"\x01x",
        header(b"x", 7, b"\xff\xff"),
        header(b"x", 9, b"short"),
        text(b":message-type", b"nonsense"),
    ],
    ids=repr,
)
def test_message_whose_headers_are_garbage_is_unreadable(headers: bytes) -> None:
    good = message(text(b":event-type", b"metadata"))

    assert read("aws", [message(headers) + good])[0] == [Unreadable(message(headers)), Event("{}", "metadata")]


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"{}", b'{"bytes": 1}', b'{"bytes": "a"}', DEEP], ids=lambda data: str(data[:14])
)
def test_chunk_without_bytes_is_unreadable(payload: bytes) -> None:
    whole = message(text(b":event-type", b"chunk"), payload)

    assert read("aws-chunks", [whole]) == ([Unreadable(whole)], b"")


def test_nothing_can_be_told_behind_a_prelude_that_is_wrong() -> None:
    good = message(text(b":event-type", b"metadata"))
    body = good + b"\0" * 12 + good

    assert read("aws", [body]) == ([Event("{}", "metadata"), Unreadable(body[len(good) :])], b"")
    assert FrameReader("aws").feed(body) == [Event("{}", "metadata")]


# What it costs.


def calls(work: Callable[[], object]) -> int:
    """Count the calls that some work makes, those of built-in functions included."""
    count = 0

    def counted(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def body_of(framing: Framing, frames: int, length: int = 60) -> bytes:
    event = Event(json.dumps({"text": '[{"' + "x" * length}), "contentBlockDelta" if framing == "aws" else None)
    return written(framing, [event] * (frames - 1) + [event._replace()])


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("piece", [1, 10**9], ids=["bytes", "one piece"])
def test_calls_are_linear_in_the_number_of_frames(framing: Framing, piece: int) -> None:
    small, large = body_of(framing, 25), body_of(framing, 100)

    def cost(body: bytes) -> int:
        pieces = [body[place : place + piece] for place in range(0, len(body), piece)]
        return calls(lambda: read(framing, pieces))

    assert cost(large) < 4.5 * cost(small)


def peaks(steps: Iterable[object]) -> list[int]:
    """Return how many bytes each step allocates at most beyond what was there before it."""
    found: list[int] = []
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in steps:
            now, peak = tracemalloc.get_traced_memory()
            found.append(peak - before)
            tracemalloc.reset_peak()
            before = now
    finally:
        tracemalloc.stop()
    return found


@pytest.mark.parametrize("framing", FRAMINGS)
def test_no_piece_of_a_long_frame_is_copied_before_the_last(framing: Framing) -> None:
    body = body_of(framing, 1, 1_000_000)
    pieces = cut(body, [len(body) // 1000] * 999)
    reader = FrameReader(framing)

    allocated = peaks(reader.feed(piece) for piece in pieces[:-1])

    assert max(allocated[1:]) < 50_000 < len(body)
    assert len(reader.feed(pieces[-1])) == 1


@pytest.mark.parametrize("framing", FRAMINGS)
def test_no_frame_of_a_long_piece_copies_the_others(framing: Framing) -> None:
    body = body_of(framing, 2000)
    runs = [peaks(FrameReader(framing)._reader.feed(body)) for _ in range(3)]

    allocated = [min(same) for same in zip(*runs, strict=True)]  # another thread may allocate meanwhile, but not thrice

    assert len(allocated) == 2000
    assert max(allocated[1:]) < 10_000 < len(body)
