"""What a fake stream costs, against a bare equivalent in the same run.

Run it by hand: ``python tests/benchmarks/bench_stream.py``. It prints medians and ratios; nothing here is a test.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator

from pytest_mockstream import MockStreamClient, StreamChunk, Text
from pytest_mockstream.script.chunks import Transcript

ROUNDS = 15
WORDS = tuple(f"w{i} " for i in range(2000))


def bare_chunks() -> Iterator[StreamChunk]:
    """Build the chunks that the stream builds, and nothing else."""
    transcript = Transcript()
    for index, word in enumerate(WORDS):
        transcript.append(word)
        yield StreamChunk(index=index, delta=word, role=None if index else "assistant", _transcript=transcript)


class BareAsync:
    """The least that can be called an async stream of these chunks."""

    def __init__(self) -> None:
        self._chunks = bare_chunks()

    def __aiter__(self) -> AsyncIterator[StreamChunk]:
        return self

    async def __anext__(self) -> StreamChunk:
        await asyncio.sleep(0)
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


CLIENT = MockStreamClient()
CLIENT.respond(Text(WORDS), times=None)


def read_bare() -> None:
    """Read the bare generator."""
    for _ in bare_chunks():
        pass


def read_inline() -> None:
    """Read an inline stream."""
    with CLIENT.complete_stream("hi") as stream:
        for _ in stream:
            pass


async def aread_bare() -> None:
    """Read the bare async stream."""
    async for _ in BareAsync():
        pass


async def aread_inline() -> None:
    """Read an inline stream, asynchronously."""
    async with CLIENT.complete_stream("hi") as stream:
        async for _ in stream:
            pass


def content(count: int) -> Callable[[], None]:
    """Return a run that asks every chunk of ``count`` for its content."""

    def run() -> None:
        source = MockStreamClient()
        source.respond(Text(["word "] * count))
        with source.complete_stream("hi") as stream:
            for chunk in stream:
                len(chunk.content)

    return run


def many(count: int) -> Callable[[], None]:
    """Return a run that opens ``count`` streams at once and closes them."""

    def run() -> None:
        CLIENT.requests.clear()
        for stream in [CLIENT.complete_stream("hi") for _ in range(count)]:
            stream.close()

    return run


def seconds(run: Callable[[], object]) -> float:
    """Return how long a run takes."""
    gc.collect()
    before = time.perf_counter()
    run()
    return time.perf_counter() - before


def compare(
    title: str, run: Callable[[], object], base: Callable[[], object], *, limit: float, rounds: int = ROUNDS
) -> None:
    """Print the ratio of medians of two runs that take turns."""
    pairs = [(seconds(run), seconds(base)) for _ in range(rounds)]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{title:<44} {ours * 1e3:9.2f} ms / {bare * 1e3:9.2f} ms = {ours / bare:6.2f}  (limit {limit})")


def main() -> None:
    """Print every comparison."""
    compare("sync inline / bare generator", read_inline, read_bare, limit=3)
    with asyncio.Runner() as runner:
        compare(
            "async inline / bare async for",
            lambda: runner.run(aread_inline()),
            lambda: runner.run(aread_bare()),
            limit=2,
        )
    compare("content, 40,000 chunks / 2,000 chunks", content(40_000), content(2_000), limit=20)
    compare("open and close 10,000 / 1,000", many(10_000), many(1_000), limit=10)
    compare("open and close 100,000 / 10,000", many(100_000), many(10_000), limit=10, rounds=3)


if __name__ == "__main__":
    main()
