"""Random scripts of all steps with content: frames and bodies fit the SDKs' models, and say what the script says."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ollama
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from decoders import decode_sse
from door import HELLO, Door
from google.genai.types import GenerateContentResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from test_frames_fit_sdk_models import unknown_fields

from pytest_mockstream import (
    Citation,
    Image,
    Interleave,
    MockStreamClient,
    Reasoning,
    Refusal,
    Script,
    ServerTool,
    Text,
    Together,
    ToolCall,
    Usage,
)
from pytest_mockstream.script.content import Content

STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
BETA_EVENT: TypeAdapter[Any] = TypeAdapter(BetaRawMessageStreamEvent)

# Without white space at the edges, so that no text is cut into nothing but a space that a reader strips.
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Cs"]), min_size=1, max_size=9).map(
    lambda word: f"{word} {word}"
)
_BORDERS = st.sampled_from([False, False, True])
_TEXT = st.builds(Text, _TEXTS, new_block=_BORDERS)
_REASONING = st.builds(Reasoning, _TEXTS, signature=st.sampled_from([None, False]), new_block=_BORDERS)
_SIGNED = st.builds(Reasoning, _TEXTS, signature=st.sampled_from(["c2ln", "c2lnMg=="]), new_block=_BORDERS)
_REDACTED = st.builds(Reasoning, _TEXTS, redacted=st.just(True))
_CALL = st.builds(
    ToolCall,
    st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    st.dictionaries(_TEXTS, st.integers() | _TEXTS, max_size=2),
    fragments=st.sampled_from([None, "whole", "word", "char", 2]),
)
_SEARCH = st.builds(
    ServerTool,
    st.just("web_search"),
    st.fixed_dictionaries({"query": _TEXTS}),
    st.none() | st.lists(st.fixed_dictionaries({"url": _TEXTS, "title": _TEXTS}), max_size=2),
)
_PAGE = st.builds(
    ServerTool,
    st.just("web_search"),
    st.fixed_dictionaries({"type": st.just("open_page"), "url": _TEXTS})
    | st.fixed_dictionaries({"type": st.just("find_in_page"), "url": _TEXTS, "pattern": _TEXTS}),
)
_CODE = st.builds(ServerTool, st.just("code_execution"), st.fixed_dictionaries({"code": _TEXTS}), st.none() | _TEXTS)
_FAILURE = st.fixed_dictionaries({"error": _TEXTS})
_MCP = st.builds(
    ServerTool,
    _TEXTS,
    st.dictionaries(_TEXTS, st.integers() | _TEXTS, max_size=2),
    st.none() | _TEXTS | _FAILURE,
    server=_TEXTS,
)
_TOOL = st.fixed_dictionaries(
    {"name": _TEXTS}, optional={"description": _TEXTS, "input_schema": st.dictionaries(_TEXTS, _TEXTS, max_size=2)}
)
_LISTING = st.builds(
    ServerTool, st.just("tools/list"), result=st.none() | st.lists(_TOOL, min_size=1, max_size=2), server=_TEXTS
)
_CITATION = st.builds(Citation, _TEXTS, _TEXTS, _TEXTS, new_block=_BORDERS)
_IMAGE = st.builds(Image, st.binary(min_size=1, max_size=9))
_USAGE = st.builds(
    lambda plain, cached, written, said, thought, heard: Usage(
        prompt_tokens=plain + cached + written + heard,
        completion_tokens=said + thought,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=thought,
        prompt_audio_tokens=heard,
    ),
    *[st.integers(0, 99)] * 6,
)


def _interleaved(*once: st.SearchStrategy[Any]) -> st.SearchStrategy[Interleave]:
    """Make steps of calls, text and other parts, of which one comes once."""
    parts = st.tuples(st.lists(_CALL, max_size=3), *(st.lists(part, max_size=1) for part in (_TEXT, *once)))
    listed: st.SearchStrategy[list[Any]] = parts.map(lambda lists: [part for some in lists for part in some])
    several = listed.filter(lambda found: len(found) > 1).map(_without_borders).flatmap(st.permutations)
    return several.map(lambda found: Interleave(*found))


def _without_borders(parts: list[Any]) -> list[Any]:
    """Return parts that can come by turns where a refusal is text: blocks of text are open one after the other."""
    if not any(isinstance(part, Refusal) for part in parts):
        return parts
    return [part if isinstance(part, ToolCall) else replace(part, new_block=False) for part in parts]


def _together(reasoning: st.SearchStrategy[Reasoning]) -> st.SearchStrategy[Together]:
    text, thoughts = (made.map(lambda part: replace(part, new_block=False)) for made in (_TEXT, reasoning))
    return st.builds(Together, text, thoughts) | st.builds(Together, text, _CALL)


_REFUSAL = st.builds(Refusal, _TEXTS, new_block=_BORDERS)
#: What the model itself says: of that, each format has nearly all.
SPOKEN = _TEXT | _REASONING | _CALL | _REFUSAL | _interleaved(_REASONING, _REFUSAL) | _together(_REASONING)
#: A block of prose goes on from one step to the next, and blocks of one kind come while it is open.
BLOCKS_THAT_GO_ON = [
    Script(
        Interleave(Text("a b"), Reasoning("c d")),
        Interleave(Reasoning("e f"), ToolCall("f"), Text("g h"), ToolCall("g")),
    ),
    Script(
        Interleave(Reasoning("a b c", signature="c2ln"), Text("d e f g")),
        Interleave(Text("h i"), Reasoning("j k", signature="c2lnMg==")),
        Interleave(Text("l m"), ToolCall("f", {"a": 1})),
    ),
    Script(
        Interleave(Text("a b"), Reasoning("c d e")),
        Reasoning("f g"),
        Interleave(Reasoning("h i"), Text("j k")),
        Interleave(Text("l m"), Reasoning("n o"), order=[0, 1, 1, 0]),
    ),
]


@dataclass(frozen=True)
class Said:
    """What a reply says, with what not every format has left empty."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, Any], ...] = ()
    sources: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()  # of MCP servers with the label of the server before it
    seals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wire:
    """One format: what it can say, how it is asked, and how its frames and its body are read."""

    name: str
    steps: st.SearchStrategy[Content]
    streamed: tuple[str, Any]
    whole: tuple[str, Any]
    read_stream: Callable[[bytes], Said]
    read_whole: Callable[[bytes], Said]
    without: tuple[str, ...] = ()
    calls_by_end: bool = False  # each call is sent when its last fragment would have come


