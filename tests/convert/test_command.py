"""``convert`` says what it did, what it could not do, and never leaves half a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream import Frame, Malformed, Recording, Text
from pytest_mockstream.convert import main

yaml: Any = pytest.importorskip("yaml")

CHAT = "https://api.openai.com/v1/chat/completions"
ASKED = '{"model":"gpt-5","messages":[{"role":"user","content":"hi"}]}'
SAID = '{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}'


def interaction(**changes: Any) -> dict[str, Any]:
    """Return what vcrpy writes of one exchange; ``request_...`` and ``response_...`` replace what is in it."""
    request = {"method": "POST", "uri": CHAT, "body": ASKED, "headers": {}}
    response = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"content-type": ["application/json"]},
        "body": {"string": SAID},
    }
    for name, value in changes.items():
        owner, _, key = name.partition("_")
        (request if owner == "request" else response)[key] = value
    return {"request": request, "response": response}


def cassette(path: Path, *interactions: Any, version: Any = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump({"interactions": list(interactions), "version": version}))
    return path


def steps_of(path: Path) -> list[tuple[Any, ...]]:
    assert main([str(path), "--force"]) == 0
    return [reply.script.steps for reply in Recording.load(path.with_suffix(".toml")).replies]


# Which files, and where to.


def test_recording_lies_beside_its_cassette_or_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cassette(Path("a.yaml"), interaction())

    assert main(["a.yaml"]) == 0
    assert main(["a.yaml", "--out", "new/folder"]) == 0

    assert sorted(map(str, Path().rglob("*.toml"))) == ["a.toml", "new/folder/a.toml"]
    assert capsys.readouterr().out == "a.yaml -> a.toml: 1 script\na.yaml -> new/folder/a.toml: 1 script\n"


def test_directory_means_every_cassette_in_it_whatever_it_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "cassettes", tmp_path / "out"
    cassette(folder / "test_a" / "test_one", interaction())  # as `vcr.use_cassette()` calls it
    cassette(folder / "test_b" / "test_two[x.y].yaml", interaction())
    (folder / "three.json").write_text(json.dumps({"version": 1, "interactions": [interaction()]}))
    (folder / "aimock.json").write_text('{"fixtures": [{"match": {}, "response": {"content": "hi"}}]}')
    (folder / "config.json").write_text('{"llm": {"fixtures": "./fixtures"}}')
    (folder / "values.yaml").write_text("interactions: none\n")
    (folder / "README.md").write_text("Cassettes.\n")

    assert main([str(folder), "--out", str(out)]) == 0

    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert made == ["aimock.toml", "test_a/test_one.toml", "test_b/test_two[x.y].toml", "three.toml"]
    assert capsys.readouterr().err == ""


def test_no_file_is_written_over_unless_it_is_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cassette(tmp_path / "a.yaml", interaction())
    target = tmp_path / "a.toml"
    target.write_text("mine")

    assert main([str(path)]) == 1
    assert target.read_text() == "mine"
    assert capsys.readouterr().err == f"{path}: {target} is there already: --force writes over it\n"
    assert main([str(path), "--force"]) == 0
    assert len(Recording.load(target).replies) == 1


def test_two_files_do_not_become_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = cassette(tmp_path / "a" / "same.yaml", interaction())
    second = cassette(tmp_path / "b" / "same.yaml", interaction())
    out = tmp_path / "out"

    assert main([str(first), str(second), "--out", str(out), "--force"]) == 1

    told = f"{second}: {out / 'same.toml'} is made of {first} already: give one of them with another --out\n"
    assert capsys.readouterr().err == told


def test_file_that_is_named_twice_is_converted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cassette(tmp_path / "a.yaml", interaction())

    assert main([str(path), str(tmp_path), str(path)]) == 0

    assert capsys.readouterr().out.count("->") == 1


def test_one_bad_file_keeps_no_other_from_being_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = cassette(tmp_path / "a.yaml", interaction(), interaction(response_status={"code": "200"}))
    cassette(tmp_path / "b.yaml", interaction())

    assert main([str(tmp_path)]) == 1

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "b.toml", "b.yaml"]
    line = 1 + bad.read_text().splitlines().index("- request:", 5)
    assert capsys.readouterr().err == (
        f"{bad}:{line}: interaction 2: response.status.code is '200', not a status of HTTP\n"
    )


def test_target_in_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cassette(tmp_path / "a.yaml", interaction())
    (tmp_path / "file").write_text("")

    assert main([str(path), "--out", str(tmp_path / "file" / "folder")]) == 1

    assert f"{path}: {tmp_path / 'file' / 'folder' / 'a.toml'} cannot be written: " in capsys.readouterr().err


# What is no cassette.

BOMB = "interactions:\n- &a0 [1, 2, 3]\n" + "".join(
    f"- &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)
BAD: dict[str, tuple[str, str]] = {
    "empty": (" \n", "x: the file is empty"),
    "no YAML": ("a: [1\n", "x:2: this is not YAML, or not what a cassette is written in: "),
    "no JSON": ('{\n"a": 1', "x:2: this is not JSON: "),
    "something else": ("hello: world\n", "x: this is neither a cassette of vcrpy, which has a list of"),
    "a list": ("[1, 2]", "x: this is neither a cassette of vcrpy"),
    "two documents": ("interactions: []\n---\na: 1\n", "x:2: this is not YAML"),
    "no entries": ("interactions: []\nversion: 1\n", "x: this cassette is empty: it has no interactions"),
    "no fixtures": ('{"fixtures": []}', "x: this file is empty: it has no fixtures"),
    "no version": ("interactions: [1]\n", "x: this cassette has no version, and only 1 is known"),
    "another version": ("interactions: [1]\nversion: 2\n", "x: this cassette is of version 2, and only 1 is known"),
    "before 1.0": (
        "- request: {}\n  response: {}\n",
        "x: this is a cassette of vcrpy before 1.0, which has",
    ),
    "VCR's": ("http_interactions: []\nrecorded_with: VCR 6.0\n", "x: this is a cassette of VCR for Ruby"),
    "ours": ("[recording]\nversion = 1\n", "x: this is a recording or a script file already: play it as it is"),
    "a script file": ("[[script]]\nsteps = ['hi']\n", "x: this is a recording or a script file already"),
    "objects": ("interactions:\n- !!python/object/apply:os.getcwd []\n", "x:2: this is not YAML, or not what a "),
    "a bomb": (BOMB, "x:5: no cassette is like this: its aliases make it more than 10 times as large as its text"),
    "itself": ("interactions: &a [*a]\n", "x:1: no cassette is like this: *a is inside of itself"),
    "depth": ("interactions:\n" + "- " * 200 + "x\n", "x:2: no cassette is like this: it is nested more than 100"),
    "brackets": ("interactions: " + "[" * 99999, "x:1: "),
    "depth of JSON": ('{"interactions": ' + "[" * 99999, "x: this JSON cannot be read: "),
    "digits": ('{"interactions": [' + "1" * 9999 + "]}", "x: this JSON cannot be read: "),
    "a date": ("interactions: [2001-99-99]\n", "x: this YAML cannot be read: "),
    "control characters": ("interactions: ['\x01']\n", "x: this is not YAML"),
}


@pytest.mark.parametrize("name", BAD)
def test_file_that_is_no_cassette_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    text, problem = BAD[name]
    monkeypatch.chdir(tmp_path)
    Path("x").write_text(text)

    assert main(["x"]) == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(problem)
    assert "Traceback" not in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"request_uri": None}, "request.uri is missing"),
        ({"request_uri": "/v1"}, "request.uri is '/v1', not a URL"),
        ({"request_uri": "http://[::1"}, "request.uri is 'http://[::1', not a URL"),
        ({"request_method": 5}, "request.method is 5, not a method of HTTP"),
        ({"request_body": 5}, "request.body is 5, not a text or bytes"),
        ({"request_headers": []}, None),
        ({"request_headers": ["a"]}, "request.headers is ['a'], not a mapping"),
        ({"response_status": None}, "response.status is missing"),
        ({"response_status": {"code": 7}}, "response.status.code is 7, not a status of HTTP"),
        ({"response_body": {"string": [1]}}, "response.body.string is [1], not a text or bytes"),
    ],
)
def test_interaction_that_vcrpy_would_not_write_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], problem: str | None
) -> None:
    path = cassette(tmp_path / "a.yaml", interaction(**changes))

    assert main([str(path)]) == (1 if problem else 0)

    assert problem is None or capsys.readouterr().err == f"{path}:2: interaction 1: {problem}\n"


def test_file_that_is_not_there_is_another_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()

    assert main(["nowhere.yaml", "folder"]) == 2

    assert capsys.readouterr().err == (
        "nowhere.yaml: cannot be read: No such file or directory\nfolder: nothing in this directory can be converted\n"
    )


def test_without_pyyaml_the_message_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cassette(tmp_path / "a.yaml", interaction())
    in_json = tmp_path / "b.json"
    in_json.write_text(json.dumps({"version": 1, "interactions": [interaction()]}))
    monkeypatch.setitem(sys.modules, "yaml", None)

    assert main([str(path)]) == 2
    assert main([str(in_json)]) == 0

    assert capsys.readouterr().err == f"{path}: reading YAML needs PyYAML: pip install pyyaml\n"


# What is carried over, and what is not.


def test_what_no_script_says_is_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cassette(
        tmp_path / "a.yaml",
        interaction(request_uri="https://example.com/search"),
        interaction(request_body=None),
        interaction(response_status={"code": 101, "message": ""}),
        interaction(
            request_uri="https://api.openai.com/v1/audio/speech",
            request_body='{"model":"tts-1","input":"hi","voice":"alloy"}',
            response_headers={"content-type": ["audio/mpeg"]},
        ),
        interaction(request_uri="https://oauth2.googleapis.com/token"),
        interaction(),
    )

    assert main([str(path)]) == 0

    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{path} -> {path.with_suffix('.toml')}: 1 script"
    assert [note.partition(" is left out: ")[0].rpartition(": ")[2] for note in told[1:]] == [
        "interaction 1",
        "interaction 2",
        "interaction 3",
        "interaction 4",
        "interaction 5",
    ]
    assert "POST /search of example.com" in told[1]
    assert "nothing is known of this path" in told[1]
    assert "is not JSON" in told[2]
    assert "websocket" in told[3]
    assert "audio/mpeg" in told[4]
    assert "a door answers it by itself" in told[5]


def test_cassette_of_which_nothing_is_left_is_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cassette(tmp_path / "a.yaml", interaction(request_uri="https://example.com/search"))

    assert main([str(path)]) == 1

    assert capsys.readouterr().err.startswith(f"{path}: nothing in it can be carried over\n{path}:2: interaction 1 is ")
    assert not path.with_suffix(".toml").exists()


def test_what_no_step_says_stands_in_the_file_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cassette(tmp_path / "a.yaml", interaction(response_body={"string": SAID[:-1] + ',"surprise":"!"}'}))

    assert steps_of(path) == [(Text(["Hello"]),)]

    assert Recording.load(path.with_suffix(".toml")).replies[0].lost == ('surprise = "!"',)
    assert f'{path}:2: interaction 1: no step says surprise = "!" (`lost` in the file)' in capsys.readouterr().out


def test_garbage_is_played_as_the_garbage_that_it_was(tmp_path: Path) -> None:
    path = cassette(tmp_path / "a.yaml", interaction(response_body={"string": "<html>"}))

    assert steps_of(path) == [(Malformed("<html>"),)]


def test_answers_without_a_model_are_frames(tmp_path: Path) -> None:
    listed = '{"object":"list","data":[]}'
    path = cassette(
        tmp_path / "a.yaml",
        interaction(
            request_method="GET",
            request_uri="https://api.openai.com/v1/models",
            request_body=None,
            response_body={"string": listed},
        ),
    )

    assert steps_of(path) == [(Frame(listed),)]


def test_date_and_client_of_the_cassette_are_kept(tmp_path: Path) -> None:
    path = cassette(
        tmp_path / "a.yaml",
        interaction(
            request_headers={"User-Agent": ["OpenAI/Python 3.57.0"], "Authorization": ["Bearer sk-123"]},
            response_headers={"Date": ["Tue, 03 Mar 2026 10:00:00 GMT"]},
        ),
    )
    steps_of(path)

    recording = Recording.load(path.with_suffix(".toml"))

    assert recording.recorded is not None
    assert recording.recorded.isoformat() == "2026-03-03T10:00:00+00:00"
    assert recording.sdks == ["OpenAI/Python 3.57.0"]
    assert recording.models == ["gpt-5"]
    assert "sk-123" not in path.with_suffix(".toml").read_text()


def test_secret_that_cannot_be_scrubbed_with_certainty_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "correct-horse-battery")
    monkeypatch.setenv("MY_SECRET", "k9#Q")
    bodies = [SAID.replace("Hello", text) for text in ("correct-horse-battery", "k9#Q")]
    said = [interaction(response_body={"string": body}) for body in bodies]
    clear = cassette(tmp_path / "a.yaml", said[0])
    doubtful = cassette(tmp_path / "b.yaml", interaction(), said[1])

    assert main([str(clear)]) == 0
    assert main([str(doubtful)]) == 1

    assert "horse" not in clear.with_suffix(".toml").read_text()
    assert not doubtful.with_suffix(".toml").exists()
    told = capsys.readouterr().err
    assert ": interaction 2 may hold a secret, so that the file is not converted:" in told
    assert "k9#Q" not in told


# Whatever stands in a file.

_FIXTURES = {
    "fixtures": [
        {
            "match": {
                "userMessage": "a",
                "systemMessage": ["b"],
                "toolCallId": "c",
                "turnIndex": 1,
                "sequenceIndex": 0,
            },
            "response": {
                "content": "Hello there, this is long enough to be cut.",
                "reasoning": "Hm.",
                "usage": {"prompt_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 0}},
            },
            "chunkSize": 3,
            "streamingProfile": {"ttft": 1, "tps": 2, "jitter": 0.1},
            "recordedTimings": {"ttftMs": 1, "interChunkDelaysMs": [1]},
            "truncateAfterChunks": 2,
        },
        {"match": {}, "response": {"error": {"message": "m", "code": "c"}, "status": 429, "retryAfter": 1}},
        {"match": {}, "response": {"blocks": [{"type": "toolCall", "name": "n", "arguments": "{}", "id": "x"}]}},
    ]
}
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 429, 1e308, -0.5, float("nan"), 10**30, "", "x", "\ud800", "a\nb", "data: {}\n\n", "{"),
    *(
        [],
        [None],
        ["x"],
        {},
        {"a": 1},
        {"string": "x"},
        "[" * 3000,
        "http://[::1",
        "https://api.anthropic.com/v1/messages",
    ),
)
_GONE = object()


def _variants(value: Any) -> Iterator[Any]:
    """Yield copies of something JSON-like, each with another value in one place of it, or without it."""
    if isinstance(value, dict):
        for key, item in value.items():
            for made in (*_VALUES, _GONE, *_variants(item)):
                yield {**value, key: made} if made is not _GONE else {one: value[one] for one in value if one != key}
    elif isinstance(value, list):
        for place, item in enumerate(value):
            for made in (*_VALUES, *_variants(item)):
                yield [*value[:place], made, *value[place + 1 :]]


@pytest.mark.slow
@pytest.mark.parametrize("whole", [_FIXTURES, {"version": 1, "interactions": [interaction()]}], ids=["aimock", "vcrpy"])
def test_whatever_stands_in_a_file_it_is_converted_or_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: Any
) -> None:
    path, target = tmp_path / "a.json", tmp_path / "a.toml"
    variants = list(_variants(whole))
    assert len(variants) > 300
    for variant in variants:
        path.write_text(json.dumps(variant))

        status = main([str(path), "--force"])

        assert status == (0 if target.exists() else 1), variant
        assert (capsys.readouterr().err == "") == (status == 0), variant
        if status == 0:
            Recording.load(target)
            target.unlink()
