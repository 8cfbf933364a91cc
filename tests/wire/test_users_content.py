"""What real servers say besides text: the bytes of each step, and what is refused where it cannot be said."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from aws_models import faults, messages, service
from decoders import decode_sse
from door import HELLO, Door, frames

from pytest_mockstream import (
    Citation,
    Disconnect,
    Image,
    Interleave,
    MockStreamClient,
    Reasoning,
    Refusal,
    Script,
    ScriptError,
    ServerTool,
    Text,
    Together,
    ToolCall,
    Truncate,
    Usage,
    Wait,
)

CHAT = ("/v1/chat/completions", {"model": "gpt", "messages": HELLO, "stream": True})
RESPONSES = ("/v1/responses", {"model": "gpt", "input": "hi", "stream": True})
MESSAGES = ("/v1/messages", {"model": "claude", "messages": HELLO, "max_tokens": 9, "stream": True})
GEMINI = ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "hi"}]}]})
OLLAMA = ("/api/chat", {"model": "llama", "messages": HELLO})
GENERATE = ("/api/generate", {"model": "llama", "prompt": "hi"})


COHERE = ("/v2/chat", {"model": "command-a", "messages": HELLO, "stream": True})
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
CONVERSE = ("/model/anthropic.claude-3/converse-stream", ASK)
NOVA = ("/model/amazon.nova-lite-v1:0/invoke-with-response-stream", ASK)


def values(script: Script, asked: tuple[str, Any]) -> list[Any]:
    """Return the JSON of each frame."""
    body = Door(script).body(*asked)
    lines = (
        body.decode().splitlines() if asked[0] in {OLLAMA[0], GENERATE[0]} else [one.data for one in decode_sse(body)]
    )
    return [json.loads(line) for line in lines if line != "[DONE]"]


def deltas(script: Script) -> list[Any]:
    """Return the deltas of a chat, without the first and the last."""
    return [one["choices"][0]["delta"] for one in values(script, CHAT)][1:-1]


def calls(script: Script) -> list[Any]:
    return [delta["tool_calls"][0] for delta in deltas(script)]


def refusal(script: Script, asked: tuple[str, Any], **changes: Any) -> str:
    door = Door(script)
    error = door.post(asked[0], asked[1] | changes).error
    assert isinstance(error, ScriptError)
    assert door.playbook.unexpected == [error]
    return str(error)


# Tool calls.


def test_calls_come_by_turns() -> None:
    script = Script(Interleave(ToolCall("f", {"x": 1}), ToolCall("g", {"yy": 2}), "a b"))

    got = [
        (one.get("content"), *((call["index"], call["function"]) for call in one.get("tool_calls", ())))
        for one in deltas(script)
    ]

    assert got == [
        (None, (0, {"name": "f", "arguments": ""})),
        (None, (1, {"name": "g", "arguments": ""})),
        ("a ",),
        (None, (0, {"arguments": '{"x": '})),
        (None, (1, {"arguments": '{"yy": '})),
        ("b",),
        (None, (0, {"arguments": "1}"})),
        (None, (1, {"arguments": "2}"})),
    ]


def test_anthropic_helper_reads_blocks_by_turns() -> None:
    script = Script("Let me see. ", Interleave(ToolCall("f", {"x": 1}), ToolCall("g", {"y": 2})), "ok")

    with Door(script).anthropic().messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
        message = stream.get_final_message()

    assert [getattr(block, "input", block.type) for block in message.content] == ["text", {"x": 1}, {"y": 2}, "text"]


def test_responses_helper_reads_items_by_turns() -> None:
    script = Script(Interleave(ToolCall("f", {"x": 1}), "a b", ToolCall("g", {"y": 2})), "c")

    with Door(script).openai().responses.stream(model="gpt", input="hi") as stream:
        response = stream.get_final_response()

    assert [getattr(item, "arguments", item.type) for item in response.output] == [
        '{"x": 1}',
        "message",
        '{"y": 2}',
        "message",
    ]
    assert response.output_text == "a bc"


@pytest.mark.parametrize("between", [ToolCall("f"), Reasoning("r"), ServerTool("web_search"), Image(), Refusal("no")])
def test_text_of_responses_goes_on_in_a_part_of_its_own_behind_what_comes_between(between: Any) -> None:
    with Door(Script("a b c", between, "d e f")).openai().responses.stream(model="gpt", input="hi") as stream:
        response = stream.get_final_response()

    parts: Any = [part for item in response.output if item.type == "message" for part in item.content]
    assert [part.text for part in parts if part.type == "output_text"] == ["a b c", "d e f"]


def test_whole_call_by_turns_comes_with_its_last_fragment() -> None:
    script = Script(Interleave(ToolCall("f", {"x": 1, "y": 2}), ToolCall("g")), delay=1)
    answered = Door(script).answer("POST", f"https://localhost{OLLAMA[0]}", {}, OLLAMA[1])
    got: list[tuple[float, str, int]] = []

    while isinstance(arrived := answered.playback.receive(), tuple):
        made = json.loads(answered.delivered(*arrived))["message"].get("tool_calls")
        got.append((arrived[0], made and made[0]["function"]["name"], answered.entry.chunks_sent))
    answered.leave()

    assert got == [(4, "g", 2), (7, "f", 7), (7, None, 8)]


@pytest.mark.parametrize(
    ("fragments", "arguments"),
    [
        (None, ["", '{"x": ', "1}"]),
        ("whole", ['{"x": 1}']),
        ("word", ["", '{"x": ', "1}"]),
        (4, ["", '{"x"', ": 1}"]),
        ("char", ["", *'{"x": 1}']),
        ([None, '{"x"', "", ": 1}"], [None, '{"x"', "", ": 1}"]),
        (['{"x": 1}', None], ['{"x": 1}', None]),
    ],
)
def test_arguments_come_in_the_fragments_that_are_asked_for(fragments: Any, arguments: list[str | None]) -> None:
    got = calls(Script(ToolCall("f", {"x": 1}, fragments=fragments)))

    assert [call["function"]["arguments"] for call in got] == arguments
    assert [call["function"].get("name") for call in got] == ["f", *[None] * (len(got) - 1)]


def test_two_calls_have_the_same_index_and_none_an_id() -> None:
    script = Script(ToolCall("f", id="", index=0, fragments="whole"), ToolCall("g", id="", index=0, fragments="whole"))

    assert calls(script) == [
        {"index": 0, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")
    ]
    whole = json.loads(Door(script).body(CHAT[0], CHAT[1] | {"stream": False}))["choices"][0]["message"]["tool_calls"]
    assert whole == [{"type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]


def test_default_client_keeps_calls_of_the_same_index_apart() -> None:
    client = MockStreamClient()
    client.respond(
        ToolCall("f", {"x": 1}, index=0), ToolCall("g", {"y": 2}, "", index=0), Interleave(ToolCall("h"), "i")
    )

    made = client.complete("hi").tool_calls

    assert [(call.id, call.name, call.arguments) for call in made] == [
        ("call_1", "f", '{"x": 1}'),
        ("", "g", '{"y": 2}'),
        ("call_3", "h", "{}"),
    ]


@pytest.mark.parametrize(("asked", "has_id"), [(GEMINI, False), (OLLAMA, False)])
def test_call_without_an_id_has_none_where_none_is_due(asked: Any, has_id: bool) -> None:
    text = json.dumps(values(Script(ToolCall("f", id="")), asked))

    assert ("call_1" in text) is has_id
    assert '"id": ""' not in text


@pytest.mark.parametrize("asked", [RESPONSES, MESSAGES])
def test_call_without_an_id_is_refused_where_each_has_one(asked: Any) -> None:
    assert "each of its calls has an id" in refusal(Script(Interleave("a", ToolCall("f", id=""))), asked)


@pytest.mark.parametrize("asked", [CONVERSE, NOVA, COHERE])
def test_call_without_an_id_is_refused_where_each_has_one_and_none_come_by_turns(asked: Any) -> None:
    assert "each of its calls has an id" in refusal(Script(ToolCall("f", id="")), asked)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (ToolCall("f", id=""), "each of its calls has an id"),
        (ToolCall("f", index=1), "its calls have no index of their own"),
        (ToolCall("f", fragments=[None, "{}"]), "never null"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_odd_call_is_refused_in_a_conversation(call: ToolCall, message: str, stream: bool) -> None:
    door = Door(Script(call))
    headers = {"user-agent": "mistral-client-python"}

    answered = door.ask("POST", "https://x/v1/conversations", headers, {"model": "m", "inputs": "hi", "stream": stream})

    assert message in str(answered.error)
    assert door.playbook.unexpected == [answered.error]


@pytest.mark.parametrize("asked", [RESPONSES, MESSAGES, GEMINI, OLLAMA, CONVERSE, NOVA, COHERE])
def test_what_only_chats_can_say_of_a_call_is_refused_elsewhere(asked: Any) -> None:
    assert "its calls have no index of their own" in refusal(Script(ToolCall("f", index=1)), asked)
    assert "never null" in refusal(Script(ToolCall("f", fragments=[None, "{}"])), asked)


def test_broken_call_is_never_sent_whole() -> None:
    cut = Script(ToolCall("f", '{"x"'), Truncate())

    assert "are not JSON" in refusal(cut, GEMINI)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ToolCall("f", {"x": 1}, fragments=["{"]), r"joined they are not the arguments, '{\"x\": 1}'"),
        (lambda: ToolCall("f", fragments=[]), "give at least one str"),
        (lambda: ToolCall("f", fragments=[1]), r"fragments=\[1\]\): give at"),  # type: ignore[list-item] # on purpose
        (lambda: ToolCall("f", fragments="line"), "give 'whole', 'word', 'char', an int > 0 or a list"),
        (lambda: ToolCall("f", fragments=0), r"fragments=0\): give 'whole'"),
        (lambda: ToolCall("f", fragments={}), r"fragments={}\): give 'whole'"),  # type: ignore[arg-type] # on purpose
        (lambda: ToolCall("f", index=-1), r"index=-1\): give an int >= 0"),
        (lambda: ToolCall("f", id=1), r"id=1\): give a str, '' for none"),  # type: ignore[arg-type] # on purpose
        (lambda: Interleave(ToolCall("f")), "has 1 part: give at least two"),
        (Interleave, "has 0 parts: give at least two"),
        (lambda: Interleave("a", Text("b")), "more than one Text"),
        (lambda: Interleave("a", Wait(1)), r"Wait\(seconds=1.0\) cannot be in it: give Text,"),  # type: ignore[arg-type] # on purpose
        (lambda: Interleave(ToolCall("f", index=1), ToolCall("g", index=1)), "two calls with the same index"),
        (lambda: Together("a", "b"), r"Together\(...\) has more than one Text"),
        (lambda: Together("a", Reasoning("b", redacted=True)), "redacted reasoning"),
        (lambda: Reasoning("a", signature=""), r"signature=''\): give a non-empty str, None for any, False for none"),
        (lambda: Reasoning("a", signature=True), "signature=True"),  # type: ignore[arg-type] # on purpose
        (lambda: Reasoning("a", signature="s", redacted=True), "has no signature"),
        (lambda: Reasoning("", redacted=True), "give what the provider sends"),
        (lambda: Reasoning("a", redacted=1), r"redacted=1\): give True or False"),  # type: ignore[arg-type] # on purpose
        (lambda: ServerTool(""), r"name=''\): give the tool's name"),
        (lambda: ServerTool("f", []), r"input=\[\]\): give a mapping"),  # type: ignore[arg-type] # on purpose
        (lambda: ServerTool("f", {}, {1}), r"ServerTool\(result=\{1\}\) cannot be written as JSON"),
        (lambda: Citation(""), r"url=''\): give a non-empty str"),
        (lambda: Citation("u", title=1), r"title=1\): give a str"),  # type: ignore[arg-type] # on purpose
        (lambda: Citation("u", start=-1), r"start=-1\): give a place in the text"),
        (lambda: Citation("u", start=2, end=1), "it ends before it begins"),
        (lambda: Image("no base64!"), "give the bytes of an image, or their Base64 text"),
        (lambda: Image(b""), "give the bytes of an image"),
        (lambda: Image(b"a", media_type="text/plain"), "give a type such as 'image/png'"),
        (lambda: Usage(prompt_tokens=-1), r"prompt_tokens=-1\): give a number of tokens"),
        (lambda: Usage(cached_tokens=7), r"Usage\(prompt_tokens=0, cached_tokens=7\): prompt_tokens counts them all"),
        (lambda: Usage(completion_tokens=1, reasoning_tokens=2), "completion_tokens counts them all"),
    ],
)  # fmt: skip
def test_step_that_cannot_be_is_refused_where_it_is_made(make: Any, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        make()


# Reasoning.


def anthropic_blocks(script: Script) -> list[Any]:
    with Door(script).anthropic().messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
        return [block.model_dump(exclude_none=True) for block in stream.get_final_message().content]


def test_thinking_is_signed_redacted_and_repeated() -> None:
    script = Script(
        Reasoning("a b", signature="s1"),
        Reasoning("c", signature="s2"),
        Reasoning("xyz", redacted=True),
        Reasoning("d"),
    )

    blocks = anthropic_blocks(script)

    assert blocks[:3] == [
        {"type": "thinking", "thinking": "a b", "signature": "s1"},
        {"type": "thinking", "thinking": "c", "signature": "s2"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
    assert blocks[3]["signature"]
    whole = json.loads(Door(script).body(MESSAGES[0], MESSAGES[1] | {"stream": False}))
    assert whole["content"] == blocks


def test_thinking_without_a_signature_has_no_signature_delta() -> None:
    events = values(Script(Reasoning("a", signature=False), "b"), MESSAGES)

    assert "signature_delta" not in json.dumps(events)
    assert anthropic_blocks(Script(Reasoning("", signature="s")))[0] == {
        "type": "thinking",
        "thinking": "",
        "signature": "s",
    }


def test_gemini_has_the_signature_on_the_part_behind_the_thoughts() -> None:
    script = Script(Reasoning("a", signature="s1"), ToolCall("f"), Reasoning("b", signature=False), "c")

    parts = [part for value in values(script, GEMINI) for part in value["candidates"][0]["content"]["parts"]]

    assert [part.get("thoughtSignature") for part in parts] == [None, "s1", None, None, None]


def test_responses_have_reasoning_that_is_encrypted() -> None:
    script = Script(Reasoning("a", signature="s1"), Reasoning("xyz", redacted=True), Reasoning("b", signature=False))
    include = {"include": ["reasoning.encrypted_content"], "stream": False}

    output = json.loads(Door(script).body(RESPONSES[0], RESPONSES[1] | include))["output"]

    assert [(item["summary"], item.get("encrypted_content")) for item in output] == [
        ([{"type": "summary_text", "text": "a"}], "s1"),
        ([], "xyz"),
        ([{"type": "summary_text", "text": "b"}], None),
    ]


@pytest.mark.parametrize("asked", [CHAT, OLLAMA, GENERATE, COHERE])
@pytest.mark.parametrize("step", [Reasoning("a", signature="s"), Reasoning("a", redacted=True)])
def test_sealed_reasoning_is_refused_where_there_is_none(asked: Any, step: Reasoning) -> None:
    assert "its reasoning is text without a signature, and never redacted" in refusal(Script(step), asked)
    assert values(Script(Reasoning("a", signature=False)), asked)


def test_default_client_gets_sealed_reasoning_as_an_item() -> None:
    client = MockStreamClient()
    client.respond(Reasoning("a b", signature="s"), Reasoning("x", redacted=True), times=2)

    chunks = list(client.complete_stream("hi"))

    assert [(chunk.reasoning, chunk.item) for chunk in chunks[:-1]] == [
        ("a ", None),
        ("b", Reasoning("a b", signature="s")),
        ("", Reasoning("x", redacted=True)),
    ]
    assert client.complete("hi").reasoning == "a b"


def test_text_and_reasoning_are_in_one_delta() -> None:
    assert deltas(Script(Together("a b", Reasoning("c d")))) == [{"reasoning_content": "c d", "content": "a b"}]
    assert (
        deltas(Script("x", Together("a", ToolCall("f", {"x": 1}))))[1]["tool_calls"][0]["function"]["arguments"]
        == '{"x": 1}'
    )
    assert values(Script(Together("a", Reasoning("c"))), OLLAMA)[0]["message"] == {
        "role": "assistant",
        "content": "a",
        "thinking": "c",
    }
    parts = values(Script(Together("a", Reasoning("c"))), GEMINI)[0]["candidates"][0]["content"]["parts"]
    assert [part["text"] for part in parts] == ["c", "a"]


@pytest.mark.parametrize("asked", [RESPONSES, MESSAGES])
def test_two_things_in_one_event_are_refused_where_an_event_says_one(asked: Any) -> None:
    said = refusal(Script(Together("a", Reasoning("b"))), asked)

    assert "it has nothing that says Together(parts=(Text(content='a'), " in said
    assert "Of Interleave, Together, ServerTool, Citation, Image it has Interleave, ServerTool, Citation" in said
    whole = Door(Script(Together("a", Reasoning("b")))).body(asked[0], asked[1] | {"stream": False})
    assert b'"a"' in whole


def test_text_and_refusal_are_one_part_where_a_refusal_is_text() -> None:
    script = Script("a", Refusal("b"), "c", ToolCall("f"), "d", finish_reason="stop", times=None)

    starts = [value for value in values(script, COHERE) if value["type"] == "content-start"]
    whole = json.loads(Door(script).body(COHERE[0], COHERE[1] | {"stream": False}))["message"]

    assert [part["text"] for part in whole["content"]] == ["abc", "d"]
    assert len(starts) == 2


def test_text_and_refusal_are_one_entry_of_a_conversation() -> None:
    script = Script("a", Refusal("b"), "c", ToolCall("f"), "d", times=None)

    def said(stream: bool) -> bytes:
        asked = {"model": "m", "inputs": "hi", "stream": stream}
        headers = {"user-agent": "mistral-client-python"}
        return b"".join(frames(Door(script).answer("POST", "https://x/v1/conversations", headers, asked)))

    events = [json.loads(event.data) for event in decode_sse(said(stream=True))]
    outputs = json.loads(said(stream=False))["outputs"]

    assert [entry.get("content") for entry in outputs] == ["abc", None, "d"]
    assert {event["output_index"] for event in events[1:-1]} == {0, 1, 2}


def test_default_client_keeps_both_of_one_chunk() -> None:
    client = MockStreamClient()
    client.respond(Together("a", Reasoning("b"), Refusal("c")), Disconnect())

    chunk, last = client.complete_stream("hi", errors="chunk")

    assert (chunk.delta, chunk.reasoning, chunk.refusal, chunk.content) == ("a", "b", "c", "a")
    assert (last.content, last.reasoning) == ("a", "b")


# Tools of the provider, sources, images.


def test_anthropic_runs_tools_and_cites() -> None:
    found = [{"url": "https://a.b", "title": "A"}]
    script = Script(
        ServerTool("web_search", {"query": "Paris"}, found),
        "Paris is lovely.",
        Citation("https://a.b", "A", "So lovely"),
        ServerTool("code_execution", {"code": "print(1)"}, "1\n"),
        ServerTool("web_fetch", {"url": "u"}, {"type": "web_fetch_tool_result_error", "error_code": "url_too_long"}),
    )

    blocks = anthropic_blocks(script)

    assert [block["type"] for block in blocks] == [
        "server_tool_use",
        "web_search_tool_result",
        "text",
        "server_tool_use",
        "code_execution_tool_result",
        "server_tool_use",
        "web_fetch_tool_result",
    ]
    assert (blocks[0]["input"], blocks[1]["tool_use_id"]) == ({"query": "Paris"}, blocks[0]["id"])
    assert (blocks[1]["content"][0]["url"], blocks[4]["content"]["stdout"]) == ("https://a.b", "1\n")
    assert blocks[2]["citations"][0]["cited_text"] == "So lovely"
    assert blocks[6]["content"]["error_code"] == "url_too_long"


def test_responses_run_tools_annotate_and_paint() -> None:
    script = Script(
        ServerTool("web_search", {"query": "Paris"}, [{"url": "https://a.b"}]),
        "Oh, ",
        Text(["Paris is ", "lovely."]),
        Citation("https://a.b", "A"),
        " Yes.",
        ServerTool("code_interpreter", {"code": "print(1)"}, "1\n"),
        ServerTool("file_search", {"query": "q"}, [{"file_id": "f", "text": "t"}]),
        Image(b"png"),
        "b",
        Citation("https://c.d"),
    )

    with Door(script).openai().responses.stream(model="gpt", input="hi") as stream:
        types = [event.type for event in stream]
        output: list[Any] = stream.get_final_response().output

    assert [item.type for item in output] == [
        "web_search_call",
        "message",
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "message",
    ]
    (source,) = output[1].content[0].annotations
    assert output[1].content[0].text[source.start_index : source.end_index] == "Paris is lovely."
    (later,) = output[5].content[0].annotations
    assert (later.start_index, later.end_index, later.title) == (0, 1, "")
    assert (output[2].outputs[0].logs, output[3].results[0].text, output[4].result) == ("1\n", "t", "cG5n")
    assert [name for name in types if "code_interpreter" in name] == [
        "response.code_interpreter_call.in_progress",
        "response.code_interpreter_call_code.delta",
        "response.code_interpreter_call_code.done",
        "response.code_interpreter_call.interpreting",
        "response.code_interpreter_call.completed",
    ]


def test_chat_annotates_and_paints() -> None:
    script = Script("Oh, ", "Paris.", Citation("https://a.b", "A"), Image(b"png"))

    source, image = deltas(script)[-2:]

    span = {"start_index": 4, "end_index": 10, "title": "A", "url": "https://a.b"}
    assert source == {"annotations": [{"type": "url_citation", "url_citation": span}]}
    assert image == {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}}]}


def test_gemini_runs_code_searches_cites_and_paints() -> None:
    script = Script(
        ServerTool("code_execution", {"code": "print(1)"}, "1\n"),
        ServerTool("web_search", {"query": "Paris"}, [{"url": "https://0"}]),
        "é ",
        "Paris.",
        Citation("https://a.b", "A"),
        Image(b"png"),
    )

    candidates = [value["candidates"][0] for value in values(script, GEMINI)]

    assert candidates[0]["content"]["parts"] == [
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
    ]
    assert candidates[1]["groundingMetadata"]["webSearchQueries"] == ["Paris"]
    assert candidates[4]["groundingMetadata"] == {
        "webSearchQueries": ["Paris"],
        "groundingChunks": [
            {"web": {"uri": "https://0", "title": ""}},
            {"web": {"uri": "https://a.b", "title": "A"}},
        ],
        "groundingSupports": [
            {"segment": {"startIndex": 3, "endIndex": 9, "text": "Paris."}, "groundingChunkIndices": [1]}
        ],
    }
    assert candidates[5]["content"]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "cG5n"}}]


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("steps", "cited"),
    [
        ((Refusal("Nó. "), "Well, ", "Paris.", Citation("https://a.b")), "Paris."),
        (("é ", "Paris.", Refusal("Nó."), Citation("https://a.b", start=2, end=8)), "Paris."),
        (("é ", Refusal("Nó."), "Paris.", Citation("https://a.b", start=2, end=8)), "Paris."),
        ((Refusal("Nó."), Citation("https://a.b")), ""),
    ],
)
def test_gemini_counts_refusals_to_where_a_source_is(steps: tuple[Any, ...], cited: str, streamed: bool) -> None:
    script = Script(*steps)
    whole = GEMINI[0].replace(":streamGenerateContent?alt=sse", ":generateContent")

    told = values(script, GEMINI) if streamed else [json.loads(Door(script).body(whole, GEMINI[1]))]

    said = [value["candidates"][0] for value in told]
    text = "".join(part.get("text", "") for one in said for part in one["content"]["parts"]).encode()
    ((support,),) = [one["groundingMetadata"]["groundingSupports"] for one in said if "groundingMetadata" in one]
    segment = support["segment"]
    assert text[segment["startIndex"] : segment["endIndex"]].decode() == segment["text"] == cited


@pytest.mark.parametrize(
    ("asked", "step"),
    [
        (CHAT, ServerTool("web_search")),
        (MESSAGES, Image()),
        (OLLAMA, ServerTool("web_search")),
        (OLLAMA, Citation("u")),
        (GENERATE, Image()),
    ],
)
def test_what_a_format_cannot_say_is_refused(asked: Any, step: Any) -> None:
    for changes in ({}, {"stream": False}):
        said = refusal(Script("a", step), asked, **changes)
        assert f"it has nothing that says {type(step).__name__}(" in said
        assert said.endswith("; a Frame says anything")


@pytest.mark.parametrize(
    ("asked", "step", "message"),
    [
        (MESSAGES, ServerTool("teleport"), "it has no ServerTool(name='teleport', input={}, "),
        (RESPONSES, ServerTool("teleport"), "give 'web_search', 'file_search', 'code_interpreter', 'code_execution'"),
        (GEMINI, ServerTool("teleport"), "give 'web_search', 'code_execution'"),
        (GEMINI, Reasoning("a", redacted=True), "its thoughts are signed, and never redacted"),
        (MESSAGES, ServerTool("web_search", {}, "text"), "the provider's own shape, a mapping or a list of results"),
        (MESSAGES, ServerTool("web_fetch", {}, "text"), "give the provider's own shape, a mapping"),
        (RESPONSES, ServerTool("web_search", {}, "text"), "give a list of results, each a mapping"),
        (RESPONSES, ServerTool("web_search", {"type": "open"}), "give 'search', 'open_page', 'find_in_page'"),
        (RESPONSES, ServerTool("web_search", {"type": []}), "a search has no [], as in ServerTool(name='web_search'"),
        (RESPONSES, ServerTool("web_search", {"type": "find_in_page", "url": "u"}), "needs: give 'pattern' as a str"),
        (RESPONSES, ServerTool("web_search", {"type": "open_page", "url": "u"}, []), "only a search has results"),
        (RESPONSES, ServerTool("code_execution", {}, ["text"]), "the text that the code prints"),
        (GEMINI, ServerTool("code_execution", {}, ["text"]), "the text that the code prints"),
        (GEMINI, ServerTool("web_search", {}, "text"), "a list of results, each a mapping"),
    ],
)  # fmt: skip
def test_tool_that_a_provider_does_not_run_so_is_refused(asked: Any, step: Any, message: str) -> None:
    assert message in refusal(Script(step), asked)


# Usage.

USAGE = Usage(
    prompt_tokens=100,
    completion_tokens=50,
    reasoning_tokens=20,
    cached_tokens=60,
    cache_write_tokens=10,
    prompt_audio_tokens=5,
    completion_audio_tokens=4,
)


def test_anthropic_counts_cached_tokens_beside_the_input_at_the_start_and_at_the_end() -> None:
    cached = {"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10}
    events = {value["type"]: value for value in values(Script("a", usage=USAGE), MESSAGES)}

    assert events["message_start"]["message"]["usage"] == cached | {"output_tokens": 0}
    assert events["message_delta"]["usage"] == cached | {
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
    }
    with Door(Script("a", usage=USAGE)).anthropic().messages.stream(model="c", max_tokens=9, messages=HELLO) as stream:
        usage = stream.get_final_message().usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (30, 60, 10)


def test_openai_counts_cached_tokens_in_the_input() -> None:
    chat: Any = Door(Script("a", usage=USAGE)).openai().chat.completions.create(model="gpt", messages=HELLO).usage
    responses: Any = Door(Script("a", usage=USAGE)).openai().responses.create(model="gpt", input="hi").usage

    assert (chat.prompt_tokens, chat.prompt_tokens_details.cached_tokens) == (100, 60)
    assert (chat.prompt_tokens_details.cache_write_tokens, chat.prompt_tokens_details.audio_tokens) == (10, 5)
    assert (chat.completion_tokens_details.reasoning_tokens, chat.completion_tokens_details.audio_tokens) == (20, 4)
    assert (responses.input_tokens, responses.input_tokens_details.cached_tokens) == (100, 60)
    assert responses.input_tokens_details.cache_write_tokens == 10


def test_gemini_counts_cached_tokens_in_the_prompt_and_sound_by_its_kind() -> None:
    first, *_, last = [value["usageMetadata"] for value in values(Script("a b", usage=USAGE), GEMINI)]

    assert first["cachedContentTokenCount"] == last["cachedContentTokenCount"] == 60
    assert "candidatesTokenCount" not in first
    assert (last["promptTokenCount"], last["candidatesTokenCount"], last["totalTokenCount"]) == (100, 30, 150)
    assert last["promptTokensDetails"] == [{"modality": "AUDIO", "tokenCount": 5}]
    assert last["candidatesTokensDetails"] == [{"modality": "AUDIO", "tokenCount": 4}]


def test_converse_counts_cached_tokens_beside_the_input() -> None:
    whole = json.loads(Door(Script("a", usage=USAGE)).body("/model/anthropic.claude-3/converse", ASK))
    streamed = messages(Door(Script("a", usage=USAGE)).body(*CONVERSE))[-1].said

    assert whole["usage"] == streamed["usage"]
    assert whole["usage"] == {
        "inputTokens": 30,
        "outputTokens": USAGE.completion_tokens,
        "totalTokens": USAGE.total_tokens,
        "cacheReadInputTokens": 60,
        "cacheWriteInputTokens": 10,
    }
    assert list(faults(whole, service().shape_for("ConverseResponse"), "")) == []


def test_nova_counts_cached_tokens_under_names_of_its_own() -> None:
    whole = json.loads(Door(Script("a", usage=USAGE)).body("/model/amazon.nova-lite-v1:0/invoke", ASK))
    last = messages(Door(Script("a", usage=USAGE)).body(*NOVA))[-1].said
    streamed = json.loads(b64decode(last["bytes"]))["metadata"]

    assert whole["usage"] == streamed["usage"]
    assert (whole["usage"]["cacheReadInputTokenCount"], whole["usage"]["cacheWriteInputTokenCount"]) == (60, 10)
    assert whole["usage"]["inputTokens"] == 30


def test_cohere_says_how_many_tokens_were_cached() -> None:
    whole = json.loads(Door(Script("a", usage=USAGE)).body(COHERE[0], COHERE[1] | {"stream": False}))
    streamed = values(Script("a", usage=USAGE), COHERE)[-1]["delta"]

    assert whole["usage"] == streamed["usage"]
    assert whole["usage"]["cached_tokens"] == 60
