"""Random clients: real SDKs that read all, some or nothing, cancel, time out, or drop their streams.

Each of them is in a loop or a thread with others. What the record says of its stream in the end must fit what it did.
"""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from pytest_mockstream import MockStreamSDK, Request, Script, Stall, Text, Wait
from pytest_mockstream.doors.server import MockStreamServer

from .problem import Failed
from .scripts import check_no_task_is_left
from .sdks import ASYNC_KINDS, IN_PROCESS, KINDS, AsyncClients, Place, SyncClients

_PATIENCE = 30.0
_SHORT = 0.05  # seconds until those lose patience that are meant to
_SETTLED_WITHIN = (
    20.0  # seconds; the far end of a socket may notice late that it was closed, on a busy machine above all
)
BEHAVIOURS = ("all", "all", "some", "none", "drop", "cancel", "time out")


@dataclass(frozen=True, slots=True)
class Visitor:
    """What one client will do.

    Attributes:
        kind: which SDK it uses.
        behaviour: see ``BEHAVIOURS``.
        after: how many events it reads before it leaves.
        moment: seconds until it is cancelled.
    """

    kind: str
    behaviour: str
    after: int
    moment: float


_READ_IN_ANY_CASE = 2  # events that come of a script whatever the SDK, before the long wait in it


def _script(chance: random.Random, behaviour: str) -> Script:
    words = [f"w{number} " for number in range(chance.choice([1, 3, 30, 300]))]
    delay = chance.choice([0, 0, 0, 0.001])
    if behaviour == "time out":
        return Script(Text(words[:2]), Stall(), times=None)
    if behaviour in {"some", "none", "drop", "cancel"} and chance.random() < 0.3:
        return Script(Text(["w "] * (1 + _READ_IN_ANY_CASE)), Wait(3600), "never", times=None)
    return Script(Text(words), delay=delay, times=None)


class Visits:
    """Sends random clients to the doors.

    Args:
        server: the door over HTTP.
    """

    def __init__(self, server: MockStreamServer) -> None:
        self.server = server
        self.count = 0

    def round(self, chance: random.Random) -> None:
        """Send some clients that all do the same with the same script to one door, at once.

        Raises:
            Failed: what the record says of a stream does not fit what its client did.
        """
        behaviour = chance.choice(BEHAVIOURS)
        is_async = behaviour == "cancel" or chance.random() < 0.5
        kinds = ASYNC_KINDS if is_async else KINDS
        script = _script(chance, behaviour)
        most = _READ_IN_ANY_CASE if any(isinstance(step, Wait) for step in script.steps) else 20
        visitors = [
            Visitor(chance.choice(kinds), behaviour, chance.randint(1, most), chance.choice([0, 0.001, 0.01]))
            for _ in range(chance.choice([1, 2, 5, 12]))
        ]
        with self._door(chance, script) as (door, place):
            errors: list[BaseException] = []
            patience = _SHORT if behaviour == "time out" else _PATIENCE
            if is_async:
                asyncio.run(_gather(visitors, place, patience, errors))
            else:
                _thread(visitors, place, patience, errors)
            self.count += len(visitors)
            what = f"{'async' if is_async else 'sync'} clients {visitors} of {type(door).__name__} with {script!r:.300}"
            if errors:
                raise Failed(f"{errors[0]!r} in {what}") from errors[0]
            _judge(door.requests, visitors, script, what)

    @contextmanager
    def _door(self, chance: random.Random, script: Script) -> Iterator[tuple[MockStreamServer | MockStreamSDK, Place]]:
        size = chance.choice([1, 7, 100])
        if chance.random() < 0.6:
            self.server.reset(buffer_size=size)
            self.server.respond(script)
            yield self.server, Place.server(self.server.url)
            self.server.reset()
            return
        with MockStreamSDK(buffer_size=size, producer=chance.choice(["inline", "background"])) as sdk:
            sdk.respond(script)
            yield sdk, IN_PROCESS


