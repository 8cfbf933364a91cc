"""What TGI generates comes back as the script that says it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from decoding_laws import Asked, Written, check_law, read, write
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Script,
    Stall,
    Text,
    Truncate,
    Usage,
)

STREAM = Asked("/generate_stream", {"inputs": "hi"})
WHOLE = Asked("/generate", {"inputs": "hi"})
WITH_DETAILS = Asked("/generate", {"inputs": "hi", "parameters": {"details": True}})
INFERENCE = Asked("/models/m", {"inputs": "hi", "stream": False}, "router.huggingface.co")
CUTS = st.lists(st.integers(0, 60), max_size=20)


@st.composite
def _scripts(draw: st.DrawFn) -> Script:
    return Script(
        *draw(st.lists(st.builds(Text, st.text() | st.lists(st.text(), max_size=3)), max_size=4)),
        chunking=draw(st.sampled_from(["word", "char", 3])),
        usage=draw(st.none() | st.builds(Usage, prompt_tokens=st.integers(0, 99), completion_tokens=st.integers(0, 9))),
        finish_reason=draw(st.sampled_from([None, "length", "stop_sequence"])),
        times=None,
    )


@given(script=_scripts(), cuts=CUTS)
def test_streams(script: Script, cuts: list[int]) -> None:
    check_law(script, STREAM, cuts)


@given(script=_scripts())
def test_details_have_the_tokens(script: Script) -> None:
    check_law(script, WITH_DETAILS)


@pytest.mark.parametrize("asked", [WHOLE, INFERENCE], ids=["generate", "inference"])
@given(script=_scripts())
def test_whole_replies(asked: Asked, script: Script) -> None:
    check_law(script, asked, chunks_are_same=False)


@pytest.mark.parametrize(
    "script",
    [
        Script("one ", Truncate()),
        Script("one ", Truncate(inside_frame=True)),
        Script("one ", Disconnect()),
        Script("one ", Disconnect(how="cut", inside_frame=True)),
        Script(Disconnect()),
        Script("one ", Stall()),
        Script("one ", KeepAlive(), "two", KeepAlive()),
        Script("one ", Malformed(), "two", Malformed("{}")),
        Script("one ", ErrorEvent("no memory", type="generation")),
        Script("one ", ErrorEvent("no memory")),
        Script(HTTPError(429, message="slow down", retry_after=2)),
        Script(HTTPError(422, type="validation")),
        Script(HTTPError(424)),
    ],
    ids=repr,
)
def test_faults(script: Script) -> None:
    for cut in range(0, 60, 3):
        check_law(script, STREAM, [cut])


def test_every_cut_of_a_stream() -> None:
    written = write(Script("sö ", "ë\n", line_ending="\r\n"), STREAM)
    uncut = read(STREAM, written)

    for cut in range(len(written.body)):
        assert read(STREAM, written, [cut]) == uncut


@pytest.mark.parametrize("details", [True, False])
@pytest.mark.parametrize("path", ["/generate", "/generate_stream"])
@given(script=_scripts())
@settings(max_examples=10)
def test_prompt_before_the_text_is_none_of_it(path: str, details: bool, script: Script) -> None:
    parameters = {"details": details, "return_full_text": True}

    check_law(script, Asked(path, {"inputs": "Say: ", "parameters": parameters}), chunks_are_same=False)


def heard(*frames: Any) -> Any:
    """Return what is heard of frames."""
    return read(STREAM, Written(200, {}, [f"data:{json.dumps(frame)}\n\n".encode() for frame in frames], "end"))


def test_frames_as_tgi_documents_them() -> None:
    """https://huggingface.co/docs/text-generation-inference/conceptual/streaming, and its openapi.json."""
    first = {"index": 1, "token": {"id": 2, "text": " Deep", "logprob": -0.3, "special": False}, "top_tokens": []}
    last = {
        "index": 2,
        "token": {"id": 9, "text": " learning", "logprob": None, "special": False},
        "generated_text": " Deep learning",
        "details": {"finish_reason": "length", "generated_tokens": 2, "input_length": 7, "seed": None},
    }

    reply = heard(first | {"generated_text": None, "details": None}, last)

    assert reply.steps == (Text([" Deep", " learning"]),)
    assert reply.finish == "length"
    assert reply.usage == Usage(prompt_tokens=7, completion_tokens=2)


def test_error_in_a_stream() -> None:
    reply = heard({"error": "Request failed during generation: Server error", "error_type": "generation"})

    assert reply.steps == (ErrorEvent("Request failed during generation: Server error", type="generation"),)
