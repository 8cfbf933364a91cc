"""Bugs that sweeps must find, each with its clean twin; the lines that must be named carry a mark."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from pytest_mockstream import MockStreamClient

Making = Callable[[], Coroutine[Any, Any, object]]


def line(function: Callable[..., object], mark: str) -> int:
    """Return the number of the line of a function that carries a mark."""
    lines, first = inspect.getsourcelines(function)
    return next(first + number for number, text in enumerate(lines) if text.rstrip().endswith(f"# {mark}"))


async def pump() -> None:
    await asyncio.Event().wait()  # pump


async def step() -> None:
    await asyncio.sleep(0)


# A producer that is started before the try.


async def started_before_try() -> None:
    task = asyncio.create_task(pump())
    await asyncio.sleep(0)  # here
    try:
        await asyncio.sleep(0)
    finally:
        task.cancel()


async def started_inside_try() -> None:
    task = asyncio.create_task(pump())
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    finally:
        task.cancel()


# A cancellation that is swallowed.


async def swallows() -> str:
    try:  # noqa: SIM105 - as it is written most often
        await asyncio.sleep(0)  # here
    except BaseException:  # noqa: S110 - the bug
        pass
    return "done"


async def lets_through() -> str:
    try:
        await asyncio.sleep(0)
    except Exception:
        return "failed"
    return "done"


# A clean-up that waits, and is cancelled again.


async def cleans_up_slowly() -> None:
    task = asyncio.create_task(pump())
    try:
        await asyncio.sleep(0)
    finally:
        await asyncio.sleep(0)  # here
        task.cancel()


async def cleans_up_at_once() -> None:
    task = asyncio.create_task(pump())
    try:
        await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.sleep(0)


# A lock that stays held.


class HoldsLock:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def run(self) -> None:
        await self.lock.acquire()
        await asyncio.sleep(0)  # here
        self.lock.release()

    async def clean(self) -> None:
        async with self.lock:
            await asyncio.sleep(0)


# A retry loop that takes a cancellation for a failure.


async def retries_cancellation() -> str:
    for _ in range(3):
        try:
            await asyncio.sleep(0)  # here
        except BaseException:  # noqa: S112 - the bug
            continue
        else:
            return "answer"
    return "gave up"


async def retries_failure() -> str:
    for _ in range(3):
        try:
            await asyncio.sleep(0)
        except Exception:  # noqa: S112 - what a retry loop does
            continue
        else:
            return "answer"
    return "gave up"


# A timeout around one read of a generator, which it kills.


class Waits:
    def __init__(self, client: MockStreamClient, *, limit: float = 1.0) -> None:
        self.client = client
        self.limit = limit

    async def chunks(self) -> AsyncIterator[str]:
        async with self.client.complete_stream("hi") as stream:
            async for chunk in stream:  # here
                yield chunk.delta

    async def on_generator(self) -> str:
        text = ""
        chunks = self.chunks()
        while True:
            try:
                text += await asyncio.wait_for(chunks.__anext__(), self.limit)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                return text

    async def on_stream(self) -> str:
        text = ""
        async with self.client.complete_stream("hi") as stream:
            whole = False
            while True:
                try:
                    chunk = await asyncio.wait_for(stream.__anext__(), self.limit)
                except StopAsyncIteration:
                    break
                text, whole = text + chunk.delta, chunk.done
        if not whole:
            msg = "cut off"
            raise ConnectionError(msg)
        return text


# A context manager whose way in leaks halfway.


class Connection:
    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(pump())
        await asyncio.sleep(0)  # here
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self.task is not None
        self.task.cancel()


class CarefulConnection(Connection):
    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(pump())
        try:
            await asyncio.sleep(0)
        except BaseException:
            self.task.cancel()
            raise
        return self


async def enters_leaking() -> None:
    async with Connection():
        await asyncio.sleep(0)


async def enters_carefully() -> None:
    async with CarefulConnection():
        await asyncio.sleep(0)


# A stream that nobody closes.


async def never_closes(client: MockStreamClient) -> str:
    text = ""
    async for chunk in client.complete_stream("hi"):  # here
        text += chunk.delta
    return text


async def closes(client: MockStreamClient) -> str:
    async with client.complete_stream("hi") as stream:
        return await stream.aread()  # read
