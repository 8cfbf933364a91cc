"""The record of a request: what its user sees of it, and that looking changes nothing."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Callable

import pytest
import virtual

from pytest_mockstream import MockStreamClient, Request, Script, Stall, Wait
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream._base.collector import collect
from pytest_mockstream.doors.answer import Answer, answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playbook.ledger import open_requests
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.queued import Condition

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def test_a_request_offers_only_what_is_its_users() -> None:
    client = MockStreamClient()
    client.complete("hi")

    offered = [name for name in dir(client.requests[0]) if not name.startswith("_")]

    assert offered == [
        "aassert_closed",
        "assert_closed",
        "body",
        "chunk_count",
        "chunks_sent",
        "chunks_wasted",
        "headers",
        "messages",
        "method",
        "model",
        "number",
        "opened_at",
        "params",
        "path",
        "provider",
        "raw_headers",
        "retries",
        "retry_of",
        "schema",
        "schema_names",
        "state",
        "streaming",
        "system",
        "text",
        "tool_names",
        "tool_results",
        "tools",
        "turn",
        "wait_closed",
    ]


@pytest.mark.parametrize("name", ["state", "chunks_sent", "model", "number"])
def test_a_user_cannot_change_what_became_of_a_request(name: str) -> None:
    client = MockStreamClient()
    client.complete("hi")

    with pytest.raises(AttributeError):
        setattr(client.requests[0], name, "closed")


def test_looking_at_the_state_of_a_stream_whose_time_ran_out_changes_nothing() -> None:
    async def main(look: Callable[[Request], object]) -> list[object]:
        client = MockStreamClient()
        client.respond("a ", Stall())
        stream = client.complete_stream("hi", timeout=1)
        request = stream.request
        await asyncio.sleep(2)
        look(request)
        await stream.aclose()
        return [request.state, request in open_requests()]

    looked_at = virtual.run(main(lambda request: request.state))
    left_alone = virtual.run(main(lambda _: None))

    assert looked_at == left_alone == ["cancelled", False]


def test_a_stream_that_is_dropped_after_its_time_ran_out_was_cancelled() -> None:
    async def main() -> str:
        client = MockStreamClient()
        client.respond("a ", Stall())
        stream = client.complete_stream("hi", timeout=1)
        await asyncio.sleep(2)
        del stream
        collect()
        return client.requests[0].state

    assert virtual.run(main()) == "cancelled"


def test_a_stream_whose_time_ran_out_was_left_at_that_instant() -> None:
    async def main() -> None:
        client = MockStreamClient()
        client.respond("a ", Stall())
        async with client.complete_stream("hi", timeout=1) as stream:
            await anext(stream)
            await asyncio.sleep(20)
            stream.request.assert_closed(within=1)

    virtual.run(main())


def test_asserting_in_the_loop_that_reads_the_stream_does_not_wait() -> None:
    async def main() -> None:
        async with MockStreamClient().complete_stream("hi") as stream:
            with pytest.raises(RuntimeError, match="is still open, and waiting here would block the event loop"):
                stream.request.assert_closed(within=3600)

    asyncio.run(main())


def test_the_record_keeps_no_stream_alive() -> None:
    client = MockStreamClient()
    stream = client.complete_stream("hi")
    stream.close()
    gone = weakref.ref(stream)

    del stream

    assert gone() is None
    assert client.requests[0].state == "closed"


def test_a_request_is_freed_without_the_collector() -> None:
    client = MockStreamClient()
    client.complete("hi")
    gone = weakref.ref(client.requests[0])

    gc.disable()
    try:
        client.requests.clear()
        client._playbook._defaulted = None
        assert gone() is None
    finally:
        gc.enable()


def asked(*steps: object) -> Answer:
    playbook = Playbook(Script("default", times=None), name="door")
    playbook.queue(Script(*steps), Condition())  # type: ignore[arg-type]
    body = json.dumps(CHAT).encode()
    request = HTTPRequest(method="POST", url="https://api.openai.com/v1/chat/completions", body=body)
    return answer(playbook, request, opened_at=calling_site())


def read_until(answered: Answer, text: bytes) -> None:
    """Read frames until one has a text."""
    while isinstance(got := answered.playback.receive(), tuple):
        if text in answered.delivered(*got):
            return
    raise AssertionError(text)


def test_frames_without_content_count_nothing_and_a_message_says_so() -> None:
    answered = asked("one two ", Wait(0), "three")

    read_until(answered, b'"role":"assistant"')

    with pytest.raises(AssertionError, match=r"0 of 4 chunks \(only frames without content\) read"):
        answered.request.assert_closed()
    answered.leave()


def test_the_frame_with_the_finish_reason_is_the_last_chunk() -> None:
    answered = asked("one two three")

    read_until(answered, b'"finish_reason":"stop"')

    assert answered.request.chunks_sent == answered.request.chunk_count == 4
    answered.leave()


@pytest.mark.parametrize(("script", "amount"), [("", "0 of 1 chunk read"), ("a", "0 of 2 chunks read")])
def test_one_chunk_is_no_many(script: str, amount: str) -> None:
    client = MockStreamClient()
    client.respond(script)

    with client.complete_stream("hi") as stream, pytest.raises(AssertionError, match=amount):
        stream.assert_closed()
