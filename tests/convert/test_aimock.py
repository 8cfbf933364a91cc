"""Fixtures of aimock become scripts that say the same; aimock itself is asked where there is time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from pytest_mockstream import MockStreamServer, Reasoning, Recording, ServerTool, Text, ToolCall, Usage
from pytest_mockstream.convert import main

#: The version that the format was read from: https://www.npmjs.com/package/@copilotkit/aimock.
AIMOCK = "@copilotkit/aimock@1.43.0"
FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "weather", "turnIndex": 1, "hasToolResult": True},
        "response": {"content": "It is sunny."},
    },
    {
        "match": {"userMessage": "weather", "model": "gpt-5", "turnIndex": 0, "hasToolResult": False},
        "response": {
            "toolCalls": [
                {"name": "weather", "arguments": {"city": "Paris"}, "id": "call_a"},
                {"name": "time", "arguments": '{"zone":"CET"}', "id": "call_b"},
            ],
            "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
        },
        "chunkSize": 4,
    },
    {"match": {"userMessage": "again", "sequenceIndex": 1}, "response": {"content": "second"}},
    {"match": {"userMessage": "again", "sequenceIndex": 0}, "response": {"content": "first"}},
    {"match": {"userMessage": "again"}, "response": {"content": "and ever"}},
    {
        "match": {"userMessage": "error"},
        "response": {"error": {"message": "Slow down", "type": "a", "code": "b"}, "status": 429, "retryAfter": 9},
    },
    {"match": {"userMessage": "JSON"}, "response": {"content": {"answer": [1, None]}, "finishReason": "length"}},
    {"match": {"systemMessage": "pirate"}, "response": {"content": "Arr!"}},
    {
        "match": {"userMessage": "blocks"},
        "response": {
            "blocks": [
                {"type": "toolCall", "name": "look", "arguments": {}, "id": "call_c"},
                {"type": "text", "text": "Found it."},
            ]
        },
    },
    {"match": {}, "response": {"content": "What? " * 9, "reasoning": "Hm. " * 9}},
]


def written(tmp_path: Path, *fixtures: Any) -> Path:
    path = tmp_path / "fixtures.json"
    path.write_text(json.dumps({"fixtures": fixtures}, indent=1), encoding="utf-8")
    return path


def converted(path: Path) -> Recording:
    assert main([str(path)]) == 0
    return Recording.load(path.with_suffix(".toml"))


def test_contents_become_steps(tmp_path: Path) -> None:
    everything = {
        "redactedThinking": ["c2VjcmV0"],
        "reasoning": "Hm.",
        "reasoningSignature": "c2ln",
        "webSearches": ["Paris"],
        "content": "It is sunny.",
        "toolCalls": [{"name": "weather", "arguments": {"city": "Paris"}, "id": "a"}],
        "usage": {"input_tokens": 7, "output_tokens": 5},
        "finishReason": "tool_calls",
    }

    (reply,) = converted(written(tmp_path, {"match": {}, "response": everything})).replies

    assert reply.script.steps == (
        Reasoning("c2VjcmV0", redacted=True),
        Reasoning("Hm.", signature="c2ln"),
        ServerTool("web_search", {"query": "Paris"}),
        Text("It is sunny."),
        ToolCall("weather", {"city": "Paris"}, "a"),
    )
    assert reply.script.usage == Usage(prompt_tokens=7, completion_tokens=5)
    assert reply.script.times is None


def test_times_become_pacing(tmp_path: Path) -> None:
    said = {"match": {}, "response": {"content": "hi"}}
    timings = {"ttftMs": 20, "interChunkDelaysMs": [1, 2.5], "totalDurationMs": 23.5}

    slow, profiled, timed = converted(
        written(
            tmp_path,
            {**said, "latency": 50, "chunkSize": 3},
            {**said, "streamingProfile": {"ttft": 300, "tps": 20, "jitter": 0.5}},
            {**said, "recordedTimings": timings},
        )
    ).replies

    assert (slow.script.pacing.delay, slow.script.chunking) == (0.05, 3)
    assert profiled.script.pacing.ttft == 0.3
    assert (profiled.script.pacing.delay, profiled.script.pacing.jitter) == (0.05, 0.025)
    assert timed.gaps == (0.02, 0.001, 0.0025)


def test_conditions_become_conditions(tmp_path: Path) -> None:
    match = {
        "userMessage": "weather",
        "systemMessage": ["pirate"],
        "toolResultContains": "sun",
        "toolName": "weather",
        "model": "gpt-5",
        "context": "alice",
        "turnIndex": 1,
        "hasToolResult": True,
        "endpoint": "chat",
    }

    (reply,) = converted(written(tmp_path, {"match": match, "response": {"content": "hi"}})).replies

    assert reply.when == {
        "contains": "weather",
        "system": "pirate",
        "tool_result_contains": "sun",
        "tool": "weather",
        "model": "gpt-5",
        "header": {"x-aimock-context": "alice"},
        "turn": 2,
    }


def test_occurrences_of_one_condition_are_played_in_their_order(tmp_path: Path) -> None:
    replies = converted(written(tmp_path, *FIXTURES[2:5])).replies

    assert [(reply.script.steps[0], reply.script.times) for reply in replies] == [
        (Text("first"), 1),
        (Text("second"), 1),
        (Text("and ever"), None),
    ]


def test_what_is_not_carried_over_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(
        tmp_path,
        {"match": {"inputText": "x"}, "response": {"embedding": [0.1]}},
        {"match": {"endpoint": "image"}, "response": {"image": {"url": "https://example.com"}}},
        {"match": {"systemMessage": ["a", "b"]}, "response": {"content": "hi"}},
        {"match": {}, "response": {"transcription": {"text": "hi"}}},
        {"match": {"toolCallId": "a"}, "response": {"content": "hi", "model": "m"}, "chaos": {"dropRate": 1}},
    )

    converted(path)

    first, *notes = capsys.readouterr().out.splitlines()
    assert first == f"{path} -> {path.with_suffix('.toml')}: 1 script"
    assert [re.sub(r"^  .*json:\d+: ", "", note) for note in notes] == [
        "fixture 1 is left out: no condition says match.inputText = 'x'",
        "fixture 2 is left out: it is for 'image', and only those for 'chat' are carried over",
        "fixture 3 is left out: no condition says match.systemMessage = ['a', 'b']",
        "fixture 4 is left out: its response has transcription, and only text, calls of tools and errors are carried"
        " over",
        "fixture 5: match.toolCallId = 'a' becomes turn = 2: no condition knows the ids of calls",
        "fixture 5: response.model = 'm' is not carried over",
        "fixture 5: chaos = {'dropRate': 1} is not carried over",
    ]


@pytest.mark.parametrize(
    ("fixture", "problem"),
    [
        (3, "it is 3, not an object"),
        ({"match": {}}, "response is None, not an object"),
        ({"match": [], "response": {"content": "x"}}, "match is [], not an object"),
        ({"match": {"userMessage": 5}, "response": {"content": "x"}}, "when(contains=5): give a str"),
        ({"match": {"turnIndex": "1"}, "response": {"content": "x"}}, "match.turnIndex is '1', not a number >= 0"),
        ({"match": {}, "response": {"toolCalls": {}}}, "response.toolCalls is {}, not a list"),
        ({"match": {}, "response": {"toolCalls": [{"arguments": {}}]}}, "ToolCall(name=''): give the tool's name"),
        ({"match": {}, "response": {"blocks": [{"type": "x"}]}}, "response.blocks[0].type is 'x', not 'text' or"),
        ({"match": {}, "response": {"error": {"message": "x"}, "status": 200}}, "HTTPError(200) is not an error"),
        ({"match": {}, "response": {"content": "x", "usage": {"prompt_tokens": -1}}}, "Usage(prompt_tokens=-1)"),
        ({"match": {}, "response": {"content": "x"}, "latency": "5"}, "latency is '5', not a number >= 0"),
        ({"match": {"sequenceIndex": "0"}, "response": {"content": "x"}}, "match.sequenceIndex is '0', not a"),
    ],
)
def test_fixture_that_aimock_could_not_read_is_refused_as_a_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], fixture: Any, problem: str
) -> None:
    path = written(tmp_path, {"match": {}, "response": {"content": "fine"}}, fixture)

    assert main([str(path)]) == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert re.match(rf"{re.escape(str(path))}:\d+: fixture 2: {re.escape(problem)}", said.err)
    assert not path.with_suffix(".toml").exists()


def test_secret_in_a_fixture_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_DATABASE_PASSWORD", "correct-horse-battery")
    monkeypatch.setenv("MY_PIN_SECRET", "k9#Q")
    path = written(tmp_path, {"match": {}, "response": {"content": "It is correct-horse-battery."}})
    doubtful = tmp_path / "doubtful.json"
    doubtful.write_text('{"fixtures": [{"match": {}, "response": {"content": "k9#Q"}}]}')

    converted(path)
    status = main([str(doubtful)])

    assert "horse" not in path.with_suffix(".toml").read_text()
    assert status == 1
    assert f"{doubtful}:1: fixture 1 may hold a secret, so that the file is not converted" in capsys.readouterr().err
    assert not doubtful.with_suffix(".toml").exists()


# The same, asked of aimock.


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where aimock is."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("this machine has no npm")
    folder = tmp_path_factory.mktemp("aimock")
    command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", AIMOCK]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        pytest.skip(f"aimock cannot be installed: {done.stderr[-300:]}")
    return folder / "node_modules" / "@copilotkit" / "aimock"


@pytest.fixture
def aimock(package: Path, tmp_path: Path) -> Iterator[str]:
    """The URL at which aimock plays the fixtures, and its own examples."""
    command = ["node", str(package / "dist" / "cli.js"), "-p", "0", "-f", str(written(tmp_path, *FIXTURES))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        found = (re.search(r"listening on (http://\S+)", line) for line in process.stdout)
        yield next(match[1] for match in found if match)
        process.terminate()


def chat(url: str, *messages: Any) -> Any:
    """Return what OpenAI's SDK gets, whole and streamed: text, reasoning, calls, and why it stopped."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="fake", max_retries=0) as client:
        try:
            whole = client.chat.completions.create(model="gpt-5", messages=messages).choices[0]
        except openai.APIStatusError as error:
            return error.status_code, error.body, error.response.headers.get("retry-after")
        stream = client.chat.completions.create(model="gpt-5", messages=messages, stream=True)
        deltas = [(chunk.choices[0].delta, chunk.choices[0].finish_reason) for chunk in stream if chunk.choices]
    calls: dict[int, list[str]] = {}
    for delta, _ in deltas:
        for part in delta.tool_calls or []:
            said = calls.setdefault(part.index, [(part.function and part.function.name) or "", ""])
            said[1] += (part.function and part.function.arguments) or ""
    of_whole = [
        (call.function.name, json.loads(call.function.arguments))
        for call in whole.message.tool_calls or []
        if call.type == "function"
    ]
    streamed = [(name, json.loads(arguments)) for name, arguments in calls.values()]
    text = "".join(delta.content or "" for delta, _ in deltas)
    finished = [reason for _, reason in deltas if reason]
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta, _ in deltas)
    return whole.message.content or "", whole.finish_reason, of_whole, text, streamed, finished, thought


