from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread
import pytest
import virtual

from pytest_mockstream import (
    Disconnect,
    Gate,
    HTTPError,
    MockStreamClient,
    OrdersResult,
    ScriptError,
    SweepError,
    SweepWarning,
    Wait,
    sweep_orders,
)
from pytest_mockstream._base.collector import collect
from sweep.planted import line
from sweep.planted_orders import PLANTED, LastWriterWins, Scenario, StopButton, asked_twice, stopped

NAMES = list(PLANTED)


async def failed(make: Any, **options: Any) -> OrdersResult:
    with pytest.raises(SweepError) as caught:
        await sweep_orders(make, **options)
    result = caught.value.result
    assert isinstance(result, OrdersResult)
    return result


async def read(client: MockStreamClient, question: str) -> str:
    async with client.complete_stream(question) as stream:
        return await stream.aread()


def two_streams(words: str = "a b c d") -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.respond(words, times=2)
        await asyncio.gather(read(client, "first"), read(client, "second"))

    return session


# What it must find, and where it must be silent.


@pytest.mark.parametrize("name", NAMES)
def test_planted_bug_passes_200_plain_runs(name: str) -> None:
    async def plain_runs() -> None:
        for _ in range(200):
            async with asyncio.timeout(60):
                await PLANTED[name][0]()

    virtual.run(plain_runs())


@pytest.mark.parametrize("name", NAMES)
async def test_planted_bug_is_found(name: str) -> None:
    result = await failed(PLANTED[name][0])

    assert result.is_complete
    assert len(result.bad) == 1


@pytest.mark.parametrize("name", NAMES)
async def test_mended_twin_is_clean_in_every_order(name: str) -> None:
    result = await sweep_orders(PLANTED[name][1])

    assert result.is_complete
    assert result.orders > 1


async def test_two_streams_of_five_chunks_come_in_252_orders() -> None:
    result = await sweep_orders(two_streams())

    assert (result.orders, result.is_complete) == (252, True)
    assert str(result) == "sweep_orders of two_streams.session: all 252 orders tried; all clean"


async def test_found_order_is_told_in_words() -> None:
    result = await failed(asked_twice(LastWriterWins))

    opened = f"tests/sweep/planted_orders.py:{line(LastWriterWins.read, 'opened')}"
    assert result.bad[0].story == (
        f"chunk 1 of answer 1 (opened at {opened}) came after answer 2 (opened at {opened}) was over",
    )
    assert "it failed: AssertionError" in str(result.bad[0].problems[0])
    assert 'assert chat.shown == "new answer"' in str(result.bad[0].problems[0])
    assert result.report().splitlines()[-1] == '  To run one alone, with the same keywords: order="0.1".'


async def test_order_alone_runs_that_order() -> None:
    runs = []

    async def session() -> None:
        runs.append(1)
        await stopped(StopButton)()

    order = (await failed(session)).bad[0].order
    runs.clear()

    again = await failed(session, order=order)

    assert (again.orders, runs) == (1, [1])
    assert again.bad[0].order == order


async def test_order_that_does_not_fit_any_more_is_said() -> None:
    with pytest.raises(ScriptError, match=r"order='9\.1': the code under test does not come to it any more"):
        await sweep_orders(two_streams("a"), order="9.1")


async def test_order_that_only_a_sample_finds_is_shrunk() -> None:
    async def session() -> None:
        came: list[str] = []

        async def one(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(0.1)
                came.append(name)

        await asyncio.gather(*map(one, "abcd"))
        assert not (came.index("d") < came.index("b") and came[-1] == "a" and came[-2] == "c")

    result = await failed(session, late=4, max_orders=400)

    assert not result.is_complete
    assert len(result.bad[0].order.split("-")) <= 4


# What can arrive.


async def test_timers_within_the_horizon_come_before_or_after_chunks() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a b")
        await asyncio.gather(read(client, "hi"), asyncio.sleep(1))

    assert (await sweep_orders(session)).orders == 4
    with pytest.warns(SweepWarning, match="There is but one order") as warned:
        await sweep_orders(session, horizon=0.5)
    assert warned[0].filename == __file__


async def test_timers_keep_their_order_with_late_1() -> None:
    async def session() -> None:
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2), asyncio.sleep(3))

    assert (await sweep_orders(session)).orders == 6
    assert (await sweep_orders(session, late=2)).orders == 4
    with pytest.warns(SweepWarning, match="There is but one order"):
        await sweep_orders(session, late=1)


