"""No wait of the package hangs or ends too early, whatever a test does to the clocks of the process.

What would hang runs in a process of its own, which has a minute.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import importlib.util
import json
import pkgutil
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, ModuleType
from unittest.mock import AsyncMock

import pytest
import virtual

import pytest_mockstream
from pytest_mockstream import MockStreamClient, Wait
from pytest_mockstream._base import clock
from pytest_mockstream._base.collector import collect

freezegun = pytest.importorskip("freezegun")

LIMIT = 60
FREEZES = {
    "freezegun": """
import freezegun
freeze = freezegun.freeze_time("2020-01-01")
start, stop = freeze.start, freeze.stop
""",
    "time_machine": """
import time_machine
travel = time_machine.travel("2020-01-01", tick=False)
start, stop = travel.start, travel.stop
""",
    "pytest": """
import time
import pytest
patch = pytest.MonkeyPatch()
def boom(seconds): raise RuntimeError
def start():
    patch.setattr(time, "monotonic", lambda: 0.0)
    patch.setattr(time, "perf_counter", lambda: 0.0)
    patch.setattr(time, "sleep", boom)
stop = patch.undo
""",
}
HEAD = """
import asyncio, threading, time, _thread
import pytest
import freezing
KEPT = []
@pytest.fixture(autouse=True)
def frozen(request):
    if freezing.EARLY:
        yield
        return
    freezing.start()
    yield
    freezing.stop()
"""
INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p freezing -p asyncio -p mockstream -p no:cacheprovider
"""

Runner = Callable[[str], pytest.RunResult]


@pytest.fixture(
    params=["freezegun", *(pytest.param(name, marks=pytest.mark.slow) for name in ("time_machine", "pytest"))]
)
def freeze(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    pytest.importorskip(name)
    return name


@pytest.fixture(params=[pytest.param("before the plugin loads", marks=pytest.mark.slow), "in the test"])
def run(request: pytest.FixtureRequest, freeze: str, pytester: pytest.Pytester, lean_pytest: None) -> Runner:
    """Run tests on a clock that was stopped in one of the ways, before or after the plugin came in."""
    early = request.param == "before the plugin loads"

    def go(source: str) -> pytest.RunResult:
        pytester.makeini(INI)
        pytester.makepyfile(freezing=f"{FREEZES[freeze]}\nEARLY = {early}\nif EARLY:\n    start()\n")
        pytester.makepyfile(test_it=HEAD + source)
        return pytester.run(
            sys.executable, "-m", "pytest", "--mockstream-report=report.json", "-p", "no:randomly", timeout=LIMIT
        )

    return go


# The leak check.


def test_verdicts_are_those_of_a_running_clock(run: Runner, pytester: pytest.Pytester) -> None:
    result = run("""
def test_clean(): pass
async def test_clean_async():
    await asyncio.sleep(0)
async def test_leaks_a_task():
    KEPT.append(asyncio.create_task(asyncio.Event().wait()))
def test_leaks_a_thread():
    threading.Thread(target=threading.Event().wait, args=(50,), daemon=True).start()
def test_leaks_a_raw_thread():
    _thread.start_new_thread(threading.Event().wait, (50,))
@pytest.mark.assert_no_leaks(grace=30)
async def test_slow_cleanup():
    async def slow():
        await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.05)
    KEPT.append(asyncio.create_task(slow()))
    await asyncio.sleep(0)
@pytest.mark.assert_no_leaks(grace=30)
async def test_slow_sleeper():
    KEPT.append(asyncio.create_task(asyncio.sleep(0.05)))
    await asyncio.sleep(0)
@pytest.mark.assert_no_leaks(grace=30)
def test_slow_thread():
    threading.Thread(target=threading.Event().wait, args=(0.05,)).start()
""")

    result.assert_outcomes(passed=8, errors=3)
    leaks = json.loads((pytester.path / "report.json").read_text())["leaks"]
    assert [(leak["test"].partition("::")[2], leak["kind"]) for leak in leaks] == [
        ("test_leaks_a_task", "task"),
        ("test_leaks_a_thread", "thread"),
        ("test_leaks_a_raw_thread", "thread"),
    ]


def test_check_in_a_coroutine_ends(run: Runner) -> None:
    result = run("""
from pytest_mockstream import LeakError, leak_check
async def test_it():
    with pytest.raises(LeakError, match="left 1 thing"):
        async with leak_check(grace=0.02):
            task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()
async def test_twin():
    async with leak_check(grace=30):
        KEPT.append(asyncio.create_task(asyncio.sleep(0.02)))
""")

    result.assert_outcomes(passed=2)


def test_idle_loop_is_judged_on_a_clock_of_its_own() -> None:
    loop = asyncio.new_event_loop()
    with freezegun.freeze_time("2020-01-01"):
        stopped = time.monotonic()
        with clock.going_on(loop):
            assert goes_on(loop.time)
            assert time.monotonic() == stopped
        assert loop.time() == stopped
    loop.close()


def test_timer_that_was_set_before_the_clock_was_patched_does_not_have_to_wait_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.new_event_loop()
    before = loop.time()
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)

    with clock.going_on(loop):
        assert loop.time() >= before
    loop.close()


