"""``python -m pytest_mockstream serve``: the server outside of pytest."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest
import requests

from .conftest import MESSAGES, text_of

HELLO = '[[script]]\nsteps = ["Hello"]\n'
COMMAND = [sys.executable, "-W", "default", "-m", "pytest_mockstream", "serve"]


class Served:
    """A running ``serve``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = self.wait_for(r"plays on (\S+)")

    def wait_for(self, pattern: str) -> str:
        """Read its output up to a line that has the pattern, and return the group."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"it ended without a word of {pattern!r}")

    def ask(self) -> str:
        with openai.OpenAI(base_url=f"{self.url}/v1", api_key="k", max_retries=0) as client:
            return text_of(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.toml"
    path.write_text(HELLO)
    return path


@pytest.fixture
def served(script: Path) -> Iterator[Served]:
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [*COMMAND, str(script), "--port", "0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        stack.callback(process.kill)
        yield Served(process)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_it_plays_the_file_again_and_again(served: Served) -> None:
    assert [served.ask(), served.ask()] == ["Hello", "Hello"]


def test_it_listens_on_loopback(served: Served) -> None:
    assert served.url.startswith("http://127.0.0.1:")


def test_a_change_of_the_file_is_played_at_once(served: Served, script: Path) -> None:
    script.write_text(HELLO.replace("Hello", "Good evening"))
    served.wait_for("(read again)")

    assert served.ask() == "Good evening"


def test_a_change_with_mistakes_leaves_what_was_played(served: Served, script: Path) -> None:
    script.write_text("delai = 3")

    assert served.wait_for(r"script.toml:1: (\w+)") == "delai"
    assert served.ask() == "Hello"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_cleanly(served: Served, number: int) -> None:
    os.kill(served.process.pid, number)

    output, _ = served.process.communicate(timeout=60)

    assert served.process.returncode == 0
    assert "Traceback" not in output


def test_ctrl_c_ends_streams_that_run(served: Served, script: Path) -> None:
    script.write_text('[[script]]\nsteps = ["Hello ", { stall = true }]')
    served.wait_for("(read again)")
    with requests.post(
        f"{served.url}/v1/chat/completions",
        json={"model": "m", "stream": True, "messages": MESSAGES},
        stream=True,
        timeout=30,
    ) as response:
        pieces = response.iter_content(None)
        next(pieces)

        os.kill(served.process.pid, signal.SIGINT)

        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(pieces)
    output, _ = served.process.communicate(timeout=60)
    assert (served.process.returncode, "Warning" in output) == (0, False)


def test_more_connections_than_it_may_have_files_are_answered_in_their_turn(script: Path) -> None:
    limited = ["bash", "-c", 'ulimit -n 32 && exec "$@"', "bash", *COMMAND, str(script), "--port", "0"]
    with subprocess.Popen(limited, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        served = Served(process)
        host, port = served.url.removeprefix("http://").split(":")
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(socket.create_connection((host, int(port))))

        assert served.ask() == "Hello"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)

    assert "Traceback" not in output


def test_a_web_page_may_call_it(served: Served) -> None:
    url = f"{served.url}/v1/chat/completions"

    asked = requests.options(url, headers={"origin": "http://localhost:3000"}, timeout=30)
    answered = requests.post(url, json={"model": "m", "messages": MESSAGES}, timeout=30)

    assert (asked.status_code, asked.headers["access-control-allow-headers"]) == (204, "*")
    assert answered.headers["access-control-allow-origin"] == "*"


def test_it_says_how_to_reach_it(served: Served) -> None:
    assert served.wait_for(r"export OPENAI_BASE_URL=(\S+)") == f"{served.url}/v1"


def test_check_finds_no_mistakes(script: Path) -> None:
    result = run(script, "--check")

    assert (result.returncode, result.stdout) == (0, f"{script}: 1 script, no mistakes\n")


def test_check_tells_the_mistakes(script: Path) -> None:
    script.write_text(HELLO + "times = 0")

    result = run(script, "--check")

    assert result.returncode == 1
    assert result.stderr.startswith(f"{script}:3: script 1, times: times=0: give an int > 0")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = run(tmp_path / "none.toml")

    assert (result.returncode, "cannot be read" in result.stderr) == (2, True)


def test_a_port_that_is_taken_is_said(served: Served, script: Path) -> None:
    port = served.url.rpartition(":")[2]

    result = run(script, "--port", port)

    assert result.returncode == 2
    assert re.search(r"127\.0\.0\.1:\d+ cannot be bound: .*in use", result.stderr)


def test_a_port_that_is_none_is_said(script: Path) -> None:
    assert "argument --port: invalid port_number value: '99999'" in run(script, "--port", "99999").stderr
