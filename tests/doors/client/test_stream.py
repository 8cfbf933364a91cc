"""One contract over both producers, sync and async.

Each case is written once, as a coroutine over a ``Way`` of reading. The sync ways never suspend, so that their cases
run outside of any loop.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeAlias

import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    HTTPError,
    KeepAlive,
    Malformed,
    MalformedChunkError,
    MockStream,
    MockStreamClient,
    MockStreamError,
    ProviderError,
    Reasoning,
    ScriptError,
    Stall,
    StreamCancelled,
    StreamChunk,
    StreamDisconnected,
    Text,
    Truncate,
    UnclosedStreamWarning,
    Wait,
)
from pytest_mockstream._base.collector import collect
from pytest_mockstream.playbook.ledger import entry_of

pytestmark = pytest.mark.usefixtures("small_heap")

END = "the end of the iteration"
LONG = Text([f"{i} " for i in range(250)])  # longer than the buffer


Case: TypeAlias = "Callable[[Way], Coroutine[Any, Any, None]]"


class Way:
    """A way of opening and reading: sync."""

    def __init__(self, producer: str) -> None:
        self.client = MockStreamClient(producer=producer)  # type: ignore[arg-type] # one of both

    def open(self, *steps: Any, **options: Any) -> MockStream:
        self.client.respond(*steps)
        return self.client.complete_stream("hi", **options)

    async def next(self, stream: MockStream) -> StreamChunk | str:
        return next(stream, END)

    async def close(self, stream: MockStream) -> None:
        stream.close()

    async def read(self, stream: MockStream) -> str:
        return stream.read()

    async def deltas(self, stream: MockStream) -> list[str]:
        return stream.deltas()

    async def leave_by_block(self, stream: MockStream) -> None:
        with stream:
            next(stream)

    async def nothing_is_left(self) -> bool:
        collect()
        left = [thread for thread in threading.enumerate() if thread.name == "mockstream producer"]
        for thread in left:
            thread.join(60)
        return not any(thread.is_alive() for thread in left)

    def run(self, case: Case) -> None:
        with pytest.raises(StopIteration):
            case(self).send(None)


class AsyncWay(Way):
    """The same, async."""

    async def next(self, stream: MockStream) -> StreamChunk | str:
        return await anext(stream, END)

    async def close(self, stream: MockStream) -> None:
        await stream.aclose()

    async def read(self, stream: MockStream) -> str:
        return await stream.aread()

    async def deltas(self, stream: MockStream) -> list[str]:
        return await stream.adeltas()

    async def leave_by_block(self, stream: MockStream) -> None:
        async with stream:
            await anext(stream)

    async def nothing_is_left(self) -> bool:
        collect()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=60)
        return not any(not task.done() for task in others) and await super().nothing_is_left()

    def run(self, case: Case) -> None:
        asyncio.run(case(self))


class ThreadFedWay(AsyncWay):
    """Opened where no loop runs, so that a thread is its producer; read in a loop."""

    def open(self, *steps: Any, **options: Any) -> MockStream:
        opened: list[MockStream] = []
        thread = threading.Thread(target=lambda: opened.append(Way.open(self, *steps, **options)))
        thread.start()
        thread.join()
        return opened.pop()


WAYS: dict[str, tuple[type[Way], str]] = {
    "sync-inline": (Way, "inline"),
    "sync-background": (Way, "background"),
    "async-inline": (AsyncWay, "inline"),
    "async-background": (AsyncWay, "background"),
    "async-thread": (ThreadFedWay, "background"),
}


class Cases:
    """The contract."""

    all: ClassVar[list[Case]] = []


def contract(case: Case) -> Case:
    Cases.all.append(case)
    return case


# The four cases of a producer that used to leak, and the fifth.


@contract
async def whole_stream(way: Way) -> None:
    stream = way.open("Paris ", "is lovely.")

    assert await way.deltas(stream) == ["Paris ", "is ", "lovely."]
    assert stream.state == "exhausted"
    assert await way.next(stream) == END
    assert await way.nothing_is_left()


@contract
async def cancelled_midway_gives_what_had_arrived_and_then_raises(way: Way) -> None:
    gate = Gate()
    stream = way.open("a b ", gate, "c")
    first = await way.next(stream)

    stream.cancel()

    assert isinstance(first, StreamChunk)
    assert stream.state == "cancelled"
    got = await rest(way, stream)
    assert got in ([StreamCancelled], ["b ", StreamCancelled])
    assert await rest(way, stream) == [StreamCancelled]
    assert await way.nothing_is_left()


@contract
async def reader_stops_early(way: Way) -> None:
    stream = way.open(LONG)
    await way.next(stream)

    await way.close(stream)

    assert stream.state == "closed"
    assert await way.next(stream) == END
    assert await way.nothing_is_left()


@contract
async def cancelled_with_nobody_ever_reading(way: Way) -> None:
    stream = way.open(LONG)

    stream.cancel()

    assert stream.state == "cancelled"
    assert stream.chunks_read == 0
    assert await way.nothing_is_left()


@contract
async def dropped_with_nobody_reading_and_nobody_cancelling(way: Way) -> None:
    stream = way.open(LONG)

    with pytest.warns(UnclosedStreamWarning, match="never closed"):
        del stream

    assert way.client.requests[0].state == "dropped"
    assert await way.nothing_is_left()


@contract
async def dropped_midway_in_a_reference_cycle(way: Way) -> None:
    stream = way.open(LONG)
    await way.next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)

    del stream, cycle
    with pytest.warns(UnclosedStreamWarning, match="1 of 251 chunks"):
        collect()

    assert way.client.requests[0].state == "dropped"
    assert await way.nothing_is_left()


# Closing and cancelling.


@contract
async def block_closes(way: Way) -> None:
    stream = way.open(LONG)

    await way.leave_by_block(stream)

    assert stream.state == "closed"
    assert await way.nothing_is_left()


@contract
async def closing_twice_and_cancelling_afterwards_change_nothing(way: Way) -> None:
    stream = way.open(LONG)

    await way.close(stream)
    await way.close(stream)
    stream.cancel()

    assert stream.state == "closed"
    assert await way.next(stream) == END


@contract
async def cancelling_an_exhausted_stream_changes_nothing(way: Way) -> None:
    stream = way.open("a")
    await way.read(stream)

    stream.cancel()
    await way.close(stream)

    assert stream.state == "exhausted"


@contract
async def last_chunk_exhausts_without_one_more_read(way: Way) -> None:
    stream = way.open("a")

    await way.next(stream)
    last = await way.next(stream)

    assert isinstance(last, StreamChunk)
    assert last.done
    assert last.finish_reason == "stop"
    assert stream.state == "exhausted"


@contract
async def cancelled_stream_with_errors_as_chunks_ends_with_one(way: Way) -> None:
    gate = Gate()
    stream = way.open("a", gate, errors="chunk")
    await way.next(stream)

    stream.cancel()
    last = await way.next(stream)

    assert isinstance(last, StreamChunk)
    assert (last.done, last.content) == (True, "a")
    assert isinstance(last.error, StreamCancelled)
    assert await way.next(stream) == END
    assert await way.nothing_is_left()


@contract
async def error_chunk_is_dropped_if_the_buffer_is_full(way: Way) -> None:
    stream = way.open(Text(["a", "b", "c"]), Gate(), buffer_size=1, errors="chunk")
    first = await way.next(stream)
    await settled(way, stream, produced=2)

    stream.cancel()
    second = await way.next(stream)

    assert isinstance(first, StreamChunk)
    assert isinstance(second, StreamChunk)
    assert (first.delta, second.delta) == ("a", "b")
    assert await way.next(stream) == END
    assert stream.state == "cancelled"
    assert await way.nothing_is_left()


@contract
async def timeout_gives_what_had_arrived_and_then_raises(way: Way) -> None:
    stream = way.open("a", Gate(), "b", timeout=0.02)

    assert await rest(way, stream) == ["a", TimeoutError]
    assert stream.state == "cancelled"
    assert await way.nothing_is_left()


# Faults.


@contract
async def truncated_stream_just_ends(way: Way) -> None:
    stream = way.open("a b", Truncate())

    assert await way.deltas(stream) == ["a ", "b"]
    assert stream.state == "broken"
    assert await way.nothing_is_left()


@contract
async def disconnect_raises_after_what_came_before(way: Way) -> None:
    stream = way.open("a b", Disconnect())

    assert await rest(way, stream) == ["a ", "b", ConnectionError]
    assert stream.state == "broken"
    with pytest.raises(StreamDisconnected, match="after 2 chunks"):
        await way.next(stream)


@contract
async def error_event_raises_with_status_200(way: Way) -> None:
    stream = way.open("a", ErrorEvent("overloaded", type="overloaded_error"))
    await way.next(stream)

    with pytest.raises(ProviderError, match="overloaded") as caught:
        await way.next(stream)

    assert (caught.value.status, caught.value.type) == (200, "overloaded_error")
    assert stream.state == "broken"


@contract
async def http_error_raises_at_the_first_read(way: Way) -> None:
    stream = way.open(HTTPError(429, retry_after=3, message="slow down"))

    with pytest.raises(ProviderError, match="slow down") as caught:
        await way.next(stream)

    assert (caught.value.status, caught.value.retry_after) == (429, 3)
    assert stream.state == "broken"
    assert await way.nothing_is_left()


@contract
async def malformed_frame_raises(way: Way) -> None:
    stream = way.open("a", Malformed("{{"), "b")
    await way.next(stream)

    with pytest.raises(MalformedChunkError, match=r"\{\{") as caught:
        await way.next(stream)

    assert isinstance(caught.value, ValueError)
    assert stream.state == "broken"


@contract
async def fault_with_errors_as_chunks_is_the_last_chunk(way: Way) -> None:
    stream = way.open("a", Disconnect(), errors="chunk")
    await way.next(stream)

    last = await way.next(stream)

    assert isinstance(last, StreamChunk)
    assert isinstance(last.error, StreamDisconnected)
    assert (last.index, last.done, last.delta, last.content) == (1, True, "", "a")
    assert await way.next(stream) == END


@contract
async def error_chunk_has_all_that_came_before(way: Way) -> None:
    stream = way.open(Reasoning(["h", "m"]), Text(["a", "b"]), Disconnect(), errors="chunk")
    for _ in range(4):
        await way.next(stream)

    last = await way.next(stream)

    assert isinstance(last, StreamChunk)
    assert (last.index, last.reasoning, last.delta, last.content) == (4, "hm", "", "ab")


@contract
async def reading_the_text_raises_even_with_errors_as_chunks(way: Way) -> None:
    stream = way.open("a", Disconnect(), errors="chunk")

    with pytest.raises(StreamDisconnected):
        await way.read(stream)


# The rest.


@contract
async def read_gives_the_whole_text_what_was_read_before_included(way: Way) -> None:
    stream = way.open("one two three")
    await way.next(stream)

    assert await way.read(stream) == "one two three"
    assert await way.read(stream) == "one two three"


@contract
async def response_longer_than_the_buffer_loses_nothing(way: Way) -> None:
    stream = way.open(LONG)

    assert await way.read(stream) == LONG.text


@contract
async def buffer_of_one_loses_nothing(way: Way) -> None:
    stream = way.open(LONG, buffer_size=1)

    assert await way.read(stream) == LONG.text


@contract
async def keep_alive_is_skipped(way: Way) -> None:
    assert await way.deltas(way.open("a", KeepAlive(), "b", KeepAlive())) == ["a", "b"]


@contract
async def script_without_content_has_its_last_chunk(way: Way) -> None:
    stream = way.open("")

    last = await way.next(stream)

    assert isinstance(last, StreamChunk)
    assert (last.index, last.role, last.finish_reason, last.done) == (0, "assistant", "stop", True)


@contract
async def waits_are_kept(way: Way) -> None:
    stream = way.open("a", Wait(0.03), "b")
    await way.next(stream)

    second = await way.next(stream)

    assert isinstance(second, StreamChunk)
    assert second.timestamp == pytest.approx(0.03)
    await way.close(stream)


@contract
async def gate_that_is_open_already_does_not_hold(way: Way) -> None:
    gate = Gate()
    gate.open()

    assert await way.deltas(way.open("a", gate, "b")) == ["a", "b"]


@contract
async def gate_opened_by_another_thread_lets_the_stream_go_on(way: Way) -> None:
    gate = Gate()
    stream = way.open("a", gate, "b")
    helper = threading.Thread(target=after_gate, args=(gate, gate.open))
    helper.start()

    assert await way.deltas(stream) == ["a", "b"]
    helper.join(60)


@contract
async def cancel_by_another_thread_ends_a_read_that_waits(way: Way) -> None:
    gate = Gate()
    stream = way.open("a", gate, "b")
    helper = threading.Thread(target=after_gate, args=(gate, stream.cancel))
    helper.start()

    assert await rest(way, stream) == ["a", StreamCancelled]
    helper.join(60)
    assert await way.nothing_is_left()


@contract
async def close_by_another_thread_ends_a_read_that_waits(way: Way) -> None:
    gate = Gate()
    stream = way.open("a", gate, "b")
    helper = threading.Thread(target=after_gate, args=(gate, stream.close))
    helper.start()

    assert await way.deltas(stream) == ["a"]
    assert stream.state == "closed"
    helper.join(60)
    assert await way.nothing_is_left()


@contract
async def record_tells_what_became_of_the_stream(way: Way) -> None:
    stream = way.open(LONG)
    await way.next(stream)
    await way.close(stream)
    request = stream.request

    assert request is way.client.requests[0]
    assert (request.state, request.chunks_sent, request.chunk_count) == ("closed", 1, 251)
    assert request.opened_at.filename == __file__
    stream.assert_closed(after_chunk=1)
    with pytest.raises(AssertionError, match="left after chunk 1, not after chunk 0"):
        stream.assert_closed(after_chunk=0)


@contract
async def assert_closed_complains_of_an_open_stream(way: Way) -> None:
    stream = way.open(LONG)
    await way.next(stream)

    with pytest.raises(AssertionError, match=r"1 of 251 chunks.*is still open.*async with"):
        stream.assert_closed()
    await way.close(stream)


@contract
async def assert_closed_complains_of_a_dropped_stream(way: Way) -> None:
    stream = way.open(LONG)
    with pytest.warns(UnclosedStreamWarning):
        del stream

    with pytest.raises(AssertionError, match="was dropped"):
        way.client.requests[0].assert_closed()


@contract
async def record_does_not_keep_the_stream_alive(way: Way) -> None:
    stream = way.open("a")
    await way.read(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del stream
        collect()

    assert way.client.requests[0].state == "exhausted"


async def rest(way: Way, stream: MockStream) -> list[Any]:
    """Read on; return the deltas, and last the builtin or own type of what was raised."""
    got: list[Any] = []
    try:
        while isinstance(chunk := await way.next(stream), StreamChunk):
            got.append(chunk.delta)
    except (ConnectionError, TimeoutError, MockStreamError) as error:
        kinds = (TimeoutError, ConnectionError, StreamCancelled)
        got.append(next(kind for kind in kinds if isinstance(error, kind)))
    return got


def after_gate(gate: Gate, act: Callable[[], None]) -> None:
    """Do something as soon as a reader waits at the gate."""
    gate.wait_reached(60)
    act()


async def settled(way: Way, stream: MockStream, *, produced: int) -> None:
    """Wait until the producer has come so far."""
    progress = entry_of(stream.request).progress
    assert progress is not None
    while progress.produced < produced:
        if isinstance(way, AsyncWay):
            await asyncio.sleep(0)


def _contract(case: Case, way: str) -> None:
    kind, producer = WAYS[way]
    kind(producer).run(case)


test_contract = pytest.mark.parametrize("way", WAYS)(
    pytest.mark.parametrize("case", Cases.all, ids=lambda case: case.__name__)(_contract)
)


# What only one of them can do.


def test_sync_read_of_a_stream_that_the_same_loop_feeds_is_refused() -> None:
    async def main() -> None:
        client = MockStreamClient(producer="background")
        async with client.complete_stream("hi") as stream:
            with pytest.raises(ScriptError, match="use `async for`"):
                next(stream)
            assert await stream.aread() == client.default_text

    asyncio.run(main())


def test_two_readers_are_refused_and_the_first_goes_on() -> None:
    async def main() -> None:
        client = MockStreamClient()
        gate = Gate()
        client.respond(gate, "a")
        async with client.complete_stream("hi") as stream:
            first = asyncio.ensure_future(anext(stream))
            await gate.reached()
            with pytest.raises(ScriptError, match="one reader at a time"):
                await anext(stream)
            gate.open()
            assert (await first).delta == "a"

    asyncio.run(main())


def test_stream_closed_by_another_task_is_over_at_once() -> None:
    async def main() -> None:
        stream = MockStreamClient().complete_stream("hi")
        reading = asyncio.ensure_future(anext(stream, END))
        await asyncio.sleep(0)  # the read has begun and lets others run
        stream.close()
        assert await reading == END
        assert stream.chunks_read == 0

    asyncio.run(main())


def test_producer_task_that_others_cancel_leaves_a_cancelled_stream() -> None:
    async def main() -> None:
        client = MockStreamClient(producer="background")
        client.respond("a", Gate())
        async with client.complete_stream("hi") as stream:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            with pytest.raises(StreamCancelled):
                await stream.aread()
            assert stream.state == "cancelled"

    asyncio.run(main())


def test_zero_delay_read_lets_other_tasks_run() -> None:
    async def main() -> None:
        client = MockStreamClient()
        client.respond(LONG)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counter = asyncio.create_task(count())
        async with client.complete_stream("hi") as stream:
            await stream.aread()
        counter.cancel()
        assert turns >= 250

    asyncio.run(main())


def test_stream_opened_outside_of_a_loop_is_read_in_one() -> None:
    client = MockStreamClient(delay=0.001)
    stream = client.complete_stream("hi")

    assert asyncio.run(stream.aread()) == client.default_text


def test_loop_that_closes_ends_its_producers() -> None:
    client = MockStreamClient(producer="background")
    client.respond("a", Gate())

    async def main() -> MockStream:
        stream = client.complete_stream("hi")
        await anext(stream)
        return stream

    stream = asyncio.run(main())

    with pytest.raises(StreamCancelled):
        next(stream)
    assert stream.state == "cancelled"


# Mistakes in reading.


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_second_loop_over_a_stream_is_refused(producer: Any) -> None:
    stream = MockStreamClient(producer=producer).complete_stream("hi")
    list(stream)

    with pytest.raises(ScriptError, match=r"was read to its end already, .* read\(\) or deltas\(\)"):
        list(stream)

    assert stream.read() == MockStreamClient().default_text


def test_second_async_loop_over_a_stream_is_refused() -> None:
    async def main() -> None:
        stream = MockStreamClient().complete_stream("hi")
        first = [chunk async for chunk in stream]

        with pytest.raises(ScriptError, match="was read to its end already"):
            [chunk async for chunk in stream]

        assert await stream.aread() == "".join(chunk.delta for chunk in first)

    asyncio.run(main())


def test_second_loop_goes_on_where_the_first_one_stopped() -> None:
    with MockStreamClient().complete_stream("hi") as stream:
        next(iter(stream))

        assert len(list(stream)) == stream.request.chunk_count - 1  # type: ignore[operator]


def test_async_read_where_no_loop_runs_says_what_to_do() -> None:
    with MockStreamClient().complete_stream("hi") as stream:
        reading = anext(stream)
        with pytest.raises(ScriptError, match="need a running event loop, of asyncio or trio, and there is none here"):
            reading.__await__().send(None)


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_time_that_runs_out_at_a_closed_gate_is_told_so(producer: Any) -> None:
    client = MockStreamClient(producer=producer)
    client.respond("one ", Gate(), "two")

    stream = client.complete_stream("hi", timeout=0.01)

    with pytest.raises(TimeoutError, match=r"ran out after 1 chunk \(.*\)\. A Gate\(\) held it .* call its open"):
        stream.read()


def test_time_that_runs_out_elsewhere_says_nothing_of_gates() -> None:
    client = MockStreamClient()
    gate = Gate()
    client.respond("one ", gate, "two ", Stall())
    gate.open()

    with pytest.raises(TimeoutError, match=r"ran out after 2 chunks \([^)]*\)$"):
        client.complete_stream("hi", timeout=0.01).read()
