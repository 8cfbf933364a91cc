"""The lanes of tasks and threads: who started them, when they ended and how, and what the leak check says."""

from __future__ import annotations

import asyncio
import importlib
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import looptime
import pytest
import trio
import virtual
from traced import attempt, kinds, lanes, only_run, recording, traced

from pytest_mockstream import Leak, LeakError, MockStreamClient, Wait, leak_check
from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.collector import collect
from pytest_mockstream.leaks import OWNER, Owner


def in_virtual_time(main: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    async def run() -> None:
        await main()

    return traced(lambda: virtual.run(run()))


def by_name(attempt: dict[str, Any], kind: str) -> dict[str, Any]:
    return {lane["name"].split("'")[1]: lane for lane in lanes(attempt, kind)}


async def test_tasks_show_when_they_ended_and_how() -> None:
    async def fails() -> None:
        await asyncio.sleep(2)
        raise ValueError("no answer\nat all")

    async def main() -> None:
        returns = asyncio.create_task(asyncio.sleep(1), name="returns")
        raises = asyncio.create_task(fails(), name="raises")
        cancelled = asyncio.create_task(asyncio.sleep(9), name="cancelled")
        runs = asyncio.create_task(asyncio.sleep(100), name="runs")
        for after in (1.5, 1.5):
            await asyncio.sleep(after)
            await asyncio.create_task(asyncio.sleep(0), name="looks")
        cancelled.cancel()
        await asyncio.wait([returns, raises, cancelled])
        await asyncio.create_task(asyncio.sleep(0), name="looks")
        assert raises.exception()
        told.append(attempt(recorder))
        runs.cancel()

    told: list[dict[str, Any]] = []
    with recording() as recorder:
        await asyncio.to_thread(virtual.run, main())

    tasks = by_name(told[0], "task")
    assert {name: (lane["state"], lane["end"]) for name, lane in tasks.items() if name != "looks"} == {
        "returns": ("returned", 1.5),
        "raises": ("raised", 3.0),
        "cancelled": ("cancelled", 3.0),
        "runs": ("running", None),
    }
    assert tasks["raises"]["events"][-1]["label"] == "raised ValueError: no answer"
    assert tasks["returns"]["name"] == "'returns' sleep()"


def test_task_that_nobody_keeps_ends_when_it_does() -> None:
    async def main() -> None:
        asyncio.create_task(asyncio.sleep(2), name="dropped")  # noqa: RUF006 - that is the point
        await asyncio.sleep(5)

    told = in_virtual_time(main)

    lane = by_name(told, "task")["dropped"]
    assert (lane["state"], lane["end"]) == ("ended", 2.0)


def test_task_is_a_child_of_the_task_that_created_it() -> None:
    async def inner() -> None:
        await asyncio.sleep(1)

    async def outer() -> None:
        await asyncio.create_task(inner(), name="inner")

    async def main() -> None:
        await asyncio.create_task(outer(), name="outer")

    told = in_virtual_time(main)

    (call,) = lanes(told, "test")
    tasks = by_name(told, "task")
    assert tasks["inner"]["parent"] == tasks["outer"]["id"]
    assert tasks["outer"]["parent"] == call["id"]
    assert tasks["inner"]["at"]["function"].endswith("outer")


def test_thread_has_a_lane_and_its_requests_are_its_children() -> None:
    client = MockStreamClient()
    begun = threading.Event()

    def ask() -> None:
        begun.wait()
        client.complete_stream("Tell me").read()

    def main() -> None:
        thread = threading.Thread(target=ask, name="asker")
        thread.start()
        begun.set()
        thread.join()

    told = traced(main)

    (thread,), (request,) = lanes(told, "thread"), lanes(told, "request")
    assert thread["name"] == "'asker'"
    assert thread["state"] == "ended"
    assert request["parent"] == thread["id"]
    assert only_run(told)["clock"] == "real"


def test_what_runs_tests_and_what_is_ours_has_no_lane() -> None:
    client = MockStreamClient()

    async def main() -> None:
        await client.complete_stream("Tell me", producer="background").aread()

    told = traced(lambda: asyncio.run(main()))

    assert lanes(told, "task") == []
    client.complete_stream("Tell me", producer="background").read()
    told = traced(lambda: client.complete_stream("Tell me", producer="background").read())
    assert lanes(told, "thread") == []


# The axis.


def test_loop_with_virtual_time_goes_on_where_the_one_before_it_ended() -> None:
    client = MockStreamClient()
    client.respond(Wait(2), "a", times=None)

    def main() -> None:
        for _ in range(2):
            virtual.run(client.complete_stream("Tell me").aread())

    told = traced(main)

    first, second = lanes(told, "request")
    assert [round(lane["start"], 3) for lane in (first, second)] == [0.0, 2.0]
    assert [round(lane["end"], 3) for lane in (first, second)] == [2.0, 4.0]
    assert only_run(told)["clock"] == "virtual"


def test_what_has_real_time_stands_where_the_virtual_time_was() -> None:
    client = MockStreamClient()
    client.respond("a", times=None)

    async def sleeps() -> None:
        await asyncio.create_task(asyncio.sleep(3), name="sleeps")
        await asyncio.sleep(0)  # the loop itself holds the task until its step is over

    def main() -> None:
        client.complete_stream("before").read()
        virtual.run(sleeps())
        client.complete_stream("after").read()

    before, after = lanes(traced(main), "request")
    assert (before["start"], before["end"]) == (0.0, 0.0)
    assert (after["start"], after["end"]) == (3.0, 3.0)


def test_stream_that_was_opened_outside_of_its_loop_shows_the_time_of_the_loop() -> None:
    client = MockStreamClient()
    client.respond("a", Wait(2), "b")

    def main() -> None:
        stream = client.complete_stream("Tell me")
        virtual.run(stream.aread())

    (lane,) = lanes(traced(main), "request")
    assert lane["chunks"]["read"][0] < 1
    assert 2 <= lane["chunks"]["read"][1] < 3


def test_time_of_trio_is_shown() -> None:
    client = MockStreamClient()
    client.respond("a", Wait(2), "b")

    async def main() -> None:
        async with client.complete_stream("Tell me") as stream:
            with trio.move_on_after(1):
                await stream.aread()

    told = traced(lambda: trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)))

    (lane,) = lanes(told, "request")
    assert only_run(told)["clock"] == "virtual"
    assert [event["at"] for event in lane["events"] if event["kind"] == "cancelled"] == [1.0]
    assert lane["chunks"]["read"] == [0.0]
    assert (lane["state"], lane["end"]) == ("closed", 1.0)


