"""With ``findings="error"``, findings fail their test; without it, nobody looks."""

from __future__ import annotations

import pytest

CODE = """
import pytest
from pytest_mockstream import Disconnect, HTTPError, ProviderError

def asks(client, tries=3):
    for _ in range(tries):
        try:
            return client.complete("Where?").content
        except ProviderError:
            continue

def prints(client):
    for _ in range(2):
        try:
            with client.complete_stream("Where?") as stream:
                for chunk in stream:
                    print(chunk.delta, end="")
            return
        except ConnectionError:
            continue

def test_waits(mock_stream_client):
    mock_stream_client.respond(HTTPError(429, retry_after=60))
    mock_stream_client.respond("yes")
    assert asks(mock_stream_client) == "yes"

def test_prints(mock_stream_client):
    mock_stream_client.respond("Paris is", Disconnect())
    mock_stream_client.respond("Paris is lovely.")
    prints(mock_stream_client)

def test_clean(mock_stream_client):
    mock_stream_client.respond("yes")
    assert asks(mock_stream_client) == "yes"
"""
MARKED = 'pytestmark = pytest.mark.mockstream(findings="error")\n'


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_inprocess("-p", "pytest_asyncio", "-p", "pytest_mockstream.plugin", *options)


@pytest.mark.usefixtures("lean_pytest")
@pytest.mark.parametrize(
    ("mark", "options"),
    [(MARKED, []), ("", ["-o", "mockstream_findings=error"]), ("", ["--mockstream-findings=error"])],
    ids=["marker", "ini", "option"],
)
def test_findings_fail_their_test(pytester: pytest.Pytester, mark: str, options: list[str]) -> None:
    result = run(pytester, CODE + mark, *options)

    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        [
            "the code under test does not cope well with failures:",
            "  ignores_retry_after: test_findings_fail_their_test.py:* (request 2) asked again before the 60 s"
            " were over that request 1 (complete) had asked it to wait: after * s",
            "    Wait as long as the answer asks*",
            "the code under test does not cope well with failures:",
            "  repeats_delivered: test_findings_fail_their_test.py:* (request 2) asked the same again from the start,"
            " after request 1 (complete_stream) had broken in mid-stream, and the delivered part is there twice:"
            " 'Paris isParis is lovely.'",
            "    Once text has been delivered*",
        ]
    )


@pytest.mark.usefixtures("lean_pytest")
@pytest.mark.parametrize(("header", "outcome"), [("x-stainless-retry-count", "passed"), ("x-mine", "errors")])
def test_what_a_library_does_by_itself_fails_no_test(pytester: pytest.Pytester, header: str, outcome: str) -> None:
    source = f"""
        import httpx, pytest
        from pytest_mockstream import HTTPError

        def ask(count):
            body = {{"model": "m", "messages": [{{"role": "user", "content": "hi"}}]}}
            httpx.post("https://api.openai.com/v1/chat/completions", json=body, headers={{{header!r}: count}})

        @pytest.mark.mockstream(findings="error")
        def test_it(mock_stream_sdk):
            mock_stream_sdk.respond(HTTPError(429, retry_after=60))
            mock_stream_sdk.respond("yes")
            for count in "01":
                ask(count)
    """

    run(pytester, source).assert_outcomes(passed=1, errors=int(outcome == "errors"))


@pytest.mark.usefixtures("lean_pytest")
def test_nobody_looks_unless_asked_to(pytester: pytest.Pytester) -> None:
    run(pytester, CODE).assert_outcomes(passed=3)


@pytest.mark.usefixtures("lean_pytest")
def test_marker_wins_over_the_ini_file(pytester: pytest.Pytester) -> None:
    source = CODE + MARKED.replace("error", "off")

    run(pytester, source, "-o", "mockstream_findings=error").assert_outcomes(passed=3)


@pytest.mark.usefixtures("lean_pytest")
def test_test_that_failed_by_itself_has_no_second_failure(pytester: pytest.Pytester) -> None:
    source = CODE.replace('assert asks(mock_stream_client) == "yes"', "assert asks(mock_stream_client) == 1") + MARKED

    run(pytester, source, "-k", "waits").assert_outcomes(failed=1)


@pytest.mark.usefixtures("lean_pytest")
def test_value_that_is_not_legal_is_named(pytester: pytest.Pytester) -> None:
    result = run(pytester, CODE, "--mockstream-findings=loud")

    result.stderr.fnmatch_lines(["ERROR: --mockstream-findings='loud' is not known: give 'error' or 'off'*"])
