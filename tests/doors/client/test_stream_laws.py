"""Laws that hold for any script and any behaviour of the reader, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

import pytest
import virtual
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Gate,
    MockStreamClient,
    MockStreamError,
    Script,
    Stall,
    StreamChunk,
    Text,
    ToolCall,
    Truncate,
    UnclosedStreamWarning,
    Wait,
)

# Waits are whole seconds. Pauses, and timeouts of reads, end in a fraction of their own, so that no two things that
# race fall on one instant: nobody could tell which of them comes first. The virtual clock counts in microseconds, so
# that they are whole ones.
STEPS = st.lists(
    st.one_of(
        st.text("ab ", min_size=1, max_size=12).map(Text),
        st.lists(st.text("xy", max_size=2), max_size=6).map(Text),
        st.integers(0, 4).map(Wait),
        st.integers(0, 3).map(Stall),
        st.just(ToolCall("f", {"x": 1})),
    ),
    max_size=6,
)
ENDINGS = st.sampled_from([None, Truncate(), Disconnect(), Stall(), ErrorEvent("sorry")])
READS = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 8)),
    st.tuples(st.just("pause"), st.integers(0, 6)),
    st.tuples(st.just("try"), st.integers(0, 4)),
    st.tuples(st.just("interrupted"), st.integers(0, 4)),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("close"), st.just(0)),
)

Log = list[tuple[Any, ...]]

pytestmark = pytest.mark.usefixtures("no_garbage")


def scripts() -> st.SearchStrategy[Script]:
    return st.builds(
        lambda steps, ending, delay, ttft: Script(
            *steps, *([ending] if ending else []), delay=delay, ttft=ttft, chunking="char"
        ),
        STEPS,
        ENDINGS,
        st.integers(0, 2),
        st.integers(0, 5) | st.none(),
    )


async def play(script: Script, reads: list[tuple[str, int]], *, producer: Any, **options: Any) -> Log:
    """Read as told; return what came, when, and how it ended."""
    log: Log = []
    loop = asyncio.get_running_loop()
    client = MockStreamClient(producer=producer)
    client.respond(script)
    stream = client.complete_stream("hi", **options)

    async def read() -> bool:
        try:
            chunk = await anext(stream)
        except StopAsyncIteration:
            log.append(("end", loop.time()))
            return False
        except (MockStreamError, TimeoutError) as error:
            log.append((type(error).__name__, loop.time()))
            return False
        log.append((chunk.index, chunk.delta, chunk.timestamp, type(chunk.error).__name__, loop.time()))
        return True

    for place, (what, amount) in enumerate(reads):
        fraction = 0.001 * 2**place
        if what == "read":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1000 + fraction):
                    for _ in range(amount):
                        if not await read():
                            break
        elif what == "pause":
            await asyncio.sleep(amount + fraction)
        elif what == "try":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(amount + fraction):
                    await read()
        elif what == "interrupted":
            task = asyncio.create_task(read())
            await asyncio.sleep(amount + fraction)
            task.cancel()
            await asyncio.wait([task])
        elif what == "cancel":
            stream.cancel()
        else:
            await stream.aclose()
        log.append((what, stream.state, stream.chunks_read, loop.time()))
    await stream.aclose()
    log.append((stream.state, stream.chunks_read, loop.time()))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return log


@settings(max_examples=400)
@given(scripts(), st.lists(READS, max_size=8), st.integers(1, 4) | st.just(100), st.none() | st.integers(0, 20))
@example(Script("abc", chunking="char"), [("interrupted", 0), ("read", 8)], 1, None)
@example(Script("abcdef", Stall(), delay=1), [("pause", 3), ("cancel", 0), ("read", 8)], 2, None)
def test_inline_and_background_give_the_same_chunks_at_the_same_instants(
    script: Script, reads: list[tuple[str, int]], buffer_size: int, timeout: int | None
) -> None:
    # A timeout ends in a fraction of its own, too.
    options = {"buffer_size": buffer_size, "timeout": None if timeout is None else timeout + 0.0005}
    for errors in ("raise", "chunk"):
        inline, background = (
            virtual.run(play(script, reads, producer=producer, errors=errors, **options))
            for producer in ("inline", "background")
        )

        assert inline == background


@given(scripts(), st.lists(READS, max_size=8), st.integers(1, 4), st.sampled_from(["inline", "background"]))
def test_no_chunk_is_lost_or_doubled(
    script: Script, reads: list[tuple[str, int]], buffer_size: int, producer: str
) -> None:
    log = virtual.run(play(script, reads, producer=producer, buffer_size=buffer_size))

    expected = [(c.index, c.delta) for c in script.schedule() if isinstance(c, StreamChunk)]
    got = [entry[:2] for entry in log if isinstance(entry[0], int)]
    assert got == expected[: len(got)]


@given(scripts(), st.integers(1, 3), st.data())
def test_read_cancelled_at_any_instant_gives_the_same_chunks_in_the_end(
    script: Script, buffer_size: int, data: st.DataObject
) -> None:
    reads = data.draw(st.lists(st.tuples(st.just("interrupted"), st.integers(0, 3)), max_size=8))

    log = virtual.run(play(script, [*reads, ("read", 1000)], producer="inline", buffer_size=buffer_size))

    expected = [c.index for c in script.schedule() if isinstance(c, StreamChunk)]
    stalled = Stall() in script.steps
    got = [entry[0] for entry in log if isinstance(entry[0], int)]
    assert got == (expected[: len(got)] if stalled else expected)


@settings(max_examples=60)
@given(scripts(), st.integers(0, 6), st.sampled_from(["inline", "background"]))
def test_dropped_stream_leaves_nothing(script: Script, reads: int, producer: Any) -> None:
    async def main() -> None:
        client = MockStreamClient(producer=producer)
        client.respond(script)
        stream = client.complete_stream("hi", buffer_size=2)
        for _ in range(reads):
            with contextlib.suppress(MockStreamError, TimeoutError):
                async with asyncio.timeout(100):
                    await anext(stream, None)
        await asyncio.sleep(0)  # asyncio keeps the last cancellation, with its frames, until the task goes on
        was_open = stream.state == "open"
        with pytest.warns(UnclosedStreamWarning) if was_open else contextlib.nullcontext():
            del stream
            if was_open and client.requests[0].state == "open":
                gc.collect()  # some cycle held it; a collection is slow where large libraries are loaded
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (client.requests[0].state == "dropped") == was_open

    virtual.run(main())


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.lists(st.integers(0, 9), min_size=13, max_size=13),
    st.integers(1, 5),
    st.sampled_from(["inline", "background"]),
)
def test_producer_sleeps_and_then_waits_for_room_the_last_chunk_included(
    waits: list[int], pauses: list[int], size: int, producer: Any
) -> None:
    async def main() -> tuple[list[float], list[float]]:
        client = MockStreamClient(producer=producer)
        client.respond(*(step for wait in waits for step in (Wait(wait), Text(["x"]))))
        reads: list[float] = []
        arrivals: list[float] = []
        loop = asyncio.get_running_loop()
        async with client.complete_stream("hi", buffer_size=size) as stream:
            for pause in pauses[: len(waits) + 1]:
                await asyncio.sleep(pause)
                arrivals.append((await anext(stream)).timestamp)
                reads.append(loop.time())
        return reads, arrivals

    reads, arrivals = virtual.run(main())

    expected: list[float] = []
    for i, wait in enumerate([*waits, 0]):
        slept = (expected[-1] if expected else 0) + wait
        expected.append(max(slept, reads[i - size]) if i >= size else slept)
    assert arrivals == expected
    assert all(read >= arrival for read, arrival in zip(reads, arrivals, strict=True))


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_clock_that_rounds_does_not_stop_a_stream(producer: Any) -> None:
    client = MockStreamClient(delay=1 / 3, jitter=1e-7, producer=producer)

    async def main() -> str:
        async with client.complete_stream("hi") as stream:
            return await stream.aread()

    assert virtual.run(main()) == client.default_text


def test_read_that_times_out_and_is_tried_again_gets_the_pending_chunk() -> None:
    async def main() -> list[str]:
        client = MockStreamClient()
        client.respond("a", Wait(10), "b", Wait(10), "c")
        got: list[str] = []
        async with client.complete_stream("hi") as stream:
            while stream.state == "open":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(3):
                        got.append((await anext(stream)).delta)
        return got

    assert virtual.run(main()) == ["a", "b", "c", ""]


def test_ten_hours_pass_in_virtual_time() -> None:
    async def main() -> float:
        client = MockStreamClient(delay="1m")
        client.respond(Text(["tick "] * 600))
        loop = asyncio.get_running_loop()
        async with client.complete_stream("hi") as stream:
            for _ in range(300):
                await anext(stream)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await anext(stream)
            await stream.aread()
        assert stream.chunks_read == 601
        return loop.time()

    assert virtual.run(main()) == pytest.approx(36_000)


def test_stream_opened_outside_of_a_virtual_loop_goes_by_its_clock() -> None:
    client = MockStreamClient(delay="1h")
    stream = client.complete_stream("hi")

    assert virtual.run(stream.aread()) == client.default_text


def test_gate_holds_in_virtual_time_for_as_long_as_the_test_likes() -> None:
    async def main() -> list[float]:
        gate = Gate()
        client = MockStreamClient()
        client.respond("a", gate, Wait(1), "b")
        async with client.complete_stream("hi") as stream:
            reader = asyncio.create_task(stream.adeltas())
            await gate.reached()
            await asyncio.sleep(5)
            gate.open()
            await reader
            return [asyncio.get_running_loop().time()]

    assert virtual.run(main()) == [6.0]