# Leaks.


def leaks_of(block: Callable[[], object]) -> tuple[dict[str, Any], tuple[Leak, ...]]:
    with recording() as recorder:
        check = leak_check(grace=0.01)
        with pytest.raises(LeakError), check:
            block()
        leaks = check.report.leaks
        return attempt(recorder, outcome="failed", leaks=leaks), leaks


def test_thread_that_leaked_says_so_on_its_lane() -> None:
    done = threading.Event()

    def start() -> None:
        for _ in range(2):
            threading.Thread(target=done.wait, name="worker", daemon=True).start()

    try:
        told, leaks = leaks_of(start)
    finally:
        done.set()

    threads = lanes(told, "thread")
    assert [lane["leaked"] for lane in threads] == [True, True]
    assert [lane["state"] for lane in threads] == ["running", "running"]
    for lane, leak in zip(threads, leaks, strict=True):
        event = lane["events"][-1]
        assert (event["kind"], event["text"], event["remedy"]) == ("leak", leak.diagnosis, leak.remedy)
        assert event["place"]["function"].endswith("start")


async def test_task_that_leaked_says_where_it_waits() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def pump() -> None:
        while True:
            await queue.put(1)

    with recording() as recorder:
        check = leak_check(grace=0.01, contain=True)
        with pytest.raises(LeakError):
            async with check:
                task = asyncio.create_task(pump(), name="pump")
        told = attempt(recorder, outcome="failed", leaks=check.report.leaks)
        assert task.done()

    (lane,) = lanes(told, "task")
    assert lane["leaked"]
    assert (lane["state"], lane["end"]) == ("running", None)
    event = lane["events"][-1]
    assert event["waits_at"]["function"].endswith("pump")
    assert "full queue" in event["text"]
    assert kinds(lane) == ["started", "leak"]


