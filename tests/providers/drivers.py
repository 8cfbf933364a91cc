"""One driver a provider's SDK: how to ask it, streamed and whole, and how to read what it gives.

An SDK is imported by the first driver that needs it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, closing
from functools import cache
from typing import Any

from .said import HI, KEY, QUESTION, Ask, Driver, Said

# OpenAI's format, by its own SDK and by Groq's.


def _of_chat(message: Any, usage: Any, thought: str) -> Said:
    calls = [
        (getattr(call, "index", place), call.function.name or "", call.function.arguments or "")
        for place, call in enumerate(message.tool_calls or ())
    ]
    told = (usage.prompt_tokens, usage.completion_tokens) if usage else None
    return Said(message.content or "", getattr(message, thought, None) or "", tuple(calls), told)


async def _chat(client: Any, ask: Ask, model: str, thought: str, **more: Any) -> AsyncGenerator[Said, None]:
    async with client:
        if not ask.streamed:
            reply = await client.chat.completions.create(model=model, messages=HI)
            yield _of_chat(reply.choices[0].message, reply.usage, thought)
            return
        async with await client.chat.completions.create(model=model, messages=HI, stream=True, **more) as stream:
            async for chunk in stream:
                if chunk.choices:
                    yield _of_chat(chunk.choices[0].delta, chunk.usage or _usage_of_groq(chunk), thought)
                elif chunk.usage:
                    yield Said(usage=(chunk.usage.prompt_tokens, chunk.usage.completion_tokens))


def _usage_of_groq(chunk: Any) -> Any:
    return getattr(getattr(chunk, "x_groq", None), "usage", None)


def chat(
    provider: str, usual: str | None, *, model: str = "m", thought: str = "reasoning_content", azure: bool = False
) -> Driver:
    """Return the driver of openai's chats at the place of a provider.

    Args:
        provider: as ``base_url`` of the server knows it.
        usual: the base URL that its documentation names; None for OpenAI itself.
        model: the model.
        thought: the field that has the reasoning.
        azure: whether to ask by the SDK's client for Azure.
    """

    def ask_chat(ask: Ask) -> AsyncGenerator[Said, None]:
        import openai

        options: Any = {"api_key": KEY, "max_retries": 0, "timeout": ask.timeout}
        base = ask.base(provider, usual)
        if azure:
            options |= {"api_version": "2025-04-01-preview", "azure_endpoint": base}
        else:
            options |= {"base_url": base}
        client: Any = openai.AsyncAzureOpenAI(**options) if azure else openai.AsyncOpenAI(**options)
        return _chat(client, ask, model, thought, stream_options={"include_usage": True})

    return ask_chat


#: OpenRouter, by openai's SDK.
openrouter = chat("openrouter", "https://openrouter.ai/api/v1", thought="reasoning")


async def _without_thoughts(pieces: AsyncGenerator[Said, None]) -> AsyncGenerator[Said, None]:
    """Take what is said between ``<think>`` and ``</think>`` for reasoning."""
    thinking = False
    async with aclosing(pieces):
        async for said in pieces:
            before, opened, thought = said.text.partition("<think>")
            thinking = thinking or bool(opened)
            thought, closed, after = (thought if opened else before).partition("</think>") if thinking else ("", "", "")
            yield said._replace(text=after if thinking else before, reasoning=thought)
            thinking = thinking and not closed


def perplexity(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Perplexity by openai's SDK."""
    return _without_thoughts(chat("perplexity", "https://api.perplexity.ai", model="sonar-reasoning-pro")(ask))