async def test_timers_that_a_run_leaves_are_not_in_the_next_one() -> None:
    async def session() -> None:
        asyncio.get_running_loop().call_later(3, int)
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))

    assert (await sweep_orders(session)).orders == 6  # 12, 21, 132, 231, 312, 321


async def test_timers_that_are_equal_are_two() -> None:
    counts = []

    async def session() -> None:
        loop = asyncio.get_running_loop()
        called: list[int] = []
        loop.call_later(1, called.append, 1)
        loop.call_later(1, called.append, 1)
        await asyncio.sleep(2)
        counts.append(len(called))

    await sweep_orders(session)

    assert max(counts) == 2


async def test_first_order_is_that_of_the_instants() -> None:
    came: list[list[str]] = []

    async def session() -> None:
        client = MockStreamClient()
        client.respond("a", Wait(2), "b")
        came.append([])

        async def reads() -> None:
            async with client.complete_stream("hi") as stream:
                async for chunk in stream:
                    came[-1].append(chunk.delta)

        async def sleeps() -> None:
            await asyncio.sleep(1)
            came[-1].append("timer")

        await asyncio.gather(reads(), sleeps())

    await sweep_orders(session)

    assert came[0] == ["a", "timer", "b", ""]
    assert ["timer", "a", "b", ""] in came
    assert ["a", "b", "", "timer"] in came


async def test_virtual_time_goes_on_to_what_arrives() -> None:
    times = []

    async def session() -> None:
        client = MockStreamClient()
        client.respond("a", Wait(3600), "b")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(read(client, "hi"), asyncio.sleep(1))
        times.append(loop.time() - began)

    await sweep_orders(session)

    assert set(times) == {3600.0, 3601.0}  # where the first chunk comes after the timer


async def test_gates_of_a_script_open_in_every_order() -> None:
    gate = Gate()
    client = MockStreamClient()
    client.respond("a", gate, "b", times=None)

    async def session() -> None:
        await asyncio.gather(read(client, "hi"), asyncio.sleep(1))

    result = await sweep_orders(session)

    assert result.orders == 4
    assert not gate.is_open


async def test_results_of_threads_come_in_every_order() -> None:
    came: list[str] = []

    async def session() -> None:
        came.clear()

        async def one(name: str) -> None:
            came.append(await asyncio.to_thread(str.upper, name))

        await asyncio.gather(one("a"), one("b"))
        assert came == ["A", "B"]

    result = await failed(session)

    assert (result.orders, result.is_complete) == (2, True)
    assert result.bad[0].story == (
        "the result of upper() from a thread came after the result of upper() from a thread",
    )


def slowly(seconds: float, value: str) -> str:
    time.sleep(seconds)
    return value


@pytest.mark.parametrize(
    "job",
    [
        lambda: asyncio.to_thread(slowly, 0.05, "a"),
        lambda: anyio.to_thread.run_sync(slowly, 0.05, "a"),
        lambda: anyio.to_thread.run_sync(time.sleep, 0.05),
    ],
    ids=["asyncio", "anyio", "anyio and a function of a library"],
)
async def test_job_of_a_library_that_takes_long_is_waited_for(job: Callable[[], Awaitable[object]]) -> None:
    async def session() -> None:
        await asyncio.gather(job(), asyncio.sleep(1))

    assert (await sweep_orders(session, max_orders=3)).ok


async def test_call_from_a_thread_comes_in_every_order() -> None:
    async def session() -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(done.set,))
        thread.start()
        thread.join()
        await asyncio.gather(done.wait(), asyncio.sleep(1))

    assert (await sweep_orders(session)).orders == 2


