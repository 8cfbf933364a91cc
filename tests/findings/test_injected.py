"""Trouble for a whole test: a quota, and faults at random."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import virtual
from three_doors import DOORS, opened_door

from pytest_mockstream import (
    Chaos,
    Disconnect,
    HTTPError,
    MockStreamClient,
    MockStreamError,
    ProviderError,
    RateLimit,
    ScriptError,
    Truncate,
    sweep_faults,
)
from pytest_mockstream._base.callsite import calling_site
from pytest_mockstream.doors.answer import answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.playbook.injected import injections
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.script.script import Script


def limited(client: MockStreamClient, text: str = "hi", **params: Any) -> float | None:
    """Ask, and return how long the refusal asks to wait; None if it was answered."""
    try:
        client.complete(text, **params)
    except ProviderError as error:
        return error.retry_after
    return None


@pytest.mark.parametrize("name", DOORS)
def test_requests_over_the_quota_are_refused_and_use_up_no_script(name: str) -> None:
    with opened_door(name) as door:
        door.scripts.inject(RateLimit(rpm=2))
        door.scripts.respond("one")
        door.scripts.respond("two")

        assert [door.ask("hi"), door.ask("hi")] == ["one", "two"]
        with pytest.raises(Exception, match=r"Rate limit reached for .*, requests per minute: 2"):
            door.ask("hi")

        door.scripts.verify()


def test_quota_refills_by_the_clock_of_the_loop() -> None:
    client = MockStreamClient()
    client.inject(RateLimit(rpm=2))

    async def asks() -> list[float | None]:
        waits = []
        for pause in (0, 0, 0, 10, 20, 0, 59):
            await asyncio.sleep(pause)
            try:
                await client.acomplete("hi")
            except ProviderError as error:
                waits.append(error.retry_after)
            else:
                waits.append(None)
        return waits

    assert virtual.run(asks()) == [None, None, 30, 20, None, 30, None]


def test_quota_that_was_not_used_does_not_pile_up() -> None:
    client = MockStreamClient()
    client.inject(RateLimit(rpm=2))

    async def asks() -> list[bool]:
        await client.acomplete("hi")
        await asyncio.sleep(600)
        answered = []
        for _ in range(3):
            try:
                await client.acomplete("hi")
            except ProviderError:
                answered.append(False)
            else:
                answered.append(True)
        return answered

    assert virtual.run(asks()) == [True, True, False]


def test_each_model_has_its_own_quota() -> None:
    client = MockStreamClient()
    client.inject(RateLimit(rpm=1))

    assert [limited(client, model=model) is None for model in ("a", "b", "a")] == [True, True, False]


def test_tokens_of_prompt_and_answer_count() -> None:
    client = MockStreamClient()
    client.inject(RateLimit(tpm=60))
    client.respond("word " * 40, times=None)

    assert [limited(client, "four words of prompt"), limited(client, "four words of prompt")] == [None, None]
    wait = limited(client, "four words of prompt")

    assert wait == 32  # 88 of 60 tokens are used, 4 are needed


def test_code_that_waits_as_told_gets_its_answer_without_a_finding() -> None:
    client = MockStreamClient()
    client.inject(RateLimit(rpm=1))

    async def asks() -> str:
        while True:
            try:
                return (await client.acomplete("hi")).content
            except ProviderError as error:
                await asyncio.sleep(error.retry_after or 0)

    async def all_of_them() -> list[str]:
        return [await asks() for _ in range(3)]

    assert virtual.run(all_of_them()) == [client.default_text] * 3
    assert client.findings() == []


OPENAI = ("https://api.openai.com/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hi"}]})
ANTHROPIC = ("https://api.anthropic.com/v1/messages", {**OPENAI[1], "max_tokens": 9})
GEMINI = (
    "https://generativelanguage.googleapis.com/v1beta/models/gemini:generateContent",
    {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
)


def headers(url: str, body: dict[str, Any], playbook: Playbook) -> dict[str, str]:
    incoming = HTTPRequest(method="POST", url=url, headers={}, body=json.dumps(body).encode())
    answered = answer(playbook, incoming, opened_at=calling_site())
    answered.leave()
    of_limits = ("ratelimit", "x-trial-endpoint", "retry-after")
    return {name: value for name, value in answered.headers.items() if any(part in name for part in of_limits)}


def playbook_of(*scripts: Script, inject: tuple[object, ...] = ()) -> Playbook:
    playbook = Playbook(scripts[0] if scripts else Script("hello", times=None), name="door")
    playbook.injected += injections(inject) if inject else []
    return playbook


def test_answers_say_what_is_left_in_the_providers_own_headers() -> None:
    limit = RateLimit(rpm=60, tpm=600)

    assert headers(*OPENAI, playbook_of(inject=(limit,))) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "598",
        "x-ratelimit-reset-tokens": "200ms",
    }
    anthropic = headers(*ANTHROPIC, playbook_of(inject=(limit,)))
    assert datetime.fromisoformat(anthropic.pop("anthropic-ratelimit-requests-reset")).tzinfo is not None
    assert datetime.fromisoformat(anthropic.pop("anthropic-ratelimit-tokens-reset")).tzinfo is not None
    assert anthropic == {
        "anthropic-ratelimit-requests-limit": "60",
        "anthropic-ratelimit-requests-remaining": "59",
        "anthropic-ratelimit-tokens-limit": "600",
        "anthropic-ratelimit-tokens-remaining": "598",
    }
    groq = ("https://api.groq.com/openai/v1/chat/completions", OPENAI[1])
    assert headers(*groq, playbook_of(inject=(RateLimit(rpm=60),)))["x-ratelimit-remaining-requests"] == "59"
    openrouter = ("https://openrouter.ai/api/v1/chat/completions", OPENAI[1])
    assert headers(*openrouter, playbook_of(inject=(RateLimit(rpm=60),)))["x-ratelimit-remaining"] == "59"
    assert headers(*GEMINI, playbook_of(inject=(limit,))) == {}


def test_refusal_says_when_to_come_back() -> None:
    playbook = playbook_of(inject=(RateLimit(rpm=1),))

    async def asks_twice() -> dict[str, str]:
        headers(*OPENAI, playbook)
        await asyncio.sleep(15)
        return headers(*OPENAI, playbook)

    assert virtual.run(asks_twice()) == {
        "retry-after": "45",
        "x-ratelimit-limit-requests": "1",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "45s",
    }


def test_refusal_says_only_what_the_provider_says_in_one() -> None:
    cohere = ("https://api.cohere.com/v2/chat", OPENAI[1])
    github = ("https://models.github.ai/inference/chat/completions", OPENAI[1])
    playbook = playbook_of(inject=(RateLimit(rpm=1),))

    assert headers(*cohere, playbook) == {
        "x-trial-endpoint-call-limit": "1",
        "x-trial-endpoint-call-remaining": "0",
    }
    assert headers(*cohere, playbook) == {"retry-after": "60"}
    assert headers(*github, playbook_of(Script(HTTPError(429, retry_after=90)))) == {
        "retry-after": "90",
        "x-ratelimit-timeremaining": "90",
    }


def test_scripted_rate_limit_has_the_providers_headers_and_those_of_the_script_win() -> None:
    assert headers(*OPENAI, playbook_of(Script(HTTPError(429, retry_after=90)))) == {
        "retry-after": "90",
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m30s",
    }
    given = HTTPError(429, headers={"x-ratelimit-remaining-requests": "7"})
    assert headers(*OPENAI, playbook_of(Script(given)))["x-ratelimit-remaining-requests"] == "7"
    assert headers(*OPENAI, playbook_of(Script(HTTPError(429, type="insufficient_quota")))) == {}
    assert headers(*OPENAI, playbook_of(Script(HTTPError(503)))) == {}


def outcomes(chaos: Chaos, count: int = 200) -> list[str]:
    client = MockStreamClient()
    client.inject(chaos)
    client.respond("one two three", times=None)
    found = []
    for number in range(count):
        with client.complete_stream(f"question {number}") as stream:
            try:
                text = stream.read()
            except MockStreamError as error:
                found.append(type(error).__name__)
            else:
                found.append("whole" if stream.state == "exhausted" else f"cut after {text!r}")
    return found


def test_chaos_breaks_the_share_that_it_is_told_in_each_of_its_ways() -> None:
    found = Counter(outcomes(Chaos(rate=0.25, seed=7, of=[Truncate(), Disconnect(), HTTPError(529)])))

    assert 0.15 < 1 - found["whole"] / 200 < 0.35
    assert {"StreamDisconnected", "ProviderError", "cut after 'one '"} <= set(found)


def test_same_seed_gives_the_same_chaos() -> None:
    assert outcomes(Chaos(rate=0.5, seed=7)) == outcomes(Chaos(rate=0.5, seed=7))
    assert outcomes(Chaos(rate=0.5, seed=7)) != outcomes(Chaos(rate=0.5, seed=8))


@pytest.mark.parametrize(("rate", "whole"), [(0, 50), (1, 0)])
def test_chaos_of_none_and_of_all(rate: float, whole: int) -> None:
    assert outcomes(Chaos(rate=rate), 50).count("whole") == whole


def test_code_that_retries_needs_no_script_for_each_try() -> None:
    client = MockStreamClient()
    client.inject(Chaos(rate=0.5, seed=3, of=[Disconnect(), HTTPError(503)]))
    texts = [f"answer {number}" for number in range(30)]
    for text in texts:
        client.respond(text)

    def asks(number: int) -> str:
        for _ in range(20):
            try:
                with client.complete_stream(f"question {number}") as stream:
                    return stream.read()
            except MockStreamError:
                continue
        raise ConnectionError

    assert [asks(number) for number in range(30)] == texts
    assert len(client.requests) > 40
    client.verify()


def test_both_at_once() -> None:
    client = MockStreamClient()
    client.inject(RateLimit(rpm=3), Chaos(rate=1, of=[HTTPError(500)]))

    statuses = []
    for _ in range(4):
        with pytest.raises(ProviderError) as caught:
            client.complete("hi")
        statuses.append(caught.value.status)

    assert statuses == [500, 500, 500, 429]


async def test_each_run_of_a_sweep_finds_the_quota_as_it_was(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.inject(RateLimit(rpm=1))
    mock_stream_client.respond("one two")

    async def asks() -> None:
        async with mock_stream_client.complete_stream("hi") as stream:
            await stream.aread()

    result = await sweep_faults(asks, mock_stream_client, faults=[Disconnect])

    assert (result.points, result.ok) == (3, True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (RateLimit, "RateLimit() limits nothing"),
        (lambda: RateLimit(rpm=0), "RateLimit(rpm)=0"),
        (lambda: RateLimit(tpm=1.5), "RateLimit(tpm)=1.5"),  # type: ignore[arg-type]
        (lambda: Chaos(rate=2), "Chaos(rate=2): give a share from 0 to 1"),
        (lambda: Chaos(rate=True), "Chaos(rate=True)"),
        (lambda: Chaos(rate=0.1, seed="x"), "Chaos(seed)='x'"),  # type: ignore[arg-type]
        (lambda: Chaos(rate=0.1, of=[]), "Chaos(of=[]): give a list of faults"),
        (lambda: Chaos(rate=0.1, of=["boom"]), "give a list of faults"),  # type: ignore[list-item]
        (lambda: MockStreamClient().inject(), "inject(): give RateLimit(...) or Chaos(...)"),
        (lambda: MockStreamClient().inject(Disconnect()), "faults of one answer go to respond()"),  # type: ignore[arg-type]
    ],
)
def test_value_that_is_not_legal_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        make()

    assert message in str(caught.value)