def _parts(script: Script) -> list[Content]:
    return [part for part in script.contents if not isinstance(part, Interleave | Together)]


def expected(script: Script, wire: Wire) -> Said:
    """Return what a script says."""
    said = _parts(script)
    thoughts = [part for part in said if isinstance(part, Reasoning)]
    found: dict[str, Any] = {
        "text": "".join(part.text for part in said if isinstance(part, Text)),
        "reasoning": "".join(part.text for part in thoughts if not part.redacted),
        "calls": tuple((part.name, json.loads(part.json)) for part in said if isinstance(part, ToolCall)),
        "sources": tuple(part.url for part in said if isinstance(part, Citation)),
        "images": tuple(str(part.data) for part in said if isinstance(part, Image)),
        "tools": tuple(_tool(part.server, part.name) for part in said if isinstance(part, ServerTool)),
        "seals": tuple(
            sorted(
                part.text if part.redacted else str(part.signature)
                for part in thoughts
                if part.redacted or part.signature
            )
        ),
    }
    return Said(**{name: value for name, value in found.items() if name not in wire.without})


def _tool(server: str | None, name: str) -> str:
    return name if server is None else f"{server}: {name}"


def _calls(fragments: Iterable[tuple[int, str | None, str]]) -> tuple[tuple[str, Any], ...]:
    calls: dict[int, list[str]] = {}
    for index, name, arguments in fragments:
        calls.setdefault(index, [name or ""]).append(arguments)
    return tuple((name, json.loads("".join(pieces) or "{}")) for name, *pieces in calls.values())


# OpenAI Chat


def _chat_stream(body: bytes) -> Said:
    chunks = [ChatCompletionChunk.model_validate_json(event.data) for event in decode_sse(body)[:-1]]
    legal = {"reasoning_content", "annotations", "images"}
    assert {path.rpartition(".")[2] for chunk in chunks for path in unknown_fields(chunk)} <= legal
    deltas: list[Any] = [choice.delta for chunk in chunks for choice in chunk.choices]
    return Said(
        text="".join(delta.content or "" for delta in deltas),
        reasoning="".join(getattr(delta, "reasoning_content", "") for delta in deltas),
        calls=_calls(
            (call.index, call.function.name, call.function.arguments)
            for delta in deltas
            for call in delta.tool_calls or ()
        ),
        sources=tuple(one["url_citation"]["url"] for delta in deltas for one in getattr(delta, "annotations", ())),
        images=_image_data(one for delta in deltas for one in getattr(delta, "images", ())),
    )


