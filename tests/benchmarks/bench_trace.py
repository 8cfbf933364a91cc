"""What it costs to note what happens, and how long it takes to make data of it.

Run it by hand: ``python tests/benchmarks/bench_trace.py``. Both sides run in turns; it prints medians of CPU
time, and asserts nothing.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import httpx

from pytest_mockstream import MockStreamClient, MockStreamSDK, Text
from pytest_mockstream.trace import Recorder, trace_of

ROUNDS = 15
CHUNKS = Text([f"word{number} " for number in range(2000)])
URL = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def read_client() -> None:
    """Read a stream of the default client."""
    client = MockStreamClient()
    client.respond(CHUNKS)
    client.complete_stream("hi").read()


def read_http() -> None:
    """Read a stream of bytes through httpx."""
    with MockStreamSDK() as sdk, httpx.Client() as client:
        sdk.respond(CHUNKS)
        client.post(URL, json=BODY)


def start_tasks() -> None:
    """Start and await 500 tasks."""

    async def main() -> None:
        await asyncio.gather(*(asyncio.create_task(asyncio.sleep(0)) for _ in range(500)))

    asyncio.run(main())


class Watched(AbstractContextManager[None]):
    """Runs a block as the call of a test that is recorded."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __enter__(self) -> None:
        self._recorder.start()

    def __exit__(self, *_: object) -> None:
        self._recorder.stop()


def seconds(work: Callable[[], object], around: AbstractContextManager[None]) -> float:
    """Return how long something takes."""
    with around:
        gc.collect()
        began = time.process_time()
        work()
        return time.process_time() - began


def compare(name: str, work: Callable[[], object], units: int) -> None:
    """Print how long something takes while nobody watches, and while a recorder does."""
    plain, recorded = [], []
    for _ in range(ROUNDS):
        plain.append(seconds(work, nullcontext()))
        recorded.append(seconds(work, Watched(Recorder())))
    one, other = statistics.median(plain), statistics.median(recorded)
    each = [f"{took * 1e6 / units:8.2f} us" for took in (one, other)]
    print(f"{name:<24} {each[0]} alone {each[1]} recorded ({other / one - 1:+.1%})")


async def many_streams() -> None:
    """Read 200 streams of 50 chunks at once, in the frames of OpenAI's chat."""
    with MockStreamSDK() as sdk:
        sdk.respond(Text([f"word{number} " for number in range(49)]), times=None)
        async with httpx.AsyncClient() as client:
            await asyncio.gather(*(client.post(URL, json=BODY) for _ in range(200)))


def compose() -> None:
    """Print how long it takes to make the data of 10,000 chunks on 200 streams, and how much it is."""
    took, sizes = [], []
    for _ in range(5):
        recorder = Recorder()
        recorder.start()
        asyncio.run(many_streams())
        gc.collect()
        began = time.process_time()
        trace = trace_of(test={}, attempts=[recorder.attempt(outcome="passed", duration=1.0)])
        took.append(time.process_time() - began)
        recorder.stop()
        sizes.append(len(json.dumps(trace, separators=(",", ":"))))
    lanes: list[dict[str, Any]] = trace["attempts"][0]["runs"][0]["lanes"]
    chunks = sum(len(lane["chunks"]["n"]) for lane in lanes if "chunks" in lane)
    print(
        f"{len(lanes)} lanes, {chunks} chunks: {statistics.median(took) * 1e3:.0f} ms,"
        f" {statistics.median(sizes) / 2**20:.2f} MiB of JSON"
    )


if __name__ == "__main__":
    compare("chunks of the client", read_client, 2000)
    compare("frames through httpx", read_http, 2000)
    compare("tasks", start_tasks, 500)
    compose()
