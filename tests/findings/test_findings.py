"""Each finding by name: code with the fault has it, the same code mended has not."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import virtual

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    Finding,
    HTTPError,
    MockStreamClient,
    ProviderError,
    ScriptError,
    Truncate,
)

MESSAGES = [{"role": "user", "content": "Where?"}]


def names(found: list[Finding]) -> list[str]:
    return [finding.name for finding in found]


def client_with(*scripts: Any) -> MockStreamClient:
    client = MockStreamClient()
    for script in scripts:
        client.respond(*(script if isinstance(script, tuple) else (script,)))
    return client


async def told(client: MockStreamClient, asked: Coroutine[Any, Any, Any]) -> list[str]:
    """Return the findings on a coroutine, judged with what it returned or raised."""
    try:
        returned = await asked
    except Exception as error:
        returned = error
    return names(client.findings(returned))


# What was delivered.


async def appends(client: MockStreamClient) -> str:
    shown = ""
    for attempt in range(3):
        try:
            async with client.complete_stream("Where?") as stream:
                async for chunk in stream:
                    shown += chunk.delta
                return shown
        except ConnectionError:
            await asyncio.sleep(2**attempt)
    raise ConnectionError


async def begins_anew(client: MockStreamClient) -> str:
    for attempt in range(3):
        shown = ""
        try:
            async with client.complete_stream("Where?") as stream:
                async for chunk in stream:
                    shown += chunk.delta
                return shown
        except ConnectionError:
            await asyncio.sleep(2**attempt)
    raise ConnectionError


async def goes_on(client: MockStreamClient) -> str:
    shown, messages = "", MESSAGES
    for attempt in range(3):
        try:
            async with client.chat_stream(messages) as stream:
                async for chunk in stream:
                    shown += chunk.delta
                return shown
        except ConnectionError:
            messages = [*MESSAGES, {"role": "assistant", "content": shown}, {"role": "user", "content": "Go on."}]
            await asyncio.sleep(2**attempt)
    raise ConnectionError


async def falls_back(client: MockStreamClient) -> str:
    for model in ("first", "second"):
        shown = ""
        try:
            async with client.complete_stream("Where?", model=model) as stream:
                async for chunk in stream:
                    shown += chunk.delta
                return shown
        except ConnectionError:
            pass
    raise ConnectionError


async def gives_up_silently(client: MockStreamClient) -> str:
    try:
        async with client.complete_stream("Where?") as stream:
            return "".join([chunk.delta async for chunk in stream])
    except ConnectionError:
        return ""


async def keeps_what_came(client: MockStreamClient) -> str:
    shown = ""
    try:
        async with client.complete_stream("Where?") as stream:
            async for chunk in stream:
                shown += chunk.delta
    except ConnectionError:
        pass
    return shown


async def keeps_and_says_so(client: MockStreamClient) -> str:
    shown = await keeps_what_came(client)
    return shown if client.requests[-1].state == "exhausted" else f"{shown} [interrupted]"


async def returns_whether_whole(client: MockStreamClient) -> dict[str, object]:
    shown = await keeps_what_came(client)
    return {"text": shown, "complete": client.requests[-1].state == "exhausted"}


async def apologises(client: MockStreamClient) -> str:
    return await gives_up_silently(client) or "Sorry, I am offline."


BROKEN = ("Paris is", Disconnect())
DELIVERED: list[tuple[Callable[[MockStreamClient], Coroutine[Any, Any, object]], list[Any], list[str]]] = [
    (appends, [BROKEN, "Paris is lovely."], ["repeats_delivered"]),
    (appends, [BROKEN, BROKEN, "Paris is lovely."], ["repeats_delivered", "repeats_delivered"]),
    (begins_anew, [BROKEN, "Paris is lovely."], []),
    (begins_anew, [BROKEN, BROKEN, "Paris is lovely."], []),
    (goes_on, [BROKEN, " lovely."], []),
    (falls_back, [BROKEN, "Paris is lovely."], []),
    (gives_up_silently, [BROKEN], ["loses_delivered"]),
    (gives_up_silently, [HTTPError(500)], []),  # it raises
    (gives_up_silently, [Disconnect()], ["hides_failure"]),
    (keeps_what_came, [BROKEN], ["hides_failure"]),
    (keeps_what_came, [("Paris is", Truncate())], ["takes_truncated_for_whole"]),
    (keeps_what_came, ["Paris is"], []),
    (keeps_and_says_so, [BROKEN], []),
    (keeps_and_says_so, [("Paris is", Truncate())], []),
    (returns_whether_whole, [BROKEN], []),
    (apologises, [BROKEN], []),
    (apologises, [Disconnect()], []),
]


@pytest.mark.parametrize(
    ("code", "scripts", "expected"),
    DELIVERED,
    ids=[f"{code.__name__}-{number}" for number, (code, *_) in enumerate(DELIVERED)],
)
def test_what_becomes_of_the_delivered_part(
    code: Callable[[MockStreamClient], Coroutine[Any, Any, object]], scripts: list[Any], expected: list[str]
) -> None:
    client = client_with(*scripts)

    assert virtual.run(told(client, code(client))) == expected


def test_part_that_was_yielded_twice_is_found() -> None:
    client = client_with(BROKEN, "Paris is lovely.")

    async def answer() -> AsyncIterator[str]:
        for attempt in range(2):
            try:
                async with client.complete_stream("Where?") as stream:
                    async for chunk in stream:
                        yield chunk.delta
                return
            except ConnectionError:
                await asyncio.sleep(2**attempt)

    async def collects() -> list[str]:
        return [part async for part in answer()]

    assert virtual.run(told(client, collects())) == ["repeats_delivered"]


def test_part_that_was_printed_twice_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    client = client_with(BROKEN, "Paris is lovely.")

    for _ in range(2):
        with client.complete_stream("Where?") as stream:
            try:
                for chunk in stream:
                    print(chunk.delta, end="", flush=True)  # noqa: T201 - what is tested
            except ConnectionError:
                continue

    assert names(client.findings(wrote=capsys.readouterr().out)) == ["repeats_delivered"]


def test_without_an_outcome_nothing_is_said_about_it() -> None:
    client = client_with(BROKEN)

    virtual.run(keeps_what_came(client))

    assert client.findings() == []
    assert client.findings(None) == []


# When it was asked again.


def retrying(*pauses: float) -> Callable[[MockStreamClient], Coroutine[Any, Any, str]]:
    """Return code that asks again after each of these pauses."""

    async def asks(client: MockStreamClient) -> str:
        for pause in pauses:
            try:
                return (await client.acomplete("Where?")).content
            except ProviderError:
                await asyncio.sleep(pause)
        return (await client.acomplete("Where?")).content

    return asks


def after(seconds: float) -> HTTPError:
    return HTTPError(429, retry_after=seconds)


TIMED: list[tuple[str, Callable[[MockStreamClient], Coroutine[Any, Any, str]], list[Any], list[str]]] = [
    ("too early", retrying(1), [after(2), "yes"], ["ignores_retry_after"]),
    ("in time", retrying(2), [after(2), "yes"], []),
    ("later", retrying(3), [after(2), "yes"], []),
    ("milliseconds", retrying(1), [HTTPError(429, headers={"retry-after-ms": "1500"}), "yes"], ["ignores_retry_after"]),
    ("milliseconds in time", retrying(1.5), [HTTPError(429, headers={"retry-after-ms": "1500"}), "yes"], []),
    ("milliseconds first", retrying(1), [HTTPError(429, headers={"retry-after-ms": "900"}, retry_after=5), "yes"], []),
    ("unreadable", retrying(1), [HTTPError(429, headers={"retry-after": "soon"}), "yes"], []),
    ("overloaded", retrying(1), [HTTPError(529, retry_after=2), "yes"], ["ignores_retry_after"]),
    ("asked for", retrying(2, 2, 2), [after(2), after(2), after(2), "yes"], []),
    ("fixed pauses", retrying(1, 1), [HTTPError(500), HTTPError(500), "yes"], ["storm"]),
    ("no pauses", retrying(0, 0), [HTTPError(500), HTTPError(500), "yes"], ["storm"]),
    ("growing pauses", retrying(1, 2), [HTTPError(500), HTTPError(500), "yes"], []),
    ("growing pauses, nearly the same by jitter", retrying(1.95, 2.05), [HTTPError(500), HTTPError(500), "yes"], []),
    ("fixed pauses with jitter", retrying(1, 1.01, 1.02), [HTTPError(500)] * 3 + ["yes"], ["storm"]),
    ("one retry", retrying(0), [HTTPError(500), "yes"], []),
    ("a job each minute", retrying(60, 60, 60), [HTTPError(500)] * 3 + ["yes"], []),
    ("8 tries", retrying(*(2**n for n in range(7))), [HTTPError(500)] * 7 + ["yes"], []),
    ("9 tries", retrying(*(2**n for n in range(8))), [HTTPError(500)] * 8 + ["yes"], ["storm"]),
    *(
        (f"permanent {status}", retrying(1), [HTTPError(status), "yes"], ["retries_permanent"])
        for status in (400, 401, 403, 404, 422)
    ),
    *((f"passing {status}", retrying(1), [HTTPError(status), "yes"], []) for status in (408, 409, 429, 500, 503, 529)),
]


@pytest.mark.parametrize(("code", "scripts", "expected"), [row[1:] for row in TIMED], ids=[row[0] for row in TIMED])
def test_when_it_was_asked_again(
    code: Callable[[MockStreamClient], Coroutine[Any, Any, str]], scripts: list[Any], expected: list[str]
) -> None:
    client = client_with(*scripts)

    assert virtual.run(told(client, code(client))) == expected


def test_date_to_wait_for_counts() -> None:
    client = client_with(HTTPError(429, retry_after=datetime.now(UTC) + timedelta(seconds=90)), "yes")

    assert virtual.run(told(client, retrying(60)(client))) == ["ignores_retry_after"]


def test_jitter_of_tenacity_is_no_storm() -> None:
    wait = pytest.importorskip("tenacity").wait_exponential_jitter()
    for seed in range(300):
        random.seed(seed)
        pauses = [wait(SimpleNamespace(attempt_number=attempt)) for attempt in (1, 2)]
        client = client_with(HTTPError(500), HTTPError(500), "yes")
        assert virtual.run(told(client, retrying(*pauses)(client))) == [], pauses


def test_number_of_tries_that_are_no_storm_can_be_set() -> None:
    client = client_with(HTTPError(500), HTTPError(500), "yes")
    virtual.run(retrying(1, 2)(client))

    assert names(client.findings(max_tries=3)) == []
    assert names(client.findings(max_tries=2)) == ["storm"]
    with pytest.raises(ScriptError, match="max_tries"):
        client.findings(max_tries=0)


def test_pauses_that_a_test_has_replaced_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_with(after(2), "yes")
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    for _ in range(2):
        try:
            client.complete("Where?")
        except ProviderError as error:
            time.sleep(error.retry_after or 0)

    assert slept == [2.0]
    assert client.findings() == []


def test_test_that_calls_its_code_twice_retries_nothing() -> None:
    client = client_with(after(60), HTTPError(401), "yes")

    def asks() -> str:
        return client.complete("Where?").content

    with pytest.raises(ProviderError):
        asks()
    with pytest.raises(ProviderError):
        asks()
    assert asks() == "yes"

    assert client.requests[1].retry_of is client.requests[0]
    assert client.findings() == []


def test_outcome_of_a_later_question_says_nothing_about_an_earlier_one() -> None:
    client = client_with(BROKEN, "Rome is near.")

    with client.complete_stream("Where?") as stream, pytest.raises(ConnectionError):
        stream.read()
    answer = client.complete("And where else?").content

    assert client.findings(answer) == []


def test_other_task_that_asks_the_same_for_the_first_time_retries_nothing() -> None:
    client = client_with(after(2), "yes", "yes")

    async def asks(delay: float) -> None:
        await asyncio.sleep(delay)
        await retrying(2)(client)

    async def both() -> None:
        await asyncio.gather(asks(0), asks(1))

    virtual.run(both())

    first, other, again = client.requests
    assert (other.retry_of, again.retry_of) == (None, first)
    assert client.findings() == []


def test_finding_says_who_what_when_and_what_to_do() -> None:
    client = client_with(after(2), "yes")
    virtual.run(retrying(1)(client))

    [finding] = client.findings()

    request = client.requests[1]
    assert str(finding) == (
        f"ignores_retry_after: {request.opened_at} (request 2) asked again before the 2 s were over that request 1"
        " (acomplete) had asked it to wait: after 1 s"
    )
    assert finding.request is request
    assert finding.by is None
    assert finding.remedy.startswith("Wait as long as the answer asks")


def test_error_of_a_reply_that_is_not_streamed_has_its_status() -> None:
    client = client_with(ErrorEvent("down"), "yes")

    assert virtual.run(told(client, retrying(1)(client))) == []
    assert client.requests[1].retry_of is client.requests[0]
