"""Every fault, as the network makes it: what is on the wire, byte by byte, and how the connection ends."""

from __future__ import annotations

import openai
import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    HTTPError,
    Malformed,
    MockStreamServer,
    Stall,
    Text,
    Truncate,
    Wait,
)

from .conftest import Ask, Wire, chat_request, deltas_of, text_of


def test_a_disconnect_is_a_reset(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    mock_stream_server.respond("one ", Disconnect())
    wire.send(chat_request())
    wire.read_until(b"one ")

    wire.read_to_reset()

    assert mock_stream_server.requests[0].state == "broken"


def test_a_disconnect_at_once_sends_no_status(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    mock_stream_server.respond(Disconnect())
    wire.send(chat_request())

    assert wire.read_to_reset() == b""


def test_a_cut_closes_in_order_but_the_body_has_no_end(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    mock_stream_server.respond("one ", Disconnect(how="cut"))
    wire.send(chat_request())

    body = wire.read_to_end()

    assert b"one " in body
    assert not body.endswith(b"0\r\n\r\n")


def test_a_cut_inside_a_frame_sends_half_of_it(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    mock_stream_server.respond("one ", Disconnect(how="cut", inside_frame=True))
    wire.send(chat_request())

    *_, last, nothing = wire.read_to_end().split(b"\r\n")

    assert last.startswith(b'data: {"id":')
    assert not last.endswith(b"\n\n")
    assert nothing == b""


def test_a_reset_inside_a_frame_comes_after_half_of_it(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    mock_stream_server.respond("one ", Disconnect(inside_frame=True))
    wire.send(chat_request())

    assert not wire.read_to_reset().endswith(b"\n\n\r\n")


def test_a_truncated_stream_ends_cleanly_without_its_last_chunk(
    mock_stream_server: MockStreamServer, wire: Wire
) -> None:
    mock_stream_server.respond("one ", Truncate())
    wire.send(chat_request())

    body = wire.read_until(b"\r\n0\r\n\r\n")

    assert b"one " in body
    assert b"[DONE]" not in body


def test_a_clean_end_may_come_inside_a_frame(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    mock_stream_server.respond("one ", Truncate(inside_frame=True))
    wire.send(chat_request())

    body = wire.read_until(b"\r\n0\r\n\r\n")

    assert not body.endswith(b"\n\n\r\n0\r\n\r\n")


def test_the_connection_lives_on_after_a_clean_end(keeping: tuple[MockStreamServer, Wire]) -> None:
    server, wire = keeping
    server.respond("one ", Truncate())
    server.respond("two")
    wire.send(chat_request())
    wire.read_until(b"\r\n0\r\n\r\n")

    wire.send(chat_request())

    assert b"two" in wire.read_until(b"\r\n0\r\n\r\n")


def test_a_stall_is_silence_with_the_connection_open(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond("one ", Stall())

    with openai.OpenAI(max_retries=0, timeout=1) as client:
        stream = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APITimeoutError):
            text_of(stream)

    assert mock_stream_server.requests[0].state == "closed"


def test_a_slow_first_byte_comes_after_the_status(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    gate = Gate()
    mock_stream_server.respond(gate, "late")
    wire.send(chat_request())

    head = wire.read_until(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200")
    assert wire.received == b""
    gate.open()
    assert b"late" in wire.read_until(b"0\r\n\r\n")


def test_garbage_is_sent_as_it_is_scripted(mock_stream_server: MockStreamServer, wire: Wire) -> None:
    mock_stream_server.respond("one ", Malformed("<html>"))
    wire.send(chat_request())

    assert b"<html>" in wire.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529, 599])
def test_an_error_status_comes_instead_of_a_stream(
    mock_stream_server: MockStreamServer, wire: Wire, status: int
) -> None:
    mock_stream_server.respond(HTTPError(status, retry_after=1.5, message="not now"))
    wire.send(chat_request(connection="close"))

    head, _, body = wire.read_to_end().partition(b"\r\n\r\n")

    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"retry-after: 1.5" in head
    assert b"not now" in body
    assert f"content-length: {len(body)}".encode() in head


def test_a_retry_is_a_request_of_its_own(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond(HTTPError(500))
    mock_stream_server.respond("one")

    with openai.OpenAI(max_retries=1) as client:
        stream = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert text_of(stream) == "one"

    assert [request.state for request in mock_stream_server.requests] == ["broken", "exhausted"]


def test_an_error_event_comes_inside_the_stream(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond("one ", ErrorEvent("overloaded"))

    with pytest.raises(openai.APIError, match="overloaded"):
        text_of(ask())


def test_a_server_that_is_down_refuses_connections(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    with mock_stream_server.down(), pytest.raises(openai.APIConnectionError) as caught:
        ask()

    assert "refused" in str(caught.value.__cause__)


def test_a_server_that_was_down_is_back_at_its_port(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    url = mock_stream_server.url

    with mock_stream_server.down():
        pass

    assert mock_stream_server.url == url
    assert text_of(ask()).startswith("This is")


def test_going_down_ends_no_stream(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    gate = Gate()
    mock_stream_server.respond("one ", gate, "two")
    stream = ask()

    with mock_stream_server.down():
        gate.open()

        assert text_of(stream) == "one two"


def test_going_down_closes_connections_that_wait_for_their_next_request(
    mock_stream_server: MockStreamServer, wire: Wire
) -> None:
    wire.send(chat_request())
    wire.read_until(b"\r\n0\r\n\r\n")

    with mock_stream_server.down():
        assert wire.read_to_end() == b""


def test_what_was_sent_before_a_reset_arrives(mock_stream_server: MockStreamServer, ask: Ask) -> None:
    mock_stream_server.respond(Text(["one ", "two ", "three "]), Wait(0.001), Disconnect())
    read: list[str] = []

    with pytest.raises(openai.APIConnectionError):
        read.extend(deltas_of(ask()))

    assert read == ["", "one ", "two ", "three "]
