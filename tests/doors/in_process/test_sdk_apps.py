"""Small programs as people write them, on each SDK, tested as they are: retrieval beside a chat, and agents."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sdk_talks import LITELLM_WARNS, is_installed

from pytest_mockstream import MockStreamSDK, Reasoning, ToolCall

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    *LITELLM_WARNS,
]

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
NOTES = ["The cat sleeps on the mat.", "Paris has two airports.", "Rain is expected in Paris tomorrow."]


def nearest(question: Sequence[float], vectors: Sequence[Sequence[float]]) -> int:
    """Return which vector is nearest."""
    return max(range(len(vectors)), key=lambda n: sum(a * b for a, b in zip(question, vectors[n], strict=True)))


# Retrieval: embeddings first, then a chat that streams.


def rag_with_openai(question: str) -> str:
    import openai

    client = openai.OpenAI()
    texts = [*NOTES, question]
    *notes, asked = (
        item.embedding for item in client.embeddings.create(model="text-embedding-3-small", input=texts).data
    )
    prompt = f"{NOTES[nearest(asked, notes)]}\n\n{question}"
    with client.chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": prompt}], stream=True
    ) as stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def rag_with_gemini(question: str) -> str:
    genai: Any = importlib.import_module("google.genai")
    with genai.Client() as client:
        texts = [*NOTES, question]
        *notes, asked = (
            e.values for e in client.models.embed_content(model="gemini-embedding-001", contents=texts).embeddings
        )
        prompt = f"{NOTES[nearest(asked, notes)]}\n\n{question}"
        stream = client.models.generate_content_stream(model="gemini-2.5-flash", contents=prompt)
        return "".join(part.text or "" for part in stream)


def rag_with_ollama(question: str) -> str:
    import ollama

    *notes, asked = ollama.embed(model="nomic-embed-text", input=[*NOTES, question]).embeddings
    prompt = f"{NOTES[nearest(asked, notes)]}\n\n{question}"
    stream = ollama.generate(model="llama3.2", prompt=prompt, stream=True)
    return "".join(part.response or "" for part in stream)


RAGS = [
    pytest.param(ask, id=ask.__name__, marks=pytest.mark.skipif(not is_installed(module), reason=f"no {module}"))
    for module, ask in (("openai", rag_with_openai), ("google.genai", rag_with_gemini), ("ollama", rag_with_ollama))
]


@pytest.mark.parametrize("ask", RAGS)
def test_retrieval_finds_the_note_that_shares_words_and_hands_it_to_the_model(
    ask: Callable[[str], str], mock_stream_sdk: MockStreamSDK
) -> None:
    mock_stream_sdk.when(contains="Rain is expected").respond("Take an umbrella.")

    assert ask("Is rain expected in Paris?") == "Take an umbrella."

    embedding, chat = mock_stream_sdk.requests
    assert (embedding.streaming, chat.streaming) == (False, True)
    chat.assert_closed()


# Agents: the model asks for a tool, gets its result, and answers.


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


async def agent_with_openai(question: str) -> str:
    import openai

    messages: Any = [{"role": "user", "content": question}]
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA, "strict": True}}
    async with openai.AsyncOpenAI() as client:
        while True:
            async with client.chat.completions.stream(model="gpt-5", messages=messages, tools=[tool]) as stream:
                message = (await stream.get_final_completion()).choices[0].message
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
            for call in message.tool_calls:
                result = weather(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def agent_with_responses(question: str) -> str:
    import openai

    items: Any = [{"role": "user", "content": question}]
    tool: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}
    async with openai.AsyncOpenAI() as client:
        while True:
            async with client.responses.stream(model="gpt-5", input=items, tools=[tool]) as stream:
                response = await stream.get_final_response()
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return response.output_text
            items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in response.output]
            for call in calls:
                result = weather(**json.loads(call.arguments))
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})


async def agent_with_anthropic(question: str) -> str:
    import anthropic

    messages: Any = [{"role": "user", "content": question}]
    tools: Any = [{"name": "weather", "input_schema": SCHEMA}]
    async with anthropic.AsyncAnthropic() as client:
        while True:
            async with client.messages.stream(model="claude", max_tokens=99, messages=messages, tools=tools) as stream:
                message = await stream.get_final_message()
            messages.append({"role": "assistant", "content": message.content})
            if message.stop_reason != "tool_use":
                return "".join(block.text for block in message.content if block.type == "text")
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": weather(str(block.input["city"]))}
                for block in message.content
                if block.type == "tool_use"
            ]
            messages.append({"role": "user", "content": results})


async def agent_with_gemini(question: str) -> str:
    genai: Any = importlib.import_module("google.genai")
    async with genai.Client().aio as client:
        chat = client.chats.create(model="gemini-2.5-flash", config=genai.types.GenerateContentConfig(tools=[weather]))
        return str((await chat.send_message(question)).text)


async def agent_with_ollama(question: str) -> str:
    import ollama

    messages: Any = [{"role": "user", "content": question}]
    client = ollama.AsyncClient()
    while True:
        reply = await client.chat(model="llama3.2", messages=messages, tools=[weather])
        messages.append(reply.message)
        if not reply.message.tool_calls:
            return reply.message.content or ""
        for call in reply.message.tool_calls:
            result = weather(**call.function.arguments)
            messages.append({"role": "tool", "tool_name": call.function.name, "content": result})


async def agent_with_langchain(question: str) -> str:
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="gpt-5").bind_tools([weather])
    messages: list[Any] = [HumanMessage(question)]
    while True:
        messages.append(reply := await model.ainvoke(messages))
        if not reply.tool_calls:
            return str(reply.content)
        messages += [ToolMessage(weather(**call["args"]), tool_call_id=call["id"]) for call in reply.tool_calls]


async def agent_with_litellm(question: str) -> str:
    import litellm

    messages: Any = [{"role": "user", "content": question}]
    tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    while True:
        reply: Any = await litellm.acompletion("openai/gpt-4o", messages=messages, tools=[tool])
        message = reply.choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return str(message.content)
        for call in message.tool_calls:
            result = weather(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


async def agent_with_pydantic_ai(question: str) -> str:
    from pydantic_ai import Agent

    return (await Agent("openai-chat:gpt-5", tools=[weather]).run(question)).output


AGENTS = [
    pytest.param(ask, id=ask.__name__, marks=pytest.mark.skipif(not is_installed(module), reason=f"no {module}"))
    for module, ask in (
        ("openai", agent_with_openai),
        ("openai", agent_with_responses),
        ("anthropic", agent_with_anthropic),
        ("google.genai", agent_with_gemini),
        ("ollama", agent_with_ollama),
        ("langchain_openai", agent_with_langchain),
        ("litellm", agent_with_litellm),
        ("pydantic_ai", agent_with_pydantic_ai),
    )
]


@pytest.mark.parametrize("ask", AGENTS)
async def test_agent_calls_its_tools_in_parallel_and_answers_with_their_results(
    ask: Callable[[str], Any], mock_stream_sdk: MockStreamSDK
) -> None:
    mock_stream_sdk.when(turn=1, tool="weather").respond(
        Reasoning("I need the weather."), ToolCall("weather", {"city": "Paris"}), ToolCall("weather", {"city": "Rome"})
    )
    mock_stream_sdk.when(turn=2, tool_result_contains="rain in Rome").respond("Rain in both.")

    assert await ask("Paris or Rome?") == "Rain in both."

    first, second = mock_stream_sdk.requests
    assert [city in result for city, result in zip(["Paris", "Rome"], second.tool_results, strict=True)] == [True, True]
    assert (first.turn, second.turn) == (1, 2)
