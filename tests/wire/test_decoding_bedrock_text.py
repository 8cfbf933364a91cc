"""What Bedrock's models say that say text only comes back as the script that says it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_cuts, check_law, read
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Refusal,
    Script,
    Stall,
    Text,
    Truncate,
    Usage,
)
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.script.steps import End
from pytest_mockstream.wire import Event, Writer

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "titan": ("amazon.titan-text-express-v1", {"inputText": "hi"}),
    "llama": ("us.meta.llama3-3-70b-instruct-v1:0", {"prompt": "hi"}),
    "mistral": ("mistral.mistral-7b-instruct-v0:2", {"prompt": "hi"}),
    "command": ("cohere.command-r-v1:0", {"message": "hi"}),
}
STREAMS = {name: Asked(f"/model/{model}/invoke-with-response-stream", body) for name, (model, body) in FAMILIES.items()}
BODIES = {name: Asked(f"/model/{model}/invoke", body) for name, (model, body) in FAMILIES.items()}
CUTS = st.lists(st.integers(0, 200), max_size=20)
SCRIPTS = st.builds(
    lambda texts, usage, chunking: Script(*texts, usage=usage, chunking=chunking, times=None),
    st.lists(st.text(min_size=1, max_size=12), max_size=5),
    st.builds(
        lambda sent, said: Usage(prompt_tokens=sent, completion_tokens=said), st.integers(0, 99), st.integers(0, 99)
    ),
    st.sampled_from(["char", "word", 3]),
)
METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 2, "firstByteLatency": 9}}


def heard(family: str, *said: Any) -> Composed:
    """Return what is heard of chunks as AWS's pages show them."""
    writer = Writer("aws-chunks")
    frames = [writer.frame(Event(json.dumps(one))) for one in said]
    return read(STREAMS[family], Written(200, {}, frames, "end"))


def heard_whole(family: str, body: Any) -> Composed:
    return read(BODIES[family], Written(200, {}, [json.dumps(body).encode()], "end"))


@pytest.mark.parametrize("family", FAMILIES)
@given(script=SCRIPTS, cuts=CUTS)
@settings(max_examples=25)
def test_streams(family: str, script: Script, cuts: list[int]) -> None:
    check_law(script, STREAMS[family], cuts)


@pytest.mark.parametrize("family", FAMILIES)
@given(script=SCRIPTS)
@settings(max_examples=25)
def test_whole_replies(family: str, script: Script) -> None:
    check_law(script, BODIES[family], chunks_are_same=False)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@given(script=SCRIPTS, cuts=CUTS)
