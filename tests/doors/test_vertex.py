"""Vertex AI through its real SDKs, in process and over HTTP, with credentials of the test's and with none."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("google.genai")
pytest.importorskip("anthropic")

from vertex_talks import CLAUDE, GEMINI, RAW, TALKS, WHERE, FakeCredentials, Talk, genai_client, outcome

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    Malformed,
    Reasoning,
    ToolCall,
    Truncate,
    Usage,
)

# google-genai makes a class of its own from aiohttp's session.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

DOORS = ("sdk", "server")
WITH, WITHOUT = "credentials", "none"


@pytest.fixture
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Is the door of this name; the environment has no credentials of Google's."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nowhere")
    return request.getfixturevalue(f"mock_stream_{request.param}")


def _ways() -> list[Any]:
    return [
        pytest.param(talk, given, door, id=f"{talk}-{given}-{door}")
        for talk in TALKS
        for given in (WITH, WITHOUT)
        for door in DOORS
    ]


@pytest.mark.parametrize(("talk", "given", "door"), _ways(), indirect=["door"])
async def test_reply_is_read_whole(talk: Talk, given: str, door: Any) -> None:
    usage = Usage(prompt_tokens=2, completion_tokens=5, reasoning_tokens=2)
    door.respond(Reasoning("hm hm"), "é😀 two", ToolCall("weather", {"city": "Paris"}), usage=usage)

    said = await talk.ask(FakeCredentials() if given == WITH else None)

    assert (said.text, said.reasoning, said.calls) == ("é😀 two", "hm hm", [("weather", {"city": "Paris"})])
    assert (said.finish, said.usage) == (talk.called, (2, 5))
    (request,) = door.requests
    assert (request.provider, request.model, request.text) == ("vertex", CLAUDE if talk.refreshes else GEMINI, "hi")
    assert f"/projects/{WHERE['project']}/locations/{WHERE['location']}/publishers/" in request.path
    assert (request.streaming, request.state) == (talk.streams, "exhausted")
    token = "token-of-the-test" if given == WITH else "mockstream-fake-key"
    assert request.raw_headers["authorization"] == f"Bearer {token}"
    assert request.headers["authorization"] == "[redacted]"


_GOOGLE_BROKEN = "google.UnknownApiResponseError <- json.JSONDecodeError"
_READ = {
    "httpx2": "httpx2.ReadError <- httpcore2.ReadError",
    "aiohttp": "aiohttp.ClientPayloadError <- aiohttp.TransferEncodingError",
}
_CUT = _READ | {"httpx2": "httpx2.RemoteProtocolError <- httpcore2.RemoteProtocolError"}
#: Fault -> (steps, what a reader of Gemini's stream gets, what one of Anthropic's)
FAULTS: dict[str, tuple[tuple[Any, ...], str, str]] = {
    "clean end in mid-stream": (("one ", Truncate()), "'one ' None", "'one ' None"),
    "malformed JSON": (("one ", Malformed()), _GOOGLE_BROKEN, "json.JSONDecodeError"),
    "cut": (("one ", Disconnect(how="cut")), "{cut}", "{cut}"),
    "reset": (("one ", Disconnect()), "{reset}", "{reset}"),
    "error event": (("one ", ErrorEvent("boom")), "google.ServerError", "anthropic.APIStatusError"),
    "429": ((HTTPError(429),), "google.ClientError", "anthropic.RateLimitError"),
    "500": ((HTTPError(500),), "google.ServerError", "anthropic.InternalServerError"),
}


@pytest.mark.parametrize(
    ("fault", "talk", "door"),
    [
        pytest.param(
            fault,
            talk,
            door,
            id=f"{fault}-{talk}-{door}",
            marks=[] if (fault, door) in {("reset", "sdk"), ("error event", "server")} else [pytest.mark.slow],
        )
        for fault in FAULTS
        for talk in RAW
        for door in DOORS
    ],
    indirect=["door"],
)
async def test_fault_looks_the_same_in_process_and_over_http(fault: str, talk: Talk, door: Any) -> None:
    steps, by_google, by_anthropic = FAULTS[fault]
    door.respond(*steps, times=None)

    got = await outcome(talk)

    expected = by_anthropic if talk.name.startswith("Anthropic") else by_google
    assert got == expected.format(cut=_CUT[talk.wire], reset=_READ[talk.wire])
    assert len(door.requests) == 1


@pytest.mark.parametrize("door", DOORS, indirect=True)
def test_tokens_are_counted(door: Any) -> None:
    import anthropic

    client = anthropic.AnthropicVertex(project_id="p", region="global", credentials=FakeCredentials())
    with client, genai_client(FakeCredentials()) as gemini:
        messages: Any = [{"role": "user", "content": "one two"}]
        counted = client.messages.count_tokens(model=CLAUDE, messages=messages).input_tokens
        counted_by_gemini = gemini.models.count_tokens(model=GEMINI, contents="one two").total_tokens

    assert counted == counted_by_gemini == 2
    assert [request.provider for request in door.requests] == ["vertex", "vertex"]
    assert str(door.requests[0].path).endswith("/models/count-tokens:rawPredict")


@pytest.mark.mockstream(unused="allow")
@pytest.mark.parametrize("door", DOORS, indirect=True)
def test_script_is_chosen_by_provider(door: Any) -> None:
    door.when(provider="gemini").respond("no", times=None)
    door.when(provider="vertex").respond("yes")

    with genai_client(FakeCredentials()) as client:
        assert client.models.generate_content(model=GEMINI, contents="hi").text == "yes"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_every_host_of_vertex_is_known(location: str, host: str, mock_stream_sdk: Any) -> None:
    from google import genai

    with genai.Client(vertexai=True, project="p", location=location, credentials=FakeCredentials()) as client:
        client.models.generate_content(model=GEMINI, contents="hi")

    (request,) = mock_stream_sdk.requests
    assert (request.provider, request.headers["host"]) == ("vertex", host)


def test_unknown_path_of_vertex_is_refused_in_google_s_shape() -> None:
    from google.genai.errors import ClientError

    from pytest_mockstream import MockStreamSDK, UnexpectedRequestError

    with MockStreamSDK() as sdk, genai_client(FakeCredentials()) as client:
        with pytest.raises(ClientError) as caught:
            client.tunings.list(config={"page_size": 1})
        with pytest.raises(UnexpectedRequestError, match=r"Known of vertex: POST …/models/M:rawPredict"):
            sdk.verify()

    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
