"""Streams are held, stepped, let go, broken and stalled by hand, and the real SDK meets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeAlias

import anthropic
import httpx
import openai
import pytest

from pytest_mockstream import Disconnect, ErrorEvent, MockStreamServer, Stall, Wait
from pytest_mockstream.doors.server.panel import Panel
from pytest_mockstream.playbook.tries import trouble_of

from .conftest import MESSAGES, Wire, chat_request, deltas_of, text_of
from .paneled import Page, page_of

Ask: TypeAlias = Callable[[], "openai.Stream[Any]"]


@pytest.fixture
def server() -> Iterator[MockStreamServer]:
    with MockStreamServer(default_text="one two three four five", panel=Panel(), cors=True, keep_alive=True) as server:
        yield server


@pytest.fixture
def page(server: MockStreamServer) -> Iterator[Page]:
    with page_of(server.url) as page:
        yield page


@pytest.fixture
def ask(server: MockStreamServer) -> Iterator[Ask]:
    """Opens streams of the openai SDK; they are closed after the test."""
    with (
        openai.OpenAI(base_url=server.base_url("openai"), api_key="k", max_retries=0, timeout=30) as client,
        ExitStack() as stack,
    ):

        def ask() -> openai.Stream[Any]:
            return stack.enter_context(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))

        yield ask


@pytest.fixture
def held(page: Page, ask: Ask) -> tuple[int, openai.Stream[Any]]:
    """Is a stream that is held before its first chunk."""
    page.command("hold_new", on=True)
    stream = ask()
    page.command("hold_new", on=False)
    return page.latest_is(held=True)["id"], stream


def said(stream: openai.Stream[Any]) -> str:
    """Read the next chunk of a stream that has text."""
    return next(filter(None, deltas_of(stream)))


def test_a_stream_that_is_held_goes_on_from_where_it_was(page: Page, held: tuple[int, openai.Stream[Any]]) -> None:
    number, stream = held
    assert page.latest["chunks"] == 0

    page.command("let_go", stream=number)

    assert text_of(stream) == "one two three four five"
    assert page.latest_is(state="exhausted")["text"] == "one two three four five"


def test_a_step_is_one_chunk(page: Page, held: tuple[int, openai.Stream[Any]]) -> None:
    number, stream = held

    page.command("step", stream=number)
    first = said(stream)
    page.latest_is(chunks=1, held=True)
    page.command("step", stream=number)

    assert (first, said(stream)) == ("one ", "two ")
    assert page.latest_is(chunks=2)["text"] == "one two "


def test_steps_lead_to_the_end(page: Page, held: tuple[int, openai.Stream[Any]]) -> None:
    number, stream = held

    for _ in range(7):
        page.command("step", stream=number)

    assert text_of(stream) == "one two three four five"
    page.latest_is(state="exhausted", held=False)


def test_a_step_does_not_wait_for_what_the_script_waits_for(server: MockStreamServer, page: Page, ask: Ask) -> None:
    server.respond("one ", Wait("10h"), "two")
    stream = ask()
    assert said(stream) == "one "

    page.command("step", stream=page.latest_is(chunks=1)["id"])

    assert said(stream) == "two"


def test_a_hold_does_not_count_as_time_of_the_script(server: MockStreamServer, page: Page, ask: Ask) -> None:
    server.respond("one ", Wait("10h"), "two")
    stream = ask()
    said(stream)
    number = page.latest_is(chunks=1)["id"]
    page.command("hold", stream=number)
    page.latest_is(held=True)

    page.command("let_go", stream=number)
    page.command("step", stream=number)

    assert said(stream) == "two"
    assert 36_000 <= server.requests[0]._entry.last_sent_at < 36_600


def test_a_step_where_the_script_stalls_for_ever_is_refused(server: MockStreamServer, page: Page, ask: Ask) -> None:
    server.respond("one ", Stall())
    said(ask())

    why = page.refused("step", stream=page.latest_is(chunks=1)["id"])

    assert "its script stalls for ever here" in why


def test_a_held_stream_notices_that_its_client_leaves(
    server: MockStreamServer, page: Page, held: tuple[int, openai.Stream[Any]]
) -> None:
    _, stream = held

    stream.close()

    page.latest_is(state="closed", held=False)
    assert (server.requests[0].state, server.requests[0].chunks_sent) == ("closed", 0)


def test_a_held_stream_ends_with_its_server(ask: Ask, server: MockStreamServer, page: Page) -> None:
    page.command("hold_new", on=True)
    stream = ask()
    page.latest_is(held=True)

    server.end_streams()

    with pytest.raises(openai.APIConnectionError):
        list(stream)
    assert server.requests[0].state == "broken"


def test_a_cut_is_a_connection_that_is_closed_too_early(
    server: MockStreamServer, page: Page, held: tuple[int, openai.Stream[Any]]
) -> None:
    number, stream = held
    page.command("step", stream=number)

    page.command("cut", stream=number)

    assert said(stream) == "one "
    with pytest.raises(openai.APIConnectionError) as caught:
        list(stream)
    assert "incomplete chunked read" in str(caught.value.__cause__)
    assert server.requests[0].state == "broken"
    assert trouble_of(server.requests[0]) == Disconnect(how="cut")


def test_a_reset_is_a_reset(server: MockStreamServer, page: Page, held: tuple[int, openai.Stream[Any]]) -> None:
    number, stream = held

    page.command("reset", stream=number)

    with pytest.raises(openai.APIConnectionError):
        list(stream)
    assert server.requests[0].state == "broken"
    assert trouble_of(server.requests[0]) == Disconnect()
    assert page.latest_is(state="broken")["notes"][-2][1] == "reset by hand (RST)"


def test_a_client_that_does_not_read_can_be_reset(server: MockStreamServer, page: Page) -> None:
    server.respond("word " * 400_000)
    wire = Wire(server)
    wire.send(chat_request())
    number = page.latest_is(state="open")["id"]

    page.command("reset", stream=number)

    page.latest_is(state="broken")
    wire.close()


def test_an_error_is_what_the_provider_would_say(
    server: MockStreamServer, page: Page, held: tuple[int, openai.Stream[Any]]
) -> None:
    number, stream = held
    page.command("step", stream=number)

    page.command("error", stream=number, message="Too much", type="overloaded")

    with pytest.raises(openai.APIError, match="Too much") as caught:
        list(stream)
    assert caught.value.type == "overloaded"
    assert trouble_of(server.requests[0]) == ErrorEvent("Too much", type="overloaded")
    assert (server.requests[0].state, server.requests[0].chunks_sent) == ("broken", 1)


def test_an_error_in_the_middle_of_an_anthropic_stream(server: MockStreamServer, page: Page) -> None:
    page.command("hold_new", on=True)
    with anthropic.Anthropic(base_url=server.base_url("anthropic"), api_key="k", max_retries=0) as client:
        stream = client.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True)
        page.command("step", stream=page.latest_is(held=True)["id"])
        page.command("error", stream=page.latest["id"], type="overloaded_error")

        with pytest.raises(anthropic.APIStatusError) as caught:
            list(stream)

    assert caught.value.body == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": ErrorEvent().message},
    }


def test_an_error_has_the_next_number_of_its_stream(server: MockStreamServer, page: Page) -> None:
    page.command("hold_new", on=True)
    with openai.OpenAI(base_url=server.base_url("openai"), api_key="k", max_retries=0) as client:
        stream = client.responses.create(model="m", input="hi", stream=True)
        number = page.latest_is(held=True)["id"]
        page.command("step", stream=number)
        page.command("error", stream=number)

        assert list(stream)[-1].type == "error"

    frames = page.latest_is(state="broken")["frames_seen"]
    numbers = [json.loads(frame.partition("data: ")[2])["sequence_number"] for frame in frames]
    assert numbers == list(range(len(numbers)))


def test_an_error_ends_the_frame_that_was_begun(server: MockStreamServer, page: Page) -> None:
    server.respond("one two", fragment=10)
    page.command("hold_new", on=True)
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": True}
    ) as response:
        number = page.latest_is(held=True)["id"]
        page.command("step", stream=number)
        page.command("error", stream=number)
        body = "".join(response.iter_text())

    frames = [json.loads(frame.removeprefix("data: ")) for frame in body.split("\n\n") if frame]
    assert "error" in frames[-1]
    assert all("choices" in frame for frame in frames[:-1])


def test_an_answer_that_is_not_streamed_fails_with_a_status(server: MockStreamServer, page: Page) -> None:
    page.command("hold_new", on=True)
    with ExitStack() as stack:
        wire = Wire(server)
        stack.callback(wire.close)
        wire.send(chat_request(stream=False))
        number = page.latest_is(held=True)["id"]

        page.command("error", stream=number, type="rate_limit_error", message="slow down")

        head = wire.read_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert page.latest_is(state="broken")["status"] == 429


def test_a_stall_goes_on_by_itself_after_its_time(
    server: MockStreamServer, page: Page, held: tuple[int, openai.Stream[Any]]
) -> None:
    number, stream = held

    page.command("stall", stream=number, seconds="10ms")

    assert text_of(stream) == "one two three four five"
    assert [what for _, what in page.latest_is(state="exhausted")["notes"]] == [
        "held by hand",
        "stalled for 0.01 s",
        "let go",
        "over: exhausted",
    ]


def test_a_stall_without_a_time_is_the_trouble_of_who_leaves(
    server: MockStreamServer, page: Page, held: tuple[int, openai.Stream[Any]]
) -> None:
    number, stream = held
    page.command("stall", stream=number)

    stream.close()

    page.latest_is(state="closed")
    assert trouble_of(server.requests[0]) == Stall()


@pytest.mark.parametrize("stall", [Stall(), Stall("10h")])
def test_a_stream_that_its_script_stalls_is_not_told_as_held(
    server: MockStreamServer, page: Page, ask: Ask, stall: Stall
) -> None:
    server.respond("one ", stall, "two") if stall.seconds else server.respond("one ", stall)
    stream = ask()

    assert said(stream) == "one "
    page.latest_is(chunks=1, held=False, stalled="by its script")
    page.command("hold", stream=page.latest["id"])
    page.latest_is(held=True, stalled="by its script")


def test_a_script_stalls_only_until_it_goes_on(server: MockStreamServer, page: Page, ask: Ask) -> None:
    server.respond("one ", Stall("10h"), "two ", Wait("10h"), "three")
    stream = ask()
    number = page.latest_is(stalled="by its script")["id"]

    page.command("step", stream=number)
    assert (said(stream), said(stream)) == ("one ", "two ")

    page.latest_is(chunks=2, held=True, stalled=None)


def test_a_stream_that_stalls_before_its_first_chunk_is_told_so(server: MockStreamServer, page: Page) -> None:
    server.respond(Stall())
    wire = Wire(server)

    wire.send(chat_request())
    page.latest_is(chunks=0, stalled="by its script")
    wire.close()

    page.latest_is(state="closed", stalled=None)


def test_a_hold_and_a_stall_by_hand_are_told_apart(page: Page, held: tuple[int, openai.Stream[Any]]) -> None:
    number, _ = held

    assert page.latest["stalled"] is None
    page.command("stall", stream=number)
    page.latest_is(held=True, stalled="by hand")
    page.command("hold", stream=number)
    page.latest_is(held=True, stalled=None)
    page.command("stall", stream=number)
    page.command("let_go", stream=number)
    page.latest_is(held=False, stalled=None)


def test_a_stall_can_be_let_go(page: Page, held: tuple[int, openai.Stream[Any]]) -> None:
    number, stream = held
    page.command("stall", stream=number, seconds="10h")

    page.command("let_go", stream=number)

    assert text_of(stream) == "one two three four five"


def test_a_stall_that_breaks_has_both_in_the_record(
    server: MockStreamServer, page: Page, held: tuple[int, openai.Stream[Any]]
) -> None:
    number, _ = held
    page.command("stall", stream=number)
    page.command("cut", stream=number)
    page.latest_is(state="broken")

    request = server.requests[0]
    assert request._entry.script is not None
    assert request._entry.script.faults == (Stall(), Disconnect(how="cut"))


def test_trouble_after_the_last_chunk_is_in_the_record(server: MockStreamServer, page: Page, ask: Ask) -> None:
    server.respond("one", Stall())
    assert said(ask()) == "one"

    page.command("cut", stream=page.latest_is(chunks=1)["id"])

    page.latest_is(state="broken")
    assert trouble_of(server.requests[0]) == Disconnect(how="cut")


def test_all_connections_are_dropped_but_those_of_pages(server: MockStreamServer, page: Page, ask: Ask) -> None:
    page.command("hold_new", on=True)
    streams = [ask(), ask()]
    page.wait_for(lambda page: len(page.streams) == 2)
    idle = Wire(server)
    client = ":".join(map(str, idle.sock.getsockname()))
    page.wait_for(lambda page: {"client": client, "does": "idle"} in page.state["connections"]["listed"])

    told = page.command("reset_all")

    assert told == {"reset": 3}
    for stream in streams:
        with pytest.raises(openai.APIConnectionError):
            list(stream)
    page.wait_for(lambda page: {one["state"] for one in page.streams.values()} == {"broken"})
    idle.close()


def test_the_next_request_gets_the_script_that_was_chosen(server: MockStreamServer, page: Page, ask: Ask) -> None:
    server.when(contains="weather").respond("sunny")
    server.respond("hello", times=None)

    page.command("next", script=1)
    page.wait_for(lambda page: [one["next"] for one in page.state["scripts"]["listed"]] == [True, False])

    assert [text_of(ask()), text_of(ask())] == ["sunny", "hello"]
    page.wait_for(lambda page: [one["played"] for one in page.state["scripts"]["listed"]] == [1, 1])


def test_a_script_that_is_used_up_can_be_chosen(server: MockStreamServer, page: Page, ask: Ask) -> None:
    server.respond("first")
    server.respond("second", times=None)
    assert text_of(ask()) == "first"

    page.command("next", script=1)

    assert text_of(ask()) == "first"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"command": "hold"}, "stream=None: give the number of a stream"),
        ({"command": "hold", "stream": True}, "stream=True: give the number of a stream"),
        ({"command": "hold", "stream": 12345678}, "stream 12345678 is over: no stream is playing"),
        ({"command": "hodl", "stream": 1}, "Did you mean 'hold'?"),
        ({"command": ["hold"]}, "command=['hold'] is not known"),
        ({"command": "next", "script": 9}, "script=9: give none, as there are no scripts"),
        ({"command": "next", "script": "1"}, "script='1': give none"),
        ({"command": "hold_new"}, "on=None: give true or false"),
        ({"command": "look", "stream": 99999999}, "is not in the record any more"),
        ({"command": "look", "stream": [1]}, "is not in the record any more"),
        ({"command": "check", "text": ""}, "this server plays no script file"),
    ],
)
def test_a_command_that_is_wrong_is_told(page: Page, said: dict[str, Any], why: str) -> None:
    assert why in page.refused(**said)


@pytest.mark.parametrize(
    ("command", "said", "why"),
    [
        ("stall", {"seconds": -1}, "is not a duration"),
        ("stall", {"seconds": {}}, "is not a duration"),
        ("stall", {"seconds": "soon"}, "is not a duration"),
        ("error", {"message": ["x"]}, "ErrorEvent(message=['x']): give a str"),
        ("let_go", {}, "is not held"),
    ],
)
def test_a_value_that_is_wrong_is_told(
    server: MockStreamServer, page: Page, ask: Ask, command: str, said: dict[str, Any], why: str
) -> None:
    server.respond("one", Stall())
    next(iter(ask()))

    assert why in page.refused(command, stream=page.latest_is(state="open")["id"], **said)


def test_a_stream_that_is_over_is_told(page: Page, ask: Ask) -> None:
    text_of(ask())

    assert "is over" in page.refused("hold", stream=page.latest_is(state="exhausted")["id"])


@pytest.mark.parametrize(
    ("body", "why"), [(b"{", "this is not JSON"), (b"[]", "[] is no command"), (b"[" * 9999, "JSON")]
)
def test_a_body_that_is_no_command_is_told(page: Page, body: bytes, why: str) -> None:
    headers = {**page.headers, "content-type": "application/json"}

    answered = page.http.post("/_mockstream/command", content=body, headers=headers)

    assert (answered.status_code, why in answered.json()["error"]) == (400, True)