def test_clock_of_a_loop_that_only_its_test_moves_does_not_stop_the_check(
    pytester: pytest.Pytester, lean_pytest: None
) -> None:
    pytester.makeini(INI.replace("-p freezing", ""))
    pytester.makepyfile("""
        import asyncio
        KEPT = []
        async def test_it():
            loop = asyncio.get_running_loop()
            KEPT.append(loop.create_task(asyncio.Event().wait()))
            loop.time = lambda: 0.0
    """)

    result = pytester.run(sys.executable, "-m", "pytest", timeout=LIMIT)

    result.assert_outcomes(passed=1, errors=1)


async def test_clock_of_a_loop_is_its_own_again() -> None:
    loop = asyncio.get_running_loop()
    attributes = dict(vars(loop))

    with clock.going_on(loop), clock.going_on(loop):
        pass

    assert vars(loop) == attributes


# Streams.

TIMES = "[round(chunk.timestamp, 3) for chunk in chunks] == [0.02, 0.04, 0.04]"


def test_stream_keeps_its_pace(run: Runner) -> None:
    result = run(f"""
from pytest_mockstream import Gate, StreamCancelled
@pytest.fixture(params=["inline", "background"])
def stream(request, mock_stream_client):
    mock_stream_client.respond("a b", delay=0.02)
    return mock_stream_client.complete_stream("hi", producer=request.param)
def test_sync(stream):
    with stream: chunks = list(stream)
    assert {TIMES}
def test_timeout(mock_stream_client):
    mock_stream_client.respond("a", delay=3600)
    with pytest.raises(TimeoutError), mock_stream_client.complete_stream("hi", timeout=0.02) as stream: stream.read()
def test_gate():
    with pytest.raises(TimeoutError): Gate().wait_reached(0.02)
async def test_async_timeout(mock_stream_client):
    mock_stream_client.respond("a", delay=3600)
    with pytest.raises(TimeoutError):
        async with mock_stream_client.complete_stream("hi", timeout=0.02) as stream: await stream.aread()
@pytest.fixture(params=["inline", "background"])
async def astream(request, mock_stream_client):
    mock_stream_client.respond("a b", delay=0.02)
    return mock_stream_client.complete_stream("hi", producer=request.param)
async def test_async(astream):
    async with astream: chunks = [chunk async for chunk in astream]
    assert {TIMES}
""")

    result.assert_outcomes(passed=7)


def test_stream_of_an_sdk_keeps_its_pace(run: Runner) -> None:
    pytest.importorskip("openai")
    result = run("""
import openai
ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
async def test_it(mock_stream_sdk):
    mock_stream_sdk.respond("a b", delay=0.02)
    async with openai.AsyncOpenAI(api_key="none") as client, await client.chat.completions.create(**ASK) as stream:
        deltas = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert "".join(filter(None, deltas)) == "a b"
""")

    result.assert_outcomes(passed=1)


def test_stream_of_the_server_keeps_its_pace(run: Runner) -> None:
    pytest.importorskip("httpx")
    pytest.importorskip("h11")
    result = run("""
import httpx
ASK = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
def test_it(mock_stream_server):
    mock_stream_server.respond("a b", delay=0.02)
    with httpx.stream("POST", f"{mock_stream_server.url}/v1/chat/completions", json=ASK, timeout=None) as reply:
        assert [line for line in reply.iter_lines() if line][-1] == "data: [DONE]"
""")

    result.assert_outcomes(passed=1)


def test_other_tasks_go_on_while_a_stream_waits(run: Runner) -> None:
    result = run("""
async def test_it(mock_stream_client):
    mock_stream_client.respond("a", delay=3600)
    reader = asyncio.create_task(mock_stream_client.acomplete("hi"))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not reader.done()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError): await reader
""")

    result.assert_outcomes(passed=1)


