"""What is asked inside of a batch gets what it would get by itself, and what is asked again is as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from pytest_mockstream import (
    MockStreamClient,
    MockStreamSDK,
    MockStreamServer,
    Request,
    ScriptError,
    UnexpectedRequestError,
    sweep_faults,
)

from .conftest import Door

HI = [{"role": "user", "content": "hi"}]
CHAT = "/v1/chat/completions"
EMBEDDING = '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[7.0]}],"model":"m"}'


def batch_of(gpt: openai.OpenAI, url: str, body: dict[str, Any]) -> openai.types.Batch:
    """Run a batch with one request, and return it when it is over."""
    line = json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": body}).encode() + b"\n"
    file = gpt.files.create(file=("a.jsonl", line), purpose="batch")
    begun = gpt.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")  # type: ignore[arg-type]
    return gpt.batches.retrieve(begun.id)


def body_of(gpt: openai.OpenAI, url: str, body: dict[str, Any]) -> Any:
    (said,) = map(json.loads, gpt.files.content(batch_of(gpt, url, body).output_file_id or "").text.splitlines())
    return said["response"]["body"]


def raising(_request: object) -> str:
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("respond", "said"),
    [
        (lambda door: door.respond("x", finish_reason="nonsense"), "finish_reason='nonsense' is not a finish reason"),
        (lambda door: door.respond(raising), r"raising \(.*KeyError.*mine"),
    ],
    ids=["script", "function"],
)
@pytest.mark.parametrize("kind", [MockStreamSDK, MockStreamServer])
def test_script_that_cannot_answer_a_line_is_told_as_itself(
    kind: type[MockStreamSDK | MockStreamServer], respond: Callable[[Door], None], said: str
) -> None:
    with kind() as door:
        respond(door)
        base = door.base_url("openai") if isinstance(door, MockStreamServer) else None
        with (
            openai.OpenAI(base_url=base, api_key="x", max_retries=0) as client,
            pytest.raises(openai.BadRequestError, match=said),
        ):
            batch_of(client, CHAT, {"model": "m", "messages": HI})

        with pytest.raises(ScriptError, match=said):
            door.verify()


def test_line_for_an_endpoint_without_a_script_takes_the_one_for_its_path(door: Door, gpt: openai.OpenAI) -> None:
    door.when(path="/v1/embeddings").respond(EMBEDDING)

    body = body_of(gpt, "/v1/embeddings", {"model": "m", "input": "x"})

    assert body["data"][0]["embedding"] == [7.0]


def test_line_is_answered_in_the_dialect_of_whom_is_asked() -> None:
    with MockStreamSDK(provider="openrouter") as sdk, openai.OpenAI(api_key="x", max_retries=0) as client:
        sdk.respond("Hello", times=2)

        alone = client.chat.completions.create(model="m", messages=HI)  # type: ignore[arg-type]
        inside = body_of(client, CHAT, {"model": "m", "messages": HI})

    assert inside.keys() == json.loads(alone.model_dump_json(exclude_unset=True)).keys()
    assert "provider" in inside


def test_line_is_numbered_as_its_batch(door: Door, gpt: openai.OpenAI) -> None:
    numbers = []

    def answer(request: Request) -> str:
        numbers.append(request.number)
        return "x"

    door.respond(answer)

    batch_of(gpt, CHAT, {"model": "m", "messages": HI})

    assert numbers == [2]  # after the upload


def test_background_response_is_retrieved_from_its_second_event_on(door: Door, gpt: openai.OpenAI) -> None:
    door.respond("x", headers={"x-mine": "1"})
    begun = gpt.responses.with_raw_response.create(model="m", input="hi", background=True)

    events = list(gpt.responses.retrieve(begun.parse().id, stream=True, starting_after=0))

    assert begun.headers["x-mine"] == "1"
    assert [event.sequence_number for event in events][:2] == [1, 2]


async def test_script_for_a_path_is_broken_by_a_sweep() -> None:
    async def embed() -> None:
        async with openai.AsyncOpenAI(api_key="x", max_retries=0, timeout=0.2) as client:
            made = await client.embeddings.create(model="m", input="x", encoding_format="float")
            assert made.data[0].embedding == [7.0]

    with MockStreamSDK() as sdk:
        sdk.when(path="/v1/embeddings").respond(EMBEDDING)

        result = await sweep_faults(embed, sdk)

    assert result.points > 0


def test_path_that_the_client_has_no_method_for_is_refused() -> None:
    client = MockStreamClient()

    with pytest.raises(ScriptError, match=r"when\(path='/embeddings'\) fits no request to mock_stream_client: .*chat"):
        client.when(path="/embeddings")

    client.when(path="chat").respond("Hello")
    with pytest.raises(UnexpectedRequestError):
        client.complete("hi")
    assert client.chat(HI).content == "Hello"
