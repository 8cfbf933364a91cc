"""What Gemini says comes back as the script that says it; also by way of Vertex AI."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_law, read, write
from hypothesis import given, settings
from hypothesis import strategies as st
from test_laws_of_all_steps import WIRES, scripts

from pytest_mockstream import (
    Citation,
    Disconnect,
    ErrorEvent,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Script,
    ServerTool,
    Stall,
    Text,
    Together,
    ToolCall,
    Truncate,
    Usage,
)
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.wire import Event, Writer

CUTS = st.lists(st.integers(0, 200), max_size=20)
ASKED = {"contents": [{"parts": [{"text": "hi"}]}]}
STREAM = Asked("/v1beta/models/m:streamGenerateContent?alt=sse", ASKED)
ARRAY = Asked("/v1beta/models/m:streamGenerateContent", ASKED)
WHOLE = Asked("/v1beta/models/m:generateContent", ASKED)
_VERTEX = "/v1/projects/p/locations/l/publishers/google/models/m"
VERTEX = Asked(f"{_VERTEX}:streamGenerateContent?alt=sse", ASKED)
VERTEX_WHOLE = Asked(f"{_VERTEX}:generateContent", ASKED)


def heard(*events: Any) -> Composed:
    """Return what is heard of events as Google documents them."""
    frames = [Writer("sse", "\r\n").frame(Event(json.dumps(event))) for event in events]
    return read(STREAM, Written(200, {}, frames, "end"))


def heard_whole(body: Any, status: int = 200) -> Composed:
    return read(WHOLE, Written(status, {}, [json.dumps(body).encode()], "end"))


# A signature is made up where the script says none, and a call comes in one piece.


def _calls(script: Script) -> bool:
    return any(isinstance(step, ToolCall) for step in script.contents)


def _cites_what_it_says(script: Script) -> bool:
    """Tell whether sources stand behind a text: a body has all in one place, and where they were is not to be seen."""
    kinds = [type(step) for step in script.steps]
    return all(before in {Text, Citation} for before, kind in pairwise([None, *kinds]) if kind is Citation)


@pytest.mark.parametrize("asked", [STREAM, ARRAY, VERTEX], ids=["sse", "array", "vertex"])
@given(script=scripts(WIRES["gemini"]), cuts=CUTS)
@settings(max_examples=25)
def test_streams(asked: Asked, script: Script, cuts: list[int]) -> None:
    check_law(script, asked, cuts, chunks_are_same=not _calls(script), items_are_same=False)


def test_text_after_a_text_that_came_by_turns_is_one_with_it() -> None:
    script = Script(Interleave(Reasoning("Hm. Well."), Text("It is ")), Text("sunny."), times=None)

    check_law(script, WHOLE, chunks_are_same=False)


def test_text_after_a_search_is_not_joined_to_where_that_was() -> None:
    script = Script(Reasoning("Hm."), ServerTool("web_search", {"query": "Rome"}), Text("Sunny."), times=None)

    check_law(script, WHOLE, chunks_are_same=False)


@pytest.mark.parametrize("asked", [WHOLE, VERTEX_WHOLE], ids=["gemini", "vertex"])
@given(script=scripts(WIRES["gemini"]).filter(_cites_what_it_says))
@settings(max_examples=25)
def test_whole_replies(asked: Asked, script: Script) -> None:
    check_law(script, asked, chunks_are_same=False)


@pytest.mark.slow
@given(script=scripts(WIRES["gemini"]), cuts=CUTS)
@settings(max_examples=200)
def test_many_more(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts, chunks_are_same=not _calls(script), items_are_same=False)
    if _cites_what_it_says(script):
        check_law(script, WHOLE, chunks_are_same=False)


SCRIPTS = [
    Script(),
    Script("some", usage=Usage(prompt_tokens=9, completion_tokens=8, reasoning_tokens=3, cached_tokens=2)),
    Script("any", usage=Usage(prompt_tokens=9, completion_tokens=8, prompt_audio_tokens=1, completion_audio_tokens=2)),
    Script("a", finish_reason="SPII"),
    Script(ToolCall("f", {"a": 1}, id=""), ToolCall("g")),
    Script(Reasoning("a", signature=False), ToolCall("f"), Reasoning("b", signature="s"), Image()),
    Script(Reasoning("a", signature="s"), Reasoning([], signature="t"), "x"),
    Script(Reasoning("a", signature="s"), Text(["", "b"])),
    Script(Reasoning("a b", signature="s")),
    Script("a", Reasoning([], signature="s")),
    Script(Together(Reasoning("", signature="s"), ToolCall("f", {"a": 1})), "b"),
    Script(Reasoning("x"), Together("a", Reasoning("b", signature="s")), "c"),
    Script(Interleave(Text("a b c d"), Reasoning("e f g"), order=[0, 1, 1, 0, 0, 1, 0])),
    Script(ServerTool("web_search", {"query": "q"}, [{"url": "u"}]), "hello ü ", "you", Citation("u", start=6, end=7)),
    Script(ServerTool("web_search", {"query": "q"}, {"groundingChunks": [{"web": {"uri": "u", "domain": "d"}}]})),
    Script(ServerTool("code_execution", {"code": "x"}, {"outcome": "OUTCOME_FAILED", "output": "no"}), "a"),
    Script("one ", Truncate()),
    Script(Truncate()),
    Script("one ", Truncate(inside_frame=True)),
    Script("one ", Disconnect()),
    Script("one ", Disconnect(how="cut", inside_frame=True)),
    Script(Disconnect()),
    Script("one ", Stall()),
    Script(Reasoning("one "), KeepAlive(), "two"),
    Script(Reasoning("one ", signature=False), KeepAlive(), "two"),
    Script("one ", ErrorEvent("too much", type="RESOURCE_EXHAUSTED")),
    Script(ErrorEvent()),
    Script(HTTPError(429, message="slow down", retry_after=2)),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=repr)
def test_faults_and_parts(script: Script) -> None:
    for asked in (STREAM, ARRAY, VERTEX):
        check_law(script, asked, chunks_are_same=not _calls(script), items_are_same=False)


@pytest.mark.parametrize("asked", [STREAM, ARRAY], ids=["sse", "array"])
def test_bytes_may_be_cut_anywhere(asked: Asked) -> None:
    written = write(Script(Reasoning("é"), ToolCall("f", {"a": "ü"}), "ß", ErrorEvent("too much")), asked)
    whole = read(asked, written)

    for place in range(len(written.body)):
        assert read(asked, written, [place]) == whole


@pytest.mark.parametrize("data", ["{", "{}", "", "[]", '{"candidates": [{"content": {"parts": [{"text": 1}]}}]}'])
def test_garbage_is_malformed(data: str) -> None:
    assert check_law(Script("a", Malformed(data), "b"), STREAM).steps == (Text(["a"]), Malformed(data), Text(["b"]))


# As the provider's pages show it.


def _event(*parts: Any, finish: str | None = None, usage: Any = None, **more: Any) -> Any:
    candidate = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}
    counts = {"usageMetadata": usage or {"promptTokenCount": 8, "totalTokenCount": 8}}
    ends = {"finishReason": finish} if finish else {}
    return {"candidates": [candidate | ends], **counts, "modelVersion": "gemini-3-pro", "responseId": "mAit"}


def test_thoughts_and_signed_calls() -> None:
    found = heard(
        _event({"text": "**Plan**", "thought": True}),
        _event({"functionCall": {"name": "f", "args": {"city": "Zürich"}}, "thoughtSignature": "Cs4B"}),
        _event(
            finish="STOP",
            usage={
                "promptTokenCount": 8,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 20,
                "toolUsePromptTokenCount": 2,
                "cachedContentTokenCount": 4,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}],
                "totalTokenCount": 35,
            },
        ),
    )

    call = ToolCall("f", {"city": "Zürich"}, id="", fragments="whole")
    assert found.steps == (Reasoning(["**Plan**"], signature="Cs4B"), call)
    assert found.finish == "STOP"
    assert found.usage == Usage(prompt_tokens=10, completion_tokens=25, reasoning_tokens=20, cached_tokens=4)


def test_signature_of_thoughts_that_are_not_shown() -> None:
    called = heard(_event({"functionCall": {"name": "f", "id": "1"}, "thoughtSignature": "Cs4B"}, finish="STOP"))
    told = heard(_event({"text": "Hi"}), _event({"text": "", "thoughtSignature": "Cs4B"}, finish="STOP"))

    signed = Reasoning([""], signature="Cs4B")
    assert called.steps == (Together(signed, ToolCall("f", id="1", fragments="whole")),)
    assert told.steps == (Text(["Hi"]), Reasoning((), signature="Cs4B"))


def test_call_whose_arguments_are_streamed() -> None:
    def more(*arguments: Any, going_on: bool = True) -> Any:
        call = {"partialArgs": list(arguments), **({"willContinue": True} if going_on else {})}
        return _event({"functionCall": call})

    found = heard(
        _event({"functionCall": {"name": "f", "willContinue": True}}),
        more({"jsonPath": "$.where.city", "stringValue": "New ", "willContinue": True}),
        more({"jsonPath": "$.where.city", "stringValue": "Delhi"}, {"jsonPath": "$.days[0]", "numberValue": 1}),
        more({"jsonPath": "$.days[1]", "numberValue": 2}, {"jsonPath": "$['a.b']", "boolValue": True}),
        more({"jsonPath": "$.none", "nullValue": "NULL_VALUE"}),
        _event({"functionCall": {}}),
        _event({"functionCall": {"name": "g", "willContinue": True}}, finish="STOP"),
    )

    given = {"where": {"city": "New Delhi"}, "days": [1, 2], "a.b": True, "none": None}
    assert found.steps == (
        ToolCall("f", given, id="", fragments="whole"),
        ToolCall("g", {}, id="", fragments="whole"),
    )


@pytest.mark.parametrize("path", ["", "$", "$.a[3]", "$.text.a", 1])
def test_argument_at_no_place_is_garbage(path: Any) -> None:
    wrong = {"partialArgs": [{"jsonPath": "$.text", "stringValue": "x"}, {"jsonPath": path, "stringValue": "x"}]}
    found = heard(_event({"functionCall": {"name": "f", **wrong}}), _event({"text": "a"}, finish="STOP"))

    assert [type(step) for step in found.steps[:1]] == [Malformed]


def test_text_and_end_in_one_event() -> None:
    found = heard(_event({"text": "Hel"}), _event({"text": "lo"}, finish="MAX_TOKENS"))

    assert (found.steps, found.finish) == ((Text(["Hel", "lo"]),), "MAX_TOKENS")


def test_search_with_its_sources() -> None:
    grounding = {
        "webSearchQueries": ["who won"],
        "searchEntryPoint": {"renderedContent": "<div>"},
        "groundingChunks": [
            {"web": {"uri": "https://a", "title": "a.com"}},
            {"web": {"uri": "https://b", "title": "b.com"}},
        ],
        "groundingSupports": [
            {"segment": {"endIndex": 9, "text": "Zürich 1"}, "groundingChunkIndices": [0]},
            {"segment": {"startIndex": 10, "endIndex": 12, "text": "on"}, "groundingChunkIndices": [0, 1, 7]},
        ],
    }
    found = heard(_event({"text": "Zürich 1 on"}), _event({"text": ""}, finish="STOP", groundingMetadata=grounding))
    whole = heard_whole(_event({"text": "Zürich 1 on"}, finish="STOP", groundingMetadata=grounding))

    search = ServerTool("web_search", {"query": "who won"})
    cited = (
        Citation("https://a", "a.com", start=0, end=8),
        Citation("https://a", "a.com", start=9, end=11),
        Citation("https://b", "b.com", start=9, end=11),
    )
    assert sorted(map(repr, found.steps)) == sorted(map(repr, (Text(["Zürich 1 on"]), *cited, search)))
    assert whole.steps == (search, Text(["Zürich 1 on"]), *cited)


def test_code_and_its_result() -> None:
    found = heard(
        _event({"executableCode": {"language": "PYTHON", "code": "print(1)"}}),
        _event({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}),
        _event({"executableCode": {"language": "PYTHON", "code": "print(2)"}}, finish="STOP"),
    )

    assert found.steps == (
        ServerTool("code_execution", {"code": "print(1)"}, "1\n"),
        ServerTool("code_execution", {"code": "print(2)"}),
    )


def test_image_and_what_is_no_image() -> None:
    found = heard(
        _event({"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}),
        _event({"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}}),
        _event({"fileData": {"fileUri": "gs://"}}, {"text": "a"}, finish="STOP"),
    )

    assert found.steps == (Image("AAAA", media_type="image/jpeg"), Text(["a"]))


def test_prompt_that_is_blocked() -> None:
    said = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 8}}

    for found in (heard(said), heard_whole(said)):
        assert (found.steps, found.finish) == ((), "PROHIBITED_CONTENT")


def test_second_candidate_is_passed_over() -> None:
    event = _event({"text": "a"}, finish="STOP")
    other = {"content": {"parts": [{"text": "b"}]}, "index": 1, "finishReason": "STOP"}

    assert heard({**event, "candidates": [other, *event["candidates"]]}).steps == (Text(["a"]),)


def test_errors() -> None:
    said = {"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE", "details": []}}

    assert heard(_event({"text": "a"}), said).steps == (Text(["a"]), ErrorEvent("Overloaded", type="UNAVAILABLE"))
    assert heard_whole(said).steps == (ErrorEvent("Overloaded", type="UNAVAILABLE"),)
    for body in (said, [said]):
        assert heard_whole(body, 503).steps == (HTTPError(503, message="Overloaded", type="UNAVAILABLE"),)


def test_signature_that_is_said_is_sent_though_nothing_comes_behind_it() -> None:
    parts = [json.loads(write(Script(Reasoning("a", signature="s")), WHOLE).body)]
    alone = json.loads(write(Script("a", Reasoning([], signature="s")), ARRAY).body)

    assert parts[0]["candidates"][0]["content"]["parts"][-1] == {"text": "", "thoughtSignature": "s"}
    assert alone[1]["candidates"][0]["content"]["parts"] == [{"text": "", "thoughtSignature": "s"}]
