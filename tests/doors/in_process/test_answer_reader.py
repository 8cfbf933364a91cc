"""What the bytes of an answer say, in whatever pieces they come."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_server import chunked

from pytest_mockstream.doors.in_process.answer_reader import AnswerReader
from pytest_mockstream.doors.passed import Passed


class Told:
    """Keeps what a reader tells."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.body = b""
        self.endings: list[str] = []

    def answered(self, status: int, headers: Any) -> None:
        self.statuses.append(status)

    def received(self, data: bytes) -> None:
        self.body += data

    def ended(self, how: str) -> None:
        self.endings.append(how)


def read(*pieces: bytes, method: str = "POST") -> tuple[Told, AnswerReader]:
    told = Told()
    reader = AnswerReader(cast(Passed, told), method)
    for piece in pieces:
        reader.feed(piece)
    return told, reader


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=9))
def test_any_cut_of_the_bytes_says_the_same(chunks: list[bytes], sizes: list[int]) -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + b"".join(chunked(*chunks))
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size

    told, reader = read(*pieces)

    assert (told.statuses, told.body, told.endings) == ([200], b"".join(chunks), ["end"])
    assert reader.is_over


@pytest.mark.parametrize("end", [10, 60, 95, 99])
def test_connection_that_closes_early_is_cut(end: int) -> None:
    told, reader = read(b"".join(chunked(b"one", b"two"))[:end])

    reader.closed()

    assert told.endings == ["cut"]


@pytest.mark.parametrize(
    ("head", "method"),
    [("204 No Content", "POST"), ("304 Not Modified", "GET"), ("200 OK\r\ncontent-length: 9", "HEAD")],
)
def test_answer_without_body_ends_with_its_head(head: str, method: str) -> None:
    told, _ = read(f"HTTP/1.1 {head}\r\n\r\n".encode(), method=method)

    assert told.endings == ["end"]


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nabcde\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nabcde",
    ],
)
def test_what_is_not_http_is_cut(data: bytes) -> None:
    told, reader = read(data, b"more")

    assert told.endings == ["cut"]
    assert reader.is_over