def message(url: str, text: str) -> Any:
    """Return what Anthropic's SDK gets."""
    with (
        anthropic.Anthropic(base_url=url, api_key="fake", max_retries=0) as client,
        client.messages.stream(
            model="claude-opus-5", max_tokens=99, messages=[{"role": "user", "content": text}]
        ) as stream,
    ):
        said = stream.get_final_message()
    kept = {"type", "text", "name", "input", "thinking"}
    return [block.model_dump(include=kept) for block in said.content], said.stop_reason


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def conversation(url: str) -> Any:
    """Return all that is got for all that can be asked."""
    called = {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": "call_a", "content": "sunny"}
    return [
        chat(url, user("the weather")),
        chat(url, user("the weather"), {"role": "assistant", "content": "", "tool_calls": [called]}, result),
        [chat(url, user("again")) for _ in range(2)],
        chat(url, user("an error")),
        chat(url, user("some JSON")),
        chat(url, {"role": "system", "content": "You are a pirate."}, user("hello")),
        chat(url, user("blocks")),
        chat(url, user("something else")),
        message(url, "blocks"),
        message(url, "something else"),
    ]


@pytest.mark.slow
def test_aimock_says_the_same_itself(aimock: str, tmp_path: Path) -> None:
    converted(tmp_path / "fixtures.json")
    with MockStreamServer() as server:
        server.load(tmp_path / "fixtures.toml")
        ours = conversation(server.url)

    assert ours == conversation(aimock)


@pytest.mark.slow
def test_examples_of_aimock_are_converted(package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main([str(package / "fixtures"), "--out", str(tmp_path)])

    said = capsys.readouterr()
    names = {path.name: len(Recording.load(path).replies) for path in tmp_path.rglob("*.toml")}
    assert names["example-greeting.toml"] == 2
    assert names["blocks-tool-first.toml"] == 1
    assert len(names) == len(said.out.splitlines()) - said.out.count("\n  ")
    assert status == 1
    failed = {Path(line.partition(": ")[0]).name for line in said.err.splitlines() if "nothing in it" in line}
    assert failed == {"embeddings.json", "openai-live-client.json", "openai-live-managed.json"}
