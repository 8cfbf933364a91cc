"""No secret that travels in a request is in anything that a failing run prints, over all three doors."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("httpx")

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
#: What stands before the random part of a key, and how long that is.
SHAPES: dict[str, tuple[str, str, int]] = {
    "openai": ("sk-", ALNUM, 20),
    "openai-project": ("sk-proj-", ALNUM + "-_", 40),
    "anthropic": ("sk-ant-api03-", ALNUM + "-_", 40),
    "openrouter": ("sk-or-v1-", HEX, 64),
    "google": ("AIza", ALNUM + "-_", 35),
    "google-oauth": ("ya29.", ALNUM + "-_", 40),
    "github": ("ghp_", ALNUM, 36),
    "github-fine": ("github_pat_", ALNUM + "_", 60),
    "gitlab": ("glpat-", ALNUM, 20),
    "slack": ("xoxb-", string.digits, 24),
    "aws": ("AKIA", string.ascii_uppercase + string.digits, 16),
    "huggingface": ("hf_", ALNUM, 34),
    "groq": ("gsk_", ALNUM, 52),
    "xai": ("xai-", ALNUM, 60),
    "perplexity": ("pplx-", HEX, 48),
    "langsmith": ("lsv2_pt_", HEX, 32),
    "stripe": ("sk_live_", ALNUM, 24),
    "nvidia": ("nvapi-", ALNUM + "-_", 60),
    "jwt": ("eyJ", ALNUM, 60),
    "azure": ("", HEX, 32),
    "mistral": ("a1", ALNUM, 30),
    "password": ("", "abcdefghijkmnpqrstuvwxyz", 14),  # told by its name, by the environment and by the header alone
}
#: Where a secret is put in: the field, and the value with ``SECRET`` for it.
FIELDS = {
    "api_key": "SECRET",
    "client_secret": ["SECRET"],
    "credentials": {"value": {"deep": "SECRET"}},
    "headers": {"x-tenant-thing": "SECRET"},
    "server_url": "https://user:SECRET@mcp.example.com/sse?api_key=SECRET",
    "metadata": {"note": "it is SECRET, so there", "auth": "Bearer SECRET"},
}
#: Made from one line, so that no test shows a secret in the source that pytest prints.
CONFTEST = """
import pytest
from given import GIVEN

@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("OTHER_TOKEN", GIVEN[-1]["secret"])
"""
TESTS = """
import json
import logging
import warnings

import httpx
import pytest
from given import GIVEN

NUMBERS = range(len(GIVEN))


def arguments(number):
    return json.dumps({"api_key": GIVEN[number]["secret"], "deep": [{"text": "x " + GIVEN[number]["secret"]}]})


def body(number):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments(number)}}
    said = GIVEN[number]["text"]
    return GIVEN[number]["fields"] | {
        "model": "m",
        "messages": [
            {"role": "system", "content": said},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": said}]},
            {"role": "user", "content": said},
        ],
        "tools": [{"type": "mcp", "authorization": GIVEN[number]["secret"]}],
    }


def post(url, number):
    __tracebackhide__ = True
    httpx.post(
        url + "/v1/chat/completions?key=" + GIVEN[number]["secret"],
        json=body(number),
        headers={"authorization": "Bearer " + GIVEN[number]["secret"], "x-some-thing": GIVEN[number]["secret"]},
    )


DOORS = ["sdk", "server", "client"]


