"""Headers of an answer, as the real SDKs read them."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mockstream import HTTPError, MockStreamSDK
from pytest_mockstream.doors.server import MockStreamServer

HEADERS = {"x-ratelimit-remaining-requests": "59", "x-request-id": "req_ours", "openai-processing-ms": "12"}


@pytest.mark.parametrize("door", ["mock_stream_sdk", "mock_stream_server"])
def test_an_sdk_reads_the_headers_of_a_good_answer(door: str, request: pytest.FixtureRequest) -> None:
    openai: Any = pytest.importorskip("openai")
    request.getfixturevalue(door).respond("Hi", headers=HEADERS)

    with openai.OpenAI() as client:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": "x"}])

    assert {name: raw.headers[name] for name in HEADERS} == HEADERS
    assert raw.parse()._request_id == "req_ours"


def test_a_stream_has_them_before_its_first_chunk(mock_stream_server: MockStreamServer) -> None:
    openai: Any = pytest.importorskip("openai")
    mock_stream_server.respond("Hi", headers=HEADERS)

    with openai.OpenAI() as client:
        messages: Any = [{"role": "user", "content": "x"}]
        with client.chat.completions.create(model="m", messages=messages, stream=True) as stream:
            assert stream.response.headers["x-ratelimit-remaining-requests"] == "59"
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Hi"


def test_an_error_has_them_too(mock_stream_sdk: MockStreamSDK) -> None:
    openai: Any = pytest.importorskip("openai")
    mock_stream_sdk.respond(HTTPError(429), headers=HEADERS)

    with openai.OpenAI(max_retries=0) as client, pytest.raises(openai.RateLimitError) as caught:
        client.responses.create(model="m", input="x")

    assert caught.value.request_id == "req_ours"
