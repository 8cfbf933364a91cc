"""What libraries upload in the background is answered, and is no request of any test's."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mockstream import MockStreamSDK, UnexpectedRequestError
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.playbook.ledger import open_requests, opened_requests

httpx: Any = pytest.importorskip("httpx")

PLACES = [
    ("https://api.openai.com/v1/traces/ingest", 204),
    ("https://otel.example.com/v1/traces", 200),
    ("https://otel.example.com/v1/metrics", 200),
    ("https://api.smith.langchain.com/runs/multipart", 202),
    ("https://eu.api.smith.langchain.com/runs/batch", 202),
    ("https://cloud.langfuse.com/api/public/ingestion", 207),
    ("https://us.i.posthog.com/batch/", 200),
    ("https://os-api.agno.com/telemetry/runs", 200),
    ("https://logfire-us.pydantic.dev/v1/traces", 200),
    ("https://o1.ingest.sentry.io/api/1/envelope/", 200),
    ("https://huggingface.co/api/telemetry/huggingface_hub/x", 200),
    ("https://oauth2.googleapis.com/token", 200),
]


@pytest.mark.parametrize(("url", "status"), PLACES)
def test_upload_in_process_is_answered_and_not_recorded(mock_stream_sdk: MockStreamSDK, url: str, status: int) -> None:
    with opened_requests() as opened:
        answered = httpx.post(url, json={"data": ["what the test said"]})

    assert answered.status_code == status
    assert mock_stream_sdk.requests == opened == open_requests() == []


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/traces/ingest", 204), ("/v1/traces", 200), ("/api/public/ingestion", 207)]
)
def test_upload_to_the_server_is_answered_and_not_recorded(
    mock_stream_server: MockStreamServer, path: str, status: int
) -> None:
    with httpx.Client(base_url=mock_stream_server.url) as client:
        answers = [client.post(path, json={"data": []}).status_code for _ in range(2)]

    assert answers == [status, status]
    assert mock_stream_server.requests == []


async def test_upload_through_aiohttp_is_answered_and_not_recorded(mock_stream_sdk: MockStreamSDK) -> None:
    aiohttp: Any = pytest.importorskip("aiohttp")

    async with aiohttp.ClientSession() as session, session.post(PLACES[0][0], json={}) as answered:
        assert (answered.status, await answered.read()) == (204, b"")

    assert mock_stream_sdk.requests == []


def test_upload_takes_no_script_and_no_number(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Hello")
    httpx.post("https://api.openai.com/v1/traces/ingest", json={})

    httpx.post("https://api.openai.com/v1/responses", json={"model": "m", "input": "hi"})

    assert [request.number for request in mock_stream_sdk.requests] == [1]


@pytest.mark.parametrize(
    "url",
    ["https://huggingface.co/api/models", "https://api.openai.com/v1/traces/ingest/2", "https://notposthog.com/batch/"],
)
def test_what_only_looks_like_an_upload_is_refused(url: str) -> None:
    with MockStreamSDK() as sdk:
        httpx.post(url, json={})

        with pytest.raises(UnexpectedRequestError):
            sdk.verify()


async def test_traces_of_openai_agents_are_no_requests(mock_stream_sdk: MockStreamSDK) -> None:
    agents: Any = pytest.importorskip("agents")
    mock_stream_sdk.respond("Rain.")

    result = agents.Runner.run_streamed(agents.Agent(name="a", model="gpt-5"), "hi")
    async for _ in result.stream_events():
        pass
    agents.tracing.get_trace_provider().force_flush()

    assert result.final_output == "Rain."
    assert [request.path for request in mock_stream_sdk.requests] == ["/v1/responses"]
