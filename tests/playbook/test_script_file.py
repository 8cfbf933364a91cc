"""Script files: the vocabulary of the package in TOML, and every mistake told with its line and its key."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_mockstream import (
    Citation,
    Disconnect,
    End,
    ErrorEvent,
    Failed,
    Frame,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Script,
    ServerTool,
    Stall,
    Text,
    Together,
    ToolCall,
    Truncate,
    Wait,
)
from pytest_mockstream.playbook.script_file import ScriptFile, ScriptFileError, parse_script_file

NEW_YEAR = "Thu, 01 Jan 2026 00:00:00 GMT"
DEMO = Path(__file__).parents[2] / "examples" / "demo.toml"


def parse(text: str) -> ScriptFile:
    return parse_script_file(dedent(text), name="demo.toml")


def problems(text: str) -> list[str]:
    with pytest.raises(ScriptFileError) as caught:
        parse(text)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("step", "meant"),
    [
        ('"Hello"', Text("Hello")),
        ('{ text = ["Hel", "lo"] }', Text(["Hel", "lo"])),
        ('{ reasoning = "hm" }', Reasoning("hm")),
        ('{ refusal = "no" }', Refusal("no")),
        ('{ tool_call = "now" }', ToolCall("now")),
        ('{ tool_call = { name = "f", arguments = { x = 1 }, id = "c" } }', ToolCall("f", {"x": 1}, "c")),
        ('{ wait = "200ms" }', Wait(0.2)),
        ("{ wait = 2 }", Wait(2)),
        (
            '{ tool_call = { name = "f", arguments = "{}", id = "", fragments = ["{", "}"], index = 3 } }',
            ToolCall("f", "{}", "", fragments=["{", "}"], index=3),
        ),
        ('{ reasoning = { content = "hm", signature = "s" } }', Reasoning("hm", signature="s")),
        ('{ reasoning = { content = "hm", signature = false } }', Reasoning("hm", signature=False)),
        ('{ reasoning = { content = "x", redacted = true } }', Reasoning("x", redacted=True)),
        (
            '{ interleave = [{ tool_call = "f" }, { tool_call = "g" }, "hi"] }',
            Interleave(ToolCall("f"), ToolCall("g"), "hi"),
        ),
        ('{ together = ["hi", { reasoning = "hm" }] }', Together("hi", Reasoning("hm"))),
        (
            '{ server_tool = { name = "web_search", input = { query = "q" }, result = [{ url = "u" }] } }',
            ServerTool("web_search", {"query": "q"}, [{"url": "u"}]),
        ),
        (
            '{ server_tool = { name = "f", input = { q = 1 }, result = { error = "no" }, server = "docs" } }',
            ServerTool("f", {"q": 1}, {"error": "no"}, server="docs"),
        ),
        ('{ citation = { url = "u", title = "t", start = 0, end = 2 } }', Citation("u", "t", start=0, end=2)),
        ("{ image = true }", Image()),
        ('{ image = "AAAA" }', Image("AAAA")),
        ('{ frame = "[DONE]" }', Frame("[DONE]")),
        ('{ frame = { data = { x = 1 }, event = "ping", chunks = 0 } }', Frame({"x": 1}, event="ping", chunks=0)),
        ("{ keep_alive = true }", KeepAlive()),
        ("{ end = true }", End()),
        ("{ stall = true }", Stall()),
        ('{ stall = "1s" }', Stall(1)),
        ("{ truncate = true }", Truncate()),
        ("{ truncate = { inside_frame = true } }", Truncate(inside_frame=True)),
        ("{ disconnect = true }", Disconnect()),
        ('{ disconnect = { how = "cut" } }', Disconnect(how="cut")),
        ("{ malformed = true }", Malformed()),
        ('{ malformed = "<html>" }', Malformed("<html>")),
        ('{ error_event = { message = "no", type = "overloaded" } }', ErrorEvent("no", type="overloaded")),
        ("{ http_error = 500 }", HTTPError(500)),
        ('{ error_event = { code = "insufficient_quota" } }', ErrorEvent(code="insufficient_quota")),
        ("{ failed = true }", Failed()),
        ('{ failed = { incomplete = "content_filter" } }', Failed(incomplete="content_filter")),
        ('{ http_error = { status = 429, retry_after = "2s" } }', HTTPError(429, retry_after=2)),
        (
            '{ http_error = { status = 429, type = "t", code = "c", headers = { x-request-id = "r" } } }',
            HTTPError(429, type="t", code="c", headers={"x-request-id": "r"}),
        ),
        ("{ http_error = { status = 503, retry_after = 2026-01-01T00:00:00Z } }", HTTPError(503, retry_after=NEW_YEAR)),
    ],
)  # fmt: skip
def test_every_step_can_be_written(step: str, meant: object) -> None:
    ((script, _),) = parse(f"[[script]]\nsteps = [{step}]").scripts

    assert isinstance(script, Script)
    assert script.steps == (meant,)


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (
            '{ interleave = [{ tool_call = "" }, "a"] }',
            "script 1, step 1, interleave 1, tool_call: ToolCall(name=''): give the tool's name, a non-empty str",
        ),
        ('{ interleave = ["a"] }', "script 1, step 1, interleave: Interleave(...) has 1 part: give at least two"),
        ('{ together = "a" }', "script 1, step 1, together: 'a' is not a list of steps"),
        (
            '{ interleave = ["a", { wait = 1 }] }',
            "script 1, step 1, interleave: Interleave(...): Wait(seconds=1.0) cannot be in it: give Text, Reasoning,"
            " Refusal, ToolCall",
        ),
        (
            '{ interleave = { parts = [{ tool_call = "f" }, "a"], oder = [0, 1] } }',
            "script 1, step 1, interleave, oder: this key is not known: it is one of parts, order. Did you mean"
            " 'order'?",
        ),
    ],
)
def test_mistake_in_a_step_of_steps_is_told_with_its_place(step: str, problem: str) -> None:
    assert problems(f"[[script]]\nsteps = [{step}]") == [f"demo.toml:2: {problem}"]


def test_settings_of_a_script_are_those_of_respond() -> None:
    ((script, _),) = parse(
        """
        [[script]]
        steps = ["Hello"]
        delay = "20ms"
        ttft = 0.3
        jitter = "5ms"
        seed = 7
        chunking = 2
        finish_reason = "length"
        usage = { prompt_tokens = 3, completion_tokens = 4 }
        times = 2
        fragment = "byte"
        headers = { X-Left = "3" }
        """
    ).scripts

    assert isinstance(script, Script)
    assert script == Script(
        "Hello", delay=0.02, ttft=0.3, jitter=0.005, seed=7, chunking=2, finish_reason="length", times=2,
        usage=script.usage, fragment="byte", headers={"x-left": "3"},
    )  # fmt: skip
    assert script.usage is not None
    assert script.usage.total_tokens == 7


def test_a_script_answers_any_number_of_requests() -> None:
    ((script, _),) = parse('[[script]]\nsteps = ["Hello"]').scripts

    assert script.times is None


def test_when_narrows_a_script() -> None:
    ((_, condition),) = parse('[[script]]\nwhen = { contains = "weather", model = "m" }').scripts

    assert (condition.contains, condition.model, condition.provider) == ("weather", "m", None)


def test_pacing_and_default_text_stand_above_the_scripts() -> None:
    content = parse('default_text = "hi"\ntokens_per_second = 30')

    assert (content.default_text, content.pacing.tokens_per_second, content.scripts) == ("hi", 30, ())


def test_the_demo_has_no_mistakes() -> None:
    assert len(parse_script_file(DEMO.read_text(), name=str(DEMO)).scripts) == 4


def test_every_mistake_is_told_with_its_line_and_its_key() -> None:
    told = problems(
        """\
        delai = 3

        [[script]]
        when = { contain = "weather" }
        steps = [
            "a",  # [ "
            { wait = "soon" },
            { tol_call = true },
            { disconnect = { how = "softly" } },
            42,
        ]
        times = 0

        [[script]]
        steps = "hello"
        usage = { prompt_tokens = 1, tokens = 2 }
        """
    )

    assert [problem.split(": ")[:2] for problem in told] == [
        ["demo.toml:1", "delai"],
        ["demo.toml:4", "script 1, when, contain"],
        ["demo.toml:7", "script 1, step 2, wait"],
        ["demo.toml:8", "script 1, step 3"],
        ["demo.toml:9", "script 1, step 4, disconnect, how"],
        ["demo.toml:10", "script 1, step 5"],
        ["demo.toml:12", "script 1, times"],
        ["demo.toml:15", "script 2, steps"],
        ["demo.toml:16", "script 2, usage, tokens"],
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = [1", r"demo\.toml: this is not TOML: .*"),
        ("delai = 3", r"demo\.toml:1: delai: this key is not known: it is one of script, .* Did you mean 'delay'\?"),
        ("default_text = 3", r"demo\.toml:1: default_text: 3 is not text"),
        ("delay = -1", r"demo\.toml:1: delay: delay=-1 is not a duration: give .*"),
        ("script = 3", r"demo\.toml:1: script: write each script as a table of its own, under \[\[script\]\]"),
        ("[[script]]\nwhen = 3", r"demo\.toml:2: script 1, when: 3 is not a table such as .*"),
        ("[[script]]\nwhen = { matches = '(' }", r"demo\.toml:2: script 1, when, matches: .*no.* regular expression.*"),
        ("[[script]]\nsteps = [{}]", r"demo\.toml:2: script 1, step 1: \{\} is not a step: write text, or a table .*"),
        ("[[script]]\nsteps = [{ gate = true }]", r"demo\.toml:2: script 1, step 1: 'gate' is not a step: .*"),
        (
            "[[script]]\nsteps = [{ disconect = true }]",
            r"demo\.toml:2: script 1, step 1: 'disconect' is not a step: it is one of .*\. Did you mean 'disconnect'\?",
        ),
        ("[[script]]\nsteps = [{ tool_call = { nam = 'a' } }]", r"demo\.toml:2: script 1, step 1, tool_call, nam: .*"),
        ("[[script]]\nsteps = [{ truncate = true }, 'x']", r"demo\.toml:1: script 1: .* is never played: .*"),
        ("[[script]]\n\ndelay = 1\ntokens_per_second = 1", r"demo\.toml:1: script 1: .* contradict each other: .*"),
    ],
)  # fmt: skip
def test_a_mistake_says_what_is_legal(text: str, told: str) -> None:
    (problem,) = problems(text)

    assert re.fullmatch(told, problem)


def test_provider_that_no_request_is_for_is_told_with_its_line() -> None:
    text = "[[script]]\nsteps = ['x']\nwhen = { provider = 'OpenAI' }\n"

    with pytest.raises(ScriptFileError) as caught:
        parse_script_file(text, name="demo.toml", providers=("openai", "ollama"))

    assert list(caught.value.problems) == [
        "demo.toml:3: script 1, when, provider: 'OpenAI' fits no request: give one of openai, ollama."
        " Did you mean 'openai'?"
    ]
    assert parse_script_file(text, name="demo.toml").scripts
