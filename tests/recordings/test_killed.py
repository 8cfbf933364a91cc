"""A process that is killed while it records leaves the file that was there, or the new one, and never half of one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_mockstream import Recording

#: Writes one recording after another over the same file, the longer one every other time, and says when it begins.
WRITER = """
import sys
from pytest_mockstream import Recording, Script, Text
from pytest_mockstream.recordings.recording import RecordedReply

print("ready", flush=True)
for number in range(10**9):
    replies = [RecordedReply(script=Script(Text([f"{number} "] * 40))) for _ in range(1 + 30 * (number % 2))]
    Recording(test=str(number), replies=replies).save(sys.argv[1])
    print(number, flush=True)
"""


def killed_at(path: Path, seconds: float) -> int:
    """Let a process write until it has written once and some time is over; return the last number that it told."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert process.stdout.readline() == "0\n"
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    return int(told.split()[-1]) if told.split() else 0


def check_killed(path: Path, seconds: float) -> None:
    told = killed_at(path, seconds)

    recording = Recording.load(path)  # which refuses a half of one

    written = int(recording.test or "")
    assert written in {told, told + 1}
    assert len(recording.replies) == 1 + 30 * (written % 2)
    assert {reply.script.chunk_count for reply in recording.replies} == {41}
    assert path.read_text() == recording.text


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_while_writing(tmp_path: Path) -> None:
    check_killed(tmp_path / "it.toml", 0.05)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("seed", range(40))
def test_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - made up, and the same in every run
    check_killed(tmp_path / "it.toml", chance.uniform(0.0, 0.3))
