"""The laws of AWS's event stream: botocore's own decoder reads what is written, however it is cut."""

from __future__ import annotations

import base64
from itertools import pairwise
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from pytest_mockstream.wire.event_stream import message
from pytest_mockstream.wire.sse import Event, Writer, json_text

NAMES = st.from_regex(r"[a-z][A-Za-z]{0,30}", fullmatch=True)
TYPED: st.SearchStrategy[Any] = st.sampled_from(["event", "exception"])


def decoded(data: bytes, cuts: list[int]) -> list[Any]:
    """Give a body to botocore in pieces, and return its messages."""
    buffer, messages = EventStreamBuffer(), []
    places = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(places):
        buffer.add_data(data[start:end])
        messages += list(buffer)
    return messages


@given(st.lists(st.tuples(TYPED, NAMES, st.binary(max_size=100)), max_size=4), st.data())
def test_messages_are_read_back_however_the_body_is_cut(written: list[tuple[Any, str, bytes]], data: Any) -> None:
    body = b"".join(message(kind, name, payload) for kind, name, payload in written)
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=6))

    read = decoded(body, cuts)

    assert [(one.headers[":message-type"], one.payload) for one in read] == [(kind, said) for kind, _, said in written]
    assert [one.headers[f":{one.headers[':message-type']}-type"] for one in read] == [name for _, name, _ in written]
    assert {one.headers[":content-type"] for one in read} <= {"application/json"}


@given(NAMES, st.text(max_size=50))
def test_error_that_no_model_knows_is_told_in_the_headers(code: str, text: str) -> None:
    (read,) = decoded(message("error", code, text.encode()), [])

    assert read.headers == {":message-type": "error", ":error-code": code, ":error-message": text}
    assert read.payload == b""


@pytest.mark.parametrize("text", ["x" * 70_000, "é" * 40_000])
def test_header_is_cut_where_the_encoding_has_no_room(text: str) -> None:
    (read,) = decoded(message("error", "code", text.encode()), [])

    said = read.headers[":error-message"]
    assert text.startswith(said)
    assert 2**15 - 2 <= len(said.encode()) <= 2**15 - 1


@given(NAMES, st.binary(max_size=100))
def test_wrong_crc_is_found(name: str, payload: bytes) -> None:
    with pytest.raises(ChecksumMismatch):
        decoded(message("event", name, payload, valid=False), [])


@given(NAMES, st.text(max_size=20))
def test_chunk_has_its_payload_in_base64(name: str, text: str) -> None:
    writer = Writer("aws-chunks")

    body = writer.frame(Event(json_text(text), name)) + writer.frame(Event("{}", name, kind="exception"))

    chunk, exception = decoded(body, [])
    assert chunk.headers[":event-type"] == "chunk"
    assert chunk.payload == b'{"bytes":"%b"}' % base64.b64encode(json_text(text).encode())
    assert (exception.headers[":exception-type"], exception.payload) == (name, b"{}")


@pytest.mark.parametrize("framing", ["aws", "aws-chunks"])
def test_comment_is_a_message_of_a_type_that_nobody_has(framing: Any) -> None:
    (read,) = decoded(Writer(framing).comment("anything"), [])

    assert (read.headers[":message-type"], read.headers[":event-type"]) == ("event", "keepAlive")