def test_leak_without_a_lane_gets_one_and_others_stand_on_the_call() -> None:
    leaks = [Leak(kind="task", name="unseen"), Leak(kind="socket", name="fd 7"), Leak(kind="stream", name="gone")]

    told = traced(lambda: None, outcome="failed", leaks=leaks)

    assert [(lane["kind"], lane["name"]) for lane in only_run(told)["lanes"] if lane.get("leaked")] == [
        ("task", "'unseen'"),
        ("request", "gone"),
    ]
    assert kinds(lanes(told, "test")[0]) == ["phase", "leak"]


# It changes nothing.


class Thing:
    """Something that can be referred to weakly."""


async def test_nothing_is_kept_alive() -> None:
    client = MockStreamClient()
    references: list[weakref.ref[Any]] = []

    async def returns() -> Thing:
        thing = Thing()
        references.append(weakref.ref(thing))
        return thing

    async def raises() -> None:
        error = ValueError("it")
        references.append(weakref.ref(error))
        raise error

    with recording() as recorder:
        stream = client.complete_stream("Tell me")
        references.append(weakref.ref(stream))
        chunk = await anext(stream)
        await stream.aclose()
        task = asyncio.create_task(returns())
        references.append(weakref.ref(task))
        await task
        failed = asyncio.create_task(raises())
        references.append(weakref.ref(failed))
        await asyncio.wait([failed])
        assert failed.exception()
        recorder.begin_phase("fixture", "looks")
        thread = threading.Thread(target=Thing)
        references.append(weakref.ref(thread))
        thread.start()
        thread.join()
        del stream, chunk, task, failed, thread
        collect()

        assert [reference() for reference in references] == [None] * len(references)
        attempt(recorder)


async def test_exception_that_nobody_asks_for_is_still_complained_of() -> None:
    complaints: list[dict[str, Any]] = []

    async def fails() -> None:
        raise ValueError("it")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with recording() as recorder:
        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        recorder.begin_phase("fixture", "looks")
        del task
        collect()
        (lane,) = lanes(attempt(recorder), "task")

    assert lane["state"] == "raised"
    assert [str(context["exception"]) for context in complaints] == ["it"]


def test_recorder_inside_of_another_one_disturbs_neither() -> None:
    client = MockStreamClient()

    with recording() as outer:
        client.complete_stream("first").read()
        with recording() as inner:
            client.complete_stream("second").read()
            seen_inside = lanes(attempt(inner), "request")
        client.complete_stream("third").read()
        seen = lanes(attempt(outer), "request")

    assert [lane["request"]["body"]["prompt"] for lane in seen_inside] == ["second"]
    assert [lane["request"]["body"]["prompt"] for lane in seen] == ["first", "second", "third"]


def test_attempt_that_begins_forgets_what_was_before() -> None:
    client = MockStreamClient()

    with recording() as recorder:
        stream = client.complete_stream("before")
        recorder.begin()
        with recorder.phase("test", "call"):
            stream.read()
            client.complete_stream("after").read()
        told = attempt(recorder)

    assert [lane["request"]["body"]["prompt"] for lane in lanes(told, "request")] == ["after"]


