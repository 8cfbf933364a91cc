from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import pytest_asyncio

from .server import Server
from .verdict import clean, leaks
from .work import KEPT, forever, until_the_end

on_session_loop = pytest.mark.asyncio(loop_scope="session")
on_module_loop = pytest.mark.asyncio(loop_scope="module")
on_class_loop = pytest.mark.asyncio(loop_scope="class")
LEFT: list[asyncio.Task[None]] = []


class LoopThread:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.stop()


def start_on(loop_thread: LoopThread) -> None:
    started = threading.Event()

    async def start() -> None:
        started.set()
        await forever()

    KEPT.append(loop_thread.submit(start()))
    started.wait()


@leaks(23, kinds="task", at=None)
def test_coroutine_on_a_shared_loop_is_left(loop_thread: LoopThread) -> None:
    start_on(loop_thread)


@leaks(23, kinds="task")
def test_coroutine_on_a_shared_loop_is_left_by_a_line(loop_thread: LoopThread) -> None:
    start_on(loop_thread)


@clean(23)
def test_coroutine_of_the_test_before_is_not_blamed_on_this(loop_thread: LoopThread) -> None:
    loop_thread.submit(asyncio.sleep(0)).result()


@clean(23)
def test_coroutine_on_a_shared_loop_ends(loop_thread: LoopThread) -> None:
    loop_thread.submit(asyncio.sleep(0)).result()


@clean(23)
def test_coroutine_on_a_shared_loop_ends_soon(loop_thread: LoopThread) -> None:
    KEPT.append(loop_thread.submit(asyncio.sleep(0.005)))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@clean(28)
def test_shared_server_starts_a_handler(server: Server) -> None:
    assert server.ask() == 42


@leaks(28, kinds="thread", at="daemon=True).start()")
def test_thread_is_left_beside_a_shared_server(server: Server) -> None:
    server.ask()
    threading.Thread(target=until_the_end, daemon=True).start()


@pytest.fixture(scope="session")
def late_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@clean(29)
def test_shared_server_is_first_requested_inside(request: pytest.FixtureRequest) -> None:
    late: Server = request.getfixturevalue("late_server")
    assert late.ask() == 42


@leaks(29, kinds="thread")
def test_thread_is_left_after_requesting_a_shared_server_inside(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("late_server").ask()
    threading.Thread(target=until_the_end, daemon=True).start()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ticker() -> AsyncIterator[asyncio.Queue[None]]:
    ticks: asyncio.Queue[None] = asyncio.Queue()

    async def tick() -> None:
        while True:
            KEPT.append(asyncio.create_task(ticks.put(None)))
            await asyncio.sleep(0.01)

    task = asyncio.create_task(tick())
    yield ticks
    task.cancel()


@clean(30)
@on_module_loop
async def test_shared_task_goes_on(ticker: asyncio.Queue[None]) -> None:
    await ticker.get()


@clean(30)
@on_module_loop
async def test_shared_task_still_goes_on(ticker: asyncio.Queue[None]) -> None:
    await ticker.get()


@leaks(31, kinds="task", at="create_task(forever())")
@on_module_loop
async def test_task_is_left_beside_a_shared_one(ticker: asyncio.Queue[None]) -> None:
    await ticker.get()
    KEPT.append(asyncio.create_task(forever()))


@clean(31)
@on_module_loop
async def test_task_of_the_test_before_is_not_blamed_on_this(ticker: asyncio.Queue[None]) -> None:
    await ticker.get()


@clean(66)
@on_session_loop
async def test_task_on_a_session_loop_is_cancelled_by_the_last_statement() -> None:
    task = asyncio.create_task(forever())
    await asyncio.sleep(0)
    task.cancel()


@clean(67)
@on_session_loop
async def test_task_on_a_session_loop_ends_soon() -> None:
    KEPT.append(asyncio.create_task(asyncio.sleep(0.005)))


@leaks(66, 67, kinds="task")
@on_session_loop
async def test_task_on_a_session_loop_is_left() -> None:
    LEFT.append(asyncio.create_task(forever()))


@clean(66, 67)
@on_session_loop
async def test_task_on_a_session_loop_lives_on_and_is_not_blamed_again() -> None:
    assert asyncio.all_tasks() >= {*LEFT}


class Connection:
    """Its generator and itself refer to one another: only the collector finds them."""

    def __init__(self, slow: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._slow = slow
        self._events = self._read()

    async def open(self) -> None:
        await anext(self._events)

    async def _read(self) -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await self._slow()


async def close_slowly() -> None:
    await asyncio.sleep(0.005)


@clean(68)
@on_session_loop
async def test_connection_is_dropped_without_closing() -> None:
    gc.disable()
    await Connection(close_slowly).open()


@clean(68)
@on_session_loop
async def test_connection_of_the_test_before_is_collected_here() -> None:
    gc.enable()
    gc.collect()


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def tidy_class_pump() -> AsyncIterator[None]:
    task = asyncio.create_task(forever())
    yield
    task.cancel()


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def forgetful_class_pump() -> AsyncIterator[None]:
    KEPT.append(asyncio.create_task(forever()))
    yield


@pytest.mark.usefixtures("tidy_class_pump")
class TestTidyClassFixture:
    @clean(71)
    @on_class_loop
    async def test_task_of_the_class_runs(self) -> None:
        pass

    @clean(71)
    @on_class_loop
    async def test_task_of_the_class_still_runs(self) -> None:
        pass


@pytest.mark.usefixtures("forgetful_class_pump")
class TestForgetfulClassFixture:
    @clean(71)
    @on_class_loop
    async def test_task_of_the_class_runs(self) -> None:
        pass

    @leaks(71, kinds="task", owner="fixture:forgetful_class_pump:class")
    @on_class_loop
    async def test_task_of_the_class_is_left_when_the_class_ends(self) -> None:
        pass


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=4) as pool:
        pool.submit(int).result()
        yield pool


@clean(85)
@pytest.mark.asyncio
async def test_shared_pool_grows(pool: ThreadPoolExecutor) -> None:
    loop = asyncio.get_running_loop()
    gate = threading.Barrier(3)
    jobs = [loop.run_in_executor(pool, gate.wait) for _ in range(3)]
    await asyncio.gather(*jobs)


@leaks(85, kinds="thread", at="ThreadPoolExecutor(max_workers=1)")
@pytest.mark.asyncio
async def test_pool_of_the_test_is_kept() -> None:
    loop = asyncio.get_running_loop()
    own = ThreadPoolExecutor(max_workers=1)
    KEPT.append(own)
    await loop.run_in_executor(own, int)


class EchoClient:
    """Connects when it is first used and stays connected."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def echo(self, line: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(line)
        return await reader.readline()

    async def aclose(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()


async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async for line in reader:
        writer.write(line)
    writer.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def echo_client() -> AsyncIterator[EchoClient]:
    server = await asyncio.start_server(echo_lines, "127.0.0.1", 0)
    client = EchoClient(server.sockets[0].getsockname()[1])
    yield client
    await client.aclose()
    server.close()
    await server.wait_closed()


@clean(86)
@on_session_loop
async def test_shared_client_connects(echo_client: EchoClient) -> None:
    assert await echo_client.echo(b"hi\n") == b"hi\n"


@clean(86)
@on_session_loop
async def test_shared_client_stays_connected(echo_client: EchoClient) -> None:
    assert await echo_client.echo(b"hi\n") == b"hi\n"
