"""Bugs that show in some orders only, each with its mended twin; in the order that comes by default both pass.

Each scenario makes its client and plays a session: it fails by an assertion, or by never ending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pytest_mockstream import MockStreamClient

Scenario = Callable[[], Awaitable[object]]


class Chat:
    """Shows the answer to the latest question."""

    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.latest = ""
        self.shown = ""

    async def read(self, question: str) -> str:
        async with self.client.complete_stream(question) as stream:  # opened
            return await stream.aread()

    async def save(self, text: str) -> None:
        await asyncio.sleep(0.001)

    async def ask(self, question: str) -> None:
        raise NotImplementedError


class LastWriterWins(Chat):
    async def ask(self, question: str) -> None:
        self.shown = await self.read(question)


class LatestWins(Chat):
    async def ask(self, question: str) -> None:
        self.latest = question
        text = await self.read(question)
        if self.latest == question:
            self.shown = text


class ChecksAwaitsActs(Chat):
    async def ask(self, question: str) -> None:
        self.latest = question
        text = await self.read(question)
        if self.latest == question:
            await self.save(text)
            self.shown = text


class ChecksAndActs(Chat):
    async def ask(self, question: str) -> None:
        self.latest = question
        text = await self.read(question)
        await self.save(text)
        if self.latest == question:
            self.shown = text


def asked_twice(kind: type[Chat]) -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.when(contains="first").respond("old answer")
        client.when(contains="second").respond("new answer")
        chat = kind(client)
        async with asyncio.TaskGroup() as group:
            group.create_task(chat.ask("first"), name="first")
            await asyncio.sleep(0.02)
            group.create_task(chat.ask("second"), name="second")
        assert chat.shown == "new answer"

    return session


# A stop button, pressed between the last chunk and its end.


class StopButton:
    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.state = "idle"
        self.text = ""

    def stop(self) -> bool:
        if self.state != "streaming":
            return False
        self.state = "stopped"
        return True

    async def ask(self) -> None:
        self.state = "streaming"
        async with self.client.complete_stream("hi") as stream:
            async for chunk in stream:
                if chunk.done:
                    break
                if self.state == "stopped":
                    return
                self.text += chunk.delta
        self.state = "done"


class StopsToTheEnd(StopButton):
    async def ask(self) -> None:
        self.state = "streaming"
        async with self.client.complete_stream("hi") as stream:
            async for chunk in stream:
                if self.state == "stopped":
                    return
                self.text += chunk.delta
        self.state = "done"


def stopped(kind: type[StopButton]) -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("one two")
        bot = kind(client)
        async with asyncio.TaskGroup() as group:
            group.create_task(bot.ask())
            await asyncio.sleep(0.01)
            was_stopped = bot.stop()
        assert bot.state == ("stopped" if was_stopped else "done")

    return session


# Two tool calls whose results come in the other order.


class InOrderOfResults:
    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.results: list[str] = []

    async def call(self, city: str) -> str:
        return (await self.client.acomplete(city)).content

    async def call_all(self, cities: list[str]) -> list[str]:
        async def one(city: str) -> None:
            self.results.append(await self.call(city))

        await asyncio.gather(*map(one, cities))
        return self.results


class InOrderOfCalls(InOrderOfResults):
    async def call_all(self, cities: list[str]) -> list[str]:
        return [*await asyncio.gather(*map(self.call, cities))]


def two_tools(kind: type[InOrderOfResults]) -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.when(contains="Paris").respond("sunny")
        client.when(contains="Oslo").respond("snowy")
        assert await kind(client).call_all(["Paris", "Oslo"]) == ["sunny", "snowy"]

    return session


# An answer that is cached by the first of two requests that are under way.


class CachesTooEarly:
    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.cache: dict[str, Any] = {}

    async def ask(self, question: str) -> str:
        if question not in self.cache:
            self.cache[question] = ""
            async with self.client.complete_stream(question) as stream:
                async for chunk in stream:
                    self.cache[question] += chunk.delta
        return str(self.cache[question])


class CachesTheTask(CachesTooEarly):
    async def read(self, question: str) -> str:
        async with self.client.complete_stream(question) as stream:
            return await stream.aread()

    async def ask(self, question: str) -> str:
        if question not in self.cache:
            self.cache[question] = asyncio.create_task(self.read(question))
        return str(await self.cache[question])


def asked_the_same(kind: type[CachesTooEarly]) -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("one two")
        bot = kind(client)

        async def later() -> str:
            await asyncio.sleep(0.01)
            return await bot.ask("hi")

        assert {*await asyncio.gather(bot.ask("hi"), later())} == {"one two"}

    return session


# An event that is set, and cleared, before anybody waits for it.


class Pulses:
    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.ready = asyncio.Event()

    async def read(self, question: str) -> str:
        async with self.client.complete_stream(question) as stream:
            return await stream.aread()

    def announce(self) -> None:
        self.ready.set()
        self.ready.clear()

    async def loads(self) -> None:
        await self.read("load")
        self.announce()

    async def greets(self) -> None:
        await self.read("greet")
        await self.ready.wait()


class StaysSet(Pulses):
    def announce(self) -> None:
        self.ready.set()


def announced(kind: type[Pulses]) -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.when(contains="greet").respond("hello")
        client.when(contains="load").respond("one two")
        bot = kind(client)
        async with asyncio.TaskGroup() as group:
            group.create_task(bot.greets(), name="greets")
            group.create_task(bot.loads(), name="loads")

    return session


# A lock that is held over an await, and a wake-up that is lost meanwhile.


class Mailbox:
    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.lock = asyncio.Lock()
        self.items: list[str] = []
        self.waiter: asyncio.Future[None] | None = None

    async def put(self) -> None:
        async with self.lock:
            self.items.append((await self.client.acomplete("hi")).content)
            if self.waiter is not None:
                self.waiter.set_result(None)

    async def take(self) -> str:
        if not self.items:
            async with self.lock:
                self.waiter = asyncio.get_running_loop().create_future()
            await self.waiter
        return self.items.pop()


class CarefulMailbox(Mailbox):
    async def take(self) -> str:
        async with self.lock:
            if not self.items:
                self.waiter = asyncio.get_running_loop().create_future()
        if self.waiter is not None:
            await self.waiter
        return self.items.pop()


def mailed(kind: type[Mailbox]) -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.respond("letter")
        box = kind(client)
        async with asyncio.TaskGroup() as group:
            group.create_task(box.put(), name="puts")
            await asyncio.sleep(0.01)
            took = group.create_task(box.take(), name="takes")
        assert took.result() == "letter"

    return session


# A queue that is closed before its last item was taken.


class ClosesAtOnce:
    def __init__(self, client: MockStreamClient) -> None:
        self.client = client
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.is_closed = False
        self.shown: list[str] = []

    async def produce(self) -> None:
        async with self.client.complete_stream("tell") as stream:
            async for chunk in stream:
                if chunk.delta:
                    self.queue.put_nowait(chunk.delta)
        self.is_closed = True
        self.queue.put_nowait(None)

    async def render(self, text: str) -> str:
        return (await self.client.acomplete(f"render {text}")).content

    async def consume(self) -> None:
        while True:
            item = await self.queue.get()
            if self.is_closed or item is None:
                return
            self.shown.append(await self.render(item))


class DrainsBeforeItCloses(ClosesAtOnce):
    async def consume(self) -> None:
        while (item := await self.queue.get()) is not None:
            self.shown.append(await self.render(item))


def rendered(kind: type[ClosesAtOnce]) -> Scenario:
    async def session() -> None:
        client = MockStreamClient()
        client.when(contains="tell").respond("one two", delay=0.01)
        client.when(contains="render").respond("ok", times=2)
        pipe = kind(client)
        async with asyncio.TaskGroup() as group:
            group.create_task(pipe.produce())
            group.create_task(pipe.consume())
        assert pipe.shown == ["ok", "ok"]

    return session


#: What the bug is called: the scenario with it, and without it.
PLANTED: dict[str, tuple[Scenario, Scenario]] = {
    "last writer wins": (asked_twice(LastWriterWins), asked_twice(LatestWins)),
    "check, await, act": (asked_twice(ChecksAwaitsActs), asked_twice(ChecksAndActs)),
    "stop button before the end": (stopped(StopButton), stopped(StopsToTheEnd)),
    "results in the other order": (two_tools(InOrderOfResults), two_tools(InOrderOfCalls)),
    "cached while under way": (asked_the_same(CachesTooEarly), asked_the_same(CachesTheTask)),
    "event before anybody waits": (announced(Pulses), announced(StaysSet)),
    "lost wake-up": (mailed(Mailbox), mailed(CarefulMailbox)),
    "queue closed too early": (rendered(ClosesAtOnce), rendered(DrainsBeforeItCloses)),
}