async def test_all_tasks_that_have_ended_are_seen_to_have_when_the_attempt_is_asked_for() -> None:
    with recording() as recorder:
        tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(40)]
        await asyncio.wait(tasks)
        told = attempt(recorder)

    assert {lane["state"] for lane in lanes(told, "task")} == {"returned"}
    assert len(tasks) == len(lanes(told, "task"))


# Phases.


def test_fixture_has_one_lane_from_its_setting_up_to_its_tearing_down() -> None:
    site = CallSite(__file__, 12, "bot")

    with recording() as recorder:
        with recorder.phase("fixture", "bot", site):
            pass
        with recorder.phase("test", "call"):
            thread = threading.Thread(target=print, name="of the test")
            thread.start()
            thread.join()
        with recorder.phase("fixture", "bot", site) as phase:
            phase.state = "failed"
        told = attempt(recorder)

    (lane,) = lanes(told, "fixture")
    assert lane["name"] == "fixture bot"
    assert [event["label"] for event in lane["events"]] == ["fixture bot set up", "fixture bot failed"]
    assert (lane["state"], lane["at"]["function"]) == ("failed", "bot")
    assert only_run(told)["lanes"][lanes(told, "thread")[0]["parent"]]["name"] == "call"


def test_what_a_fixture_has_started_is_its_child() -> None:
    with recording() as recorder:
        with recorder.phase("fixture", "bot"):
            pass
        before = OWNER.get()
        OWNER.set(Owner("fixture:bot:function"))
        thread = threading.Thread(target=print)
        thread.start()
        OWNER.set(before)
        thread.join()
        told = attempt(recorder)

    (lane,) = lanes(told, "thread")
    assert lane["parent"] == lanes(told, "fixture")[0]["id"]
    assert lane["facts"] == [["started by", "fixture bot (function)"]]


def test_what_an_import_starts_for_good_has_no_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "starts_a_thread.py").write_text(
        "import threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    told = traced(lambda: importlib.import_module("starts_a_thread"))

    assert lanes(told, "thread") == []


class ClosesItself:
    """A client that a test forgot: like that of an SDK it closes itself when the collector comes, in any loop."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(0), name="closes")
        threading.Thread(target=print, name="closes").start()


async def test_what_a_finaliser_starts_has_no_lane() -> None:
    async def main() -> None:
        ClosesItself()
        collect()
        await asyncio.create_task(asyncio.sleep(0), name="own")

    with recording() as recorder:
        await main()
        told = attempt(recorder)

    assert [*by_name(told, "task"), *by_name(told, "thread")] == ["own"]


def test_loop_whose_virtual_time_is_not_switched_on_shows_real_time() -> None:
    client = MockStreamClient()

    async def main() -> None:
        await asyncio.create_task(client.complete_stream("Tell me").aread())

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(_enabled=False)) as runner:
            runner.run(main())

    assert only_run(traced(run))["clock"] == "real"


def test_thread_that_ends_a_loop_has_no_lane() -> None:
    async def main() -> None:
        await asyncio.to_thread(int)

    told = traced(lambda: asyncio.run(main()))

    assert [lane["name"] for lane in lanes(told, "thread")] == ["'asyncio_0'"]


# What is the user's own is not asked.


class Touchy(threading.Thread):
    """A thread that does not want to be looked at."""

    @property
    def name(self) -> str:
        raise KeyError

    @name.setter
    def name(self, value: str) -> None: ...


class TouchyTask(asyncio.Task[Any]):
    """A task that does not want to be looked at."""

    def get_name(self) -> str:
        raise AttributeError


def test_names_that_raise_are_not_asked_for() -> None:
    client = MockStreamClient()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(lambda loop, coro, **_: TouchyTask(coro, loop=loop))
        thread = Touchy(target=int)
        thread.start()
        task = asyncio.get_running_loop().create_task(asyncio.sleep(0))
        await client.complete_stream("Tell me").aread()
        await task
        thread.join()

    told = traced(lambda: asyncio.run(main()))

    assert len(lanes(told, "thread")) == 1
    assert len(lanes(told, "request")) == 1
