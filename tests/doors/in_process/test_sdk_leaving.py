"""When the producer learns that the consumer has gone: for each SDK, and each way to leave a stream."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.metadata import version
from typing import Any, TypeAlias

import pytest
from sdk_streams import ASYNC, SYNC, Opened
from sdk_talks import LITELLM_WARNS, is_installed

from pytest_mockstream import Gate, MockStreamSDK, UnclosedStreamWarning
from pytest_mockstream._base.collector import collect
from pytest_mockstream.playbook.ledger import entry_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),  # google-genai
    *LITELLM_WARNS,
]

Open: TypeAlias = Callable[[], Awaitable[Opened]]
#: These send their request when the first chunk is asked for.
LAZY = ("google-genai", "ollama", "langchain")


@pytest.fixture
async def kept() -> AsyncIterator[list[Any]]:
    """Keep what is put in, so that no finaliser runs in the test; what it left open is closed afterwards."""
    things: list[Any] = []
    gc.freeze()  # the SDKs are large: the collector need not look through them each time
    yield things
    for opened in things:
        if isinstance(opened, Opened):
            await opened.close()
            await opened.close_client()
    gc.unfreeze()


@pytest.fixture
def kept_sync() -> Iterator[list[Opened]]:
    """Do as ``kept``, for the streams of sync clients."""
    things: list[Opened] = []
    yield things
    for opened in things:
        opened.close()
        opened.close_client()


def each(sdks: dict[str, Any], *without: str) -> pytest.MarkDecorator:
    names = [name for name in sdks if name not in without]
    return pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in names])


async def read_three(opened: Opened) -> None:
    count = 0
    async for _ in opened.stream:
        count += 1
        if count == 3:
            break


async def settled() -> None:
    """Let the loop close what is closed by its hooks."""
    for _ in range(20):
        await asyncio.sleep(0)


@each(ASYNC)
async def test_stream_left_and_kept_stays_open_until_its_client_is_closed(
    name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = await ASYNC[name]()
    kept.append(opened)

    await read_three(opened)
    await settled()

    states = [mock_stream_sdk.requests[0].state]
    await opened.close_client()
    states.append(mock_stream_sdk.requests[0].state)
    keeps_its_client_to_itself = name in {"langchain", "litellm"}
    assert states == ["open", "open" if keeps_its_client_to_itself else "closed"]


@each(ASYNC, "google-genai")
async def test_stream_closed_is_closed_at_once(name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = await ASYNC[name]()
    kept.append(opened)
    await read_three(opened)

    await opened.close()
    await settled()

    assert mock_stream_sdk.requests[0].state == "closed"


@pytest.mark.skipif("google-genai" not in ASYNC, reason="google-genai is not installed")
async def test_aclose_of_google_leaves_its_connection_open(mock_stream_sdk: MockStreamSDK, kept: list[Any]) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = await ASYNC["google-genai"]()
    kept.append(opened)
    await read_three(opened)

    await opened.close()
    await settled()

    assert mock_stream_sdk.requests[0].state == "open"
    assert "aclose() on the async stream does not close" in entry_of(mock_stream_sdk.requests[0]).remedy


@each(ASYNC)
async def test_stream_read_to_its_end_is_exhausted_and_nothing_need_be_closed(
    name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = await ASYNC[name]()
    kept.append(opened)

    async for _ in opened.stream:
        pass

    request = mock_stream_sdk.requests[0]
    assert request.state == "exhausted"
    assert request.chunks_sent == request.chunk_count == 8


@each(ASYNC)
async def test_task_cancelled_while_it_waits_for_a_chunk_closes_its_stream(
    name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]
) -> None:
    gate = Gate()
    mock_stream_sdk.respond("a b c d ", gate, "e")
    opened = await ASYNC[name]()
    kept.append(opened)

    async def consume() -> None:
        async for _ in opened.stream:
            pass

    consumer = asyncio.create_task(consume())
    await gate.reached()
    consumer.cancel()
    await asyncio.wait([consumer])

    assert mock_stream_sdk.requests[0].state == "closed"


@each(ASYNC)
async def test_task_cancelled_between_two_chunks_leaves_its_stream_open(
    name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = await ASYNC[name]()
    kept.append(opened)
    busy = asyncio.Event()

    async def consume() -> None:
        await read_three(opened)
        busy.set()
        await asyncio.Event().wait()

    consumer = asyncio.create_task(consume())
    await busy.wait()
    consumer.cancel()
    await asyncio.wait([consumer])
    await settled()

    assert mock_stream_sdk.requests[0].state == "open"


@each(ASYNC, *LAZY)
async def test_stream_never_read_is_open(name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]) -> None:
    kept.append(await ASYNC[name]())

    await settled()

    assert mock_stream_sdk.requests[0].state == "open"


@pytest.mark.parametrize("name", [name for name in LAZY if name in ASYNC])
async def test_lazy_stream_never_read_sends_nothing(name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]) -> None:
    kept.append(await ASYNC[name]())

    await settled()

    assert mock_stream_sdk.requests == []


@pytest.mark.parametrize("name", [name for name in ("anthropic raw", "ollama", "langchain") if name in ASYNC])
async def test_stream_left_and_forgotten_is_closed_by_the_loop_at_once(
    name: str, mock_stream_sdk: MockStreamSDK
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = await ASYNC[name]()

    await read_three(opened)
    del opened
    await settled()

    assert mock_stream_sdk.requests[0].state == "closed"


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in ("openai chat", "openai helper", "openai responses", "anthropic helper", "google-genai", "litellm")
        if n in ASYNC
    ],
)
async def test_stream_left_and_forgotten_waits_for_the_garbage_collector(
    name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    gc.disable()
    try:
        opened = await ASYNC[name]()
        kept.append(opened.client)
        await read_three(opened)
        del opened
        await settled()
        request = mock_stream_sdk.requests[0]
        before = request.state
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(10):  # what one collection finalises may be what still holds the rest
                collect()
                await settled()
                if request.state != "open":
                    break
    finally:
        gc.enable()

    assert before == "open"
    if name == "google-genai" and request.state == "closed":
        return  # the collector came to the SDK's generator first, whose loop then closed the rest
    assert request.state == "dropped"
    text = next(str(warning.message) for warning in caught if warning.category is UnclosedStreamWarning)
    assert f"{entry_of(request).amount_read()} read, opened at {request.opened_at}" in text
    assert entry_of(request).remedy in text


@each(SYNC)
def test_sync_stream_left_and_kept_is_open(name: str, mock_stream_sdk: MockStreamSDK, kept_sync: list[Opened]) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = SYNC[name]()
    kept_sync.append(opened)

    next(iter(opened.stream))

    assert mock_stream_sdk.requests[0].state == "open"


@each(SYNC)
def test_sync_stream_closed_is_closed(name: str, mock_stream_sdk: MockStreamSDK, kept_sync: list[Opened]) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = SYNC[name]()
    kept_sync.append(opened)
    next(iter(opened.stream))

    opened.close()

    assert mock_stream_sdk.requests[0].state == "closed"


@pytest.mark.parametrize(
    ("name", "state"),
    [
        pytest.param(name, state, id=name)
        for name, state in (("openai chat", "open"), ("anthropic raw", "closed"), ("ollama", "closed"))
        if name in SYNC
    ],
)
def test_sync_stream_left_and_forgotten_is_closed_where_nothing_goes_round_in_circles(
    name: str, state: str, mock_stream_sdk: MockStreamSDK
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    gc.disable()
    opened = SYNC[name]()
    close_client = opened.close_client
    next(iter(opened.stream))

    del opened
    left = mock_stream_sdk.requests[0].state

    close_client()
    gc.enable()
    assert left == state


@each(SYNC)
def test_closing_the_client_closes_what_it_left_open(
    name: str, mock_stream_sdk: MockStreamSDK, kept_sync: list[Opened]
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = SYNC[name]()
    kept_sync.append(opened)
    next(iter(opened.stream))

    opened.close_client()

    assert mock_stream_sdk.requests[0].state == "closed"


@each(ASYNC)
async def test_open_stream_names_its_line_its_chunks_and_its_remedy(
    name: str, mock_stream_sdk: MockStreamSDK, kept: list[Any]
) -> None:
    mock_stream_sdk.respond("a b c d e f g")
    opened = await ASYNC[name]()
    kept.append(opened)
    await read_three(opened)
    request = mock_stream_sdk.requests[0]

    with pytest.raises(AssertionError) as caught:
        request.assert_closed()

    text = str(caught.value)
    asked_in = "test_sdk_leaving.py" if name in LAZY else "sdk_streams.py"
    assert f"{entry_of(request).amount_read()} read, opened at tests/doors/in_process/{asked_in}:" in text
    assert name.partition(" ")[0].split("-")[0] in text.partition("is still open. ")[2]


@pytest.mark.skipif(not is_installed("pydantic_ai"), reason="pydantic-ai is not installed")
class TestPydanticAI:
    """Its streams live in a block of their own, whose end closes them."""

    def _opening(self) -> Any:
        from pydantic_ai import Agent

        return Agent("openai-chat:gpt-5").run_stream("hi")

    async def _read_three(self, result: Any) -> None:
        async with contextlib.aclosing(result.stream_text(delta=True, debounce_by=None)) as texts:
            for _ in range(3):
                await anext(texts)

    async def test_block_left_early_closes_the_stream(self, mock_stream_sdk: MockStreamSDK) -> None:
        mock_stream_sdk.respond("a b c d e f g")

        async with self._opening() as result:
            await self._read_three(result)

        mock_stream_sdk.requests[0].assert_closed(after_chunk=3)

    async def test_block_never_left_leaves_the_stream_open(self, mock_stream_sdk: MockStreamSDK) -> None:
        if tuple(map(int, version("pydantic-ai-slim").split(".")[:2])) < (2, 68):
            pytest.skip("it asked in a task of its own, whose line is not known")
        mock_stream_sdk.respond("a b c d e f g")
        opening = self._opening()

        await self._read_three(await opening.__aenter__())
        await settled()

        request = mock_stream_sdk.requests[0]
        with pytest.raises(
            AssertionError, match=r"3 of 8 chunks read, .* is still open\. With pydantic-ai, stay inside"
        ):
            request.assert_closed()
        assert request.opened_at.filename == __file__
        await opening.__aexit__(None, None, None)
        assert request.state == "closed"

    async def test_cancelled_reader_closes_the_stream(self, mock_stream_sdk: MockStreamSDK) -> None:
        gate = Gate()
        mock_stream_sdk.respond("a b c d ", gate, "e")

        async def consume() -> None:
            async with self._opening() as result:
                await result.get_output()

        consumer = asyncio.create_task(consume())
        await gate.reached()
        consumer.cancel()
        await asyncio.wait([consumer])

        assert mock_stream_sdk.requests[0].state == "closed"


@pytest.mark.skipif("langchain" not in ASYNC, reason="langchain-openai is not installed")
@pytest.mark.parametrize("test", ["first", "second"])
async def test_cached_client_of_langchain_works_in_every_test(test: str, mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(f"the {test}")

    chunks = [chunk async for chunk in (await ASYNC["langchain"]()).stream]

    assert "".join(chunk.content for chunk in chunks) == f"the {test}"


@pytest.mark.skipif(not is_installed("llama_index"), reason="no llama-index")
@pytest.mark.expect_leak(kind="stream")
async def test_library_that_never_closes_what_it_opened_is_named_with_what_its_user_can_do(
    mock_stream_sdk: MockStreamSDK,
) -> None:
    llms = pytest.importorskip("llama_index.llms.openai")
    core = pytest.importorskip("llama_index.core.llms")
    mock_stream_sdk.respond("one two three")
    model = llms.OpenAI(model="gpt-4o", api_key="x")

    parts = await model.astream_chat([core.ChatMessage(role="user", content="hi")])
    await anext(parts)
    await parts.aclose()

    with pytest.raises(AssertionError, match="llama-index does not close the stream that it opened"):
        mock_stream_sdk.requests[0].assert_closed()
