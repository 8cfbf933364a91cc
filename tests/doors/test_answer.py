"""Answers: when their bytes come, how they end, and what the ledger is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from virtual import run

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    HTTPError,
    Script,
    Stall,
    Text,
    ToolCall,
    Truncate,
    UnclosedStreamWarning,
    Wait,
)
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import Answer, Close, WireFrame, answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playback import End, Ending
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Condition

CHAT = "/v1/chat/completions"
GEMINI = "/v1/models/m:streamGenerateContent?alt=sse"


def ask(script: Script, path: str = CHAT, *, stream: bool = True, **options: Any) -> Answer:
    """Ask for an answer that a script gives."""
    playbook = Playbook(Script("default", times=None), name="door")
    playbook.queue(script, Condition())
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "contents": [{}]}
    if "chat" in path:
        body["stream"] = stream
    content = json.dumps(body).encode()
    return answer(
        playbook,
        HTTPRequest(method="POST", url=f"https://localhost{path}", body=content),
        opened_at=calling_site(),
        **options,
    )


async def arrivals(answered: Answer) -> AsyncIterator[tuple[float, WireFrame]]:
    """Yield what comes, and settle as a transport does."""
    while isinstance(got := await answered.playback.areceive(), tuple):
        answered.delivered(*got)
        yield got
    assert got is not None
    answered.finished(got)


def times(script: Script, path: str = CHAT, *, stream: bool = True) -> list[float]:
    """Return when each frame of an answer comes, on a virtual clock."""

    async def main() -> list[float]:
        return [instant async for instant, _ in arrivals(ask(script, path, stream=stream))]

    return run(main())


def test_frames_come_when_their_chunks_do() -> None:
    assert times(Script("a ", Wait(5), "b", delay=1)) == [1, 1, 7, 7, 7]


def test_jitter_differs_from_request_to_request_and_not_from_run_to_run() -> None:
    def two_requests() -> list[list[float]]:
        async def main() -> list[list[float]]:
            playbook = Playbook(Script(Text(["a"] * 9), delay=1, jitter=0.5, times=None), name="door")
            body = b'{"model": "m", "messages": [{}], "stream": true}'
            incoming = HTTPRequest(method="POST", url=f"https://localhost{CHAT}", body=body)
            answers = [answer(playbook, incoming, opened_at=calling_site()) for _ in range(2)]
            return [[instant async for instant, _ in arrivals(answered)] for answered in answers]

        return run(main())

    first, second = two_requests()

    assert first != second
    assert [first, second] == two_requests()


def test_whole_body_comes_when_its_last_chunk_would() -> None:
    assert times(Script("a ", Wait(5), "b", delay=1), stream=False) == [7]


def test_http_error_comes_after_the_waits_before_it() -> None:
    assert times(Script(Wait(3), HTTPError(500))) == [3]


def test_whole_call_comes_with_its_last_fragment_and_before_what_follows() -> None:
    script = Script("a", ToolCall("f", {"x": 1}), Wait(50), "b", delay=1)

    assert times(script, GEMINI) == [1, 4, 55, 55]


def test_whole_call_comes_before_a_gate_behind_it() -> None:
    gate = Gate()

    async def main() -> None:
        answered = ask(Script(ToolCall("f", {"x": 1}), gate, "b"), GEMINI)
        first = await answered.playback.areceive()
        assert isinstance(first, tuple)
        assert b"functionCall" in first[1].data
        assert await answered.playback.areceive(within=10) is None
        gate.open()
        assert isinstance(await answered.playback.areceive(within=0), tuple)
        answered.leave()

    run(main())


def test_stall_is_silence() -> None:
    async def main() -> None:
        answered = ask(Script("a", Stall()), stream=False)
        assert await answered.playback.areceive(within=3600) is None
        answered.leave("broken")
        assert answered.request.state == "broken"
        assert await answered.playback.areceive() is End.LEFT

    run(main())


@pytest.mark.parametrize(
    ("script", "stream", "first"),
    [
        (Script("a"), True, True),
        (Script("a"), False, False),
        (Script(HTTPError(500)), True, False),
        (Script(Wait(1), Disconnect()), True, False),
        (Script("a", Disconnect()), True, True),
        (Script(Disconnect(inside_frame=True)), True, True),
    ],
)
def test_headers_come_first_where_a_stream_begins(script: Script, stream: bool, first: bool) -> None:
    answered = ask(script, stream=stream)
    answered.leave()

    assert answered.headers_first is first


def test_retry_after_is_a_header() -> None:
    answered = ask(Script(HTTPError(429, retry_after=1.5)))
    answered.leave()

    assert answered.headers["retry-after"] == "1.5"


@pytest.mark.parametrize(
    ("ending", "close", "state"),
    [
        (End.WHOLE, Close.END, "exhausted"),
        (End.LEFT, Close.END, "closed"),
        (End.CANCELLED, Close.CUT, "cancelled"),
        (End.TIMED_OUT, Close.CUT, "cancelled"),
        (Truncate(), Close.END, "broken"),
        (Disconnect(), Close.RESET, "broken"),
        (Disconnect(how="cut"), Close.CUT, "broken"),
        (ErrorEvent(), Close.END, "broken"),
        (HTTPError(500), Close.END, "broken"),
    ],
)
def test_ending_says_what_becomes_of_connection_and_ledger(ending: Ending, close: Close, state: str) -> None:
    answered = ask(Script("a"))

    assert answered.finished(ending) is close
    assert answered.request.state == state


@pytest.mark.parametrize(("frames", "state"), [(0, "closed"), (3, "closed"), (4, "exhausted")])
def test_stream_that_is_left_after_its_last_frame_was_read_whole(frames: int, state: str) -> None:
    answered = ask(Script("a"))  # its frames: role, text, finish reason, [DONE]
    for _ in range(frames):
        _read_one(answered)
    assert answered.request.state == "open"

    answered.leave()

    assert answered.request.state == state


def test_stream_is_read_whole_before_the_lf_of_its_last_crlf() -> None:
    answered = ask(Script("a", fragment="byte", line_ending="\r\n"))
    while not answered.whole:
        _read_one(answered)
    assert _read_one(answered) == b"\n"

    answered.leave()

    assert answered.request.state == "exhausted"


def test_stream_that_is_left_on_its_error_is_broken() -> None:
    answered = ask(Script("a", ErrorEvent()))
    for _ in range(3):
        _read_one(answered)

    answered.leave()

    assert answered.request.state == "broken"


def _read_one(answered: Answer) -> bytes:
    got = answered.playback.receive()
    assert isinstance(got, tuple)
    return answered.delivered(*got)


def test_leaving_early_is_told_with_the_chunks_that_were_read() -> None:
    answered = ask(Script(Text(["a", "b", "c"])))
    for _ in range(2):  # the role, which is no chunk of its own, and "a"
        _read_one(answered)

    answered.leave()

    assert (answered.request.state, answered.request.chunks_sent) == ("closed", 1)
    answered.request.assert_closed(within=1, after_chunk=1)


def test_leaving_an_error_unread_is_no_early_leaving() -> None:
    answered = ask(Script(HTTPError(500)))

    answered.leave()

    assert answered.request.state == "broken"


def test_waste_is_counted_in_chunks_not_in_frames() -> None:
    answered = ask(Script(Text(["a"] * 20), fragment="byte"), buffer_size=10**6)

    assert answered.playback.produced > 1000
    assert answered.request.chunks_wasted == 21
    answered.leave()


def test_dropping_an_open_answer_warns_with_the_line_that_asked() -> None:
    answered = ask(Script("a"))

    with pytest.warns(UnclosedStreamWarning, match=r"/v1/chat/completions .*was never closed") as caught:
        answered.dropped()

    assert caught[0].filename == __file__
    assert answered.request.state == "dropped"


def test_dropping_an_answer_that_is_over_is_silent() -> None:
    answered = ask(Script("a"))
    answered.leave()

    answered.dropped()

    assert answered.request.state == "closed"


def test_repr_of_what_came_shows_nothing_of_it() -> None:
    incoming = HTTPRequest(method="POST", url="https://h/?key=s3cr3t", headers={"a": "s3cr3t"}, body=b"s3cr3t")

    assert "s3cr3t" not in repr(incoming)


# Headers.


def test_headers_of_a_script_stand_beside_and_instead_of_those_that_an_answer_has() -> None:
    script = Script("Hi", headers={"X-RateLimit-Remaining-Requests": "3", "x-request-id": "req_abc"})

    for stream in (True, False):
        answered = ask(script, stream=stream)
        answered.leave()
        headers = answered.headers
        assert headers["x-ratelimit-remaining-requests"] == "3"
        assert headers["x-request-id"] == "req_abc"
        assert headers["request-id"] == "req_1"


def test_an_error_has_the_headers_of_its_script_too() -> None:
    answered = ask(Script(HTTPError(429, retry_after=2), headers={"x-ratelimit-remaining-tokens": "0"}))
    answered.leave()

    assert answered.headers["x-ratelimit-remaining-tokens"] == "0"
    assert answered.headers["retry-after"] == "2"
