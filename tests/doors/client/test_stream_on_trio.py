"""What streams do on trio alone, or only in real time there; the laws that hold on both loops are with the others."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio
from virtual import Trio

from pytest_mockstream import Gate, MockStreamClient, ScriptError, StreamCancelled, StreamTimeout, Wait, leak_check

each_producer = pytest.mark.parametrize("producer", ["inline", "background"])


@each_producer
def test_cancel_from_a_thread_reaches_a_reader_on_trio(producer: Any) -> None:
    async def main() -> None:
        gate = Gate()
        client = MockStreamClient(producer=producer)
        client.respond("a ", gate, "b")
        async with client.complete_stream("hi") as stream:
            assert (await anext(stream)).delta == "a "

            def cancel() -> None:
                gate.wait_reached(30)
                stream.cancel()

            thread = threading.Thread(target=cancel)
            thread.start()
            with pytest.raises(StreamCancelled):
                await anext(stream)
            await trio.to_thread.run_sync(thread.join)
            await stream.request.aassert_closed()

    trio.run(main)


@each_producer
def test_timeout_of_a_stream_runs_out_on_trios_clock(producer: Any) -> None:
    async def main() -> float:
        client = MockStreamClient(producer=producer)
        client.respond("a ", Wait(3600), "b")
        async with client.complete_stream("hi", timeout=60) as stream:
            with pytest.raises(StreamTimeout):
                await stream.aread()
        return trio.current_time()

    assert Trio().run(main) == pytest.approx(60)


@each_producer
def test_stream_keeps_its_pace_while_trios_clock_is_frozen(producer: Any) -> None:
    freezegun = pytest.importorskip("freezegun")

    async def main() -> str:
        client = MockStreamClient(producer=producer, delay=0.01)
        client.respond("a b")
        with freezegun.freeze_time("2020-01-01"):
            async with client.complete_stream("hi") as stream:
                return await stream.aread()

    assert trio.run(main) == "a b"


def test_run_that_ends_ends_its_producers_and_leaves_a_cancelled_stream() -> None:
    client = MockStreamClient(producer="background")
    client.respond("a ", Gate(), "b")

    async def main() -> Any:
        stream = client.complete_stream("hi")
        await anext(stream)
        return stream

    stream = trio.run(main)

    with pytest.raises(StreamCancelled):
        next(stream)


def test_sync_read_of_a_stream_that_the_same_run_feeds_is_refused() -> None:
    async def main() -> None:
        async with MockStreamClient(producer="background").complete_stream("hi") as stream:
            with pytest.raises(ScriptError, match="use `async for`"):
                next(stream)

    trio.run(main)


def test_blocking_the_run_that_has_to_close_a_stream_is_refused() -> None:
    async def main() -> None:
        async with MockStreamClient().complete_stream("hi") as stream:
            with pytest.raises(RuntimeError, match="would block the event loop"):
                stream.assert_closed(within=1)

    trio.run(main)


def test_leak_check_of_a_block_works_on_trio() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="async with leak_check"):
            leak_check().__enter__()
        async with leak_check():
            await trio.to_thread.run_sync(int)

    trio.run(main)
