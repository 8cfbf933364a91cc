"""Others patch the same libraries: whoever comes and goes in whatever order, theirs stays and ours does not."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import types
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mockstream import MockStreamSDK, Stall

httpx: Any = pytest.importorskip("httpx")
httpcore: Any = pytest.importorskip("httpcore")

URL = "https://api.openai.com/v1/chat/completions"
CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
Consumer: TypeAlias = Callable[[str], Awaitable[str]]
#: Every class and module that we or one of the neighbours replace something in.
OWNERS = (
    "asyncio:BaseEventLoop",
    "aiohttp:BaseConnector",
    "aiohttp:ClientSession",
    "grpc._channel:Channel",
    "grpc.aio._channel:Channel",
    "http.client",
    "httpcore:AsyncConnectionPool",
    "httpcore:ConnectionPool",
    "httpcore:HTTPConnection",
    "httpcore:AsyncHTTPConnection",
    "httpcore:HTTPProxy",
    "httpcore2:AsyncConnectionPool",
    "httpcore2:ConnectionPool",
    "httpx:AsyncHTTPTransport",
    "httpx:HTTPTransport",
    "httpx2:AsyncHTTPTransport",
    "httpx2:HTTPTransport",
    "multiprocessing.process:BaseProcess",
    "socket",
    "socket:socket",
    "ssl:SSLContext",
    "subprocess:Popen",
    "urllib3.connection:HTTPConnection",
    "urllib3.connection:HTTPSConnection",
    "urllib3.connectionpool:HTTPConnectionPool",
    "urllib3.connectionpool:HTTPSConnectionPool",
    "uvloop:Loop",
)


@pytest.fixture(autouse=True)
def guard() -> None:
    """Put the guard up, which stays to the end of the session."""
    with MockStreamSDK():
        pass


def everything() -> dict[tuple[str, str], object]:
    """Return every attribute of every owner that is installed, as it stands in the owner's own namespace."""
    found: dict[tuple[str, str], object] = {}
    for owner in OWNERS:
        module, _, name = owner.partition(":")
        try:
            where: Any = import_module(module)
        except ImportError:
            continue
        where = getattr(where, name) if name else where
        for attribute in list(vars(where)):
            getattr(where, attribute, None)
        found |= {(owner, attribute): value for attribute, value in vars(where).items()}
    # A module notes the warnings that it has given.
    return {key: value for key, value in found.items() if key[1] not in {"__warningregistry__", "__abstractmethods__"}}


def changed(before: dict[tuple[str, str], object]) -> dict[tuple[str, str], object]:
    now = everything()
    return {key: now.get(key) for key in before.keys() | now.keys() if before.get(key) is not now.get(key)}


def _wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def traced(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)

    return traced


