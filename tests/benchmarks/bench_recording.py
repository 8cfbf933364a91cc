"""What recording adds to a stream over loopback, from a server in another process, to clients that read all of it.

Run it by hand: ``python tests/benchmarks/bench_recording.py``. It prints medians of the time and of this process's CPU
time, with recording and without, taken by turns in one run, and their ratio; nothing here is a test.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai
import requests

from pytest_mockstream import MockStreamSDK
from pytest_mockstream.playbook.live import Ending
from pytest_mockstream.playbook.request import Request

ROUNDS = 11
CHUNKS = 2000
CHAT: Any = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}


class Take:
    """Keeps the pieces with their times, as a recording does."""

    def __init__(self) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        self.ending: Ending | None = None

    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Keep nothing of them."""

    def received(self, data: bytes) -> None:
        """Keep a piece."""
        self.pieces.append((time.perf_counter(), data))

    def left(self) -> None:
        """Keep nothing of it."""

    def ended(self, how: Ending = "end") -> None:
        """Keep how it ended."""
        self.ending = how


class Recordings:
    """Records every request."""

    drain = 5.0

    def __init__(self) -> None:
        self.takes: list[Take] = []

    def records(self, request: Request) -> bool:
        """Record it."""
        return True

    def take(self, request: Request, *, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Take:
        """Return what keeps it."""
        self.takes.append(Take())
        return self.takes[-1]

    def missed(self, request: Request) -> str:
        """Have nothing to say."""
        return ""


@contextmanager
def provider() -> Iterator[str]:
    """Serve one stream again and again, each chunk by itself; yield the base URL."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "replies.toml")
        words = ", ".join(f'"w{i} "' for i in range(CHUNKS))
        script.write_text(f"[[script]]\ndelay = 0.0001\nsteps = [{{ text = [{words}] }}]\n", encoding="utf-8")
        command = [sys.executable, "-m", "pytest_mockstream", "serve", str(script), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                line = next(line for line in process.stdout or () if "plays on" in line)
                yield line.partition("plays on ")[2].split()[0] + "/v1"
            finally:
                process.terminate()


async def read_openai(client: openai.AsyncOpenAI) -> None:
    """Read with the SDK, which makes an object of each chunk."""
    async with await client.chat.completions.create(**CHAT) as stream:
        async for _ in stream:
            pass


async def read_httpx(client: httpx.AsyncClient, url: str) -> None:
    """Read bytes only, which costs least."""
    async with client.stream("POST", url, json=CHAT) as reply:
        async for _ in reply.aiter_bytes():
            pass


async def read_aiohttp(session: aiohttp.ClientSession, url: str) -> None:
    """Read bytes only."""
    async with session.post(url, json=CHAT) as reply:
        async for _ in reply.content.iter_any():
            pass


async def read_requests(session: requests.Session, url: str) -> None:
    """Read bytes only, in a sync client."""
    with session.post(url, json=CHAT, stream=True, timeout=30) as reply:
        for _ in reply.iter_content(None):
            pass


async def measured(read: Callable[[], Awaitable[None]], recordings: Recordings | None) -> tuple[float, float]:
    """Return the time and the CPU time of one stream, in seconds."""
    gc.collect()
    with MockStreamSDK(recordings=recordings):
        began, cpu = time.perf_counter(), time.process_time()
        await read()
        took = time.perf_counter() - began, time.process_time() - cpu
    if recordings is not None:
        (take,) = recordings.takes
        if take.ending != "end" or sum(data.count(b'"content"') for _, data in take.pieces) < CHUNKS:
            raise AssertionError("not all of it was recorded")
    return took


async def compare(name: str, read: Callable[[], Awaitable[None]]) -> None:
    """Print what recording adds for one client."""
    plain, recorded = [], []
    for round_ in range(ROUNDS + 1):
        without, with_it = await measured(read, None), await measured(read, Recordings())
        if round_:  # the first one opens the connection
            plain.append(without)
            recorded.append(with_it)
    for what, at in (("time", 0), ("CPU time", 1)):
        before = statistics.median(one[at] for one in plain)
        after = statistics.median(one[at] for one in recorded)
        print(f"{name:10} {what:8} {before * 1e3:7.1f} ms -> {after * 1e3:7.1f} ms   {after / before - 1:+6.1%}")


async def main() -> None:
    """Compare for each client."""
    with provider() as base:
        url = f"{base}/chat/completions"
        async with openai.AsyncOpenAI(base_url=base, api_key="none") as client:
            await compare("openai", lambda: read_openai(client))
        async with httpx.AsyncClient() as plain:
            await compare("httpx", lambda: read_httpx(plain, url))
        async with aiohttp.ClientSession() as session:
            await compare("aiohttp", lambda: read_aiohttp(session, url))
        with requests.Session() as sync:
            await compare("requests", lambda: read_requests(sync, url))


if __name__ == "__main__":
    asyncio.run(main())
