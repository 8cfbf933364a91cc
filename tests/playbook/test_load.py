"""``load`` queues the scripts of a file, which any number of tests may share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from three_doors import DOORS, Door, opened_door

from pytest_mockstream import MockStreamClient, ScriptError, UnusedScriptError

HERE = Path(__file__).parent
REPLIES = """\
    [[script]]
    when = { contains = "weather" }
    steps = ["Rain."]

    [[script]]
    when = { system = "pirate" }
    steps = ["Arr, ", { template = "{user}!" }]

    [[script]]
    steps = [{ echo = true }]
    """


@pytest.fixture
def replies(tmp_path: Path) -> Path:
    return written(tmp_path, REPLIES)


def written(folder: Path, text: str) -> Path:
    path = folder / "replies.toml"
    path.write_text(dedent(text))
    return path


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with opened_door(request.param) as door:
        yield door


def test_scripts_of_a_file_answer_any_number_of_requests_and_may_be_left_over(door: Door, replies: Path) -> None:
    door.scripts.load(replies)

    assert [door.ask("the weather?"), door.ask("hi"), door.ask("weather!")] == ["Rain.", "hi", "Rain."]
    door.scripts.verify()


def test_a_file_is_looked_for_beside_the_file_that_loads_it(pytester: pytest.Pytester, lean_pytest: None) -> None:
    tests = pytester.mkdir("suite")
    written(tests, REPLIES)
    (tests / "test_it.py").write_text(
        "def test_it(mock_stream_client):\n"
        "    mock_stream_client.load('replies.toml')\n"
        "    assert mock_stream_client.complete('hi').content == 'hi'\n"
    )

    pytester.runpytest_subprocess("-p", "asyncio", "-p", "mockstream", "suite").assert_outcomes(passed=1)


def test_a_file_that_is_not_there_is_told_with_the_path_that_was_tried() -> None:
    tried = HERE / "not" / "there.toml"

    with pytest.raises(
        ScriptError, match=r"load\('not/there\.toml'\), called at tests/playbook/test_load\.py:\d+, "
    ) as e:
        MockStreamClient().load("not/there.toml")

    assert f"finds nothing to read: {tried}: cannot be read: " in str(e.value)


@pytest.mark.parametrize("path", [3, None])
def test_what_is_no_path_is_told(path: Any) -> None:
    with pytest.raises(ScriptError, match=rf"load\({path}\): give the path of a file"):
        MockStreamClient().load(path)


def test_mistakes_are_told_with_file_line_and_key(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
        [[script]]
        when = { sistem = "pirate", header = 3 }
        steps = [
            "fine",
            { template = "{usr}" },
            { json = { valu = 3 } },
            { from_schema = { seed = "x" } },
        ]
        headers = { Content-Length = "3" }
        """,
    )

    with pytest.raises(ScriptError) as caught:
        MockStreamClient().load(path)

    told = str(caught.value).splitlines()
    assert [re.sub(r"(?<=key )is not known.*|(?<=usr} )is not known.*", "...", line) for line in told] == [
        f"{path}:2: script 1, when, sistem: this key ...",
        f"{path}:2: script 1, when, header: when(header=3): give 'name: value', 'name' for any value, or a mapping of"
        " names to values",
        f"{path}:5: script 1, step 2, template: Template('{{usr}}'): {{usr}} ...",
        f"{path}:6: script 1, step 3, json, valu: this key ...",
        f"{path}:7: script 1, step 4, from_schema, seed: FromSchema(seed)='x': give a whole number",
        f"{path}:9: script 1, headers: headers={{'Content-Length': ...}}: it says where the body ends or how it is"
        " sent, which depends on the door; leave it out, and break a body with Disconnect() or Truncate()",
    ]


def test_a_script_that_says_times_has_to_be_played_as_often(tmp_path: Path) -> None:
    path = written(tmp_path, '[[script]]\nsteps = ["one"]\ntimes = 2\n\n[[script]]\nsteps = ["two"]\n')
    client = MockStreamClient()
    client.load(path)

    assert client.complete("x").content == "one"
    with pytest.raises(UnusedScriptError, match=r"Script\(.*'one'.*queued at .*replies\.toml:1 \(played 1 of 2 times"):
        client.verify()
    assert [client.complete("x").content for _ in range(3)] == ["one", "two", "two"]
    client.verify()


def test_scripts_of_a_file_come_after_those_that_were_queued_before(replies: Path) -> None:
    client = MockStreamClient()
    client.respond("first")
    client.load(replies)

    assert [client.complete("hi").content, client.complete("hi").content] == ["first", "hi"]


def test_a_file_that_is_loaded_after_a_request_is_too_late(replies: Path) -> None:
    client = MockStreamClient()
    client.complete("hi")

    with pytest.raises(ScriptError, match="came too late"):
        client.load(replies)


def test_pacing_of_a_file_is_for_scripts_that_say_nothing_themselves(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
        tokens_per_second = 100
        ttft = 0.02

        [[script]]
        when = { contains = "own" }
        steps = ["a b"]
        delay = 0.05

        [[script]]
        steps = ["a b"]
        """,
    )
    client = MockStreamClient()
    client.load(path)

    def times(prompt: str) -> list[float]:
        with client.complete_stream(prompt) as stream:
            return [chunk.timestamp for chunk in stream][:2]

    assert times("x") == pytest.approx([0.02, 0.03])
    assert times("own") == pytest.approx([0.02, 0.07])


def test_a_file_without_scripts_gives_its_default_text(tmp_path: Path) -> None:
    client = MockStreamClient()
    client.load(written(tmp_path, 'default_text = "Nobody is here."'))

    assert client.complete("x").content == "Nobody is here."


@pytest.mark.parametrize(
    ("step", "params", "answer"),
    [
        ('{ json = { value = { city = "Oslo" } } }', {}, '{"city": "Oslo"}'),
        ("{ json = [1, 2] }", {}, "[1, 2]"),
        ("{ json = { value = 3, invalid = true } }", {}, "3"),
        ("{ call_tools = true }", {}, "No tool was called."),
        ("{ call_tools = { seed = 3 } }", {}, "No tool was called."),
        ("{ from_schema = true }", {"format": {"type": "integer", "minimum": 3, "maximum": 3}}, "3"),
        ('{ template = "{turn}: {user}" }', {}, "1: hi"),
    ],
)
def test_what_depends_on_the_question_can_be_written(tmp_path: Path, step: str, params: Any, answer: str) -> None:
    client = MockStreamClient()
    client.load(written(tmp_path, f"[[script]]\nsteps = [{step}]"))

    assert client.complete("hi", **params).content == answer


def test_new_conditions_can_be_written(tmp_path: Path) -> None:
    client = MockStreamClient()
    when = '{ test = "*::test_new_conditions*", schema = "City" }'
    client.load(written(tmp_path, f'[[script]]\nwhen = {when}\nsteps = ["yes"]\n\n[[script]]\nsteps = ["no"]'))

    wanted = {"type": "json_schema", "json_schema": {"name": "City", "schema": {}}}
    assert client.complete("x", response_format=wanted).content == "yes"
    assert client.complete("x").content == "no"
