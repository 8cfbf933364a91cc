"""No secret shows in a trace, wherever it stands, and in however many pieces it comes."""

from __future__ import annotations

import json
import linecache
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from traced import TEST, attempt, lanes, recording, traced, validator

from pytest_mockstream import Frame, Leak, MockStreamClient, MockStreamSDK, Reasoning, Text, ToolCall
from pytest_mockstream._base.callsite import CallSite

KEY = "tulip-Meadow7-Quartz"  # nothing but where it stands tells that it is one
URL = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def ask(sdk: MockStreamSDK, **more: Any) -> None:
    with httpx.Client() as client:
        client.post(URL, headers={"authorization": f"Bearer {KEY}"}, **{"json": BODY, **more})


def pieces(text: str, length: int = 3) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]


def shows(told: dict[str, Any]) -> bool:
    text = json.dumps(told)
    return KEY in text or any(piece in text for piece in ("tulip-", "Meadow7"))


SAID: dict[str, Callable[[MockStreamSDK], object]] = {
    "in a chunk": lambda sdk: sdk.respond(f"your key is {KEY}."),
    "in chunks": lambda sdk: sdk.respond(Text(pieces(f"key: {KEY}!"))),
    "in reasoning": lambda sdk: sdk.respond(Reasoning(f"the key is {KEY}"), "nothing"),
    "in a tool call": lambda sdk: sdk.respond(ToolCall("call", {"with": KEY}), chunking=2),
    "in a header": lambda sdk: sdk.respond("hi", headers={"x-served-by": KEY, "set-cookie": f"a={KEY}"}),
    "in turns": lambda sdk: sdk.respond("its tulip-Mea", Reasoning("hm"), "dow7-Quartz"),
    "in a frame": lambda sdk: sdk.respond(Frame({"choices": [], "note": KEY})),
    "in fragments": lambda sdk: sdk.respond(f"your key is {KEY}.", fragment="byte"),
}


@pytest.mark.parametrize("where", SAID)
def test_credential_of_a_request_is_hidden_in_its_answer(where: str) -> None:
    with MockStreamSDK() as sdk:
        SAID[where](sdk)
        told = traced(lambda: ask(sdk))

    assert not shows(told)
    assert lanes(told, "request")[0]["request"]["headers"]["authorization"] == "[redacted]"


def test_credential_of_one_request_is_hidden_everywhere() -> None:
    client = MockStreamClient()
    client.respond(f"The key {KEY} again", times=None)
    site = CallSite(f"/srv/{KEY}/app.py", 3, f"read_{KEY}")
    leak = Leak(kind="task", name=KEY, created_at=site, waits_at=site, diagnosis=f"It has {KEY}.", remedy=KEY)

    with MockStreamSDK() as sdk, recording() as recorder:
        sdk.respond("hi")
        with recorder.phase("fixture", KEY, site):
            client.complete_stream(f"Is it {KEY}?").read()
        thread = threading.Thread(target=print, name=KEY)
        thread.start()
        thread.join()
        ask(sdk, params={"q": f"about {KEY}"}, json={**BODY, "user": KEY, KEY: [KEY]})
        told = attempt(recorder, outcome="failed", failures=[("call", f"AssertionError: {KEY}")], leaks=[leak])

    assert not shows(told)


def test_secret_of_the_environment_is_hidden_that_only_the_test_had(monkeypatch: pytest.MonkeyPatch) -> None:
    client = MockStreamClient()
    client.respond(KEY)

    with recording() as recorder:
        with monkeypatch.context() as patch, recorder.phase("test", "call"):
            patch.setenv("APP_SECRET", KEY)
            client.complete_stream("hi").read()
        told = attempt(recorder)

    assert not shows(told)


def test_secret_of_the_environment_is_hidden_in_the_failure_of_a_test_without_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with recording() as recorder:
        with suppress(AssertionError), monkeypatch.context() as patch, recorder.phase("test", "call"):
            patch.setenv("APP_SECRET", KEY)
            raise AssertionError
        told = attempt(recorder, outcome="failed", failures=[("call", f"E   it said {KEY}")])

    assert not shows(told)