@settings(max_examples=300)
def test_many_more(family: str, script: Script, cuts: list[int]) -> None:
    check_law(script, STREAMS[family], cuts)
    check_law(script, BODIES[family], chunks_are_same=False)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script(Text(["", "a", ""])),
        Script("one ", finish_reason="length"),
        Script("two ", finish_reason="content_filter"),
        Script("one ", Truncate()),
        Script("one ", Truncate(inside_frame=True)),
        Script("one ", Disconnect()),
        Script("one ", Disconnect(how="cut", inside_frame=True)),
        Script(Disconnect()),
        Script("one ", Stall()),
        Script("one ", KeepAlive(), "two ", KeepAlive()),
        Script("one", End(), KeepAlive(), Disconnect()),
        Script("one ", ErrorEvent("too slow", type="modelTimeoutException")),
        Script(ErrorEvent()),
        Script(HTTPError(429, message="slow down", retry_after=2)),
    ],
    ids=repr,
)
def test_steps_and_faults(script: Script, family: str) -> None:
    check_law(script, STREAMS[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_cut(family: str) -> None:
    check_cuts(Script("one ", KeepAlive(), "é "), STREAMS[family])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "script",
    [Script(HTTPError(404)), Script(ErrorEvent("no")), Script(Malformed()), Script("a", Truncate()), Script(Stall())],
    ids=repr,
)
def test_whole_replies_with_faults(script: Script, family: str) -> None:
    check_law(script, BODIES[family], chunks_are_same=False)


@pytest.mark.parametrize("family", FAMILIES)
def test_refusal_is_text(family: str) -> None:
    assert check_law(Script(Refusal("no")), STREAMS[family], chunks_are_same=False).steps == (Text(["no"]),)


@pytest.mark.parametrize(
    ("family", "said", "finish", "usage"),
    [
        (
            "titan",
            [
                {"outputText": "Hi", "index": 0, "totalOutputTextTokenCount": None, "completionReason": None},
                {
                    "outputText": " there",
                    "index": 0,
                    "totalOutputTextTokenCount": 7,
                    "completionReason": "FINISH",
                    "inputTextTokenCount": 5,
                },
            ],
            "FINISH",
            Usage(prompt_tokens=5, completion_tokens=7),
        ),
        (
            "llama",
            [
                {"generation": "Hi", "prompt_token_count": 5, "generation_token_count": 1, "stop_reason": None},
                {"generation": " there", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": None},
                {"generation": "", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": "stop"}
                | METRICS,
            ],
            "stop",
            Usage(prompt_tokens=3, completion_tokens=2),
        ),
        (
            "mistral",
            [
                {"outputs": [{"text": "Hi", "stop_reason": None}]},
                {"outputs": [{"text": " there", "stop_reason": "length"}]} | METRICS,
            ],
            "length",
            Usage(prompt_tokens=3, completion_tokens=2),
        ),
        (
            "command",
            [
                {"is_finished": False, "event_type": "stream-start", "generation_id": "g"},
                {"is_finished": False, "event_type": "text-generation", "text": "Hi"},
                {"is_finished": False, "event_type": "text-generation", "text": " there"},
                {"is_finished": False, "event_type": "citation-generation", "citations": []},
                {
                    "is_finished": True,
                    "event_type": "stream-end",
                    "finish_reason": "COMPLETE",
                    "response": {"text": "Hi there", "finish_reason": "COMPLETE"},
                }
                | METRICS,
            ],
            "COMPLETE",
            Usage(prompt_tokens=3, completion_tokens=2),
        ),
    ],
)
def test_stream_is_read_as_aws_documents_it(family: str, said: list[Any], finish: str, usage: Usage) -> None:
    found = heard(family, *said)

    assert (found.steps, found.finish, found.usage) == ((Text(["Hi", " there"]),), finish, usage)


@pytest.mark.parametrize(
    ("family", "body", "finish", "usage"),
    [
        (
            "titan",
            {
                "inputTextTokenCount": 5,
                "results": [{"tokenCount": 7, "outputText": "Hi", "completionReason": "LENGTH"}],
            },
            "LENGTH",
            Usage(prompt_tokens=5, completion_tokens=7),
        ),
        (
            "llama",
            {"generation": "Hi", "prompt_token_count": 5, "generation_token_count": 7, "stop_reason": "length"},
            "length",
            Usage(prompt_tokens=5, completion_tokens=7),
        ),
        ("mistral", {"outputs": [{"text": "Hi", "stop_reason": "stop"}]}, "stop", None),
        ("command", {"text": "Hi", "finish_reason": "MAX_TOKENS", "citations": []}, "MAX_TOKENS", None),
    ],
)
def test_whole_reply_is_read_as_aws_documents_it(family: str, body: Any, finish: str, usage: Usage | None) -> None:
    found = heard_whole(family, body)

    assert (found.steps, found.finish, found.usage) == ((Text(["Hi"]),), finish, usage)


def test_exception_ends_a_stream() -> None:
    frame = Writer("aws-chunks").frame(Event('{"message": "busy"}', "throttlingException", kind="exception"))

    found = read(STREAMS["llama"], Written(200, {}, [frame], "end"))

    assert found.steps == (ErrorEvent("busy", type="throttlingException"),)
