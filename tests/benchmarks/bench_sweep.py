"""What a sweep costs, against as many plain runs of the same coroutine.

Run it by hand: ``python tests/benchmarks/bench_sweep.py``. It prints medians and ratios; nothing here is a test.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pytest_mockstream import Disconnect, MockStreamClient, Text, sweep_cancellation, sweep_faults

Making = Callable[[], Awaitable[Any]]


def waits(points: int) -> Making:
    """Return what makes a coroutine that gives up control so many times and does nothing else."""

    async def run() -> None:
        for _ in range(points):
            await asyncio.sleep(0)

    return run


def reads(points: int) -> tuple[Making, MockStreamClient]:
    """Return what makes a coroutine that reads a stream of so many chunks, and the client."""
    client = MockStreamClient()
    client.respond(Text([f"w{number} " for number in range(points - 1)]), times=None)

    async def run() -> None:
        async with client.complete_stream("hi") as stream:
            chunks = [chunk async for chunk in stream]
        if not chunks or not chunks[-1].done:
            raise ConnectionError

    return run, client


async def seconds(run: Making) -> float:
    """Return how long something takes."""
    gc.collect()
    before = time.perf_counter()
    await run()
    return time.perf_counter() - before


def plain(make: Making, times: int) -> Making:
    """Return as many plain runs, each in a task of its own."""

    async def runs() -> None:
        for _ in range(times):
            await asyncio.ensure_future(make())

    return runs


async def compare(title: str, sweep: Making, base: Making, *, limit: float, rounds: int = 3) -> None:
    """Print the ratio of medians of two things that take turns."""
    pairs = [(await seconds(sweep), await seconds(base)) for _ in range(rounds)]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{title:<52} {ours:8.3f} s / {bare:8.3f} s = {ours / bare:6.2f}  (limit {limit})")


async def main() -> None:
    """Print every comparison."""
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    make = waits(points)
    await compare(
        f"cancel, {points} bare points / {points} plain runs",
        lambda: sweep_cancellation(make),
        plain(make, points),
        limit=10,
    )
    stream, client = reads(points)
    await compare(
        f"cancel, {points} chunks of our client / {points} plain runs",
        lambda: sweep_cancellation(stream),
        plain(stream, points),
        limit=10,
    )
    await compare(
        f"faults, {points} chunks, Disconnect / {points} plain runs",
        lambda: sweep_faults(stream, client, faults=[Disconnect]),
        plain(stream, points),
        limit=10,
    )
    small = waits(points // 4)
    await compare(
        f"cancel, {points} points / {points // 4} points (16 is linear)",
        lambda: sweep_cancellation(make),
        lambda: sweep_cancellation(small),
        limit=20,
    )
    tiny = waits(10)
    await compare(
        "cancel, 10 points / 10 plain runs", lambda: sweep_cancellation(tiny), plain(tiny, 10), limit=10, rounds=15
    )


if __name__ == "__main__":
    asyncio.run(main())
