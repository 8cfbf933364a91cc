"""The keywords of ``Script`` and ``respond``: what people, type checkers and messages are told of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields

import pytest

from pytest_mockstream import MockStreamClient, Script
from pytest_mockstream.playbook.queued import Condition
from pytest_mockstream.playbook.scripting import Scripted, When
from pytest_mockstream.script.options import PACING_OPTIONS, SCRIPT_OPTIONS, SHAPE_OPTIONS
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.shape import Shape
from pytest_mockstream.script.steps import Chunking

TAKES_OPTIONS = [Script, Scripted.respond, When.respond, MockStreamClient().respond]


@pytest.mark.parametrize("takes_options", TAKES_OPTIONS, ids=["Script", "Scripted", "When", "door"])
def test_signature_lists_each_keyword_with_its_type_and_default(takes_options: Callable[..., object]) -> None:
    parameters = inspect.signature(takes_options).parameters

    assert [name for name in parameters if name not in {"self", "steps"}] == list(SCRIPT_OPTIONS)
    assert (parameters["delay"].annotation, parameters["delay"].default) == (float | str | None, None)
    assert (parameters["chunking"].annotation, parameters["chunking"].default) == (Chunking, "word")
    assert (parameters["times"].annotation, parameters["times"].default) == (int | None, 1)


@pytest.mark.parametrize("documented", [Script, Scripted.respond, Scripted.when])
def test_docstring_explains_each_keyword(documented: Callable[..., object]) -> None:
    explained = re.findall(r"^\s+(\w+): ", inspect.getdoc(documented) or "", re.MULTILINE)

    listed = set(inspect.signature(documented).parameters) - {"self", "steps", "unnamed"}
    assert listed <= set(explained)


def test_type_checkers_see_a_keyword_or_a_value_that_is_wrong(mock_stream_client: MockStreamClient) -> None:
    # mypy reports an ignore that nothing needs, so these lines test what it sees.
    with pytest.raises(TypeError):
        mock_stream_client.respond("a", time=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        mock_stream_client.when(contains="a").respond("a", dela=2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="seed='seven'"):
        mock_stream_client.respond("a", seed="seven")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="times='twice'"):
        Script("a", times="twice")  # type: ignore[arg-type]


def test_unknown_keyword_is_told_with_its_value_the_nearest_one_and_all() -> None:
    with pytest.raises(TypeError) as caught:
        Script("a", time=2)  # type: ignore[call-arg]

    assert str(caught.value) == (
        "there is no keyword time=2. Did you mean 'times'? The keywords are delay, ttft, jitter, seed,"
        " tokens_per_second, fragment, line_ending, between, duplicate, gaps, chunking, finish_reason, usage, times,"
        " headers"
    )


def test_unknown_keyword_that_resembles_none_is_told_without_a_guess(mock_stream_client: MockStreamClient) -> None:
    with pytest.raises(TypeError, match=r"^there is no keyword xyz=None\. The keywords are delay, "):
        mock_stream_client.respond(xyz=None)  # type: ignore[call-arg]


def test_pacing_and_shape_take_their_part_of_the_keywords() -> None:
    assert tuple(inspect.signature(Pacing).parameters) == PACING_OPTIONS
    assert tuple(inspect.signature(Shape).parameters) == SHAPE_OPTIONS


def test_a_setting_of_respond_wins_even_if_it_is_the_default(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(Script("ab", times=None, chunking="char"), times=1, chunking="word")
    mock_stream_client.respond("c")

    streams = [mock_stream_client.complete_stream("hi") for _ in range(2)]

    assert [stream.deltas() for stream in streams] == [["ab"], ["c"]]


def test_a_setting_that_respond_leaves_to_others_is_the_script_s_own(mock_stream_client: MockStreamClient) -> None:
    mock_stream_client.respond(Script("ab", finish_reason="length"), finish_reason=None)

    assert [chunk.finish_reason for chunk in mock_stream_client.complete_stream("hi")][-1] == "length"


def test_signature_of_when_lists_each_condition_with_its_type() -> None:
    parameters = inspect.signature(Scripted.when).parameters

    assert [name for name in parameters if name not in {"self", "unnamed"}] == [
        f.name for f in fields(Condition) if f.init and f.name != "recorded"
    ]
    assert (parameters["turn"].annotation, parameters["turn"].default) == (int | None, None)


def test_unknown_condition_is_told_as_an_unknown_keyword_of_respond_is(mock_stream_client: MockStreamClient) -> None:
    with pytest.raises(TypeError) as caught:
        mock_stream_client.when(contain="x")  # type: ignore[call-arg]

    assert str(caught.value) == (
        "there is no keyword contain='x'. Did you mean 'contains'? The keywords are contains, matches, model, provider,"
        " tool, tool_result_contains, turn, system, schema, header, test, path, predicate"
    )
