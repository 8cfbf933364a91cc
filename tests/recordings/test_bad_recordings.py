"""What cannot be played is told with file, line and remedy, before any request goes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from pytest_mockstream import MockStreamSDK, Recording, RecordingError, ScriptError, UnusedScriptError
from pytest_mockstream.recordings import Tape

REQUEST = """\
request = '''
{
 "messages": [{"role": "user", "content": "hi"}],
 "model": "gpt-5",
 "provider": "openai"
}
'''
"""
Written = Callable[[str], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a recording."""

    def write(text: str) -> Path:
        path = tmp_path / "test_x.toml"
        path.write_text(text)
        return path

    return write


def play(path: Path) -> None:
    """Play a recording to one request."""
    with MockStreamSDK() as sdk:
        Tape("none", Recording.load(path)).play_at(sdk._playbook)
        openai.OpenAI(max_retries=0).chat.completions.create(
            model="gpt-5", messages=[{"role": "user", "content": "hi"}]
        )
        sdk.verify()


def test_key_of_another_request_is_told_with_the_right_one(written: Written) -> None:
    path = written(f'[recording]\nversion = 1\n\n[[script]]\nkey = "0123456789abcdef"\nsteps = ["a"]\n{REQUEST}')

    with pytest.raises(RecordingError) as caught:
        play(path)

    assert str(caught.value).startswith(f"{path}:4: key = '0123456789abcdef' is not that of the `request` below it, ")
    right = str(caught.value).partition("which is '")[2].partition("'")[0]
    play(written(f'[recording]\nversion = 1\n\n[[script]]\nkey = "{right}"\nsteps = ["a"]\n{REQUEST}'))


def test_hand_made_key_that_matches_nothing_is_told_with_its_place(written: Written) -> None:
    path = written('[[script]]\nkey = "0123456789abcdef"\nsteps = ["a"]\n\n[[script]]\nsteps = ["b"]\n')

    with pytest.raises(UnusedScriptError, match=r"test_x\.toml:1"):
        play(path)


def test_provider_that_nobody_speaks_for_is_told(written: Written) -> None:
    text = f'[[script]]\nsteps = ["a"]\n{REQUEST}'.replace('"openai"', '"nobody"')

    with pytest.raises(RecordingError, match=r"test_x\.toml:1: nothing here speaks as 'nobody' does"):
        play(written(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[recording]\nversion = 2\n[[script]]\nsteps = ["a"]', r"x\.toml:2: recording, version: .* is of version 2"),
        ('[recording]\nversion = "1"\n', r"x\.toml:2: recording, version: '1' is no version"),
        ('[[script]]\nsteps = ["a"]\ngaps_ms = [1, -2]', r"x\.toml:3: script 1, gaps_ms: \[1, -2\] is not a list of"),
        ('[[script]]\nsteps = ["a"]\nlost = "x"', r"x\.toml:3: script 1, lost: 'x' is not a list of texts"),
        ("[[script]]\nsteps = ['a']\nrequest = '[1]'", r"x\.toml:3: script 1, request: .* JSON object"),
        ('[[script]]\nsteps = [{ txt = "a" }]', r"x\.toml:2: .*'txt' is not a step: .* Did you mean 'text'\?"),
        ("interactions:\n- request:\n", r"x\.toml: this is not TOML"),
        ('[[script]]\nsteps = ["a', r"x\.toml: this is not TOML: .*end of document"),
        ("[[script]]\nsteps = [{ call_tools = true }]", r"computes nothing"),
    ],
)
def test_mistakes_are_told_with_their_line(written: Written, text: str, told: str) -> None:
    with pytest.raises(ScriptError, match=told):
        Recording.load(written(text))


def test_foreign_files_are_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cassette.yaml"
    path.write_text("interactions:\n- request:\n    body: x\nversion: 1\n")

    with pytest.raises(ScriptError, match=r"looks like a cassette of vcrpy: make a recording of it with .* convert"):
        Recording.load(path)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=r"no recording can be read: .*nowhere\.toml: cannot be read: "):
        Recording.load(tmp_path / "nowhere.toml")


def test_kill_while_it_is_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "test_x.toml"
    path.write_text('[[script]]\nsteps = ["old"]\n')
    recording = Recording.load(path)
    monkeypatch.setattr("os.fsync", lambda _handle: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        recording.save(path)

    assert path.read_text() == '[[script]]\nsteps = ["old"]\n'
    assert list(tmp_path.iterdir()) == [path]
