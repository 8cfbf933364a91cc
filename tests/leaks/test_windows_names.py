"""The verdict and the report are the same where files have the names that they have on Windows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from leak_runs import Runner

#: Code of the user's and of a library, as Windows names their files.
SOURCE = r"""
import functools, threading
import anyio, anyio.from_thread, anyio.to_thread
from concurrent.futures import ThreadPoolExecutor

OVER = threading.Event()

def compiled(source, file, **names):
    exec(compile(source, file, "exec"), names)
    return names

LIBRARY = compiled('''
import asyncio
def start(function):
    return asyncio.get_running_loop().create_task(function())
''', r"C:\Users\x\venv\Lib\site-packages\somelib\pool.py")
APP = compiled('''
import asyncio
async def pump():
    await asyncio.sleep(3600)
def begin():
    return start(pump)
''', r"D:\project\app\stream.py", start=LIBRARY["start"])
PROACTOR = r"C:\Python313\Lib\asyncio\windows_events.py"
ACCEPTING = '''
import asyncio
class IocpProactor:
    def accept(self):
        async def accept_coro(future):
            await future
        return asyncio.ensure_future(accept_coro(asyncio.get_running_loop().create_future()))
'''

def test_clean():
    pass

async def test_leaves_a_server_that_accepts_as_on_windows():
    compiled(ACCEPTING, PROACTOR)["IocpProactor"]().accept()

async def test_accepts_in_a_way_of_its_own():
    compiled(ACCEPTING, r"C:\project\windows_events.py")["IocpProactor"]().accept()

async def test_leaves_a_task():
    APP["begin"]()

@pytest.fixture
def ticker():
    thread = threading.Thread(target=OVER.wait, args=(20,), name="ticker")
    thread.start()
    yield
    thread.join(0)

def test_fixture_leaves_a_thread(ticker):
    pass

async def test_leaves_a_job_of_anyios():
    started = asyncio.Event()
    def job():
        anyio.from_thread.run_sync(started.set)
        OVER.wait(20)
    asking = asyncio.ensure_future(anyio.to_thread.run_sync(job, abandon_on_cancel=True))
    await started.wait()
    asking.cancel()
    await asyncio.wait([asking])

async def test_waits_for_a_job_of_anyios():
    await anyio.to_thread.run_sync(int)

def test_waits_for_a_pool():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()

def test_last():
    OVER.set()
"""


def test_verdicts_are_the_same(run_leaks: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)

    here = run_leaks(SOURCE)
    there = run_leaks(SOURCE, "-p", "windows_names")

    assert [leak[0] for leak in here.leaks] == [
        "test_accepts_in_a_way_of_its_own",
        "test_leaves_a_task",
        "test_fixture_leaves_a_thread",
        "test_leaves_a_job_of_anyios",
    ]
    assert there.leaks == here.leaks
    assert [leak["created_at"] for leak in there.data["leaks"]] == [leak["created_at"] for leak in here.data["leaks"]]
    there.result.assert_outcomes(**here.result.parseoutcomes())


def test_report_names_the_lines_of_windows(run_leaks: Runner) -> None:
    run = run_leaks(SOURCE, "-k", "leaves_a_task")

    (leak,) = run.data["leaks"]
    assert leak["created_at"] == r"D:\project\app\stream.py:6"
    assert leak["waits_at"] == r"D:\project\app\stream.py:4"


def test_sockets_that_a_loop_of_windows_wakes_itself_with_are_its_own(run_leaks: Runner) -> None:
    run = run_leaks(
        """
import socket
from asyncio.proactor_events import BaseProactorEventLoop
from types import SimpleNamespace

def test_makes_its_pair():
    loop = SimpleNamespace(_internal_fds=0)
    BaseProactorEventLoop._make_self_pipe(loop)
    KEPT.append(loop)

def test_leaves_a_pair():
    KEPT.append(socket.socketpair())
""",
        ini="mockstream_leak_kinds = socket",
    )

    assert {(test, kind) for test, _, kind, _ in run.leaks} == {("test_leaves_a_pair", "socket")}
