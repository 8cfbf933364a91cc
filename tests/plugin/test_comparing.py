"""How a comparison that fails is explained where the record hides something."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("lean_pytest")
PLUGINS = ("-p", "asyncio", "-p", "mockstream")
START = """
KEY = "sk-" + "LIVE-7f3a9c"

def asked(client, text="hi " + KEY, **params):
    client.chat([{"role": "user", "content": text}], **params)
    return client.requests[0]

def test_it(mock_stream_client):
"""


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ('asked(mock_stream_client).text == "hi"', ["assert 'hi [redacted]' == 'hi'", "- hi", "+ hi [redacted]"]),
        (
            'asked(mock_stream_client).text == f"hi {KEY[:-1]}d"',
            ["assert 'hi [redacted]' == 'hi [redacted]'", "They differ in what is not shown here."],
        ),
        pytest.param(
            '"hi" not in asked(mock_stream_client).text',
            ["assert 'hi' not in 'hi [redacted]'", "'hi' is contained here:", "hi [redacted]"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            'asked(mock_stream_client, api_key="x" * 9).params == {"api_key": "x" * 9, "n": 1}',
            ["Right contains 1 more item:", "{'n': 1}", "'api_key': '[redacted]',"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_difference_shows_no_secret(pytester: pytest.Pytester, line: str, lines: list[str]) -> None:
    pytester.makepyfile(f"{START}    assert {line}\n")

    result = pytester.runpytest_subprocess(*PLUGINS, "-vv")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *{text.replace('[', '[[]')}*" for text in lines])
    result.stdout.no_fnmatch_line("*LIVE-7f3a9c*")
    result.stdout.no_fnmatch_line("*xxxxxxxxx*")


def test_comparison_that_holds_holds(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"{START}    assert asked(mock_stream_client).text == f'hi {{KEY}}'\n")

    pytester.runpytest_subprocess(*PLUGINS).assert_outcomes(passed=1)


def test_difference_without_secrets_is_explained_by_pytest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(f"{START}    assert asked(mock_stream_client, text='hi').text == 'ho'\n")

    result = pytester.runpytest_subprocess(*PLUGINS)

    result.stdout.fnmatch_lines(["E *assert 'hi' == 'ho'*", "E *- ho", "E *+ hi"])