class _Proxy:
    """What a tracing library puts over a function: it passes for the function in everything."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self._wrapped.__get__(instance, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wrapped(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    @property  # type: ignore[misc] # as wrapt's proxies do
    def __class__(self) -> type:
        return types.FunctionType


_PATCHED = [
    (httpcore.ConnectionPool, "handle_request"),
    (httpcore.AsyncConnectionPool, "handle_async_request"),
    (httpcore.ConnectionPool, "close"),
    (httpx.HTTPTransport, "handle_request"),
]


def _monkeypatched(how: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[Any]]:
    def enter() -> AbstractContextManager[Any]:
        stack = ExitStack()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for owner, name in _PATCHED:
            patch.setattr(owner, name, how(vars(owner)[name]))
        return stack

    return enter


def _respx() -> AbstractContextManager[Any]:
    mock: AbstractContextManager[Any] = import_module("respx").mock(assert_all_called=False)
    return mock


def _cassette() -> AbstractContextManager[Any]:
    used: AbstractContextManager[Any] = import_module("vcr").VCR(record_mode="none").use_cassette("/nowhere/none.yaml")
    return used


NEIGHBOURS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "monkeypatch with functools.wraps": _monkeypatched(_wrapper),
    "monkeypatch with a proxy": _monkeypatched(_Proxy),
}
for library, neighbour in (("respx", _respx), ("vcr", _cassette)):
    try:
        import_module(library)
    except ImportError:
        continue
    NEIGHBOURS[library] = neighbour


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(["open a door", "leave"]),
            st.sampled_from(sorted(NEIGHBOURS)),
            st.tuples(st.just("close a door"), st.integers(0, 9)),
        ),
        max_size=14,
    )
)
def test_everything_is_as_before_however_doors_and_neighbours_come_and_go(steps: list[Any]) -> None:
    """Neighbours leave in the order that suits them, the last one first; doors close whenever they like."""
    before = everything()

    with ExitStack() as left_over:
        _come_and_go(steps, left_over)

    assert changed(before) == {}


def _come_and_go(steps: list[Any], left_over: ExitStack) -> None:
    doors: list[MockStreamSDK] = []
    neighbours: list[AbstractContextManager[Any]] = []

    @left_over.callback
    def leave() -> None:
        for door in doors:
            door.__exit__(None, None, None)
        for entered in reversed(neighbours):
            entered.__exit__(None, None, None)

    for step in steps:
        if step == "open a door":
            doors.append(MockStreamSDK().__enter__())
        elif step == "leave":
            if neighbours:
                neighbours.pop().__exit__(None, None, None)
        elif isinstance(step, tuple):
            if doors:
                doors.pop(step[1] % len(doors)).__exit__(None, None, None)
        else:
            entered = NEIGHBOURS[step]()
            entered.__enter__()
            neighbours.append(entered)
        if doors and not neighbours:
            assert httpx.post(URL, json=CHAT).status_code == 200


@pytest.mark.parametrize("how", [_wrapper, _Proxy])
def test_wrapper_of_somebody_else_survives_the_door_that_it_was_put_over(how: Callable[[Any], Any]) -> None:
    owner, name = httpcore.ConnectionPool, "handle_request"
    original = vars(owner)[name]
    try:
        with MockStreamSDK():
            theirs = how(vars(owner)[name])
            setattr(owner, name, theirs)
        assert vars(owner)[name] is theirs
    finally:
        setattr(owner, name, original)


def test_door_that_was_put_back_by_somebody_else_takes_itself_off(monkeypatch: pytest.MonkeyPatch) -> None:
    original = httpcore.ConnectionPool.handle_request
    door = MockStreamSDK().__enter__()
    monkeypatch.setattr(httpcore.ConnectionPool, "handle_request", _wrapper(httpcore.ConnectionPool.handle_request))
    door.__exit__(None, None, None)

    monkeypatch.undo()

    assert httpcore.ConnectionPool.handle_request is original


def test_respx_opened_within_the_door_answers_its_routes_and_lets_the_door_answer_the_rest() -> None:
    respx = pytest.importorskip("respx")
    with MockStreamSDK() as sdk, respx.mock(assert_all_called=False) as router:
        sdk.respond("Hello")
        router.get("https://weather.example/").respond(200, text="rain")
        router.route().pass_through()

        assert httpx.get("https://weather.example/").text == "rain"
        assert httpx.post(URL, json=CHAT).json()["choices"][0]["message"]["content"] == "Hello"


# Cassettes of vcrpy.


async def _through_httpx(url: str) -> str:
    async with httpx.AsyncClient() as client, client.stream("POST", url, json={**CHAT, "stream": True}) as answer:
        async for line in answer.aiter_lines():
            return str(line)
    return ""


async def _through_httpx_sync(url: str) -> str:
    with httpx.Client() as client, client.stream("POST", url, json={**CHAT, "stream": True}) as answer:
        return str(next(answer.iter_lines()))


async def _through_httpx2(url: str) -> str:
    httpx2 = pytest.importorskip("httpx2")
    async with httpx2.AsyncClient() as client, client.stream("POST", url, json={**CHAT, "stream": True}) as answer:
        async for line in answer.aiter_lines():
            return str(line)
    return ""


async def _through_aiohttp(url: str) -> str:
    aiohttp = pytest.importorskip("aiohttp")
    async with aiohttp.ClientSession() as session, session.post(url, json={**CHAT, "stream": True}) as answer:
        return str((await answer.content.readline()).decode())


async def _through_requests(url: str) -> str:
    requests = pytest.importorskip("requests")
    with requests.post(url, json={**CHAT, "stream": True}, stream=True) as answer:
        return str(next(answer.iter_lines()).decode())


async def _through_botocore(url: str) -> str:
    pytest.importorskip("botocore")
    session = import_module("botocore.httpsession").URLLib3Session()
    body = json.dumps({**CHAT, "stream": True}).encode()
    asked = import_module("botocore.awsrequest").AWSRequest("POST", url, data=body, stream_output=True)
    answer = session.send(asked.prepare())
    line = next(answer.raw.stream())
    answer.raw.close()
    return str(line.decode())


CONSUMERS = [
    _through_httpx,
    _through_httpx_sync,
    _through_httpx2,
    _through_aiohttp,
    _through_requests,
    _through_botocore,
]


@pytest.mark.parametrize("ask", CONSUMERS)
async def test_door_that_is_opened_within_a_cassette_streams_what_is_asked_of_a_model(ask: Consumer) -> None:
    pytest.importorskip("vcr")
    with _cassette(), MockStreamSDK() as sdk:
        sdk.respond("Hello ", Stall())  # a cassette would read on to its end

        line = await ask(URL)

    assert line.startswith("data: {")
    assert sdk.requests[0].state == "closed"


@pytest.mark.parametrize("ask", CONSUMERS)
async def test_cassette_that_is_opened_within_a_door_answers_first(ask: Consumer) -> None:
    pytest.importorskip("vcr")
    with _cassette(), MockStreamSDK() as sdk, _cassette(), pytest.raises(Exception, match="cassette"):
        await ask(URL)

    assert sdk.requests == []


@pytest.mark.parametrize("ask", CONSUMERS)
async def test_everything_else_is_the_cassettes_that_was_in_use_before_the_door(ask: Consumer) -> None:
    pytest.importorskip("vcr")
    with _cassette(), MockStreamSDK() as sdk, pytest.raises(Exception, match="cassette"):
        await ask("https://weather.example/rain")

    assert sdk.requests == []


@pytest.mark.parametrize("ask", CONSUMERS)
async def test_host_that_the_door_lets_out_is_the_cassettes(ask: Consumer) -> None:
    pytest.importorskip("vcr")
    with _cassette(), MockStreamSDK(passthrough=["api.openai.com"]), pytest.raises(Exception, match="cassette"):
        await ask(URL)


def test_cassette_is_as_before_when_the_door_that_was_opened_within_is_closed() -> None:
    pytest.importorskip("vcr")
    with _cassette():
        theirs = everything()

        with MockStreamSDK():
            during = changed(theirs)

        assert ("httpx:HTTPTransport", "handle_request") in during
        assert changed(theirs) == {}


@pytest.mark.parametrize("order", [0, 5, *(pytest.param(order, marks=pytest.mark.slow) for order in range(1, 5))])
def test_fixtures_of_pytest_httpx_and_respx_in_any_order(pytester: pytest.Pytester, order: int) -> None:
    pytest.importorskip("pytest_httpx")
    pytest.importorskip("respx")
    orders = ["abc", "acb", "bac", "bca", "cab", "cba"]
    named = {"a": "mock_stream_sdk", "b": "httpx_mock", "c": "respx_mock"}
    wanted = ", ".join(named[one] for one in orders[order])
    pytester.makepyfile(
        f"""
