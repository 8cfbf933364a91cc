"""What the HTTP door costs and what it stands: throughput, first byte, and a thousand streams at once.

Run it by hand: ``python tests/benchmarks/bench_server.py [--stubllm PATH] [--fakellm PATH]``, the paths being the
commands of other fake servers, to be measured in the same run. It prints medians; nothing here is a test.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import openai

from pytest_mockstream import Disconnect, Gate, MockStreamSDK, MockStreamServer, Text

CHUNKS = 2000
ROUNDS = 15
STREAMS = 1000
WORDS = [f"word{number} " for number in range(CHUNKS)]
MESSAGES: Any = [{"role": "user", "content": "go"}]
BODY = json.dumps({"model": "m", "stream": True, "messages": MESSAGES}).encode()
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


async def chunks_per_second(base_url: str) -> float:
    """Read a stream with a new client of the SDK; return chunks per second."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key="k", max_retries=0) as client:
        return (await read(client))[0]


async def read(client: openai.AsyncOpenAI) -> tuple[float, float]:
    """Read a stream with the SDK; return chunks per second and seconds to the first chunk."""
    count, first = 0, 0.0
    began = time.perf_counter()
    async with await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
        async for _ in stream:
            first = first or time.perf_counter() - began
            count += 1
    return count / (time.perf_counter() - began), first


async def first_byte(port: int, *, keep: bool) -> float:
    """Return the median seconds from a request to the first byte of its body, on a bare socket."""
    times = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(200):
        if not keep:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.perf_counter()
        writer.write(REQUEST)
        await reader.readuntil(b"data: ")
        times.append(time.perf_counter() - began)
        await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    return statistics.median(times)


# Others, each in a process of its own.


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def served(command: list[str], port: int) -> Iterator[str]:
    """Run a server until the end of the block; give its base URL once it listens."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def ours_apart(folder: Path) -> Iterator[str]:
    """Serve the words from a process of its own."""
    (folder / "words.toml").write_text(f"[[script]]\nsteps = [{{ text = {json.dumps(WORDS)} }}]\n")
    port = free_port()
    command = [sys.executable, "-m", "pytest_mockstream", "serve", str(folder / "words.toml"), "--port", str(port)]
    with served(command, port) as url:
        yield url


@contextmanager
def stubllm(executable: str, folder: Path) -> Iterator[str]:
    """Serve the words with stubllm, without delay."""
    fixture = {"fixtures": [{"name": "words", "match": {}, "response": {
        "content": "".join(WORDS), "stream_chunk_delay_ms": 0}}]}  # fmt: skip
    (folder / "stub.yaml").write_text(json.dumps(fixture))
    port = free_port()
    command = [executable, "serve", "--port", str(port), "--fixture-file", str(folder / "stub.yaml")]
    with served([*command, "--log-level", "error"], port) as url:
        yield url


@contextmanager
def fakellm(executable: str, folder: Path) -> Iterator[str]:
    """Serve the words with fakellm, whose delay of 10 ms a chunk cannot be switched off."""
    rule = {"name": "words", "when": {"messages_contain": "go"}, "respond": {"content": "".join(WORDS)}}
    (folder / "fake.yaml").write_text(json.dumps({"version": 1, "rules": [rule]}))
    port = free_port()
    with served([executable, "serve", "--port", str(port), "--config", str(folder / "fake.yaml")], port) as url:
        yield url


async def measure_throughput(options: argparse.Namespace) -> None:
    """Print chunks per second through the real async openai client, door by door."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sdk = stack.enter_context(MockStreamSDK())
        sdk.respond(Text(WORDS), times=None)
        server = stack.enter_context(MockStreamServer())
        server.respond(Text(WORDS), times=None)
        urls = {
            "in process": "https://api.openai.com/v1",
            "server, thread": server.base_url("openai"),
            "server, process": stack.enter_context(ours_apart(folder)),
        }
        if options.stubllm:
            urls["stubllm"] = stack.enter_context(stubllm(options.stubllm, folder))
        if options.fakellm:
            urls["fakellm"] = stack.enter_context(fakellm(options.fakellm, folder))
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for turn in range(ROUNDS):
            for name, url in urls.items():
                if name != "fakellm" or turn == 0:
                    rates[name].append(await chunks_per_second(url))
    own = statistics.median(rates["in process"])
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"  {name:16} {rate:9,.0f} chunks/s   {rate / own:5.2f} of in process")


async def measure_first_byte() -> None:
    """Print how long the first byte of an undelayed stream takes."""
    with MockStreamServer() as server:
        server.respond("Hello there", times=None)
        port = int(server.url.rpartition(":")[2])
        for name, keep in (("kept connection", True), ("new connection", False)):
            print(f"  {name:16} {1000 * await first_byte(port, keep=keep):6.2f} ms")
        async with openai.AsyncOpenAI(base_url=server.base_url("openai"), api_key="k") as client:
            firsts = [(await read(client))[1] for _ in range(50)]
        print(f"  {'through openai':16} {1000 * statistics.median(firsts):6.2f} ms")


# A thousand at once.


async def consume(port: int, number: int, everybody: asyncio.Barrier) -> str:
    """Open a stream, wait until all are open, then read on, or leave."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    try:
        await reader.readuntil(b"word0 ")
        await everybody.wait()
        if number % 20 == 0:
            await reader.readuntil(b"word24 ")
            return "left"
        await reader.readuntil(b"\r\n0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return "reset"
    finally:
        writer.transport.abort()
    return "whole"


async def thousand(server: MockStreamServer) -> tuple[Counter[str], Counter[str], int]:
    """Have a thousand streams open at once; return what clients and ledger say, and how many were open at once."""
    gate = Gate()
    for number in range(STREAMS):
        ending = {0: (Gate(), "never"), 10: (Disconnect(),)}.get(number % 20, ())
        server.respond(Text(WORDS[:1]), gate, Text(WORDS[1:50]), *ending)
    port = int(server.url.rpartition(":")[2])
    everybody = asyncio.Barrier(STREAMS + 1)
    clients = [asyncio.create_task(consume(port, number, everybody)) for number in range(STREAMS)]
    await everybody.wait()
    at_once = sum(request.state == "open" for request in server.requests)
    gate.open()
    said = Counter(await asyncio.gather(*clients))
    return said, Counter(request.state for request in server.requests), at_once


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure_load() -> None:
    """Print what a thousand streams at once, a tenth of them broken or left, leave behind."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    with MockStreamServer() as server:
        before: tuple[int, int] | None = None
        for turn in range(4):
            began = time.perf_counter()
            said, states, at_once = await thousand(server)
            took = time.perf_counter() - began
            server.reset()
            await asyncio.sleep(0.05)
            now = resident(), len(os.listdir("/proc/self/fd"))
            before = before or now
            print(
                f"  round {turn}: {at_once} open at once, clients {dict(said)}, ledger {dict(states)}, {took:.2f} s,"
                f" memory {now[0] / before[0]:.2f} of round 0, descriptors {now[1] - before[1]:+d}"
            )


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stubllm", help="the command of stubllm, in an environment of its own")
    parser.add_argument("--fakellm", help="the command of fakellm, in an environment of its own")
    options = parser.parse_args()
    print(f"{CHUNKS} chunks through the async openai client, median of {ROUNDS}")
    asyncio.run(measure_throughput(options))
    print("first byte, median")
    asyncio.run(measure_first_byte())
    print(f"{STREAMS} streams at once, 5 % reset, 5 % left midway")
    asyncio.run(measure_load())


if __name__ == "__main__":
    main()
