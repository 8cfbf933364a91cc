"""Conditions of ``when``: which requests meet them, and what a request is told that meets none."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mockstream import (
    MockStreamClient,
    MockStreamSDK,
    Request,
    ScriptError,
    UnexpectedRequestError,
    UnusedScriptError,
)
from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream.playbook.queued import Condition, suggestion

CITY = {"type": "object", "title": "Town", "properties": {}}


def request_with(**fields: Any) -> Request:
    messages = [{"role": "system", "content": "Be brief.\nBe kind."}, {"role": "user", "content": "Oslo, please?"}]
    usual: dict[str, Any] = {
        "provider": "openai",
        "path": "/v1/chat/completions",
        "model": "m",
        "messages": messages,
        "params": {"response_format": {"type": "json_schema", "json_schema": {"name": "City", "schema": CITY}}},
        "headers": {"x-tenant": "acme", "authorization": "Bearer sk-proj-0123456789abcdefghij"},
        "streaming": False,
        "opened_at": CallSite("bot.py", 1, "ask"),
    }
    return Request(**usual | fields)


@pytest.mark.parametrize(
    ("conditions", "is_met"),
    [
        ({"system": "kind"}, True),
        ({"system": "Oslo"}, False),
        ({"schema": "City"}, True),
        ({"schema": "Town"}, True),
        ({"schema": "Country"}, False),
        ({"header": "x-tenant: acme"}, True),
        ({"header": "X-Tenant:acme"}, True),
        ({"header": "x-tenant"}, True),
        ({"header": "x-tenant: other"}, False),
        ({"header": "x-other"}, False),
        ({"header": {"X-Tenant": "acme"}}, True),
        ({"header": {"x-tenant": "acme", "x-other": None}}, False),
        ({"header": "authorization: Bearer sk-proj-0123456789abcdefghij"}, True),
        ({"system": "kind", "contains": "Bergen"}, False),
    ],
)
def test_a_request_meets_all_conditions_or_none(conditions: Any, is_met: bool) -> None:
    assert Condition(**conditions).holds(request_with()) is is_met


@pytest.mark.parametrize(
    ("pattern", "is_met"),
    [
        ("*::test_the_running_test_meets_the_pattern_of_its_id*", True),
        ("tests/playbook/test_conditions.py::*", True),
        ("*::test_another", False),
        ("test_conditions.py", False),
    ],
)
def test_the_running_test_meets_the_pattern_of_its_id(pattern: str, is_met: bool) -> None:
    assert Condition(test=pattern).holds(request_with()) is is_met


@pytest.mark.parametrize("word", ["a[b]", "c d"])
def test_the_running_test_meets_its_own_id(word: str, request: pytest.FixtureRequest) -> None:
    assert word in request.node.nodeid
    assert Condition(test=request.node.nodeid).holds(request_with())


def test_outside_of_pytest_no_test_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    assert not Condition(test="*").holds(request_with())


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({"system": 3}, r"when\(system=3\): give a str"),
        ({"schema": CITY}, r"when\(schema=\{.*\}\): give a str"),
        ({"test": 3}, r"when\(test=3\): give a str"),
        ({"header": 3}, r"when\(header=3\): give 'name: value', 'name' for any value, or a mapping"),
        ({"header": ""}, "give 'name: value'"),
        ({"header": {}}, "give 'name: value'"),
        ({"header": {"x-left": 3}}, "give 'name: value'"),
    ],
)
def test_a_condition_that_is_none_is_told_at_once(conditions: Any, told: str) -> None:
    with pytest.raises(ScriptError, match=told):
        MockStreamClient().when(**conditions)


def test_a_header_that_is_secret_is_not_shown() -> None:
    shown = str(Condition(header={"authorization": "Bearer sk-proj-0123456789abcdefghij", "x-tenant": "acme"}))

    assert "sk-proj" not in shown
    assert "'x-tenant': 'acme'" in shown


def test_an_sdk_gets_the_script_that_its_request_is_for() -> None:
    openai: Any = pytest.importorskip("openai")
    asked: list[Any] = [{}, {"instructions": "You are a pirate."}, {"extra_headers": {"x-tenant": "acme"}}]
    with MockStreamSDK() as sdk:
        sdk.when(system="pirate").respond("Arr")
        sdk.when(header="x-tenant: acme").respond("Hello, Acme")
        sdk.when(test="*::test_another").respond("never", times=None)
        sdk.respond("Hello")

        with openai.OpenAI() as client:
            texts = [client.responses.create(model="m", input="hi", **more).output_text for more in asked]

        assert texts == ["Hello", "Arr", "Hello, Acme"]
        with pytest.raises(UnusedScriptError, match="'never'"):
            sdk.verify()


# What a request is told that meets none.


def test_a_request_that_no_script_is_for_is_told_what_it_does_not_meet_and_what_it_would() -> None:
    client = MockStreamClient()
    client.when(contains="Bergen", turn=2).respond("rain")

    with pytest.raises(UnexpectedRequestError) as caught:
        client.complete("How is the weather in Oslo today, and what of it?", model="m")

    message = str(caught.value)
    assert "(played 0 of 1 time), not met: contains=, turn=\n" in message
    assert message.endswith(
        "\n  For requests like this one: mock_stream_client.when(contains='How is the weather in Oslo today, and',"
        " model='m', provider='mock').respond(...)"
    )


def test_what_is_suggested_is_met() -> None:
    tool = {"name": "weather", "input_schema": {"type": "object"}}
    messages = [
        {"role": "system", "content": "Be 'brief'."},
        {"role": "user", "content": "  Oslo,\nplease?"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "x" * 60},
    ]
    request = request_with(tools=[tool], messages=messages)

    said = suggestion(request)

    assert said == (
        f"when(contains='{'x' * 40}', system=\"Be 'brief'.\", model='m', provider='openai', tool='weather',"
        " schema='City', turn=2)"
    )
    assert eval(said, {"when": Condition}).holds(request)  # noqa: S307 - it is ours


def test_what_is_suggested_has_no_secrets() -> None:
    messages = [{"role": "user", "content": "my key is sk-proj-0123456789abcdefghij"}]

    assert suggestion(request_with(messages=messages, params={})) == "when(model='m', provider='openai')"
