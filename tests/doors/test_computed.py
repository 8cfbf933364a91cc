"""A script may be computed for each request, by a function of the user's, in all three doors."""

from __future__ import annotations

import asyncio
import functools
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from three_doors import DOORS, Door, ask_http, opened_door

from pytest_mockstream import (
    CallTools,
    Disconnect,
    Echo,
    FromSchema,
    Gate,
    HTTPError,
    Json,
    MockStreamClient,
    MockStreamSDK,
    Request,
    Script,
    ScriptError,
    StreamDisconnected,
    StreamTimeout,
    Template,
    Text,
    ToolCall,
    Wait,
    sweep_cancellation,
    sweep_faults,
)
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.playbook import computed

httpx: Any = pytest.importorskip("httpx")

pytestmark = pytest.mark.timeout(60)

HERE = "tests/doors/test_computed.py"


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with opened_door(request.param) as door:
        yield door


def greet(request: Request) -> str:
    return f"Hi {request.text}"


def _yields(request: Request) -> Iterator[str | Wait]:
    yield "Hi "
    yield Wait(0)
    yield request.text


async def _awaits(request: Request) -> list[str]:
    await asyncio.sleep(0)
    return ["Hi ", request.text]


async def _yields_asynchronously(request: Request) -> AsyncIterator[str]:
    yield "Hi "
    await asyncio.sleep(0)
    yield request.text


async def _returns_an_iterator(request: Request) -> AsyncIterator[str]:
    return _yields_asynchronously(request)


class Greeter:
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def answer(self, request: Request) -> str:
        return f"{self.greeting} {request.text}"

    def __call__(self, request: Request) -> str:
        return self.answer(request)


def _with_greeting(greeting: str, request: Request) -> str:
    return f"{greeting} {request.text}"


