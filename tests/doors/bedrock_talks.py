"""One way each to ask Bedrock through every SDK, streamed and whole; what it says, or what it raises."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from outcomes import outcome_of

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
HI: Any = [{"role": "user", "content": [{"text": "hi"}]}]
HI_ANTHROPIC: Any = [{"role": "user", "content": "hi"}]
BODY = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": HI_ANTHROPIC})


@dataclass
class Said:
    """What a consumer made of a reply."""

    text: str = ""
    reasoning: str = ""
    signature: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int] | None = None

    def parsed(self) -> Any:
        """Return all of it in one value, the arguments of calls parsed."""
        calls = [(name, json.loads(arguments or "{}")) for name, arguments in self.calls]
        return self.text, self.reasoning, bool(self.signature), calls, self.finish, self.usage

    # Converse.

    def add(self, event: dict[str, Any]) -> None:
        """Take an event of a stream of Converse."""
        if start := event.get("contentBlockStart"):
            self.calls.append((start["start"]["toolUse"]["name"], ""))
        if delta := event.get("contentBlockDelta"):
            self._add_delta(delta["delta"])
        if stop := event.get("messageStop"):
            self.finish = stop["stopReason"]
        if told := event.get("metadata"):
            self.usage = told["usage"]["inputTokens"], told["usage"]["outputTokens"]

    def _add_delta(self, delta: dict[str, Any]) -> None:
        thought = delta.get("reasoningContent", {})
        self.text += delta.get("text", "")
        self.reasoning += thought.get("text", "")
        self.signature += thought.get("signature", "")
        if "toolUse" in delta:
            name, arguments = self.calls[-1]
            self.calls[-1] = name, arguments + delta["toolUse"]["input"]

    @classmethod
    def of_converse(cls, answer: dict[str, Any]) -> Said:
        """Read a whole answer of Converse."""
        said = cls(finish=answer["stopReason"])
        said.usage = answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]
        for part in answer["output"]["message"]["content"]:
            thought = part.get("reasoningContent", {}).get("reasoningText", {})
            said.text += part.get("text", "")
            said.reasoning += thought.get("text", "")
            said.signature += thought.get("signature", "")
            if call := part.get("toolUse"):
                said.calls.append((call["name"], json.dumps(call["input"])))
        return said

    # Anthropic's messages.

    def add_anthropic(self, event: dict[str, Any]) -> None:
        """Take an event of a stream of Anthropic's messages."""
        match event["type"]:
            case "content_block_start" if event["content_block"]["type"] == "tool_use":
                self.calls.append((event["content_block"]["name"], ""))
            case "content_block_delta":
                delta = event["delta"]
                self.text += delta.get("text") or ""
                self.reasoning += delta.get("thinking") or ""
                self.signature += delta.get("signature") or ""
                if delta["type"] == "input_json_delta":
                    name, arguments = self.calls[-1]
                    self.calls[-1] = name, arguments + delta["partial_json"]
            case "message_delta":
                self.finish = event["delta"]["stop_reason"]
                self.usage = event["usage"]["input_tokens"], event["usage"]["output_tokens"]

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> Said:
        """Read a whole message of Anthropic's."""
        said = cls(finish=message["stop_reason"])
        said.usage = message["usage"]["input_tokens"], message["usage"]["output_tokens"]
        for block in message["content"]:
            said.text += block.get("text", "")
            said.reasoning += block.get("thinking", "")
            said.signature += block.get("signature", "")
            if block["type"] == "tool_use":
                said.calls.append((block["name"], json.dumps(block["input"])))
        return said


@dataclass(frozen=True)
class Talk:
    """One way to ask.

    Attributes:
        name: of the SDK and its call.
        ask: asks "hi", with a read timeout in seconds and so many retries.
        wire: the HTTP library that carries it.
        streams: whether the reply is streamed.
    """

    name: str
    ask: Callable[[float, int], Awaitable[Said]]
    wire: str
    streams: bool = True

    def __str__(self) -> str:
        return self.name


# boto3


def boto3_client(timeout: float = 60, retries: int = 0, **options: Any) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": retries}, read_timeout=timeout)
    return boto3.client("bedrock-runtime", config=config, **options)


async def boto3_converse_stream(timeout: float, retries: int) -> Said:
    with closing(boto3_client(timeout, retries)) as client:
        return read(client.converse_stream(modelId=MODEL, messages=HI)["stream"])


async def boto3_converse(timeout: float, retries: int) -> Said:
    with closing(boto3_client(timeout, retries)) as client:
        return Said.of_converse(client.converse(modelId=MODEL, messages=HI))


async def boto3_invoke_stream(timeout: float, retries: int) -> Said:
    with closing(boto3_client(timeout, retries)) as client:
        answer = client.invoke_model_with_response_stream(modelId=MODEL, body=BODY)
        assert answer["contentType"] == "application/json"
        return read(answer["body"])


