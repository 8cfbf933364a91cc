"""Scenarios of pytest-bdd: what their steps leave is theirs."""

from __future__ import annotations

from typing import Any

from left import leave_thread
from pytest_bdd import given, parsers, scenario, then, when


@scenario("answers.feature", "An answer is read to its end")
def test_answer_is_read() -> None:
    pass


@scenario("answers.feature", "An answer is waited for in a thread that nobody stops")
def test_leaves_a_thread_in_a_step() -> None:
    pass


@scenario("answers.feature", "An answer leaves a thread of its background")
def test_leaves_a_thread_in_a_fixture_of_a_step() -> None:
    pass


@given(parsers.parse('a model that says "{text}"'), target_fixture="model")
def model(text: str, mock_stream_client: Any) -> Any:
    mock_stream_client.respond(text, times=None)
    return mock_stream_client


@given("a model with a thread in the background", target_fixture="model")
def model_with_thread() -> None:
    leave_thread()


@when("its answer is read", target_fixture="answer")
def answer(model: Any) -> str:
    with model.complete_stream("hi") as stream:
        return str(stream.read())


@when("a thread waits for ever")
def thread_waits(model: Any) -> None:
    with model.complete_stream("hi") as stream:
        stream.read()
    leave_thread()


@then(parsers.parse('it was "{text}"'))
def it_was(answer: str, text: str) -> None:
    assert answer == text


@then("nobody has noticed")
def nobody_has_noticed() -> None:
    pass