FUNCTIONS: dict[str, Callable[[Request], Any]] = {
    "function": greet,
    "lambda": lambda request: f"Hi {request.text}",
    "method": Greeter("Hi").answer,
    "object": Greeter("Hi"),
    "partial": functools.partial(_with_greeting, "Hi"),
    "a step": lambda request: Text(["Hi ", request.text]),
    "a list": lambda request: ["Hi ", Wait(0), request.text],
    "a tuple": lambda request: ("Hi ", request.text),
    "a script": lambda request: Script("Hi ", request.text, chunking="char"),
    "an iterator": lambda request: iter(["Hi ", request.text]),
    "a function": lambda _: greet,
    "generator": _yields,
    "async function": _awaits,
    "async generator": _yields_asynchronously,
    "async function, async iterator": _returns_an_iterator,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_answers_with_what_it_makes_of_the_request(door: Door, name: str) -> None:
    door.scripts.respond(FUNCTIONS[name])

    assert door.ask("Ada") == "Hi Ada"
    door.scripts.verify()


def test_each_request_calls_it_anew(door: Door) -> None:
    door.scripts.respond(lambda request: f"{request.number}: {request.text}", times=2)

    assert [door.ask("a"), door.ask("b")] == ["1: a", "2: b"]
    door.scripts.verify()


def test_it_stands_among_other_steps(door: Door) -> None:
    door.scripts.respond("> ", greet, "!")

    assert door.ask("Ada") == "> Hi Ada!"


def test_one_that_is_not_asked_for_is_unused(door: Door) -> None:
    door.scripts.when(contains="Bob").respond(greet)
    door.scripts.respond("other")

    assert door.ask("Ada") == "other"
    with pytest.raises(AssertionError, match=rf"greet \({HERE}:\d+\)\) for when\(contains='Bob'\)"):
        door.scripts.verify()


def test_it_may_ask_the_model_itself(door: Door) -> None:
    def judged(request: Request) -> str:
        return f"judged {door.ask('judge')}"

    door.scripts.when(contains="judge").respond("good")
    door.scripts.respond(judged)

    assert door.ask("x") == "judged good"
    door.scripts.verify()


def test_settings_of_respond_are_those_of_what_it_returns(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(lambda _: "abc", chunking="char", finish_reason="length")

    with mock_stream_client.complete_stream("x") as stream:
        chunks = list(stream)

    assert [chunk.delta for chunk in chunks] == ["a", "b", "c", ""]
    assert chunks[-1].finish_reason == "length"


def test_it_may_break_the_stream(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(lambda request: ["Hi", Disconnect()] if request.turn == 1 else "never")

    with mock_stream_client.complete_stream("x") as stream, pytest.raises(StreamDisconnected):
        stream.read()


def test_it_may_refuse_by_a_status(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(lambda _: HTTPError(429, message="slow down"))

    with pytest.raises(RuntimeError, match="slow down"):
        ask_http("https://api.openai.com")("x")


def test_it_answers_a_loop_of_tools(mock_stream_client: MockStreamClient) -> None:
    def model(request: Request) -> Any:
        return f"It is {request.tool_results[0]}." if request.tool_results else ToolCall("weather", {"city": "Oslo"})

    mock_stream_client.respond(model, times=None)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Oslo?"}]
    call = mock_stream_client.chat(messages).tool_calls[0]
    messages += [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "cold"}]

    assert mock_stream_client.chat(messages).content == "It is cold."


# What cannot be played.


def _returns_nothing(_request: Request) -> None:
    pass


def _yields_nothing(_request: Request) -> Iterator[str]:
    yield from ()


def _raises(_request: Request) -> str:
    raise LookupError("no such city")


async def _raises_later(_request: Request) -> AsyncIterator[str]:
    yield "Hi"
    await asyncio.sleep(0)
    raise LookupError("no such city")


def _endless(_request: Request) -> Iterator[str]:
    while True:
        yield "and "


async def _endless_async(_request: Request) -> AsyncIterator[str]:
    while True:
        yield "and "


def _returns_itself(_request: Request) -> Any:
    return _returns_itself


BAD: dict[str, tuple[Callable[[Request], Any], str]] = {
    "None": (_returns_nothing, r"_returns_nothing \(HERE:\d+\) returned None, as a function without `return` does"),
    "no steps": (_yields_nothing, r"_yields_nothing \(HERE:\d+\) gave no steps; return text, a step, a list of them"),
    "no step": (lambda _: 3, r"Script\(<lambda> \(HERE:\d+\)\) cannot answer .*: 3 is not a step.*write Wait\(3\)"),
    "no steps in a list": (lambda _: ["Hi", None], r"None is not a step"),
    "a mapping": (lambda _: {"text": "Hi"}, r"\{'text': 'Hi'\} is not a step"),
    "raises": (_raises, r"Script\(_raises \(HERE:\d+\)\) raised LookupError at HERE:\d+: no such city, asked about"),
    "raises later": (_raises_later, r"_raises_later \(HERE:\d+\)\) raised LookupError at HERE:\d+: no such city"),
    "endless": (_endless, r"_endless \(HERE:\d+\) gave more than 100 steps, and no end"),
    "endless, async": (_endless_async, r"_endless_async \(HERE:\d+\) gave more than 100 steps, and no end"),
    "itself": (_returns_itself, r"_returns_itself \(HERE:\d+\) is returned by functions that return functions"),
    "illegal": (lambda _: [Disconnect(), "Hi"], r"is never played: it comes after Disconnect"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_it_does_wrong_fails_the_test_whatever_the_code_makes_of_it(
    door: Door, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computed, "MOST_STEPS", 100)
    function, told = BAD[name]
    door.scripts.respond(function)

    with pytest.raises((ScriptError, RuntimeError)):
        door.ask("Ada")

    with pytest.raises(ScriptError, match=told.replace("HERE", HERE)) as caught:
        door.scripts.verify()
    path = "complete" if door.name == "client" else "/v1/chat/completions"
    assert f"request 1 ({path}, at tests/three_doors.py:" in str(caught.value)


def test_what_it_raises_is_told_without_secrets(mock_stream_client: MockStreamClient) -> None:
    key = "sk-proj-0123456789abcdefghij"

    def careless(_request: Request) -> str:
        raise PermissionError(f"not for {key}")

    client = MockStreamClient()
    client.respond(careless)

    with pytest.raises(ScriptError, match=r"not for \[redacted\]") as caught:
        client.complete("x")
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((Disconnect(), greet), r"greet \(.*\) is never played: it comes after Disconnect"),
        ((greet, 3), "3 is not a step"),
        ((Text,), r"<class .*Text'> is not a step.*Did you mean Text\(\.\.\.\)"),
    ],
)
def test_what_is_wrong_whatever_it_returns_is_told_at_once(steps: tuple[Any, ...], told: str) -> None:
    with pytest.raises(ScriptError, match=told):
        MockStreamClient().respond(*steps)


def test_settings_are_checked_at_once() -> None:
    with pytest.raises(ScriptError, match="times=0"):
        MockStreamClient().respond(greet, times=0)
    with pytest.raises(TypeError, match=r"there is no keyword tims=2\. Did you mean 'times'"):
        MockStreamClient().respond(greet, tims=2)  # type: ignore[call-arg]


# Where it runs.


@pytest.mark.parametrize("method", ["acomplete", "complete_stream"])
async def test_an_async_function_is_awaited_in_the_loop_of_its_consumer(
    mock_stream_client: MockStreamClient, method: str
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_request: Request) -> str:
        asked.set()
        await go_on.wait()
        return "now"

    async def ask() -> str:
        if method == "acomplete":
            return (await mock_stream_client.acomplete("x")).content
        async with mock_stream_client.complete_stream("x") as stream:
            return await stream.aread()

    mock_stream_client.respond(answer)
    asking = asyncio.create_task(ask())
    await asked.wait()
    assert not asking.done()
    go_on.set()

    assert await asking == "now"
    request = mock_stream_client.requests[0]
    assert (request.state, request.chunk_count) == ("exhausted", 2)


@pytest.mark.parametrize("library", ["httpx", "aiohttp"])
async def test_an_async_function_is_awaited_in_the_loop_of_an_sdk(mock_stream_sdk: MockStreamSDK, library: str) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    url, body = "https://api.openai.com/v1/chat/completions", {"model": "m", "messages": [{"role": "user"}]}

    async def answer(_request: Request) -> AsyncIterator[str]:
        asked.set()
        await go_on.wait()
        yield "now"

    async def ask() -> Any:
        if library == "httpx":
            async with httpx.AsyncClient() as client:
                return (await client.post(url, json=body)).json()
        aiohttp: Any = pytest.importorskip("aiohttp")
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            return await response.json()

    mock_stream_sdk.respond(answer)
    asking = asyncio.create_task(ask())
    await asked.wait()
    go_on.set()

    assert (await asking)["choices"][0]["message"]["content"] == "now"
    assert mock_stream_sdk.requests[0].state == "exhausted"


async def test_a_consumer_that_is_cancelled_while_it_computes_has_left(mock_stream_sdk: MockStreamSDK) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def answer(_request: Request) -> str:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    mock_stream_sdk.respond(answer)
    async with httpx.AsyncClient() as client:
        asking = asyncio.create_task(
            client.post("https://api.openai.com/v1/chat/completions", json={"model": "m", "messages": [{}]})
        )
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    assert ended.is_set()
    assert mock_stream_sdk.requests[0].state == "closed"


async def test_closing_a_stream_cancels_what_computes_it(mock_stream_client: MockStreamClient) -> None:
    ended = asyncio.Event()

    async def answer(_request: Request) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "never"

    mock_stream_client.respond(answer)
    async with mock_stream_client.complete_stream("x") as stream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.aread(), 0.01)
        with pytest.raises(ScriptError, match="awaited in the running loop, which `for` would block"):
            next(stream)

    assert ended.is_set()
    assert stream.state == "closed"


async def test_a_read_that_is_cancelled_while_it_computes_loses_nothing(mock_stream_client: MockStreamClient) -> None:
    go_on = asyncio.Event()

    async def answer(_request: Request) -> str:
        await go_on.wait()
        return "all of it"

    mock_stream_client.respond(answer)
    async with mock_stream_client.complete_stream("x") as stream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.aread(), 0.01)
        go_on.set()

        assert await stream.aread() == "all of it"


async def test_what_an_async_function_raises_reaches_the_reader(mock_stream_client: MockStreamClient) -> None:
    client = MockStreamClient()
    client.respond(_raises_later)

    with pytest.raises(ScriptError, match="no such city"):
        await client.acomplete("x")


async def test_failing_the_test_in_an_async_function_fails_the_test() -> None:
    async def answer(_request: Request) -> str:
        await asyncio.sleep(0)
        pytest.fail("not such a request")

    client = MockStreamClient()
    client.respond(answer)

    with pytest.raises(pytest.fail.Exception, match="not such a request"):
        await client.acomplete("x")


def test_it_is_awaited_on_trio() -> None:
    trio: Any = pytest.importorskip("trio")

    async def answer(_request: Request) -> AsyncIterator[str]:
        await trio.lowlevel.checkpoint()
        yield "on trio"

    async def main() -> str:
        client = MockStreamClient()
        client.respond(answer)
        async with client.complete_stream("x") as stream:
            return await stream.aread()

    assert trio.run(main) == "on trio"


def test_one_that_never_ends_in_a_thread_of_ours_is_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "LONGEST", 0.05)

    async def stuck(_request: Request) -> str:
        await asyncio.Event().wait()
        return "never"

    door.scripts.respond(stuck)

    with pytest.raises((ScriptError, RuntimeError)):
        door.ask("x")

    with pytest.raises(ScriptError, match=r"stuck \(.*(raised TimeoutError|has not returned)"):
        door.scripts.verify()


