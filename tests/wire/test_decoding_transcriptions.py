"""What OpenAI and Mistral heard in audio comes back as the script that says it."""

from __future__ import annotations

import json
from typing import Any

import httpx
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
    Script,
    Stall,
    Text,
    Truncate,
    Usage,
)
from pytest_mockstream.recordings.composer import Composed
from pytest_mockstream.script.steps import End

CUTS = st.lists(st.integers(0, 200), max_size=20)
SCRIPTS = st.builds(
    lambda texts, sent, said, chunking: Script(
        *texts, usage=Usage(prompt_tokens=sent, completion_tokens=said), chunking=chunking, times=None
    ),
    st.lists(st.text(min_size=1, max_size=12), max_size=5),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["char", "word", 3]),
)


def asked(path: str = "/v1/audio/transcriptions", **fields: str) -> Asked:
    """Return a request as the SDKs send it, in a form."""
    sent = {"model": "m", **fields}
    form = httpx.Request("POST", "https://x", data=sent, files={"file": b"RIFF"})
    headers = {"content-type": form.headers["content-type"]}
    return Asked(path, {**sent, "file": {"name": "upload"}}, headers=headers, form=form.read())


def of_mistral(**fields: str) -> Asked:
    made = asked(**fields)
    return made._replace(headers={**made.headers, "user-agent": "mistral-client-python/2.0"})


STREAMS = {"openai": asked(stream="true"), "mistral": of_mistral(stream="true")}
BODIES = {
    "json": asked(),
    "verbose_json": asked(response_format="verbose_json"),
    "diarized_json": asked(response_format="diarized_json"),
    "text": asked(response_format="text"),
    "srt": asked(response_format="srt"),
    "vtt": asked(response_format="vtt"),
    "translation": asked("/v1/audio/translations"),
    "mistral": of_mistral(language="en"),
}


def heard(name: str, *events: Any) -> Composed:
    """Return what is heard of events as the provider's pages show them."""
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return read(STREAMS[name], Written(200, {}, [body.encode()], "end"))


def heard_whole(name: str, body: Any, status: int = 200) -> Composed:
    headers = {"content-type": "text/plain" if isinstance(body, str) else "application/json"}
    data = body if isinstance(body, str) else json.dumps(body)
    return read(BODIES[name], Written(status, headers, [data.encode()], "end"))


@pytest.mark.parametrize("name", STREAMS)
@given(script=SCRIPTS, cuts=CUTS)
@settings(max_examples=25)
def test_streams(name: str, script: Script, cuts: list[int]) -> None:
    check_law(script, STREAMS[name], cuts)


@pytest.mark.parametrize("name", BODIES)
@given(script=SCRIPTS)
@settings(max_examples=15)
def test_whole_replies(name: str, script: Script) -> None:
    check_law(script, BODIES[name], chunks_are_same=False)


@pytest.mark.slow
@given(script=SCRIPTS, cuts=CUTS)
@settings(max_examples=200)
def test_many_more(script: Script, cuts: list[int]) -> None:
    for stream in STREAMS.values():
        check_law(script, stream, cuts)
    for body in BODIES.values():
        check_law(script, body, chunks_are_same=False)


@pytest.mark.parametrize(
    "script",
    [
        Script(),
        Script(Text(["", "a", ""])),
        Script("one ", finish_reason="length"),  # which is not told
        Script("one ", Truncate()),
        Script("one ", Truncate(inside_frame=True)),
        Script("one ", Disconnect()),
        Script("one ", Disconnect(how="cut", inside_frame=True)),
        Script(Disconnect()),
        Script("one ", Stall()),
        Script("one ", Malformed(), "two"),
        Script("one ", KeepAlive(), "two ", KeepAlive()),
        Script("one", End(), KeepAlive(), Disconnect()),
        Script("one ", ErrorEvent("too much", type="rate_limit_error")),
        Script("one ", ErrorEvent("what", type="Unheard of")),
        Script(ErrorEvent()),
        Script(HTTPError(429, message="slow down", retry_after=2)),
    ],
    ids=lambda script: f"{script}{script.finish_reason}",
)
@pytest.mark.parametrize("name", STREAMS)
def test_steps_and_faults(script: Script, name: str) -> None:
    check_law(script, STREAMS[name])


