"""A cassette of vcrpy, converted: played chunk by chunk, and broken.

The cassette is in ``cassettes/``, and the recording would be beside it; here it goes into a folder of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mockstream import Disconnect, MockStreamSDK, Recording, Text

openai = pytest.importorskip("openai")
pytest.importorskip("yaml")

CASSETTE = Path(__file__).parent / "cassettes" / "capital.yaml"


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that is made of the cassette."""
    folder = tmp_path_factory.mktemp("streams")
    command = [sys.executable, "-m", "pytest_mockstream", "convert", str(CASSETTE), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    assert ": 1 script\n" in done.stdout
    return folder / "capital.toml"


def ask() -> list[str]:
    """The code under test."""
    client = openai.OpenAI(max_retries=0)
    stream = client.chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": "What is the capital of France?"}], stream=True
    )
    with stream:
        return [chunk.choices[0].delta.content for chunk in stream if chunk.choices and chunk.choices[0].delta.content]


def test_answer_comes_in_the_chunks_of_the_cassette(mock_stream_sdk: MockStreamSDK, recording: Path) -> None:
    mock_stream_sdk.load(recording)

    assert ask() == ["The capital of France", " is", " Paris", "."]


def test_the_same_answer_reset_in_the_middle(mock_stream_sdk: MockStreamSDK, recording: Path) -> None:
    (said,) = Recording.load(recording).replies[0].script.steps
    assert isinstance(said, Text)
    mock_stream_sdk.respond(Text(list(said.content)[:2]), Disconnect())

    with pytest.raises(openai.APIConnectionError):
        ask()