import httpcore, httpx, pytest
OWNERS = [httpcore.ConnectionPool, httpcore.AsyncConnectionPool, httpcore.HTTPConnection, httpx.HTTPTransport]
BEFORE = []
def everything():
    return [(owner, name, vars(owner)[name]) for owner in OWNERS for name in vars(owner) if getattr(owner, name, 1)]
def test_guard_goes_up(mock_stream_sdk):
    pass
def test_before():
    BEFORE.extend(everything())
@pytest.mark.httpx_mock(should_mock=lambda request: request.url.host == "weather.example")
def test_together({wanted}):
    httpx_mock.add_response(text="rain")
    mock_stream_sdk.respond("Hello")
    respx_mock.route().pass_through()
    assert httpx.get("https://weather.example/").text == "rain"
    reply = httpx.post({URL!r}, json={CHAT!r}).json()
    assert reply["choices"][0]["message"]["content"] == "Hello"
def test_after():
    assert all(was[2] is now[2] for was, now in zip(BEFORE, everything(), strict=True))
"""
    )

    pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:run-parallel").assert_outcomes(passed=4)


def test_without_a_session_everything_is_as_before_when_the_last_door_is_closed() -> None:
    """In a process of its own: in this one the session holds the guard up."""
    code = """
import test_neighbours
from pytest_mockstream import MockStreamSDK, Stall
before = test_neighbours.everything()
with MockStreamSDK():
    with MockStreamSDK():
        during = test_neighbours.changed(before)
print(len(during), len(test_neighbours.changed(before)))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}

    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    during, after = map(int, result.stdout.split())
    assert during > 20
    assert after == 0