async def test_reader_in_a_thread_is_not_held() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("one two")
        assert (await asyncio.to_thread(client.complete, "hi")).content == "one two"

    with pytest.warns(SweepWarning, match="There is but one order"):
        await sweep_orders(session)


async def test_background_producers_are_held_too() -> None:
    async def session() -> None:
        client = MockStreamClient(producer="background")
        client.respond("a b c d", times=2)
        await asyncio.gather(read(client, "first"), read(client, "second"))

    assert (await sweep_orders(session)).orders == 252


async def test_one_stream_may_break_in_each_way_at_each_chunk() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a b")
        await read(client, "hi")

    result = await sweep_orders(session, faults=[Disconnect(), HTTPError(503)])

    assert result.orders == 1 + 3 + 1


async def test_success_on_a_broken_stream_is_found() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a b")
        try:
            await read(client, "hi")
        except ConnectionError:
            return

    result = await failed(session, faults=[Disconnect])

    assert sum(bad.orders for bad in result.bad) == 3
    assert "it reported success on a broken stream" in result.report()
    assert "Disconnect instead of chunk 1 of answer 1 (opened at " in result.report()
    assert (await sweep_orders(session, faults=[Disconnect], allow_completion=True)).orders == 4


async def test_retry_after_a_break_gets_the_whole_script() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a b")
        try:
            await read(client, "hi")
        except ConnectionError:
            assert await read(client, "hi") == "a b"

    assert (await sweep_orders(session, faults=[Disconnect], allow_completion=True)).ok


async def test_cancellation_may_come_once_anywhere() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a b")
        await read(client, "hi")

    assert (await sweep_orders(session, cancel=True)).orders == 1 + 3


async def test_swallowed_cancellation_is_found() -> None:
    async def session() -> str:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return "done"
        return "slept"

    result = await failed(session, cancel=True)

    assert str(result.bad[0].problems[0]) == "the cancellation was swallowed: it went on and returned 'done'"
    assert result.bad[0].story == ("the cancellation came first of all",)


# What every run is judged by.


async def test_what_an_order_leaves_running_is_found() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a")
        task = asyncio.create_task(asyncio.sleep(1), name="pump")
        await read(client, "hi")
        if not task.done():
            return
        left.append(asyncio.create_task(asyncio.Event().wait(), name="left"))

    left: list[Any] = []

    result = await failed(session, grace=2)

    assert "it left 1 thing running" in result.report()
    assert "task 'left'" in result.report()


async def test_stream_that_an_order_leaves_open_is_found() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a b")
        stream = client.complete_stream("hi")
        kept.append(stream)
        await asyncio.wait([asyncio.create_task(asyncio.sleep(1)), reading := asyncio.create_task(stream.aread())])
        del reading

    kept: list[Any] = []

    assert (await sweep_orders(session)).ok

    async def leaves() -> None:
        client = MockStreamClient()
        client.respond("a b")
        stream = client.complete_stream("hi")
        kept.append(stream)
        reading = asyncio.create_task(stream.aread())
        await asyncio.sleep(1)
        reading.cancel()

    assert "was not closed" in (await failed(leaves)).report()


async def test_check_is_called_after_each_run() -> None:
    calls = itertools.count()

    result = await failed(two_streams("a"), check=lambda: next(calls) < 4)

    assert "check() returned False" in result.report()


async def test_failure_of_the_first_order_is_the_callers_to_see() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a")
        await read(client, "hi")
        raise ValueError("as always")

    with pytest.raises(ValueError, match="as always") as caught:
        await sweep_orders(session)

    assert caught.value.__notes__[0].startswith("sweep_orders: so far had come, by default: chunk 1 of answer 1 up to ")


async def test_errors_that_are_meant_are_listed_in_raises() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a")
        async with asyncio.timeout(1):
            await read(client, "hi")

    assert "it failed: TimeoutError" in (await failed(session)).report()
    assert (await sweep_orders(session, raises=TimeoutError)).ok


async def test_ways_to_fail_are_told_apart() -> None:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("a b", times=2)
        done: list[str] = []

        async def one(name: str) -> None:
            await read(client, name)
            done.append(name)

        await asyncio.gather(one("first"), one("second"), asyncio.sleep(1))
        assert done == ["first", "second"], "one"

    assert len((await failed(session)).bad) == 1