@pytest.fixture
def asked(request, number):
    name = DOORS[number // 20 % 3]
    door = request.getfixturevalue("mock_stream_" + name)

    def ask(number):
        __tracebackhide__ = True
        if name == "client":
            door.chat(body(number)["messages"], **{name: value for name, value in body(number).items()
                      if name not in {"messages", "model"}})
        else:
            post("https://api.openai.com" if name == "sdk" else door.url, number)
        return door.requests[-1] if door.requests else None

    ask.door = door
    return ask


@pytest.mark.parametrize("number", NUMBERS[::10])
def test_shown(asked, number):
    records = [asked(one) for one in range(number, number + 10)]
    for record in records:
        logging.getLogger("x").warning("%s %r %s", record, record.body, record.text)
        print(record, vars(record), record.messages, record.path, f"{record.text}")
        warnings.warn(f"{record!r} {record.params}")
    shown = [(r.body, r.messages, r.params, r.tools, r.headers, r.text, r.tool_results) for r in records]
    assert records[0].body == {**records[1].body, "model": "other"}
    assert not shown


@pytest.mark.parametrize("number", NUMBERS[::10])
def test_compared(asked, number):
    record = asked(number)
    assert (record.text, record.params, record.tools, record.tool_results) == ("other", {}, [], [])


@pytest.mark.parametrize("number", NUMBERS[::20])
def test_text_compared(asked, number):
    assert asked(number).text == "other" + GIVEN[number]["text"]


@pytest.mark.parametrize("number", NUMBERS[::20])
def test_unexpected(asked, number):
    asked.door.when(contains="never").respond("x")
    try:
        asked(number)
    except AssertionError:
        pass


@pytest.mark.parametrize("number", NUMBERS[::20])
def test_left_open(mock_stream_client, number):
    mock_stream_client.respond("said " + GIVEN[number]["script"], times=2)
    mock_stream_client.chat_stream(body(number)["messages"], api_key=GIVEN[number]["secret"])


def fails(request):
    raise KeyError("nothing")


@pytest.mark.parametrize("number", NUMBERS[::20])
def test_predicate(asked, number):
    asked.door.when(predicate=fails).respond("x")
    try:
        asked(number)
    except KeyError:
        pass


@pytest.mark.parametrize("number", NUMBERS[::20])
def test_not_understood(mock_stream_sdk, number):
    secret = GIVEN[number]["secret"]
    for sent in ({"model": secret}, {"model": "m", "messages": secret}, {"model": "m", "stream": secret}):
        httpx.post("https://api.openai.com/v1/" + secret + "/chat/completions", json=sent,
                   headers={"x-api-key": secret})
"""


def secrets() -> Iterator[tuple[str, str]]:
    chance = random.Random(14)  # noqa: S311 - the same in every run
    for shape, (prefix, alphabet, length) in SHAPES.items():
        for _ in range(10):
            yield shape, prefix + "".join(chance.choices(alphabet, k=length - 1)) + "7"


def filled(value: object, secret: str) -> object:
    if isinstance(value, str):
        return value.replace("SECRET", secret)
    if isinstance(value, list):
        return [filled(item, secret) for item in value]
    return {name: filled(item, secret) for name, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("count", [60, pytest.param(220, marks=pytest.mark.slow)])
def test_no_secret_is_in_anything_that_a_failing_run_prints(
    pytester: pytest.Pytester, lean_pytest: None, count: int
) -> None:
    """Random secrets of 22 shapes; each in headers, query, path, fields, tool arguments, messages and scripts."""
    every = list(secrets())
    found = [every[number * len(every) // count] for number in range(count)]
    given = [
        {
            "secret": secret,
            "text": f"use {secret} for it",
            "fields": filled(FIELDS, secret),
            "script": "" if shape == "password" else secret,  # nothing tells a mere word in a script
        }
        for shape, secret in found
    ]
    pytester.makepyfile(given=f"GIVEN = {given!r}", test_all=TESTS)
    pytester.makeconftest(CONFTEST)

    options = ["-vv", "-rA", "--showlocals", "--junitxml=report.xml", "-W", "default"]
    result = pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", *options, "-o", "log_cli=true")

    shown = result.stdout.str() + result.stderr.str() + Path("report.xml").read_text(encoding="utf-8")
    assert {shape for shape, _ in found} == set(SHAPES)
    assert re.search(r"\b\d\d failed", shown)
    assert [f"{shape} {number}" for number, (shape, secret) in enumerate(found) if secret in shown] == []


def test_no_secret_is_in_a_local_variable_of_ours(pytester: pytest.Pytester, lean_pytest: None) -> None:
    pytester.makepyfile(
        """
        import httpx
        import pytest

        KEY = "sk-" + "LIVE-7f3a9c"

        def fails(request):
            pytest.fail("nothing")

        def test_it(mock_stream_sdk):
            mock_stream_sdk.when(predicate=fails).respond("x")
            httpx.post(
                "https://api.openai.com/v1/chat/completions?key=" + KEY,
                json={"model": "m", "messages": [{"role": "user", "content": "hi"}], "api_key": KEY},
                headers={"authorization": "Bearer " + KEY},
            )
        """
    )

    result = pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", "--full-trace", "--showlocals", "-vv")

    # pytest ends what it prints of a frame with the frame's place.
    frames = re.findall(r"(.*?)^(\S+\.py):\d+: ", result.stdout.str(), re.MULTILINE | re.DOTALL)
    ours = {Path(place).name: text for text, place in frames if "pytest_mockstream" in place}
    assert {"httpcore.py", "answer.py"} <= set(ours)
    assert [name for name, text in ours.items() if "LIVE-7f3a9c" in text] == []
    assert any("LIVE-7f3a9c" in text for text, _ in frames)  # those of httpx have it
