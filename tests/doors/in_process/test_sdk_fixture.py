"""The fixture, as pytest runs it."""

from __future__ import annotations

import pytest

pytest.importorskip("httpx")
# httpx loads it when it first needs it. A run in process takes back what it has imported: it would be loaded twice.
pytest.importorskip("httpcore")


@pytest.fixture(autouse=True)
def modes(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")


def run(pytester: pytest.Pytester, code: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(ASK + code)
    without = [part for name in ("looptime_plugin", "randomly", "rerunfailures") for part in ("-p", f"no:{name}")]
    return pytester.runpytest_inprocess(*without, *args)


def alone(pytester: pytest.Pytester) -> pytest.RunResult:
    """Run without the plugins of others, some of which load HTTP libraries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        return pytester.runpytest_subprocess("-p", "pytest_asyncio.plugin", "-p", "pytest_mockstream.plugin")


ASK = """
import httpx, pytest, socket
def ask(text="hi"):
    chat = {"model": "gpt-5", "messages": [{"role": "user", "content": text}]}
    reply = httpx.post("https://api.openai.com/v1/chat/completions", json=chat).json()
    return reply["choices"][0]["message"]["content"] if "choices" in reply else "an error"
"""


def test_scripts_are_answered_and_recorded(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(mock_stream_sdk):
    mock_stream_sdk.when(contains="weather").respond("rain")
    mock_stream_sdk.respond("Hello")
    assert [ask(), ask("the weather?")] == ["Hello", "rain"]
    assert [request.text for request in mock_stream_sdk.requests] == ["hi", "the weather?"]
""",
    )

    result.assert_outcomes(passed=1)


def test_swallowed_unexpected_request_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(mock_stream_sdk):
    mock_stream_sdk.respond("Hello")
    assert [ask(), ask()] == ["Hello", "an error"]
""",
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*UnexpectedRequestError: no script left for /v1/chat/completions (request 2, at *:4).",
            "*It asked model 'gpt-5' (provider 'openai'): 'hi'",
            "*Queue one more with mock_stream_sdk.respond(...)*",
        ]
    )


def test_script_never_asked_for_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(mock_stream_sdk):\n    mock_stream_sdk.respond('Hello')\n")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*UnusedScriptError: 1 script was not played:"])


def test_marker_allows_scripts_to_go_unplayed(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
@pytest.mark.mockstream(unused="allow")
def test_it(mock_stream_sdk):
    mock_stream_sdk.respond("Hello")
""",
    )

    result.assert_outcomes(passed=1)


def test_swallowed_escape_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(mock_stream_sdk):
    try:
        socket.create_connection(("api.anthropic.com", 443))
    except Exception:
        pass
""",
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*socket tried to bypass mock_stream_sdk and reach api.anthropic.com (anthropic) at *:9; it was refused*"]
    )


_STREAMS = """
def stream(url="https://api.openai.com/v1/chat/completions"):
    chat = {"model": "gpt-5", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    client = httpx.Client()
    return client.send(client.build_request("POST", url, json=chat), stream=True)
"""


def test_open_stream_fails_its_test_with_line_chunks_and_remedy(pytester: pytest.Pytester) -> None:
    pytest.importorskip("openai")
    pytester.makepyfile(
        """
import openai, pytest
KEPT = []
async def first_word():
    stream = await openai.AsyncOpenAI().chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": "hi"}], stream=True)
    KEPT.append(stream)
    async for chunk in stream:
        return chunk.choices[0].delta.content
async def test_it(mock_stream_sdk):
    mock_stream_sdk.respond("one two three")
    await first_word()
async def test_next_one_is_not_blamed(mock_stream_sdk):
    pass
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:looptime_plugin", "-p", "no:randomly")

    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "LeakError: test_it left 1 thing running*",
            "  stream 'openai /v1/chat/completions (request 1)'",
            "    opened at *test_open_stream*.py:4 in first_word",
            "    Its consumer read * of 4 chunks* and never closed it. With openai, write `with client*",
        ]
    )


def test_stream_that_its_loop_closes_when_it_is_forgotten_is_clean(pytester: pytest.Pytester) -> None:
    pytest.importorskip("ollama")
    pytester.makepyfile(
        """
import ollama
async def test_it(mock_stream_sdk):
    mock_stream_sdk.respond("one two three")
    messages = [{"role": "user", "content": "hi"}]
    async for part in await ollama.AsyncClient().chat("llama", messages, stream=True):
        break
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:looptime_plugin", "-p", "no:randomly")

    result.assert_outcomes(passed=1)


def test_closed_stream_is_clean_though_its_client_is_not_closed(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        _STREAMS
        + """
CLIENTS = []
def test_it(mock_stream_sdk):
    mock_stream_sdk.respond("one two three")
    reply = stream()
    CLIENTS.append(reply)
    next(reply.iter_raw())
    reply.close()
""",
    )

    result.assert_outcomes(passed=1)


def test_marker_paces_the_answers(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import virtual
@pytest.mark.mockstream(delay="30s")
def test_it(mock_stream_sdk):
    mock_stream_sdk.respond("one two three")
    async def main():
        import asyncio
        async with httpx.AsyncClient(timeout=None) as client:
            chat = {"model": "gpt-5", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
            await client.post("https://api.openai.com/v1/chat/completions", json=chat)
        return asyncio.get_running_loop().time()
    assert virtual.run(main()) == 90
""",
    )

    result.assert_outcomes(passed=1)


def test_fixture_that_is_not_requested_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys
def test_it(mock_stream_client):
    ours = {name for name in sys.modules if name.startswith("pytest_mockstream.")}
    assert not {name for name in ours if ".in_process" in name or ".wire" in name}
    assert not {"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp"} & set(sys.modules)
"""
    )

    result = alone(pytester)

    result.assert_outcomes(passed=1)


def test_fixture_imports_no_http_library_that_the_process_does_not_have(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys
def test_it(mock_stream_sdk):
    assert not {"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp"} & set(sys.modules)
"""
    )

    result = alone(pytester)

    result.assert_outcomes(passed=1)
