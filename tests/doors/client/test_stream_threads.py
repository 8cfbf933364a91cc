"""Streams read, dropped and closed from many threads, at a switch interval that shows data races."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from pytest_mockstream import Gate, MockStream, MockStreamClient, StreamCancelled, Text, UnclosedStreamWarning
from pytest_mockstream._base.collector import collect

pytestmark = pytest.mark.usefixtures("small_heap")

LONG = Text([f"{i} " for i in range(150)])


@pytest.fixture(autouse=True)
def eager_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def producers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mockstream producer"]


def leave(place: int, streams: list[MockStream]) -> None:
    """Read in part, then leave in one of four ways."""
    stream = streams[place]
    for _ in range(place % 7):
        next(stream)
    if place % 4 == 0:
        stream.close()
    elif place % 4 == 1:
        stream.cancel()
    elif place % 4 == 2:
        stream.read()
    else:
        del stream
        streams[place] = None  # type: ignore[call-overload] # dropped here, in this thread


@pytest.mark.filterwarnings("ignore::pytest_mockstream.UnclosedStreamWarning")
def test_200_streams_left_from_other_threads_end_with_the_threads_they_began_with() -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        client = MockStreamClient(producer="background")
        client.respond(LONG, times=None)
        streams = [client.complete_stream("hi") for _ in range(200)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(leave, range(200), repeat(streams)))

        del streams
        collect()
        for thread in producers():
            thread.join(60)
        assert set(threading.enumerate()) - before == set()
        states = [request.state for request in client.requests]
        assert {state: states.count(state) for state in set(states)} == {
            "closed": 50,
            "cancelled": 50,
            "exhausted": 50,
            "dropped": 50,
        }


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_many_threads_that_look_and_close_do_not_disturb_the_reader(producer: str) -> None:
    client = MockStreamClient(producer=producer)  # type: ignore[arg-type]
    client.respond(LONG, times=None)
    for _ in range(20):
        stream = client.complete_stream("hi", timeout=60)
        done = threading.Event()

        def look(stream: MockStream = stream, done: threading.Event = done) -> None:
            while not done.is_set():
                assert stream.state in {"open", "exhausted"}
                assert stream.request.chunks_wasted >= 0

        lookers = [threading.Thread(target=look) for _ in range(4)]
        for looker in lookers:
            looker.start()
        try:
            assert stream.read() == LONG.text
        finally:
            done.set()
            for looker in lookers:
                looker.join()


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_cancel_racing_with_a_reader_loses_nothing_that_was_read_in_order(producer: str) -> None:
    client = MockStreamClient(producer=producer)  # type: ignore[arg-type]
    client.respond(LONG, times=None)
    for _ in range(50):
        stream = client.complete_stream("hi")
        canceller = threading.Thread(target=stream.cancel)
        got = []
        try:
            for chunk in stream:
                got.append(chunk.index)
                if chunk.index == 20:
                    canceller.start()
        except StreamCancelled:
            assert stream.state == "cancelled"
        else:
            assert got == list(range(151))  # all of it had arrived when the cancellation came
        canceller.join()
        stream.close()
        assert got == list(range(len(got)))


def test_read_in_a_loop_from_a_thread_at_full_speed_loses_nothing() -> None:
    # A wake-up that comes late, for something the reader has seen already, once passed for a timer that had fired.
    client = MockStreamClient(producer="background", buffer_size=1)
    client.respond(LONG, times=None)
    for _ in range(20):
        stream = client.complete_stream("hi")
        assert asyncio.run(stream.aread()) == LONG.text


def test_interpreter_exits_though_nobody_stopped_a_producer() -> None:
    code = """
from pytest_mockstream import Gate, MockStreamClient
client = MockStreamClient(producer="background")
client.respond("a", Gate())
stream = client.complete_stream("hi")
print(next(stream).delta)
"""
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert run.stdout == "a\n"
    assert "Traceback" not in run.stderr


def test_warning_names_where_the_stream_was_opened() -> None:
    client = MockStreamClient()
    stream = client.complete_stream("hi")
    next(stream)

    with pytest.warns(UnclosedStreamWarning) as caught:
        del stream

    assert caught[0].filename == __file__
    assert f":{caught[0].lineno})" in str(caught[0].message)


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_eight_threads_that_read_their_own_streams_of_one_client_lose_nothing(producer: str) -> None:
    client = MockStreamClient(producer=producer, buffer_size=2)  # type: ignore[arg-type]
    client.respond(LONG, times=None)
    start = threading.Barrier(8)

    def read(_: int) -> list[str]:
        start.wait()
        return [client.complete_stream("hi").read() for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        texts = [text for texts in pool.map(read, range(8)) for text in texts]

    assert texts == [LONG.text] * 40
    assert [request.state for request in client.requests] == ["exhausted"] * 40


@pytest.mark.parametrize("producer", ["inline", "background"])
def test_eight_gates_opened_at_once_by_eight_threads_let_the_stream_pass(producer: str) -> None:
    for _ in range(20):
        gates = [Gate() for _ in range(8)]
        client = MockStreamClient(producer=producer)  # type: ignore[arg-type]
        client.respond(*(step for gate in gates for step in (gate, Text(["a"]))))
        stream = client.complete_stream("hi")
        with ThreadPoolExecutor(8) as pool:
            for gate in gates:
                pool.submit(gate.open)

            assert stream.read() == "a" * 8