@pytest.mark.parametrize("name", STREAMS)
def test_every_cut(name: str) -> None:
    check_cuts(Script("text ", KeepAlive(), "é"), STREAMS[name])


@pytest.mark.parametrize(
    "script",
    [Script(HTTPError(404)), Script(ErrorEvent("no")), Script("a", Stall()), Script(Disconnect())],
    ids=repr,
)
@pytest.mark.parametrize("name", BODIES)
def test_whole_replies_with_faults(script: Script, name: str) -> None:
    check_law(script, BODIES[name], chunks_are_same=False)


@pytest.mark.parametrize("script", [Script(Malformed()), Script("a", Truncate())], ids=repr)
@pytest.mark.parametrize("name", ["json", "verbose_json", "translation", "mistral"])
def test_half_a_body_of_json_is_malformed(script: Script, name: str) -> None:
    check_law(script, BODIES[name], chunks_are_same=False)


def test_code_of_an_error_is_told() -> None:
    check_law(Script("a", ErrorEvent("no", code="insufficient_quota")), STREAMS["openai"])
    check_law(Script(HTTPError(429, code="insufficient_quota")), BODIES["json"], chunks_are_same=False)


def test_stream_of_openai_is_read_as_documented() -> None:
    found = heard(
        "openai",
        {"type": "transcript.text.delta", "delta": "I see", "logprobs": [], "segment_id": "seg_0"},
        {"type": "transcript.text.delta", "delta": " skies"},
        {"type": "transcript.text.segment", "id": "seg_0", "start": 0.0, "end": 1.0, "text": "I see", "speaker": "A"},
        {
            "type": "transcript.text.done",
            "text": "I see skies",
            "usage": {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
                "output_tokens": 31,
                "total_tokens": 45,
            },
        },
    )

    assert found.steps == (Text(["I see", " skies"]),)
    assert found.usage == Usage(prompt_tokens=14, completion_tokens=31, prompt_audio_tokens=4)


def test_stream_of_mistral_is_read_as_documented() -> None:
    found = heard(
        "mistral",
        {"type": "transcription.language", "audio_language": "en"},
        {"type": "transcription.text.delta", "text": "I see"},
        {"type": "transcription.segment", "text": "I see", "start": 0.0, "end": 1.0, "speaker_id": None},
        {
            "type": "transcription.done",
            "model": "voxtral",
            "text": "I see",
            "language": None,
            "segments": [],
            "usage": {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10, "prompt_audio_seconds": 1},
        },
    )

    assert (found.steps, found.usage) == ((Text(["I see"]),), Usage(prompt_tokens=4, completion_tokens=6))


@pytest.mark.parametrize(("name", "kind"), [("openai", "transcript.text.done"), ("mistral", "transcription.done")])
def test_text_of_a_stream_without_deltas_is_that_of_its_end(name: str, kind: str) -> None:
    assert heard(name, {"type": kind, "text": "I see"}).steps == (Text(["I see"]),)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("json", {"text": "I see skies.", "usage": {"type": "duration", "seconds": 3}}),
        ("verbose_json", {"task": "transcribe", "language": "english", "duration": 8.4, "text": "I see skies."}),
        ("text", "I see skies.\n"),
        (
            "srt",
            "1\r\n00:00:00,000 --> 00:00:03,000\r\nI see\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nskies.\r\n\r\n",
        ),
        ("vtt", "WEBVTT\n\n00:00.000 --> 00:03.000\nI\nsee\n\nNOTE nothing\n\n00:03.000 --> 00:04.000\nskies.\n\n"),
    ],
)
def test_whole_reply_of_openai_is_read_as_documented(name: str, body: Any) -> None:
    found = heard_whole(name, body)

    assert (found.steps, found.finish, found.usage) == ((Text(["I see skies."]),), "stop", None)
