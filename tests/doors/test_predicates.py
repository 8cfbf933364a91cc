"""A predicate is the user's code, and may do anything: nothing of ours is locked or stopped meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from three_doors import DOORS, Door, ask_http, opened_door

from pytest_mockstream import MockStreamClient, MockStreamSDK, ScriptError
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.playbook.request import Request

httpx: Any = pytest.importorskip("httpx")

pytestmark = pytest.mark.timeout(60)

_THREADS = 8
_ROUNDS = 5


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with opened_door(request.param) as door:
        yield door


def test_it_may_queue_a_script(door: Door) -> None:
    def decide(_request: Request) -> bool:
        door.scripts.respond("second")
        return True

    door.scripts.when(predicate=decide).respond("first")

    assert [door.ask("x"), door.ask("y")] == ["first", "second"]
    door.scripts.verify()


def test_a_script_that_it_queues_may_answer_the_same_request(door: Door) -> None:
    def decide(_request: Request) -> bool:
        door.scripts.respond("queued meanwhile")
        return False

    door.scripts.when(predicate=decide).respond("never")

    assert door.ask("x") == "queued meanwhile"


def test_it_may_ask_the_model_itself(door: Door) -> None:
    def judge(request: Request) -> bool:
        return request.text != "judge" and door.ask("judge") == "yes"

    door.scripts.when(predicate=judge).respond("first")
    door.scripts.respond("yes")

    assert door.ask("x") == "first"
    assert [request.text for request in door.scripts.requests] == ["x", "judge"]
    door.scripts.verify()


def test_it_may_look_at_the_record(door: Door) -> None:
    door.scripts.when(predicate=lambda _: len(door.scripts.requests) == 1).respond("first")

    assert door.ask("x") == "first"


def test_what_it_raises_fails_the_test_by_its_name_and_line(door: Door) -> None:
    def of_customer(_request: Request) -> bool:
        raise LookupError("no such customer")

    door.scripts.when(predicate=of_customer).respond("one")

    with pytest.raises((ScriptError, RuntimeError), match="no such customer"):
        door.ask("x")

    with pytest.raises(ScriptError) as caught:
        door.scripts.verify()
    first = of_customer.__code__.co_firstlineno
    message = str(caught.value)
    here = "tests/doors/test_predicates.py"
    assert f"when(predicate=of_customer ({here}:{first})) raised LookupError at {here}:{first + 1}: no such" in message
    assert isinstance(caught.value.__cause__, LookupError)


def test_failing_the_test_in_it_fails_the_test(door: Door) -> None:
    door.scripts.when(predicate=lambda _: pytest.fail("not such a request")).respond("one")

    if door.name == "server":
        with pytest.raises(RuntimeError, match="not such a request"):
            door.ask("x")
        with pytest.raises(ScriptError, match="not such a request"):
            door.scripts.verify()
    else:
        with pytest.raises(pytest.fail.Exception, match="not such a request"):
            door.ask("x")


def test_one_script_is_played_once_whoever_asks_at_the_same_time(door: Door) -> None:
    both = threading.Barrier(2, timeout=30)

    def slow(_request: Request) -> bool:
        both.wait()
        return True

    door.scripts.when(predicate=slow).respond("once")
    door.scripts.respond("other")
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(door.ask("x"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(texts) == ["once", "other"]


def test_one_that_has_not_returned_is_told_at_the_end(door: Door) -> None:
    asked, release = threading.Event(), threading.Event()

    def stuck(_request: Request) -> bool:
        asked.set()
        return release.wait(30)

    door.scripts.when(predicate=stuck).respond("late")
    caller = threading.Thread(target=lambda: door.ask("x"))
    caller.start()
    asked.wait(30)

    try:
        with pytest.raises(ScriptError, match=r"stuck \(.*has not returned"):
            door.scripts.verify()
    finally:
        release.set()
        caller.join()


@pytest.mark.parametrize("how", ["function", "object", "awaitable"])
def test_one_that_is_async_is_refused(how: str) -> None:
    client = MockStreamClient()

    async def judge(_request: Request) -> bool:
        return True

    def returning_one(request: Request) -> Coroutine[Any, Any, bool]:
        return judge(request)

    class Judge:
        async def __call__(self, _request: Request) -> bool:
            return True

    if how == "awaitable":
        client.when(predicate=returning_one).respond("x")  # type: ignore[arg-type]
        with pytest.raises(ScriptError, match="returned an awaitable, which nobody awaits: give a plain function"):
            client.complete("x")
    else:
        with pytest.raises(ScriptError, match=r"is async, and nobody awaits it: give a plain function"):
            client.when(predicate=judge if how == "function" else Judge())  # type: ignore[arg-type]


def test_the_server_answers_others_while_one_is_stuck() -> None:
    release = threading.Event()

    def stuck(request: Request) -> bool:
        return request.text == "stuck" and release.wait(30)

    with MockStreamServer() as server:
        server.when(predicate=stuck).respond("late")
        server.respond("at once", times=None)
        ask = ask_http(server.url)
        late: list[str] = []
        caller = threading.Thread(target=lambda: late.append(ask("stuck")))
        caller.start()
        try:
            assert ask("quick") == "at once"
        finally:
            release.set()
            caller.join()
        assert late == ["late"]


def test_the_server_stops_although_one_is_stuck() -> None:
    asked, release = threading.Event(), threading.Event()

    def stuck(_request: Request) -> bool:
        asked.set()
        return release.wait(30)

    server = MockStreamServer().start()
    server.when(predicate=stuck).respond("late")
    failures: list[Exception] = []

    def call() -> None:
        try:
            ask_http(server.url)("x")
        except httpx.HTTPError as error:
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    asked.wait(30)
    server.stop()
    caller.join()
    release.set()

    (request,) = server.requests
    assert len(failures) == 1
    assert request.state == "closed"


@pytest.mark.parametrize("door", ["client", "sdk"], indirect=True)
def test_one_that_asks_about_its_own_requests_without_end_is_told_in_process(door: Door) -> None:
    door.scripts.when(predicate=lambda _: door.ask("again") == "x").respond("never")

    with pytest.raises((ScriptError, RuntimeError)):
        door.ask("x")

    assert len(door.scripts.requests) == 11
    told = r"request 11 .*, while 10 predicates wait for one another: .* about its own requests without end"
    with pytest.raises(ScriptError, match=told):
        door.scripts.verify()


def test_what_a_predicate_meets_in_its_own_request_is_said_once() -> None:
    client = MockStreamClient()
    client.when(predicate=lambda _: client.complete("again").content == "x").respond("never")

    with pytest.raises(ScriptError) as caught:
        client.complete("x")

    assert str(caught.value).count("when(predicate=") == 1


def test_many_predicates_may_run_beside_one_another() -> None:
    client = MockStreamClient()
    together = threading.Barrier(20, timeout=30)

    def waits(_request: Request) -> bool:
        together.wait()
        return True

    client.when(predicate=waits).respond("one", times=20)
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(client.complete("x").content)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert texts == ["one"] * 20
    client.verify()


def test_one_that_asks_about_its_own_requests_without_end_is_told() -> None:
    with MockStreamServer() as server:
        ask = ask_http(server.url)
        server.when(predicate=lambda _: ask("again") == "x").respond("never")

        with pytest.raises(RuntimeError, match="raised RuntimeError"):
            ask("x")

        with pytest.raises(ScriptError, match=r"32 predicates run at once: .* its own requests without end"):
            server.verify()


def test_two_doors_that_eight_threads_ask_at_once_play_every_script_once() -> None:
    with MockStreamSDK() as sdk, MockStreamServer() as server:
        doors = {"sdk": (sdk, ask_http("https://api.openai.com")), "server": (server, ask_http(server.url))}
        texts: dict[str, list[str]] = {name: [] for name in doors}

        def of_thread(number: int) -> Callable[[Request], bool]:
            return lambda request: request.text == f"of {number}" and bool(sdk.requests or server.requests)

        def work(number: int) -> None:
            start.wait()
            for name, (_, ask) in doors.items():
                texts[name] += [ask(f"of {number}") for _ in range(_ROUNDS)]

        for scripts, _ in doors.values():
            for number in range(_THREADS):
                for turn in range(_ROUNDS):
                    scripts.when(predicate=of_thread(number)).respond(f"{number}.{turn}")
        start = threading.Barrier(_THREADS, timeout=30)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        wanted = sorted(f"{number}.{turn}" for number in range(_THREADS) for turn in range(_ROUNDS))
        for name, (scripts, _) in doors.items():
            scripts.verify()
            assert sorted(texts[name]) == wanted
            assert [request.number for request in scripts.requests] == [*range(1, len(wanted) + 1)]
            assert {request.state for request in scripts.requests} == {"exhausted"}
    for thread in _threads_of_predicates():
        thread.join(60)  # it has answered and is about to end
    assert _threads_of_predicates() == []


def test_reset_while_predicates_run_leaves_nothing_behind() -> None:
    asked, release = threading.Semaphore(0), threading.Event()

    def stuck(_request: Request) -> bool:
        asked.release()
        return release.wait(30)

    failures: list[Exception] = []

    def call() -> None:
        try:
            ask_http(server.url)("before")
        except httpx.HTTPError as error:
            failures.append(error)

    with MockStreamServer() as server:
        server.when(predicate=stuck).respond("of the last test", times=None)
        before = server.requests
        callers = [threading.Thread(target=call) for _ in range(_THREADS)]
        for caller in callers:
            caller.start()
        for _ in callers:
            assert asked.acquire(timeout=30)

        server.reset()

        for caller in callers:
            caller.join()
        assert len(failures) == _THREADS
        assert "open" not in {request.state for request in before}
        server.respond("of this test")
        assert ask_http(server.url)("after") == "of this test"
        release.set()
        for thread in _threads_of_predicates():
            thread.join(30)
        assert [request.text for request in server.requests] == ["after"]
        server.verify()
    assert _threads_of_predicates() == []


def _threads_of_predicates() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("mockstream server: predicates")]
