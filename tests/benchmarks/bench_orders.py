"""What orders cost, against as many plain runs of the same coroutine.

Run it by hand: ``python tests/benchmarks/bench_orders.py``. It prints medians and ratios; nothing here is a test.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import openai

from pytest_mockstream import MockStreamClient, MockStreamSDK, sweep_orders

Making = Callable[[], Awaitable[Any]]
TIMES = 5


def on_client(words: str) -> Making:
    """Return what makes a coroutine that reads two streams of the default client."""
    client = MockStreamClient()
    client.respond(words, times=None)

    async def read(question: str) -> str:
        async with client.complete_stream(question) as stream:
            return await stream.aread()

    async def both() -> None:
        await asyncio.gather(read("first"), read("second"))

    return both


def on_openai(words: str, door: MockStreamSDK) -> Making:
    """Return what makes a coroutine that reads two streams of the openai SDK, with a client that is made once."""
    client = openai.AsyncOpenAI(api_key="fake", max_retries=0)
    door.respond(words, times=None)

    async def read(question: str) -> str:
        stream = await client.chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": question}], stream=True
        )
        async with stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def both() -> None:
        await asyncio.gather(read("first"), read("second"))

    return both


async def plain(make: Making, times: int) -> None:
    """Do as many plain runs, each in a task of its own."""
    for _ in range(times):
        await asyncio.ensure_future(make())


async def seconds(make: Making) -> float:
    """Return how long something takes, the median of some times: the machine may be busy."""
    taken = []
    for _ in range(TIMES):
        gc.collect()
        before = time.perf_counter()
        await make()
        taken.append(time.perf_counter() - before)
    print(f"    {' '.join(f'{one:.3f}' for one in taken)} s, median {statistics.median(taken):.3f}")
    return statistics.median(taken)


async def compare(title: str, make: Making, orders: int) -> None:
    """Print what so many orders cost, and so many plain runs."""
    print(f"{title}, {orders} orders")
    await make()
    runs = await seconds(lambda: plain(make, orders))
    swept = await seconds(lambda: sweep_orders(make, max_orders=orders))
    print(f"  {swept / runs:.1f} times the plain runs, {1e3 * swept / orders:.2f} ms an order")


async def main() -> None:
    """Print everything."""
    await compare("default client, two streams of 5 chunks", on_client("a b c d"), 252)
    await compare("default client, two streams of 9 chunks", on_client("a b c d e f g h"), 1000)
    with MockStreamSDK() as door:
        await compare("openai SDK in process, two streams of 5 chunks", on_openai("a b c d", door), 252)
        door.requests.clear()


if __name__ == "__main__":
    asyncio.run(main())