def test_one_that_blocks_the_server_is_told_with_its_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "LONGEST", 0.05)
    release = threading.Event()

    def stuck(_request: Request) -> str:
        release.wait(30)
        return "late"

    with MockStreamServer() as server:
        server.respond(stuck)
        try:
            with pytest.raises(RuntimeError, match="stuck"):
                ask_http(server.url)("x")
        finally:
            release.set()
        line = stuck.__code__.co_firstlineno
        told = (
            rf"(?s)was not answered: Script\(stuck \({HERE}:{line}\)\) has not returned.*{HERE}:{line + 1} in .*stuck"
        )
        with pytest.raises(ScriptError, match=told):
            server.verify()


def test_the_server_answers_others_meanwhile() -> None:
    release = threading.Event()

    def stuck(_request: Request) -> str:
        release.wait(30)
        return "late"

    with MockStreamServer() as server:
        server.when(contains="stuck").respond(stuck)
        server.respond("at once")
        late: list[str] = []
        caller = threading.Thread(target=lambda: late.append(ask_http(server.url)("stuck")))
        caller.start()
        try:
            assert ask_http(server.url)("quick") == "at once"
        finally:
            release.set()
            caller.join()
        assert late == ["late"]


async def test_a_sweep_calls_it_in_each_of_its_runs(mock_stream_client: MockStreamClient) -> None:
    asked: list[str] = []

    async def answer(request: Request) -> str:
        await asyncio.sleep(0)
        asked.append(request.text)
        return "one two"

    mock_stream_client.respond(answer)

    async def ask() -> None:
        async with mock_stream_client.complete_stream("x", timeout=1) as stream:
            chunks = [chunk async for chunk in stream]
        if not chunks or not chunks[-1].done:
            raise ConnectionError("cut off")

    result = await sweep_faults(ask, mock_stream_client, faults=[Disconnect])

    assert result.points == 3
    assert asked == ["x"] * 4