def _thread(visitors: list[Visitor], place: Place, patience: float, errors: list[BaseException]) -> None:
    def visit(visitor: Visitor) -> None:
        clients = SyncClients(place, patience)
        try:
            _visit(visitor, clients)
        except BaseException as error:
            errors.append(error)
        finally:
            clients.close()

    threads = [threading.Thread(target=visit, args=(visitor,), name="soak: client") for visitor in visitors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()


def _visit(visitor: Visitor, clients: SyncClients) -> None:
    if visitor.behaviour == "time out":
        _expect_error(visitor, clients)
        return
    stream = clients.stream(visitor.kind)
    match visitor.behaviour:
        case "all":
            if not sum(1 for _ in stream):
                raise Failed("nothing came")
        case "some":
            _read_some(stream, visitor.after)
            stream.close()
        case "none":
            stream.close()
        case "drop":
            _read_some(stream, visitor.after)


def _read_some(stream: Any, count: int) -> None:
    for _ in stream:
        count -= 1
        if not count:
            return


def _expect_error(visitor: Visitor, clients: SyncClients) -> None:
    try:
        with closing(clients.stream(visitor.kind)) as stream:
            for _ in stream:
                pass
    except Exception:  # each SDK has its own
        return
    raise Failed("a stream that falls silent was read to its end")


async def _gather(visitors: list[Visitor], place: Place, patience: float, errors: list[BaseException]) -> None:
    clients = AsyncClients(place, patience)
    tasks = [asyncio.create_task(_avisit(visitor, clients), name="soak: client") for visitor in visitors]
    for visitor, task in zip(visitors, tasks, strict=True):
        if visitor.behaviour == "cancel":
            await asyncio.sleep(visitor.moment)
            task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    errors += [one for one in ended if isinstance(one, BaseException) and not isinstance(one, asyncio.CancelledError)]
    del tasks, ended
    gc.collect()
    await clients.close()
    await check_no_task_is_left()


async def _avisit(visitor: Visitor, clients: AsyncClients) -> None:
    if visitor.behaviour == "time out":
        await _aexpect_error(visitor, clients)
        return
    stream = await clients.stream(visitor.kind)
    match visitor.behaviour:
        case "all" | "cancel":
            count = 0
            async for _ in stream:
                count += 1
            if not count:
                raise Failed("nothing came")
        case "some":
            await _aread_some(stream, visitor.after)
            await _close(stream)
        case "none":
            await _close(stream)
        case "drop":
            await _aread_some(stream, visitor.after)


async def _aread_some(stream: Any, count: int) -> None:
    async for _ in stream:
        count -= 1
        if not count:
            return


async def _aexpect_error(visitor: Visitor, clients: AsyncClients) -> None:
    try:
        stream = await clients.stream(visitor.kind)
        try:
            async for _ in stream:
                pass
        finally:
            await _close(stream)
    except Exception:  # each SDK has its own
        return
    raise Failed("a stream that falls silent was read to its end")


async def _close(stream: Any) -> None:
    await (stream.close() if hasattr(stream, "close") else stream.aclose())


def _judge(requests: list[Request], visitors: list[Visitor], script: Script, what: str) -> None:
    """Check what the record says of the streams, once they are over."""
    deadline = time.monotonic() + _SETTLED_WITHIN
    while any(request.state == "open" for request in requests):
        if time.monotonic() > deadline:
            raise Failed(f"{[str(request) for request in requests if request.state == 'open']} after {what}")
        gc.collect()
        time.sleep(0.002)
    behaviour = visitors[0].behaviour
    if len(requests) > len(visitors):
        raise Failed(f"{len(requests)} requests came of {what}")
    for request in requests:
        wrong = request.chunks_sent > script.chunk_count
        if behaviour == "all":
            wrong = wrong or request.state != "exhausted" or request.chunks_sent != script.chunk_count
        if wrong:
            raise Failed(f"{request} after {what}")
