"""The retries that a library makes by itself are told from those of the code under test, in process and on a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec

import pytest
import virtual

from pytest_mockstream import HTTPError, MockStreamSDK, sweep_faults
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.playbook.findings import library_that_retries

from .consumers import MESSAGES, QUESTION

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning"),  # cohere's
]


async def openai(retries: int) -> None:
    import openai

    async with openai.AsyncOpenAI(max_retries=retries) as client:
        await client.chat.completions.create(model="gpt-5", messages=MESSAGES)


async def anthropic(retries: int) -> None:
    import anthropic

    async with anthropic.AsyncAnthropic(max_retries=retries) as client:
        await client.messages.create(model="claude", messages=MESSAGES, max_tokens=9)


async def groq(retries: int) -> None:
    import groq

    async with groq.AsyncGroq(max_retries=retries) as client:
        await client.chat.completions.create(model="llama", messages=MESSAGES)


async def google(retries: int) -> None:
    from google import genai
    from google.genai import types

    options = types.HttpOptions(retry_options=types.HttpRetryOptions(attempts=retries + 1))
    async with genai.Client(http_options=options).aio as client:
        await client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION)


async def cohere(retries: int) -> None:
    import cohere
    import httpx

    async with httpx.AsyncClient() as http:
        client = cohere.AsyncClientV2(httpx_client=http)
        await client.chat(model="command-a", messages=MESSAGES, request_options={"max_retries": retries})


async def mistralai(retries: int) -> None:
    from mistralai.client import Mistral
    from mistralai.client.utils import BackoffStrategy, RetryConfig

    config = RetryConfig("backoff", BackoffStrategy(500, 5000, 1.5, 20_000), True) if retries else None
    async with Mistral(api_key="key") as client:
        await client.chat.complete_async(model="mistral-small", messages=MESSAGES, retries=config)


async def botocore(retries: int) -> None:
    import aioboto3
    from botocore.config import Config

    config = Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, region_name="us-east-1")
    async with aioboto3.Session().client("bedrock-runtime", config=config) as client:
        await client.converse(modelId="anthropic.claude-v2", messages=[{"role": "user", "content": [{"text": "hi"}]}])


#: By the name that the finding has for it: the package, and how it is asked.
LIBRARIES: dict[str, tuple[str, Callable[[int], Awaitable[None]]]] = {
    "openai": ("openai", openai),
    "anthropic": ("anthropic", anthropic),
    "groq": ("groq", groq),
    "google-genai": ("google", google),
    "cohere": ("cohere", cohere),
    "mistralai": ("mistralai", mistralai),
    "botocore": ("aioboto3", botocore),
}


def library(name: str) -> Callable[[int], Awaitable[None]]:
    package, ask = LIBRARIES[name]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return ask


@pytest.mark.parametrize("name", LIBRARIES)
def test_retry_of_the_librarys_own_is_the_librarys(name: str) -> None:
    ask = library(name)

    async def asks() -> None:
        await ask(2)

    with MockStreamSDK() as sdk:
        sdk.respond(HTTPError(503))
        sdk.respond("yes")

        virtual.run(asks())

        first, second = sdk.requests
    assert second.retry_of is first
    assert library_that_retries(first, second) == name


@pytest.mark.parametrize("name", LIBRARIES)
def test_retry_in_ones_own_loop_is_ones_own(name: str) -> None:
    ask = library(name)

    async def asks() -> None:
        for _ in range(2):
            try:
                await ask(0)
            except Exception:  # noqa: S112 - what a retry loop does
                continue

    with MockStreamSDK() as sdk:
        sdk.respond(HTTPError(503))
        sdk.respond("yes")

        virtual.run(asks())

        first, second = sdk.requests
    assert second.retry_of is first
    assert library_that_retries(first, second) is None


async def test_server_sees_whose_retry_it_is() -> None:
    ask = library("openai")

    with MockStreamServer() as server, pytest.MonkeyPatch.context() as patch:
        for variable, value in server.environment().items():
            patch.setenv(variable, value)
        server.respond(HTTPError(503, retry_after=0.01))
        server.respond("yes")

        await ask(2)

        first, second = server.requests
    assert second.retry_of is first
    assert library_that_retries(first, second) == "openai"


def test_what_a_library_does_by_itself_fails_no_sweep() -> None:
    ask = library("google-genai")

    async def asks() -> str:
        await ask(2)
        return "done"

    with MockStreamSDK() as sdk:
        sdk.respond("yes")

        faults = [HTTPError(429, retry_after=600)]
        result = virtual.run(sweep_faults(asks, sdk, faults=faults, allow_completion=True, patience=60))

    assert (result.points, result.ok) == (1, True)


def test_sdk_that_comes_back_too_early_is_named_in_the_finding() -> None:
    ask = library("google-genai")

    async def asks() -> None:
        await ask(2)

    with MockStreamSDK() as sdk:
        sdk.respond(HTTPError(429, retry_after=600))
        sdk.respond("yes")
        virtual.run(asks())

        [finding] = sdk.findings()

    assert (finding.name, finding.by) == ("ignores_retry_after", "google-genai")
    assert str(finding).startswith("ignores_retry_after: google-genai itself asked again before the 600 s were over")
    assert finding.remedy.startswith("It is a retry of google-genai's own: switch its retries off")