async def test_a_gate_that_an_async_function_gives_holds_its_stream(mock_stream_client: MockStreamClient) -> None:
    gate = Gate()

    async def answer(_request: Request) -> AsyncIterator[str | Gate]:
        await asyncio.sleep(0)
        yield "one "
        yield gate
        yield "two"

    mock_stream_client.respond(answer)
    async with mock_stream_client.complete_stream("x") as stream:
        assert (await anext(stream)).delta == "one "
        reading = asyncio.create_task(stream.aread())
        await gate.reached()
        gate.open()

        assert await reading == "one two"


@pytest.mark.filterwarnings("ignore::pytest_mockstream.UnclosedStreamWarning")
@pytest.mark.parametrize("producer", ["inline", "background"])
@pytest.mark.parametrize("way", ["close", "aclose", "cancel", "drop"])
@pytest.mark.usefixtures("no_garbage")
async def test_a_stream_that_is_left_at_once_leaves_nothing_behind(producer: Any, way: str) -> None:
    client = MockStreamClient(producer=producer)
    client.respond(_awaits)
    stream = client.complete_stream("x")

    if way == "aclose":
        await stream.aclose()
    elif way == "drop":
        del stream
    else:
        getattr(stream, way)()

    for _ in range(5):
        await asyncio.sleep(0)
    assert [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert client.requests[0].state == {"close": "closed", "aclose": "closed", "drop": "dropped"}.get(way, "cancelled")
    client.verify()


@pytest.mark.parametrize("producer", ["inline", "background"])
async def test_either_producer_waits_for_an_async_function(producer: Any) -> None:
    client = MockStreamClient(producer=producer)
    client.respond(_yields_asynchronously)

    async with client.complete_stream("Ada") as stream:
        assert await stream.aread() == "Hi Ada"


async def test_a_stream_whose_time_runs_out_while_it_is_computed_says_so() -> None:
    async def answer(_request: Request) -> str:
        await asyncio.Event().wait()
        return "never"

    client = MockStreamClient()
    client.respond(answer)

    async with client.complete_stream("x", timeout=0.01) as stream:
        with pytest.raises(StreamTimeout, match="The function that answers it has not returned"):
            await stream.aread()


async def test_a_consumer_is_cancelled_at_each_await_while_it_computes(mock_stream_client: MockStreamClient) -> None:
    async def answer(request: Request) -> str:
        await asyncio.sleep(0)
        return request.text

    mock_stream_client.respond(answer)

    async def ask() -> None:
        async with mock_stream_client.complete_stream("x") as stream:
            await stream.aread()

    result = await sweep_cancellation(ask)

    assert result.points > 2


def test_what_has_a_secret_in_it_is_not_chained() -> None:
    def careless(request: Request) -> str:
        raise PermissionError(request.messages[0]["content"] + "!")

    client = MockStreamClient()
    client.respond(careless)

    with pytest.raises(ScriptError) as caught:
        client.complete("my key is sk-proj-0123456789abcdefghij")

    shown = "".join(traceback.format_exception(caught.value))
    assert "PermissionError" in shown
    assert "0123456789abcdefghij" not in shown.replace('client.complete("my key is sk-proj-0123456789abcdefghij")', "")


def test_a_function_in_a_script_is_told_where_it_belongs() -> None:
    with pytest.raises(ScriptError, match=r"A function that answers a request goes into respond\(\.\.\.\)"):
        Script(greet)  # type: ignore[arg-type]


def test_what_users_write_has_the_types_that_it_needs(mock_stream_client: MockStreamClient) -> None:
    """Mypy checks this file: there is nothing to see at run time but that each is taken."""
    client = mock_stream_client
    client.respond(lambda request: f"Hi {request.text}")
    client.respond(lambda request: ["Hi ", Wait(0), request.text], times=1)
    client.respond(lambda request: ToolCall("f") if request.turn == 1 else "done")
    client.respond(lambda _: Script("a", delay=0))
    client.respond(greet, "!", Echo(), Template("{user}"), Json({}), FromSchema(), CallTools())
    client.respond(_yields)
    client.respond(_awaits)
    client.respond(_yields_asynchronously)
    client.respond(_returns_an_iterator)
    client.respond(Greeter("Hi"))
    client.respond(Greeter("Hi").answer)
    client.respond(functools.partial(_with_greeting, "Hi"))
    client.when(contains="x").respond(lambda request: request.text)

    client.verify(unused="allow")
    client._playbook.clear()


@pytest.mark.parametrize("name", ["client", "sdk"])
async def test_one_that_asks_about_its_own_requests_without_end_is_told(name: str) -> None:
    with opened_door(name) as door:

        async def ask() -> str:
            if name == "client":
                return str((await door.scripts.acomplete("again")).content)
            async with httpx.AsyncClient() as client:
                body = {"model": "m", "messages": [{"role": "user", "content": "again"}]}
                answer = await client.post("https://api.openai.com/v1/chat/completions", json=body)
                return str(answer.raise_for_status().text)

        async def answer(_request: Request) -> str:
            await asyncio.sleep(0)
            return await ask()

        door.scripts.respond(answer, times=None)

        with pytest.raises((ScriptError, httpx.HTTPStatusError)):
            await ask()

        assert len(door.scripts.requests) == 11
        with pytest.raises(ScriptError, match=r"request 11 .*, while 10 functions wait for one another"):
            door.scripts.verify()