async def boto3_invoke(timeout: float, retries: int) -> Said:
    with (
        closing(boto3_client(timeout, retries)) as client,
        closing(client.invoke_model(modelId=MODEL, body=BODY)["body"]) as body,
    ):
        return Said.of_message(json.loads(body.read()))


def read(stream: Any) -> Said:
    """Read an event stream of botocore's to its end, and close it."""
    said = Said()
    events: Iterable[dict[str, Any]]
    with closing(stream) as events:
        for event in events:
            _add(said, event)
    return said


def _add(said: Said, event: dict[str, Any]) -> None:
    if "chunk" in event:
        said.add_anthropic(json.loads(event["chunk"]["bytes"]))
    else:
        said.add(event)


# aioboto3


def aioboto3_client(timeout: float = 60, retries: int = 0, **options: Any) -> Any:
    from aiobotocore.config import AioConfig

    config = AioConfig(retries={"max_attempts": retries}, read_timeout=timeout)
    return _aioboto3_session().client("bedrock-runtime", config=config, **options)


@cache
def _aioboto3_session() -> Any:
    """Return one session for all tests: it has read the models of AWS's services."""
    import aioboto3

    return aioboto3.Session()


async def aioboto3_converse_stream(timeout: float, retries: int) -> Said:
    async with aioboto3_client(timeout, retries) as client:
        return await aread((await client.converse_stream(modelId=MODEL, messages=HI))["stream"])


async def aioboto3_converse(timeout: float, retries: int) -> Said:
    async with aioboto3_client(timeout, retries) as client:
        return Said.of_converse(await client.converse(modelId=MODEL, messages=HI))


async def aioboto3_invoke_stream(timeout: float, retries: int) -> Said:
    async with aioboto3_client(timeout, retries) as client:
        return await aread((await client.invoke_model_with_response_stream(modelId=MODEL, body=BODY))["body"])


async def aread(stream: Any) -> Said:
    """Do as ``read``, asynchronously."""
    said = Said()
    events: AsyncIterable[dict[str, Any]]
    with closing(stream) as events:
        async for event in events:
            _add(said, event)
    return said


# anthropic


async def anthropic_stream(timeout: float, retries: int) -> Said:
    import anthropic

    said = Said()
    with anthropic.AnthropicBedrock(timeout=timeout, max_retries=retries) as client:
        stream = client.messages.create(model=MODEL, messages=HI_ANTHROPIC, max_tokens=9, stream=True)
        with stream:
            for event in stream:
                said.add_anthropic(event.model_dump())
    return said


async def anthropic_async_stream(timeout: float, retries: int) -> Said:
    import anthropic

    said = Said()
    async with anthropic.AsyncAnthropicBedrock(timeout=timeout, max_retries=retries) as client:
        stream = await client.messages.create(model=MODEL, messages=HI_ANTHROPIC, max_tokens=9, stream=True)
        async with stream:
            async for event in stream:
                said.add_anthropic(event.model_dump())
    return said


async def anthropic_async_helper(timeout: float, retries: int) -> Said:
    import anthropic

    async with (
        anthropic.AsyncAnthropicBedrock(timeout=timeout, max_retries=retries) as client,
        client.messages.stream(model=MODEL, messages=HI_ANTHROPIC, max_tokens=9) as stream,
    ):
        return Said.of_message((await stream.get_final_message()).to_dict())


async def anthropic_whole(timeout: float, retries: int) -> Said:
    import anthropic

    with anthropic.AnthropicBedrock(timeout=timeout, max_retries=retries) as client:
        message = client.messages.create(model=MODEL, messages=HI_ANTHROPIC, max_tokens=9)
        return Said.of_message(message.to_dict())


TALKS = (
    Talk("boto3 converse_stream", boto3_converse_stream, "urllib3"),
    Talk("boto3 converse", boto3_converse, "urllib3", streams=False),
    Talk("boto3 invoke_model_with_response_stream", boto3_invoke_stream, "urllib3"),
    Talk("boto3 invoke_model", boto3_invoke, "urllib3", streams=False),
    Talk("aioboto3 converse_stream", aioboto3_converse_stream, "aiohttp"),
    Talk("aioboto3 converse", aioboto3_converse, "aiohttp", streams=False),
    Talk("aioboto3 invoke_model_with_response_stream", aioboto3_invoke_stream, "aiohttp"),
    Talk("AnthropicBedrock", anthropic_stream, "httpx2"),
    Talk("AnthropicBedrock whole", anthropic_whole, "httpx2", streams=False),
    Talk("AsyncAnthropicBedrock", anthropic_async_stream, "httpx2"),
    Talk("AsyncAnthropicBedrock helper", anthropic_async_helper, "httpx2"),
)


async def outcome(talk: Talk, timeout: float = 60, retries: int = 0) -> str:
    """Ask, and return in one line what the consumer got, or the exception and its cause."""
    return await outcome_of(talk.ask(timeout, retries))
