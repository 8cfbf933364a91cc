"""The SDKs' own ways to read a reply, each boiled down to a ``Reading``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from door import HELLO, Door
from scripts import Reading


@dataclass(frozen=True, slots=True)
class Reader:
    """One way to read.

    Attributes:
        name: for the test's id.
        read: asks and reads.
        stop: the provider's word for a plain stop.
        called: the provider's word for a stop to call tools; None if the format has no tool calls.
        counts_reasoning: whether its usage tells tokens of reasoning apart.
    """

    name: str
    read: Callable[[Door], Reading]
    stop: str
    called: str | None
    counts_reasoning: bool = True


# OpenAI Chat


def _chat_usage(usage: Any) -> tuple[int, int, int]:
    return usage.prompt_tokens, usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens


def _chat_raw(door: Door) -> Reading:
    text, reasoning, finish, usage = "", "", None, None
    calls: dict[int, list[str]] = {}
    stream: Any = door.openai().chat.completions.create(
        model="gpt", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        if chunk.usage is not None:
            usage = _chat_usage(chunk.usage)
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or ():
                if call.id:
                    calls[call.index] = [call.function.name, ""]
                calls[call.index][1] += call.function.arguments
    return Reading(text, reasoning, tuple((name, json.loads(args)) for name, args in calls.values()), finish, usage)


def _chat_message(completion: Any) -> Reading:
    choice = completion.choices[0]
    made = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]
    reasoning = getattr(choice.message, "reasoning_content", None) or ""
    usage = _chat_usage(completion.usage)
    return Reading(choice.message.content or "", reasoning, tuple(made), choice.finish_reason, usage)


def _chat_helper(door: Door) -> Reading:
    options: Any = {"include_usage": True}
    with door.openai().chat.completions.stream(model="gpt", messages=HELLO, stream_options=options) as stream:
        return _chat_message(stream.get_final_completion())


def _chat_whole(door: Door) -> Reading:
    return _chat_message(door.openai().chat.completions.create(model="gpt", messages=HELLO))


# OpenAI Responses


def _response(response: Any) -> Reading:
    calls = [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]
    thought = [part.text for item in response.output if item.type == "reasoning" for part in item.summary]
    usage = response.usage
    told = (usage.input_tokens, usage.output_tokens, usage.output_tokens_details.reasoning_tokens)
    return Reading(response.output_text, "".join(thought), tuple(calls), response.status, told)


def _responses_raw(door: Door) -> Reading:
    text, reasoning = "", ""
    arguments: dict[int, str] = {}
    names: dict[int, str] = {}
    events: Any = door.openai().responses.create(model="gpt", input="hello there", stream=True)
    for event in events:
        match event.type:
            case "response.output_text.delta":
                text += event.delta
            case "response.reasoning_summary_text.delta":
                reasoning += event.delta
            case "response.output_item.added" if event.item.type == "function_call":
                names[event.output_index], arguments[event.output_index] = event.item.name, ""
            case "response.function_call_arguments.delta":
                arguments[event.output_index] += event.delta
            case "response.completed":
                last = _response(event.response)
    calls = tuple((names[index], json.loads(arguments[index])) for index in names)
    assert Reading(text, reasoning, calls, last.finish, last.usage) == last
    return last


def _responses_helper(door: Door) -> Reading:
    with door.openai().responses.stream(model="gpt", input="hello there") as stream:
        return _response(stream.get_final_response())


def _responses_whole(door: Door) -> Reading:
    return _response(door.openai().responses.create(model="gpt", input="hello there"))


# Anthropic


def _message(message: Any) -> Reading:
    blocks = message.content
    details = message.usage.output_tokens_details
    usage = (message.usage.input_tokens, message.usage.output_tokens, details.thinking_tokens if details else 0)
    assert all(block.signature for block in blocks if block.type == "thinking")
    return Reading(
        text="".join(block.text for block in blocks if block.type == "text"),
        reasoning="".join(block.thinking for block in blocks if block.type == "thinking"),
        calls=tuple((block.name, block.input) for block in blocks if block.type == "tool_use"),
        finish=message.stop_reason,
        usage=usage,
    )


def _anthropic_raw(door: Door) -> Reading:
    blocks: dict[int, list[str]] = {}
    finish, usage = None, None
    events: Any = door.anthropic().messages.create(model="claude", max_tokens=9, messages=HELLO, stream=True)
    for event in events:
        match event.type:
            case "content_block_start":
                blocks[event.index] = [event.content_block.type, getattr(event.content_block, "name", ""), ""]
            case "content_block_delta" if event.delta.type != "signature_delta":
                said = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
                blocks[event.index][2] += getattr(event.delta, said[event.delta.type])
            case "message_delta":
                finish = event.delta.stop_reason
                details = event.usage.output_tokens_details
                thought = details.thinking_tokens if details else 0
                usage = (event.usage.input_tokens or 0, event.usage.output_tokens, thought)
    return Reading(
        text="".join(text for kind, _, text in blocks.values() if kind == "text"),
        reasoning="".join(text for kind, _, text in blocks.values() if kind == "thinking"),
        calls=tuple((name, json.loads(text)) for kind, name, text in blocks.values() if kind == "tool_use"),
        finish=finish,
        usage=usage,
    )


def _anthropic_helper(door: Door) -> Reading:
    with door.anthropic().messages.stream(model="claude", max_tokens=9, messages=HELLO) as stream:
        return _message(stream.get_final_message())


def _anthropic_whole(door: Door) -> Reading:
    return _message(door.anthropic().messages.create(model="claude", max_tokens=9, messages=HELLO))


# Gemini


def _gemini(replies: Iterable[Any]) -> Reading:
    text, reasoning, finish, usage = "", "", None, None
    calls: list[tuple[str, Any]] = []
    for reply in replies:
        candidate = reply.candidates[0]
        finish = candidate.finish_reason.name if candidate.finish_reason else None
        for part in candidate.content.parts:
            if part.function_call:
                calls.append((part.function_call.name, part.function_call.args))
            elif part.thought:
                reasoning += part.text
            else:
                text += part.text or ""
        told = reply.usage_metadata
        thought = told.thoughts_token_count or 0
        usage = (told.prompt_token_count, (told.candidates_token_count or 0) + thought, thought)
    return Reading(text, reasoning, tuple(calls), finish, usage)


def _gemini_stream(door: Door) -> Reading:
    return _gemini(door.gemini().models.generate_content_stream(model="gemini", contents="hello there"))


def _gemini_whole(door: Door) -> Reading:
    return _gemini([door.gemini().models.generate_content(model="gemini", contents="hello there")])


# Ollama


def _ollama(parts: Iterable[Any]) -> Reading:
    text, reasoning = "", ""
    calls: list[tuple[str, Any]] = []
    for part in parts:
        said = part.message if "message" in part else None
        text += (said.content if said else part.response) or ""
        reasoning += (said.thinking if said else part.thinking) or ""
        calls += [(call.function.name, dict(call.function.arguments)) for call in (said and said.tool_calls) or ()]
    usage = (part.prompt_eval_count, part.eval_count, 0)
    return Reading(text, reasoning, tuple(calls), part.done_reason, usage)


def _ollama_stream(door: Door) -> Reading:
    return _ollama(door.ollama().chat("llama", HELLO, stream=True))


def _ollama_whole(door: Door) -> Reading:
    return _ollama([door.ollama().chat("llama", HELLO)])


def _generate_stream(door: Door) -> Reading:
    return _ollama(door.ollama().generate("llama", "hello there", stream=True))


def _generate_whole(door: Door) -> Reading:
    return _ollama([door.ollama().generate("llama", "hello there")])


READERS = [
    Reader("openai-chat-raw", _chat_raw, "stop", "tool_calls"),
    Reader("openai-chat-helper", _chat_helper, "stop", "tool_calls"),
    Reader("openai-chat-whole", _chat_whole, "stop", "tool_calls"),
    Reader("openai-responses-raw", _responses_raw, "completed", "completed"),
    Reader("openai-responses-helper", _responses_helper, "completed", "completed"),
    Reader("openai-responses-whole", _responses_whole, "completed", "completed"),
    Reader("anthropic-raw", _anthropic_raw, "end_turn", "tool_use"),
    Reader("anthropic-helper", _anthropic_helper, "end_turn", "tool_use"),
    Reader("anthropic-whole", _anthropic_whole, "end_turn", "tool_use"),
    Reader("gemini-stream", _gemini_stream, "STOP", "STOP"),
    Reader("gemini-whole", _gemini_whole, "STOP", "STOP"),
    Reader("ollama-chat-stream", _ollama_stream, "stop", "stop", counts_reasoning=False),
    Reader("ollama-chat-whole", _ollama_whole, "stop", "stop", counts_reasoning=False),
    Reader("ollama-generate-stream", _generate_stream, "stop", None, counts_reasoning=False),
    Reader("ollama-generate-whole", _generate_whole, "stop", None, counts_reasoning=False),
]
