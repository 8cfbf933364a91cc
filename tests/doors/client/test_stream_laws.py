"""Laws that hold for any script and any behaviour of the reader, in virtual time."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import pytest
import virtual
from hypothesis import example, given, settings
from hypothesis import strategies as st
from virtual import Asyncio

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
from pytest_mockstream._base.collector import collect

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

pytestmark = pytest.mark.usefixtures("small_heap", "no_garbage")


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


async def play(
    script: Script,
    reads: list[tuple[str, int]],
    *,
    producer: Any,
    backend: Asyncio = virtual.BACKENDS[0],
    **options: Any,
) -> Log:
    """Read as told; return what came, when, and how it ended."""
    log: Log = []
    time = backend.time
    client = MockStreamClient(producer=producer)
    client.respond(script)
    stream = client.complete_stream("hi", **options)

    async def read() -> bool:
        try:
            chunk = await anext(stream)
        except StopAsyncIteration:
            log.append(("end", time()))
            return False
        except (MockStreamError, TimeoutError) as error:
            log.append((type(error).__name__, time()))
            return False
        log.append((chunk.index, chunk.delta, round(chunk.timestamp, 6), type(chunk.error).__name__, time()))
        return True

    for place, (what, amount) in enumerate(reads):
        fraction = 0.001 * 2**place
        if what == "read":
            async with backend.at_most(1000 + fraction):
                for _ in range(amount):
                    if not await read():
                        break
        elif what == "pause":
            await backend.sleep(amount + fraction)
        elif what == "try":
            async with backend.at_most(amount + fraction):
                await read()
        elif what == "interrupted":
            await backend.cancelled_after(amount + fraction, read)
        elif what == "cancel":
            await backend.settle()
            stream.cancel()
            await backend.settle()
        else:
            await stream.aclose()
        log.append((what, stream.state, stream.chunks_read, time()))
    await stream.aclose()
    log.append((stream.state, stream.chunks_read, time()))
    assert backend.tasks() == []
    return log


@settings(max_examples=150)
@given(scripts(), st.lists(READS, max_size=8), st.integers(1, 4) | st.just(100), st.none() | st.integers(0, 20))
@example(Script("abc", chunking="char"), [("interrupted", 0), ("read", 8)], 1, None)
@example(Script("abcdef", Stall(), delay=1), [("pause", 3), ("cancel", 0), ("read", 8)], 2, None)
def test_every_producer_on_every_loop_gives_the_same_chunks_at_the_same_instants(
    script: Script, reads: list[tuple[str, int]], buffer_size: int, timeout: int | None
) -> None:
    # A timeout ends in a fraction of its own, too.
    options = {"buffer_size": buffer_size, "timeout": None if timeout is None else timeout + 0.0005}
    for errors in ("raise", "chunk"):
        first, *others = (
            backend.run(partial(play, script, reads, producer=producer, backend=backend, errors=errors, **options))
            for producer in ("inline", "background")
            for backend in virtual.BACKENDS
        )

        assert others == [first] * 3


@virtual.on_both
@given(scripts(), st.lists(READS, max_size=8), st.integers(1, 4), st.sampled_from(["inline", "background"]))
def test_no_chunk_is_lost_or_doubled(
    backend: Asyncio, script: Script, reads: list[tuple[str, int]], buffer_size: int, producer: str
) -> None:
    log = backend.run(partial(play, script, reads, producer=producer, backend=backend, buffer_size=buffer_size))

    expected = [(c.index, c.delta) for c in script.schedule() if isinstance(c, StreamChunk)]
    got = [entry[:2] for entry in log if isinstance(entry[0], int)]
    assert got == expected[: len(got)]


@virtual.on_both
@given(scripts(), st.integers(1, 3), st.data())
def test_read_cancelled_at_any_instant_gives_the_same_chunks_in_the_end(
    backend: Asyncio, script: Script, buffer_size: int, data: st.DataObject
) -> None:
    reads = data.draw(st.lists(st.tuples(st.just("interrupted"), st.integers(0, 3)), max_size=8))

    reads = [*reads, ("read", 1000)]
    log = backend.run(partial(play, script, reads, producer="inline", backend=backend, buffer_size=buffer_size))

    expected = [c.index for c in script.schedule() if isinstance(c, StreamChunk)]
    stalled = Stall() in script.steps
    got = [entry[0] for entry in log if isinstance(entry[0], int)]
    assert got == (expected[: len(got)] if stalled else expected)


@virtual.on_both
@settings(max_examples=60)
@given(scripts(), st.integers(0, 6), st.sampled_from(["inline", "background"]))
def test_dropped_stream_leaves_nothing(backend: Asyncio, script: Script, reads: int, producer: Any) -> None:
    async def main() -> None:
        client = MockStreamClient(producer=producer)
        client.respond(script)
        stream = client.complete_stream("hi", buffer_size=2)
        for _ in range(reads):
            with contextlib.suppress(MockStreamError, TimeoutError):
                async with backend.at_most(100):
                    await anext(stream, None)
        await backend.sleep(0)  # asyncio keeps the last cancellation, with its frames, until the task goes on
        was_open = stream.state == "open"
        with pytest.warns(UnclosedStreamWarning) if was_open else contextlib.nullcontext():
            del stream
            if was_open and client.requests[0].state == "open":
                collect()  # some cycle held it; a collection is slow where large libraries are loaded
        await backend.sleep(0.1)
        assert backend.tasks() == []
        assert (client.requests[0].state == "dropped") == was_open

    backend.run(main)


@virtual.on_both
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12),
    st.lists(st.integers(0, 9), min_size=13, max_size=13),
    st.integers(1, 5),
    st.sampled_from(["inline", "background"]),
)
def test_producer_sleeps_and_then_waits_for_room_the_last_chunk_included(
    backend: Asyncio, waits: list[int], pauses: list[int], size: int, producer: Any
) -> None:
    async def main() -> tuple[list[float], list[float]]:
        client = MockStreamClient(producer=producer)
        client.respond(*(step for wait in waits for step in (Wait(wait), Text(["x"]))))
        reads: list[float] = []
        arrivals: list[float] = []
        async with client.complete_stream("hi", buffer_size=size) as stream:
            for pause in pauses[: len(waits) + 1]:
                await backend.sleep(pause)
                arrivals.append((await anext(stream)).timestamp)
                reads.append(backend.time())
        return reads, arrivals

    reads, arrivals = backend.run(main)

    expected: list[float] = []
    for i, wait in enumerate([*waits, 0]):
        slept = (expected[-1] if expected else 0) + wait
        expected.append(max(slept, reads[i - size]) if i >= size else slept)
    assert arrivals == expected
    assert all(read >= arrival for read, arrival in zip(reads, arrivals, strict=True))


@virtual.on_both
@pytest.mark.parametrize("producer", ["inline", "background"])
def test_clock_that_rounds_does_not_stop_a_stream(backend: Asyncio, producer: Any) -> None:
    client = MockStreamClient(delay=1 / 3, jitter=1e-7, producer=producer)

    async def main() -> str:
        async with client.complete_stream("hi") as stream:
            return await stream.aread()

    assert backend.run(main) == client.default_text


@virtual.on_both
@pytest.mark.parametrize("producer", ["inline", "background"])
def test_read_that_times_out_and_is_tried_again_gets_the_pending_chunk(backend: Asyncio, producer: Any) -> None:
    async def main() -> list[str]:
        client = MockStreamClient(producer=producer)
        client.respond("a", Wait(10), "b", Wait(10), "c")
        got: list[str] = []
        async with client.complete_stream("hi") as stream:
            while stream.state == "open":
                async with backend.at_most(3):
                    got.append((await anext(stream)).delta)
        return got

    assert backend.run(main) == ["a", "b", "c", ""]


@virtual.on_both
@pytest.mark.parametrize("producer", ["inline", "background"])
def test_ten_hours_pass_in_virtual_time(backend: Asyncio, producer: Any) -> None:
    async def main() -> float:
        client = MockStreamClient(delay="1m", producer=producer)
        client.respond(Text(["tick "] * 600))
        async with client.complete_stream("hi") as stream:
            for _ in range(300):
                await anext(stream)
            read = stream.chunks_read
            async with backend.at_most(30):
                await anext(stream)
            assert stream.chunks_read == read
            await stream.aread()
        assert stream.chunks_read == 601
        return backend.time()

    assert backend.run(main) == pytest.approx(36_000)


@virtual.on_both
def test_stream_opened_outside_of_a_virtual_loop_goes_by_its_clock(backend: Asyncio) -> None:
    client = MockStreamClient(delay="1h")
    stream = client.complete_stream("hi")

    assert backend.run(stream.aread) == client.default_text


@virtual.on_both
@pytest.mark.parametrize("producer", ["inline", "background"])
def test_gate_holds_in_virtual_time_for_as_long_as_the_test_likes(backend: Asyncio, producer: Any) -> None:
    async def main() -> float:
        gate = Gate()
        client = MockStreamClient(producer=producer)
        client.respond("a", gate, Wait(1), "b")
        async with client.complete_stream("hi") as stream, backend.beside(stream.adeltas):
            await gate.reached()
            await backend.sleep(5)
            gate.open()
        return backend.time()

    assert backend.run(main) == 6.0
