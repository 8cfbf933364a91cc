"""Two doors that catch the requests of the process, open in one test."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mockstream import MockStreamSDK, UnexpectedRequestError
from pytest_mockstream.doors.server import MockStreamServer

httpx: Any = pytest.importorskip("httpx")

CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
URL = "https://api.openai.com/v1/chat/completions"


@pytest.fixture
def sdk() -> Any:
    with MockStreamSDK() as sdk:
        yield sdk


@pytest.fixture
def server() -> Any:
    with MockStreamServer() as server:
        yield server


def ask(url: str) -> Any:
    return httpx.post(url, json=CHAT).json()


def ask_server(server: MockStreamServer) -> Any:
    return ask(f"{server.url}/v1/chat/completions")


def test_script_that_waits_at_the_sdk_while_the_server_answers_is_told(
    sdk: MockStreamSDK, server: MockStreamServer
) -> None:
    sdk.respond("Hello")
    ask_server(server)

    with pytest.raises(UnexpectedRequestError) as caught:
        server.verify(unused="allow")

    first, script, remedy = str(caught.value).splitlines()
    assert first.startswith("mock_stream_server answered /v1/chat/completions (request 1, at ")
    assert first.endswith("with its default text, but the script for it waited at mock_stream_sdk:")
    assert script.startswith("    Script(Text(content='Hello')) for any request, queued at ")
    assert remedy == (
        "  Both are open in this test. Queue the script with mock_stream_server.respond(...), or use one of the two"
        " alone."
    )


def test_script_that_waits_at_the_server_while_the_sdk_answers_is_told(
    sdk: MockStreamSDK, server: MockStreamServer
) -> None:
    server.respond("Hello")
    ask(URL)

    with pytest.raises(UnexpectedRequestError, match=r"^mock_stream_sdk answered .* waited at mock_stream_server:"):
        server.verify()


def test_it_is_told_once(sdk: MockStreamSDK, server: MockStreamServer) -> None:
    sdk.respond("Hello")
    ask_server(server)
    with pytest.raises(UnexpectedRequestError):
        sdk.verify()

    server.verify()
    sdk.verify()


def test_script_that_is_played_after_all_is_no_matter(sdk: MockStreamSDK, server: MockStreamServer) -> None:
    sdk.respond("Hello")
    ask_server(server)
    ask(URL)

    server.verify()
    sdk.verify()


def test_script_for_other_requests_is_no_matter(sdk: MockStreamSDK, server: MockStreamServer) -> None:
    sdk.when(contains="weather").respond("rain")
    ask_server(server)

    server.verify()


def test_door_that_is_closed_is_no_matter(server: MockStreamServer) -> None:
    with MockStreamSDK() as sdk:
        sdk.respond("Hello")
    ask_server(server)

    server.verify()


def test_door_of_an_earlier_test_is_no_matter(sdk: MockStreamSDK, server: MockStreamServer) -> None:
    server.respond("Hello")
    server.verify(unused="allow")
    ask(URL)

    sdk.verify()


def test_script_that_was_there_before_the_other_door_is_no_matter(server: MockStreamServer) -> None:
    server.respond("for the whole session", times=None)
    with MockStreamSDK() as sdk:
        ask(URL)

    sdk.verify()


def test_request_that_finds_no_script_is_told_of_the_other_door(sdk: MockStreamSDK, server: MockStreamServer) -> None:
    sdk.respond("Hello")
    server.respond("one")
    ask_server(server)
    ask_server(server)

    with pytest.raises(UnexpectedRequestError, match="mock_stream_sdk is open, too, and has a script for such a"):
        server.verify()


@pytest.mark.parametrize("door", ["sdk", "server"])
def test_provider_that_nobody_is_asked_for_is_refused(door: str, request: pytest.FixtureRequest) -> None:
    scripted = request.getfixturevalue(door)

    with pytest.raises(ValueError, match=r"when\(provider='OpenAI'\) fits no request to mock_stream_s") as caught:
        scripted.when(provider="OpenAI")

    assert "Did you mean 'openai'? Give one of openai, " in str(caught.value)


def test_provider_of_a_host_is_known_to_the_sdk_alone(sdk: MockStreamSDK, server: MockStreamServer) -> None:
    sdk.when(provider="cerebras").respond("Hello")
    ask("https://api.cerebras.ai/v1/chat/completions")

    sdk.verify()
    with pytest.raises(ValueError, match=r"Give one of openai, anthropic, gemini, ollama, "):
        server.when(provider="cerebras")


@pytest.mark.parametrize(
    "use", [lambda sdk: sdk.respond("Hello"), lambda sdk: sdk.when(turn=1)], ids=["respond", "when"]
)
@pytest.mark.parametrize("before", ["never entered", "left"])
def test_sdk_that_is_not_open_refuses_scripts(use: Any, before: str) -> None:
    sdk = MockStreamSDK()
    if before == "left":
        with sdk:
            pass

    with pytest.raises(ValueError, match="is not open, so requests would go out to the network: write `with"):
        use(sdk)