# Its surroundings.


async def test_running_loop_and_task_are_as_before() -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    await sweep_orders(two_streams("a"))

    assert asyncio.get_running_loop() is loop
    assert asyncio.current_task() is task
    await asyncio.sleep(0)


async def test_object_of_the_other_loop_is_explained() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(event.wait())
    await asyncio.sleep(0)

    async def session() -> None:
        await event.wait()

    with pytest.raises(RuntimeError) as caught:
        await sweep_orders(session)

    assert caught.value.__notes__ == [
        "sweep_orders runs it in a loop of its own: make in make_coroutine what belongs to a loop."
    ]
    event.set()
    await waiting


async def test_code_whose_first_run_is_different_is_swept_whole() -> None:
    warm: list[int] = []

    async def session() -> None:
        if not warm:
            await asyncio.gather(asyncio.sleep(1), asyncio.sleep(1))
            warm.append(1)
        await two_streams("a")()

    assert (await sweep_orders(session)).orders == 6


async def test_code_that_takes_another_path_each_time_is_said() -> None:
    runs: list[int] = []

    async def session() -> None:
        runs.append(1)
        await two_streams("a b" if len(runs) % 3 else "a")()

    with pytest.warns(SweepWarning, match="does not take the same path each time"):
        await sweep_orders(session)


async def test_more_orders_than_were_asked_for_are_left_out_and_said() -> None:
    with pytest.warns(
        SweepWarning,
        match=r"1,000 of about [0-9],\d00 orders tried: all with up to \d deviations from the first, .* at random",
    ):
        await sweep_orders(two_streams("a b c d e f"))

    result = await sweep_orders(two_streams(), max_orders=20)

    assert str(result).startswith("sweep_orders of two_streams.session: 20 of about ")
    assert "5 at random (seed 0); the others were left out (max_orders=20); all clean" in str(result)


async def test_real_sockets_are_said_to_be_out_of_its_reach() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hi")
        writer.close()

    async def session() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b"hi"
            writer.close()
            await writer.wait_closed()

    with pytest.warns(SweepWarning, match="reads real sockets"):
        await sweep_orders(session)


async def test_error_that_nobody_retrieves_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def session() -> None:
        task = asyncio.create_task(fails())
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        del task
        collect()

    await sweep_orders(session)

    assert len(caplog.records) == 1


def test_it_runs_beside_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> OrdersResult:
        result = await sweep_orders(two_streams("a"))
        await asyncio.sleep(0)
        return result

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()).orders == 6


async def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []

    await sweep_orders(two_streams("a"), progress=lambda done, total: told.append((done, total)))

    assert told[-1] == (6, 1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"late": 0}, "late=0: give a whole number >= 1"),
        ({"horizon": "soon"}, "horizon='soon' is not a duration"),
        ({"max_orders": 0}, "max_orders=0: give a whole number >= 1"),
        ({"order": "x"}, "order='x': give an order as a report shows it"),
        ({"faults": []}, r"faults=\[\]: give at least one fault"),
        ({"faults": [3]}, "faults: 3 is not a fault"),
        ({"cancel": 1}, "cancel=1: give True or False"),
        ({"raises": 3}, "raises=3: give an exception class"),
        ({"seed": "x"}, "seed='x': give a whole number"),
        ({"check": 3}, "check=3: give a callable"),
    ],
)
async def test_value_that_is_not_legal_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        await sweep_orders(two_streams("a"), **options)


async def test_coroutine_in_place_of_a_function_is_named() -> None:
    coroutine: Any = read(MockStreamClient(), "hi")

    with pytest.raises(TypeError, match="make_coroutine is a coroutine of read, which can run only once"):
        await sweep_orders(coroutine)


def test_trio_is_refused() -> None:
    import trio

    async def main() -> None:
        await sweep_orders(two_streams("a"))

    with pytest.raises(ScriptError, match="here runs trio: run it in asyncio"):
        trio.run(main)
