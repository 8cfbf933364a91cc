"""The SDKs that run on trio, through the in-process door, in virtual time.

google-genai does with an httpx transport; by default it takes aiohttp, where that is installed, which is asyncio's.
langchain and pydantic-ai start asyncio tasks of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import httpx
import pytest
import trio
from sdk_streams import ASYNC, Opened
from sdk_talks import MESSAGES, is_installed
from virtual import Trio

from pytest_mockstream import (
    Disconnect,
    Gate,
    MockStreamSDK,
    Stall,
    UnexpectedRequestError,
    Wait,
    sweep_cancellation,
)

# SDKs and httpx drop async generators in the middle once they have what they want, and with them that of the body,
# which httpcore has, too. trio minds that, and asyncio does not.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


async def google_on_httpx() -> Opened:
    from google import genai

    options = genai.types.HttpOptions(async_client_args={"transport": httpx.AsyncHTTPTransport()})
    client = genai.Client(http_options=options)
    stream: Any = await client.aio.models.generate_content_stream(model="gemini", contents="hi")
    return Opened(stream, client, stream.aclose, client.aio.aclose)


OPENERS: dict[str, Callable[[], Awaitable[Opened]]] = {
    name: opener for name, opener in ASYNC.items() if name.startswith(("openai", "anthropic", "ollama"))
}
if is_installed("google.genai"):
    OPENERS["google-genai"] = google_on_httpx

each_sdk = pytest.mark.parametrize("opener", [pytest.param(opener, id=name) for name, opener in OPENERS.items()])
each_producer = pytest.mark.parametrize("producer", ["inline", "background"])


async def read(opened: Opened) -> int:
    """Read a stream to its end; return how often that gave something."""
    number = 0
    async for _ in opened.stream:
        number += 1
    await opened.close()
    await opened.close_client()
    return number


@each_sdk
@each_producer
def test_stream_is_read_to_its_end(opener: Callable[[], Awaitable[Opened]], producer: Any) -> None:
    async def main() -> tuple[int, float]:
        return await read(await opener()), trio.current_time()

    with MockStreamSDK(producer=producer, delay="1m") as sdk:
        sdk.respond("one two three")
        number, time = Trio().run(main)

    assert number >= 3
    assert time >= 3 * 60
    assert [request.state for request in sdk.requests] == ["exhausted"]


@each_sdk
@each_producer
def test_stream_that_is_cancelled_and_closed_is_closed(opener: Callable[[], Awaitable[Opened]], producer: Any) -> None:
    async def main() -> None:
        opened = await opener()
        with trio.move_on_after(5) as scope:
            async for _ in opened.stream:
                pass
        assert scope.cancelled_caught
        await opened.close()
        await opened.close_client()
        await sdk.requests[0].aassert_closed(within=60)

    with MockStreamSDK(producer=producer) as sdk:
        sdk.respond("one ", Wait(3600), "two")
        Trio().run(main)

    assert sdk.requests[0].state == "closed"


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@each_producer
def test_read_timeout_and_reset_raise_what_the_library_raises(library: str, producer: Any) -> None:
    module = pytest.importorskip(library)

    async def ask() -> None:
        body = {"model": "m", "messages": MESSAGES, "stream": True}
        async with (
            module.AsyncClient(timeout=2) as client,
            client.stream("POST", "https://api.openai.com/v1/chat/completions", json=body) as response,
            aclosing(response.aiter_bytes()) as pieces,
        ):
            async for _ in pieces:
                pass

    with MockStreamSDK(producer=producer) as sdk:
        sdk.respond("one ", Stall())
        sdk.respond("one ", Disconnect())
        with pytest.raises(module.ReadTimeout):
            Trio().run(ask)
        with pytest.raises(module.ReadError):
            Trio().run(ask)

    assert [request.state for request in sdk.requests] == ["broken", "broken"]


@each_producer
def test_gate_holds_an_sdk(producer: Any) -> None:
    openai_chat = OPENERS.get("openai chat") or pytest.skip("openai is not installed")

    async def main() -> float:
        async with trio.open_nursery() as nursery:

            async def consume() -> None:
                await read(await openai_chat())

            nursery.start_soon(consume)
            await gate.reached()
            await trio.sleep(60)
            gate.open()
        return trio.current_time()

    gate = Gate()
    with MockStreamSDK(producer=producer) as sdk:
        sdk.respond("one ", gate, "two")
        time = Trio().run(main)

    assert time == pytest.approx(60)


def test_sweep_of_code_on_an_sdk() -> None:
    openai = pytest.importorskip("openai")

    async def ask() -> str:
        async with openai.AsyncOpenAI(max_retries=0) as client:
            text = ""
            async with await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as stream:
                async for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
        return text

    async def main() -> bool:
        sdk.respond("one two")
        return (await sweep_cancellation(ask)).ok

    with MockStreamSDK() as sdk:
        assert trio.run(main)  # in real time: openai asks a thread what machine this is, and virtual time does not wait


def test_way_around_the_door_is_refused_and_names_the_line() -> None:
    async def main() -> None:
        await trio.open_tcp_stream("api.openai.com", 443)

    with MockStreamSDK(), pytest.raises(UnexpectedRequestError) as caught:
        trio.run(main)

    assert "trio tried to bypass mock_stream_sdk" in str(caught.value)
    assert __file__.rpartition("/")[2] in str(caught.value)