def _image_data(images: Iterable[Any]) -> tuple[str, ...]:
    return tuple(one["image_url"]["url"].removeprefix("data:image/png;base64,") for one in images)


def _chat_whole(body: bytes) -> Said:
    completion = ChatCompletion.model_validate_json(body)
    assert {path.rpartition(".")[2] for path in unknown_fields(completion)} <= {"reasoning_content", "images"}
    message: Any = completion.choices[0].message
    return Said(
        text=message.content or "",
        reasoning=getattr(message, "reasoning_content", ""),
        calls=tuple((call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()),
        sources=tuple(one.url_citation.url for one in message.annotations or ()),
        images=_image_data(getattr(message, "images", ())),
    )


# OpenAI Responses


def _response(response: Response) -> Said:
    assert list(unknown_fields(response)) == []
    output: list[Any] = response.output
    parts = [part for item in output if item.type == "message" for part in item.content]
    names = {
        "web_search_call": "web_search",
        "code_interpreter_call": "code_execution",
        "mcp_list_tools": "tools/list",
    }
    return Said(
        text="".join(part.text for part in parts),
        reasoning="".join(part.text for item in output if item.type == "reasoning" for part in item.summary),
        calls=tuple((item.name, json.loads(item.arguments)) for item in output if item.type == "function_call"),
        sources=tuple(one.url for part in parts for one in part.annotations),
        images=tuple(item.result for item in output if item.type == "image_generation_call"),
        tools=tuple(
            _tool(getattr(item, "server_label", None), names.get(item.type) or item.name)
            for item in output
            if item.type in names or item.type == "mcp_call"
        ),
        seals=tuple(sorted(one for item in output if (one := getattr(item, "encrypted_content", None)))),
    )


def _responses_stream(body: bytes) -> Said:
    events: list[Any] = [STREAM_EVENT.validate_json(event.data) for event in decode_sse(body)]
    assert [list(unknown_fields(event)) for event in events] == [[]] * len(events)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = _response(events[-1].response)
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    done = [event.output_index for event in events if event.type == "response.output_item.done"]
    assert (added, sorted(done)) == (list(range(len(added))), list(range(len(added))))
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    thoughts = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
    assert ("".join(texts), "".join(thoughts)) == (last.text, last.reasoning)
    arguments: dict[int, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            arguments[event.output_index] = arguments.get(event.output_index, "") + event.delta
    assert [json.loads(arguments[index]) for index in sorted(arguments)] == [value for _, value in last.calls]
    for event in events:  # each item as it was last said is the one of the response
        if event.type == "response.output_item.done":
            assert event.item == events[-1].response.output[event.output_index]
    return last


# Anthropic


def _message(content: Sequence[Any]) -> Said:
    return Said(
        text="".join(block.text for block in content if block.type == "text"),
        reasoning="".join(block.thinking for block in content if block.type == "thinking"),
        calls=tuple((block.name, block.input) for block in content if block.type == "tool_use"),
        sources=tuple(one.url for block in content if block.type == "text" for one in block.citations or ()),
        tools=tuple(filter(None, map(_tool_of_block, content))),
        seals=tuple(
            sorted(
                [block.data for block in content if block.type == "redacted_thinking"]
                + [
                    block.signature
                    for block in content
                    if block.type == "thinking" and block.signature.startswith("c2ln")
                ]
            )
        ),
    )


def _tool_of_block(block: Any) -> str | None:
    if block.type == "mcp_tool_listing":
        return _tool(block.mcp_server_name, "tools/list")
    is_use = block.type in {"server_tool_use", "mcp_tool_use"}
    return _tool(getattr(block, "server_name", None), block.name) if is_use else None


def _anthropic_stream(body: bytes, event_type: TypeAdapter[Any] = MESSAGE_EVENT) -> Said:
    events: list[Any] = [event_type.validate_json(event.data) for event in decode_sse(body)]
    assert [list(unknown_fields(event)) for event in events] == [[]] * len(events)
    assert [event.name for event in decode_sse(body)] == [event.type for event in events]
    blocks: list[Any] = []
    inputs: dict[int, str] = {}
    open_blocks: set[int] = set()
    for event in events:
        if event.type == "content_block_start":
            assert event.index == len(blocks)
            blocks.append(event.content_block)
            open_blocks.add(event.index)
        elif event.type == "content_block_delta":
            assert event.index in open_blocks
            _add_delta(blocks[event.index], event.delta, event.index, inputs)
        elif event.type == "content_block_stop":
            open_blocks.remove(event.index)
    assert not open_blocks
    for index, text in inputs.items():
        blocks[index].input = json.loads(text or "{}")
    return _message(blocks)


def _add_delta(block: Any, delta: Any, index: int, inputs: dict[int, str]) -> None:
    match delta.type:
        case "text_delta":
            block.text += delta.text
        case "thinking_delta":
            block.thinking += delta.thinking
        case "signature_delta":
            block.signature = delta.signature
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta.partial_json
        case "citations_delta":
            block.citations = [*(block.citations or ()), delta.citation]


def _anthropic_whole(body: bytes, message_type: type[Message | BetaMessage] = Message) -> Said:
    message = message_type.model_validate_json(body)
    assert list(unknown_fields(message)) == []
    return _message(message.content)


# Gemini


def _gemini(replies: Iterable[GenerateContentResponse]) -> Said:
    candidates: list[Any] = [reply.candidates[0] for reply in replies if reply.candidates]
    parts = [part for candidate in candidates for part in candidate.content.parts]
    grounding = [one for candidate in candidates if (one := candidate.grounding_metadata)]
    supports = (grounding[-1].grounding_supports or ()) if grounding else ()
    cited = [grounding[-1].grounding_chunks[one.grounding_chunk_indices[0]].web.uri for one in supports]
    return Said(
        text="".join(part.text or "" for part in parts if not part.thought),
        reasoning="".join(part.text for part in parts if part.thought),
        calls=tuple((part.function_call.name, part.function_call.args) for part in parts if part.function_call),
        sources=tuple(cited),
        images=tuple(b64encode(part.inline_data.data).decode() for part in parts if part.inline_data),
    )


def _gemini_stream(body: bytes) -> Said:
    return _gemini(GenerateContentResponse.model_validate_json(event.data) for event in decode_sse(body))


def _gemini_whole(body: bytes) -> Said:
    return _gemini([GenerateContentResponse.model_validate_json(body)])


# Ollama


def _ollama(body: bytes) -> Said:
    messages = [ollama.ChatResponse.model_validate_json(line).message for line in body.splitlines()]
    calls = [call.function for message in messages for call in message.tool_calls or ()]
    return Said(
        text="".join(message.content or "" for message in messages),
        reasoning="".join(message.thinking or "" for message in messages),
        calls=tuple((call.name, dict(call.arguments)) for call in calls),
    )


_CHAT = {"model": "gpt", "messages": HELLO}
_RESPONSES = {"model": "gpt", "input": "hi"}
_MESSAGES = {"model": "claude", "messages": HELLO, "max_tokens": 9}
_GEMINI = {"contents": [{"parts": [{"text": "hi"}]}]}
_WIRES = [
    Wire(
        name="chat",
        steps=_TEXT | _REASONING | _CALL | _CITATION | _IMAGE | _interleaved(_REASONING) | _together(_REASONING),
        streamed=("/v1/chat/completions", _CHAT | {"stream": True, "stream_options": {"include_usage": True}}),
        whole=("/v1/chat/completions", _CHAT),
        read_stream=_chat_stream,
        read_whole=_chat_whole,
    ),
    Wire(
        name="responses",
        steps=_TEXT
        | _REASONING
        | _SIGNED
        | _REDACTED
        | _CALL
        | _CITATION
        | _IMAGE
        | _SEARCH
        | _PAGE
        | _CODE
        | _MCP
        | _LISTING
        | _interleaved(_REASONING | _SIGNED),
        streamed=("/v1/responses", _RESPONSES | {"stream": True}),
        whole=("/v1/responses", _RESPONSES),
        read_stream=_responses_stream,
        read_whole=lambda body: _response(Response.model_validate_json(body)),
    ),
    Wire(
        name="anthropic",
        steps=_TEXT
        | _REASONING
        | _SIGNED
        | _REDACTED
        | _CALL
        | _CITATION
        | _SEARCH
        | _CODE
        | _interleaved(_REASONING | _SIGNED),
        streamed=("/v1/messages", _MESSAGES | {"stream": True}),
        whole=("/v1/messages", _MESSAGES),
        read_stream=_anthropic_stream,
        read_whole=_anthropic_whole,
    ),
    Wire(
        name="gemini",
        steps=_TEXT
        | _REASONING
        | _SIGNED
        | _CALL
        | _CITATION
        | _IMAGE
        | _SEARCH
        | _CODE
        | _interleaved(_REASONING | _SIGNED)
        | _together(_REASONING | _SIGNED),
        streamed=("/v1beta/models/m:streamGenerateContent?alt=sse", _GEMINI),
        whole=("/v1beta/models/m:generateContent", _GEMINI),
        read_stream=_gemini_stream,
        read_whole=_gemini_whole,
        without=("tools", "seals"),
        calls_by_end=True,
    ),
    Wire(
        name="ollama",
        steps=_TEXT | _REASONING | _CALL | _interleaved(_REASONING) | _together(_REASONING),
        streamed=("/api/chat", {"model": "llama", "messages": HELLO}),
        whole=("/api/chat", {"model": "llama", "messages": HELLO, "stream": False}),
        read_stream=_ollama,
        read_whole=_ollama,
        calls_by_end=True,
    ),
]
WIRES = {wire.name: wire for wire in _WIRES}
#: Tools of MCP servers are a beta of Anthropic's: https://docs.anthropic.com/en/docs/agents-and-tools/mcp-connector
WIRES["anthropic-beta"] = replace(
    WIRES["anthropic"],
    name="anthropic-beta",
    steps=WIRES["anthropic"].steps | _MCP | _LISTING,
    read_stream=lambda body: _anthropic_stream(body, BETA_EVENT),
    read_whole=lambda body: _anthropic_whole(body, BetaMessage),
)


def scripts(wire: Wire) -> st.SearchStrategy[Script]:
    """Make scripts of all that a format can say."""
    return st.builds(
        lambda steps, chunking, usage: Script(*steps, chunking=chunking, usage=usage, times=None),
        st.lists(wire.steps, max_size=5),
        st.sampled_from(["word", "char", 3]),
        st.none() | _USAGE,
    )


def scripts_with_refusals(wire: Wire) -> st.SearchStrategy[Script]:
    """Make scripts of all that a format can say, with refusals besides."""
    return scripts(replace(wire, steps=wire.steps | _REFUSAL | _interleaved(_REASONING, _REFUSAL)))


@pytest.mark.parametrize("name", WIRES)
@given(data=st.data())
@settings(max_examples=10)
def test_streamed_and_whole_fit_the_models_and_say_what_the_script_says(name: str, data: st.DataObject) -> None:
    _check(WIRES[name], data)


@pytest.mark.slow
@pytest.mark.parametrize("name", WIRES)
@given(data=st.data())
@settings(max_examples=200)
def test_many_more_scripts_do_so_too(name: str, data: st.DataObject) -> None:
    _check(WIRES[name], data)


def _check(wire: Wire, data: st.DataObject) -> None:
    script = data.draw(scripts(wire))
    said = expected(script, wire)
    streamed, whole = Door(script), Door(script)

    read = wire.read_stream(streamed.body(*wire.streamed))
    if wire.calls_by_end:
        assert sorted(map(repr, read.calls)) == sorted(map(repr, said.calls))
        read = replace(read, calls=said.calls)
    assert read == said
    assert wire.read_whole(whole.body(*wire.whole)) == said
    assert streamed.request.chunks_sent == whole.request.chunks_sent == script.chunk_count
    assert (streamed.request.state, whole.request.state) == ("exhausted", "exhausted")


@given(steps=st.lists(WIRES["responses"].steps | WIRES["gemini"].steps | _REFUSAL, max_size=5))
@settings(max_examples=15)
def test_default_client_gets_what_the_script_says(steps: list[Content]) -> None:
    script = Script(*steps, times=None)
    client = MockStreamClient()
    client.respond(script)

    chunks = list(client.complete_stream("hi"))
    completion = client.complete("hi")

    said = _parts(script)
    assert len(chunks) == script.chunk_count
    assert completion.content == "".join(part.text for part in said if isinstance(part, Text)) == chunks[-1].content
    assert completion.reasoning == "".join(
        part.text for part in said if isinstance(part, Reasoning) and not part.redacted
    )
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [
        (part.name, part.json) for part in said if isinstance(part, ToolCall)
    ]
    items = [type(part) for part in said if isinstance(part, ServerTool | Citation | Image)]
    assert [type(item) for item in completion.items if not isinstance(item, Reasoning)] == items