def test_private_key_in_a_source_is_hidden_where_only_a_part_of_it_is_shown(tmp_path: Path) -> None:
    key = [f"kline{number}" for number in range(30)]
    source = ['KEY = """', "-----BEGIN PRIVATE KEY-----", *key, "-----END PRIVATE KEY-----", '"""', "ask()"]
    file = tmp_path / "app.py"
    file.write_text("\n".join(source))

    with recording() as recorder:
        recorder.begin_phase("fixture", "f", CallSite(str(file), len(source), "f"))
        told = attempt(recorder)

    ((_, (excerpt,)),) = told["sources"].items()
    assert excerpt["first"] == len(source) - 5
    assert excerpt["lines"][-2:] == ['"""', "ask()"]
    assert "kline" not in json.dumps(told)


def test_secret_in_a_source_line_is_hidden() -> None:
    client = MockStreamClient(default_text="hi")

    def main() -> None:
        client.complete_stream("hi").close()  # api_key="sk-abcdefghijklmnopqrstuvwx"

    told = traced(main)

    excerpts = "\n".join(line for one in told["sources"].values() for excerpt in one for line in excerpt["lines"])
    assert "client.complete_stream" in excerpts
    assert "sk-abcdefghijklm" not in excerpts


def test_what_has_been_shown_is_hidden_from_when_on_it_is_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "app.py"
    file.write_text(f"ask({KEY!r})\n")

    def told() -> str:
        with recording() as recorder:
            with recorder.phase("fixture", f"with {KEY}", CallSite(str(file), 1, "f")):
                pass
            return json.dumps(attempt(recorder))

    before = told()
    monkeypatch.setenv("APP_SECRET", KEY)
    between = told()
    monkeypatch.delenv("APP_SECRET")

    assert [said.count(KEY) for said in (before, between, told())] == [before.count(KEY), 0, before.count(KEY)]
    assert before.count(KEY) >= 2


def test_source_is_shown_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "app.py"

    def excerpt(source: str) -> list[str]:
        file.write_text(source)
        linecache.checkcache(str(file))
        with recording() as recorder:
            recorder.begin_phase("fixture", "f", CallSite(str(file), 1, "f"))
            ((found,),) = attempt(recorder)["sources"].values()
        lines: list[str] = found["lines"]
        return lines

    assert [excerpt("ask()\n"), excerpt("ask(again)\n")] == [["ask()"], ["ask(again)"]]


HOSTILE = {
    "script": "</script><script>alert(1)</script>",
    "bidi": "\u202eevil\u2066",
    "surrogate": "\ud800 lone",
    "control": "\x00\x1b[31m",
    "proto": "__proto__",
    "long": "w" * 2**20,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_stays_what_it_is(name: str) -> None:
    text = HOSTILE[name]
    client = MockStreamClient()
    client.respond(Text([text, " end"]))

    told = traced(lambda: client.complete_stream(text, metadata={text: text}).read())

    (lane,) = lanes(told, "request")
    assert lane["chunks"]["text"][0] == text
    assert len(json.dumps(lane["request"])) < 200_000


class Odd:
    """Something that is no JSON, and whose code must not run."""

    def __repr__(self) -> str:
        raise AssertionError("nobody may call this")


def test_request_with_what_is_no_json_is_shown_as_far_as_it_goes() -> None:
    client = MockStreamClient()
    endless: list[Any] = []
    endless.append(endless)
    odd = {"a": Odd(), "b": b"bytes", "c": float("nan"), 1: (1, {2}), "d": 2**80, "e": endless, "f": ["x"] * 10_000}

    told = traced(lambda: client.complete_stream("hi", metadata=odd).read())

    body = lanes(told, "request")[0]["request"]["body"]
    assert body["metadata"]["b"] == "<5 bytes>"
    assert body["metadata"]["c"] == "nan"
    assert body["metadata"]["1"] == [1, [2]]
    assert body["metadata"]["a"].endswith("Odd>")
    assert len(body["metadata"]["f"]) < 10_000


def test_schema_refuses_what_is_not_in_it() -> None:
    told = traced(lambda: None)
    whole = {
        "format": "pytest-mockstream trace",
        "version": 1,
        "package": "1",
        "test": TEST,
        "attempts": [{name: value for name, value in told.items() if name != "sources"}],
        "sources": {},
    }

    assert validator().is_valid(whole)
    assert not validator().is_valid({**whole, "version": 2})
    assert not validator().is_valid({**whole, "more": 1})