async def test_clock_that_is_stopped_during_a_wait_does_not_end_it(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(Wait(3600), "late")
    reader = asyncio.create_task(mock_stream_client.acomplete("hi"))
    await asyncio.sleep(0.001)

    with freezegun.freeze_time("2020-01-01"):
        for _ in range(5):
            await asyncio.sleep(0)

    assert not reader.done()
    reader.cancel()


def test_virtual_clock_stays_virtual_while_the_real_one_is_stopped(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond("late", delay=36000)

    async def read() -> str:
        with freezegun.freeze_time("2020-01-01"):
            return (await mock_stream_client.acomplete("hi")).content

    assert virtual.run(read()) == "late"


async def test_stream_sleeps_by_no_function_that_tests_patch(
    mock_stream_client: MockStreamClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = AsyncMock()
    monkeypatch.setattr(asyncio, "sleep", sleep)

    await mock_stream_client.acomplete("hi")

    sleep.assert_not_awaited()


# Timers.


async def test_timer_goes_by_a_clock_that_tells_the_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """As time-machine 2.13 to 2.19 make it, in C."""
    monkeypatch.setattr(time, "monotonic", time.time)
    fired = asyncio.Event()

    clock.call_later(asyncio.get_running_loop(), 0.002, fired.set)

    await fired.wait()


@pytest.mark.parametrize("patched", [False, True])
async def test_cancelled_timer_leaves_nothing(patched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Callback:
        def __call__(self) -> None:
            raise AssertionError

    if patched:
        monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    callback = Callback()
    timer = clock.call_later(asyncio.get_running_loop(), 3600, callback)
    await asyncio.sleep(0)

    timer.cancel()

    gone = weakref.ref(callback)
    del callback, timer
    for _ in range(2):
        await asyncio.sleep(0)
    collect()
    assert gone() is None


# Sweeps.


def test_sweep_ends_a_run_that_hangs(run: Runner) -> None:
    result = run("""
from pytest_mockstream import SweepError, sweep_cancellation, sweep_threads
async def stubborn():
    try: await asyncio.sleep(0)
    except asyncio.CancelledError: await asyncio.Event().wait()
async def test_cancellation():
    with pytest.raises(SweepError, match="nothing can happen any more"):
        await sweep_cancellation(stubborn, patience=0.02, grace=0.02)
def test_threads(mock_stream_client):
    mock_stream_client.respond("a b")
    def read():
        try: mock_stream_client.complete("hi")
        except Exception: threading.Event().wait(1)
    with pytest.raises(SweepError):
        sweep_threads(read, mock_stream_client, patience=0.02, grace=0.02, max_points=1)
""")

    result.assert_outcomes(passed=2)


# The clock itself.


def goes_on(clock: Callable[[], float]) -> bool:
    start = clock()
    return any(clock() != start for _ in range(10**6))


def imported_anew() -> ModuleType:
    spec = importlib.util.find_spec("pytest_mockstream._base.clock")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_clock_goes_on_in_a_freeze() -> None:
    with freezegun.freeze_time("2020-01-01"):
        assert goes_on(clock.monotonic)


def test_clock_that_is_imported_in_a_freeze_goes_on() -> None:
    with freezegun.freeze_time("2020-01-01"):
        assert goes_on(imported_anew().monotonic)


def test_sleep_lets_greenlets_end_where_gevent_patched_time(pytester: pytest.Pytester) -> None:
    pytest.importorskip("gevent")
    script = pytester.makepyfile("""
        import gevent.monkey
        gevent.monkey.patch_all()
        import gevent
        from pytest_mockstream._base import clock
        greenlet = gevent.spawn(int)
        while not greenlet.dead:
            clock.sleep(0.001)
    """)

    assert pytester.run(sys.executable, script, timeout=LIMIT).ret == 0


# Where clocks may not be.

MODULES = [
    module.name
    for module in pkgutil.walk_packages(pytest_mockstream.__path__, "pytest_mockstream.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_no_module_keeps_a_clock_where_scanners_look(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    clocks = {id(value) for value in vars(time).values() if isinstance(value, BuiltinFunctionType)}

    assert [attribute for attribute, value in vars(module).items() if id(value) in clocks] == []


@pytest.mark.parametrize("name", [name for name in MODULES if name != clock.__name__])
def test_no_module_uses_time_itself(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]

    assert "time" not in imported
