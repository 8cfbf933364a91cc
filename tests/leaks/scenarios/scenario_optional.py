from __future__ import annotations

import asyncio
import multiprocessing
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from .verdict import clean, leaks
from .work import AFTERWARDS, KEPT, forever


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number


@leaks(10, kinds="asyncgen")
@pytest.mark.asyncio
async def test_generator_is_left_and_kept() -> None:
    generator = numbers()
    KEPT.append(generator)
    async for _ in generator:
        break


@clean(10)
@pytest.mark.asyncio
async def test_generator_is_exhausted() -> None:
    generator = numbers()
    KEPT.append(generator)
    async for _ in generator:
        pass


@clean(11)
@pytest.mark.asyncio
async def test_generator_is_left_and_dropped() -> None:
    async for _ in numbers():
        break


SLEEPER = [sys.executable, "-c", "import time; time.sleep(3600)"]


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@leaks(41, kinds="process")
def test_child_process_is_left() -> None:
    process = subprocess.Popen(SLEEPER)  # the command is ours
    AFTERWARDS.callback(stop, process)


@clean(41)
def test_child_process_is_ended() -> None:
    process = subprocess.Popen(SLEEPER)  # the command is ours
    KEPT.append(process)
    stop(process)


@leaks(42, kinds="socket")
def test_socket_is_left_open() -> None:
    AFTERWARDS.callback(socket.socket().close)


@clean(42)
def test_socket_is_closed() -> None:
    with socket.socket() as open_socket:
        KEPT.append(open_socket)


async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@leaks(43, kinds="server")
@pytest.mark.asyncio
async def test_server_is_left_open() -> None:
    KEPT.append(await asyncio.start_server(answer, "127.0.0.1", 0))


@clean(43)
@pytest.mark.asyncio
async def test_server_is_closed() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    KEPT.append(server)
    server.close()
    await server.wait_closed()


@leaks(44, kinds="timer")
@pytest.mark.asyncio
async def test_loop_timer_is_left() -> None:
    asyncio.get_running_loop().call_later(3600, int)


@clean(44)
@pytest.mark.asyncio
async def test_loop_timer_is_cancelled() -> None:
    asyncio.get_running_loop().call_later(3600, int).cancel()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


@leaks(45, kinds="reader")
@pytest.mark.asyncio
async def test_reader_is_left(pair: tuple[socket.socket, socket.socket]) -> None:
    asyncio.get_running_loop().add_reader(pair[0], int)


@clean(45)
@pytest.mark.asyncio
async def test_reader_is_removed(pair: tuple[socket.socket, socket.socket]) -> None:
    asyncio.get_running_loop().add_reader(pair[1], int)
    asyncio.get_running_loop().remove_reader(pair[1])


async def fail() -> None:
    raise ZeroDivisionError


@leaks(46, kinds="exception", reported="warn", outcomes=("passed",), at="create_task(fail())")
@pytest.mark.asyncio
async def test_exception_of_a_task_is_never_retrieved() -> None:
    task = asyncio.create_task(fail())
    await asyncio.wait([task])


@clean(46)
@pytest.mark.asyncio
async def test_exception_of_a_task_is_retrieved() -> None:
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    assert isinstance(task.exception(), ZeroDivisionError)


@leaks(47, kinds="coroutine", reported="warn", outcomes=("passed",), at=None)
@pytest.mark.asyncio
async def test_coroutine_is_never_awaited() -> None:
    forever()  # type: ignore[unused-coroutine] # that it is, is the scenario


@clean(47)
@pytest.mark.asyncio
async def test_coroutine_is_closed() -> None:
    forever().close()


@leaks(52, kinds="process")
def test_multiprocessing_process_is_left() -> None:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(3600,), daemon=True)
    process.start()
    AFTERWARDS.callback(process.join)
    AFTERWARDS.callback(process.kill)


@clean(52)
def test_multiprocessing_process_is_joined() -> None:
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    process.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@clean(87)
def test_fork_server_starts() -> None:
    process = multiprocessing.get_context("forkserver").Process(target=int)
    process.start()
    process.join()
    process.close()


class EchoClient:
    """Connects when it is first used and stays connected."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        _, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            await self._writer.wait_closed()


async def read_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def echo_client() -> AsyncIterator[EchoClient]:
    server = await asyncio.start_server(read_all, "127.0.0.1", 0)
    client = EchoClient(server.sockets[0].getsockname()[1])
    yield client
    await client.aclose()
    server.close()
    await server.wait_closed()


@leaks(86, kinds="socket", reported="warn", outcomes=("passed",))
@pytest.mark.asyncio(loop_scope="module")
async def test_shared_client_connects(echo_client: EchoClient) -> None:
    await echo_client.connect()


@clean(86)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.usefixtures("echo_client")
async def test_shared_client_stays_connected() -> None:
    await asyncio.sleep(0)


@leaks(86, kinds="socket")
@pytest.mark.asyncio(loop_scope="module")
async def test_socket_is_left_beside_a_shared_client(echo_client: EchoClient) -> None:
    KEPT.append(echo_client)
    AFTERWARDS.callback(socket.socket().close)