def groq(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Groq's own SDK."""
    import groq

    client = groq.AsyncGroq(api_key=KEY, base_url=ask.base("groq"), max_retries=0, timeout=ask.timeout)
    return _chat(client, ask, "llama-3.3-70b-versatile", "reasoning")


def _openai(ask: Ask) -> Any:
    import openai

    return openai.AsyncOpenAI(api_key=KEY, base_url=ask.base("openai"), max_retries=0, timeout=ask.timeout)


async def legacy(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask for OpenAI's legacy completions."""
    async with _openai(ask) as client:
        if not ask.streamed:
            reply = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt=QUESTION)
            yield Said(reply.choices[0].text, usage=(reply.usage.prompt_tokens, reply.usage.completion_tokens))
            return
        async with await client.completions.create(
            model="gpt-3.5-turbo-instruct", prompt=QUESTION, stream=True, stream_options={"include_usage": True}
        ) as stream:
            async for chunk in stream:
                usage = chunk.usage and (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                yield Said(chunk.choices[0].text if chunk.choices else "", usage=usage)


async def responses(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask for OpenAI's Responses."""
    async with _openai(ask) as client:
        if not ask.streamed:
            reply = await client.responses.create(model="gpt-5", input=QUESTION)
            called = [item for item in reply.output if item.type == "function_call"]
            thought = [part.text for item in reply.output if item.type == "reasoning" for part in item.summary]
            calls = tuple((item.call_id, item.name, item.arguments) for item in called)
            usage = (reply.usage.input_tokens, reply.usage.output_tokens)
            yield Said(reply.output_text, "".join(thought), calls, usage)
            return
        async with await client.responses.create(model="gpt-5", input=QUESTION, stream=True) as stream:
            async for event in stream:
                match event.type:
                    case "response.output_text.delta":
                        yield Said(event.delta)
                    case "response.reasoning_summary_text.delta":
                        yield Said(reasoning=event.delta)
                    case "response.output_item.added" if event.item.type == "function_call":
                        yield Said(calls=((event.output_index, event.item.name, ""),))
                    case "response.function_call_arguments.delta":
                        yield Said(calls=((event.output_index, "", event.delta),))
                    case "response.completed":
                        usage = event.response.usage
                        yield Said(usage=(usage.input_tokens, usage.output_tokens))
                    case "error":
                        yield Said(trouble=event.message)


# Anthropic's format.


async def _messages(client: Any, ask: Ask, model: str) -> AsyncGenerator[Said, None]:
    async with client:
        options: Any = {"model": model, "max_tokens": 999, "messages": HI}
        if not ask.streamed:
            message = await client.messages.create(**options)
            text = "".join(block.text for block in message.content if block.type == "text")
            thought = "".join(block.thinking for block in message.content if block.type == "thinking")
            called = [block for block in message.content if block.type == "tool_use"]
            calls = tuple((block.id, block.name, json.dumps(block.input)) for block in called)
            yield Said(text, thought, calls, (message.usage.input_tokens, message.usage.output_tokens))
            return
        prompt = 0
        async with await client.messages.create(**options, stream=True) as stream:
            async for event in stream:
                match event.type:
                    case "message_start":
                        prompt = event.message.usage.input_tokens
                    case "content_block_start" if event.content_block.type == "tool_use":
                        yield Said(calls=((event.index, event.content_block.name, ""),))
                    case "content_block_delta":
                        yield _of_delta(event.index, event.delta)
                    case "message_delta":
                        yield Said(usage=(prompt, event.usage.output_tokens))


def _of_delta(index: int, delta: Any) -> Said:
    match delta.type:
        case "text_delta":
            return Said(delta.text)
        case "thinking_delta":
            return Said(reasoning=delta.thinking)
        case "input_json_delta":
            return Said(calls=((index, "", delta.partial_json),))
    return Said()


def anthropic(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Anthropic."""
    import anthropic

    client = anthropic.AsyncAnthropic(api_key=KEY, base_url=ask.base("anthropic"), max_retries=0, timeout=ask.timeout)
    return _messages(client, ask, "claude-opus-4-8")


def anthropic_bedrock(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Bedrock by Anthropic's SDK."""
    import anthropic

    client = anthropic.AsyncAnthropicBedrock(
        aws_access_key=KEY,
        aws_secret_key=KEY,
        aws_region="us-east-1",
        base_url=ask.base("bedrock"),
        max_retries=0,
        timeout=ask.timeout,
    )
    return _messages(client, ask, "anthropic.claude-sonnet-4-20250514-v1:0")


def anthropic_vertex(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Vertex AI by Anthropic's SDK."""
    import anthropic

    base = ask.base("vertex")
    client = anthropic.AsyncAnthropicVertex(
        project_id="p",
        region="us-east5",
        access_token=KEY,
        base_url=f"{base}/v1" if base else None,
        max_retries=0,
        timeout=ask.timeout,
    )
    return _messages(client, ask, "claude-sonnet-4@20250514")


# Google's format.


def _of_gemini(reply: Any) -> Said:
    candidates = reply.candidates or ()
    parts = [part for candidate in candidates if candidate.content for part in candidate.content.parts or ()]
    text = "".join(part.text or "" for part in parts if not part.thought)
    thought = "".join(part.text or "" for part in parts if part.thought)
    calls = [part.function_call for part in parts if part.function_call]
    usage = reply.usage_metadata
    told = (usage.prompt_token_count, usage.candidates_token_count) if usage and usage.candidates_token_count else None
    return Said(text, thought, tuple((call.id, call.name, json.dumps(call.args)) for call in calls), told)


async def _gemini(ask: Ask, provider: str, **options: Any) -> AsyncGenerator[Said, None]:
    from google import genai

    http: Any = {"base_url": ask.base(provider), "timeout": int(ask.timeout * 1000)}
    client = genai.Client(http_options=http, **options).aio
    async with client:
        if not ask.streamed:
            yield _of_gemini(await client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION))
            return
        stream: Any = await client.models.generate_content_stream(model="gemini-2.5-flash", contents=QUESTION)
        async with aclosing(stream):
            async for chunk in stream:
                yield _of_gemini(chunk)


def gemini(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Gemini."""
    return _gemini(ask, "google", api_key=KEY)


def gemini_vertex(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Gemini at Vertex AI."""
    from google.oauth2.credentials import Credentials

    credentials: Any = Credentials(token=KEY)  # type: ignore[no-untyped-call] # google-auth has no types
    return _gemini(ask, "vertex", vertexai=True, project="p", location="us-central1", credentials=credentials)


# Ollama, Mistral, Cohere, Hugging Face.


def _of_ollama(reply: Any) -> Said:
    message = reply.message
    calls = [
        (object(), call.function.name, json.dumps(dict(call.function.arguments))) for call in message.tool_calls or ()
    ]
    usage = (reply.prompt_eval_count, reply.eval_count) if reply.eval_count else None
    return Said(message.content or "", message.thinking or "", tuple(calls), usage)


async def ollama(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Ollama."""
    import ollama

    async with ollama.AsyncClient(host=ask.base("ollama"), timeout=ask.timeout) as client:
        if not ask.streamed:
            yield _of_ollama(await client.chat(model="llama3.2", messages=HI))
            return
        stream: Any = await client.chat(model="llama3.2", messages=HI, stream=True)
        async with aclosing(stream):
            async for part in stream:
                yield _of_ollama(part)


def _of_mistral(message: Any, usage: Any) -> Said:
    parts = message.content if isinstance(message.content, list) else ()
    text = message.content if isinstance(message.content, str) else ""
    text += "".join(part.text for part in parts if part.type == "text")
    thought = "".join(piece.text for part in parts if part.type == "thinking" for piece in part.thinking)
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    told = (usage.prompt_tokens, usage.completion_tokens) if usage else None
    return Said(text, thought, tuple(calls), told)


async def mistral(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Mistral's own SDK."""
    from mistralai.client import Mistral

    async with Mistral(api_key=KEY, server_url=ask.base("mistral"), timeout_ms=int(ask.timeout * 1000)) as client:
        if not ask.streamed:
            reply = await client.chat.complete_async(model="magistral-medium-latest", messages=HI)
            yield _of_mistral(reply.choices[0].message, reply.usage)
            return
        async with await client.chat.stream_async(model="magistral-medium-latest", messages=HI) as stream:
            async for event in stream:
                yield _of_mistral(event.data.choices[0].delta, event.data.usage)


async def cohere(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Cohere's own SDK, version 2 of its API."""
    import cohere

    async with cohere.AsyncClientV2(api_key=KEY, base_url=ask.base("cohere"), timeout=ask.timeout) as client:
        options: Any = {"model": "command-a", "messages": HI, "request_options": {"max_retries": 0}}
        if not ask.streamed:
            reply: Any = await client.chat(**options)
            parts = reply.message.content or ()
            text = "".join(part.text for part in parts if part.type == "text")
            thought = "".join(part.thinking for part in parts if part.type == "thinking")
            called = reply.message.tool_calls or ()
            calls = tuple((call.id, call.function.name, call.function.arguments) for call in called)
            yield Said(text, thought, calls, _tokens(reply.usage))
            return
        stream: Any = client.chat_stream(**options)
        async with aclosing(stream):
            async for event in stream:
                yield _of_cohere(event)


def _tokens(usage: Any) -> tuple[int, int]:
    return int(usage.tokens.input_tokens), int(usage.tokens.output_tokens)


def _of_cohere(event: Any) -> Said:
    match event.type:
        case "content-delta":
            content = event.delta.message.content
            return Said(content.text or "", getattr(content, "thinking", None) or "")
        case "tool-call-start":
            call = event.delta.message.tool_calls.function
            return Said(calls=((event.index, call.name, call.arguments or ""),))
        case "tool-call-delta":
            return Said(calls=((event.index, "", event.delta.message.tool_calls.function.arguments),))
        case "message-end":
            failed = event.delta.finish_reason == "ERROR"
            return Said(usage=_tokens(event.delta.usage), trouble=event.delta.error or "ERROR" if failed else "")
    return Said()


async def huggingface(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Hugging Face's router by its own SDK."""
    from huggingface_hub import AsyncInferenceClient

    where: Any = {"base_url": ask.base("huggingface")} if ask.server else {"provider": "together"}
    async with AsyncInferenceClient(api_key="hf_x", timeout=ask.timeout, **where) as client:
        model: Any = "meta-llama/Llama-3.3-70B-Instruct"
        if not ask.streamed:
            reply: Any = await client.chat_completion(HI, model=model)
            yield _of_chat(reply.choices[0].message, reply.usage, "reasoning")
            return
        options: Any = {"include_usage": True}
        stream: Any = await client.chat_completion(HI, model=model, stream=True, stream_options=options)
        async with aclosing(stream):
            async for chunk in stream:
                if chunk.choices:
                    yield _of_chat(chunk.choices[0].delta, chunk.usage, "reasoning")
                elif chunk.usage:
                    yield Said(usage=(chunk.usage.prompt_tokens, chunk.usage.completion_tokens))


# Bedrock by AWS's SDKs.

_CONVERSE: Any = {
    "modelId": "anthropic.claude-sonnet-4-20250514-v1:0",
    "messages": [{"role": "user", "content": [{"text": QUESTION}]}],
}
_AWS: Any = {"aws_access_key_id": KEY, "aws_secret_access_key": KEY, "region_name": "us-east-1"}


def _of_converse(answer: dict[str, Any]) -> Said:
    parts = answer["output"]["message"]["content"]
    text = "".join(part.get("text", "") for part in parts)
    thought = "".join(part.get("reasoningContent", {}).get("reasoningText", {}).get("text", "") for part in parts)
    called = [part["toolUse"] for part in parts if "toolUse" in part]
    calls = tuple((call["toolUseId"], call["name"], json.dumps(call["input"])) for call in called)
    return Said(text, thought, calls, (answer["usage"]["inputTokens"], answer["usage"]["outputTokens"]))


def _of_event(event: dict[str, Any]) -> Said:
    match event:
        case {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": call}}}:
            return Said(calls=((index, call["name"], ""),))
        case {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}:
            call = ((index, "", delta["toolUse"]["input"]),) if "toolUse" in delta else ()
            return Said(delta.get("text", ""), delta.get("reasoningContent", {}).get("text", ""), call)
        case {"metadata": {"usage": usage}}:
            return Said(usage=(usage["inputTokens"], usage["outputTokens"]))
    return Said()


async def boto3(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Converse by boto3, which is synchronous."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 0}, read_timeout=ask.timeout)
    with closing(boto3.client("bedrock-runtime", config=config, endpoint_url=ask.base("bedrock"), **_AWS)) as client:
        if not ask.streamed:
            yield _of_converse(client.converse(**_CONVERSE))
            return
        events: Any = client.converse_stream(**_CONVERSE)["stream"]
        with closing(events):
            pieces: Iterator[Said] = map(_of_event, events)
            for said in pieces:
                yield said


@cache
def _aioboto3_session() -> Any:
    """Return one session for all tests: it has read the models of AWS's services."""
    import aioboto3

    return aioboto3.Session()


async def aioboto3(ask: Ask) -> AsyncGenerator[Said, None]:
    """Ask Converse by aioboto3."""
    from aiobotocore.config import AioConfig

    config = AioConfig(retries={"max_attempts": 0}, read_timeout=ask.timeout)
    where = {"endpoint_url": ask.base("bedrock"), **_AWS}
    async with _aioboto3_session().client("bedrock-runtime", config=config, **where) as client:
        if not ask.streamed:
            yield _of_converse(await client.converse(**_CONVERSE))
            return
        events = (await client.converse_stream(**_CONVERSE))["stream"]
        with closing(events):
            async for event in events:
                yield _of_event(event)
