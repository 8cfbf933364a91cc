"""Clients in other processes and other languages read a stream whole, and leave one midway.

Each finds the server in its environment, prints what it reads, and leaves where it is told to.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TypeAlias

import pytest
import requests

from pytest_mockstream import Gate, MockStreamServer

from .conftest import MESSAGES

Command: TypeAlias = "list[str]"

BODY = '{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'

CURL = """
exec 3< <(exec curl --silent --no-buffer --json '%s' "$OPENAI_BASE_URL/chat/completions")
while read -r -u 3 line; do
    echo "$line"
    case "$line" in *LEAVE*) kill $!; exit;; esac
done
""".replace("%s", BODY)

NODE = """
const response = await fetch(process.env.OPENAI_BASE_URL + "/chat/completions", {method: "POST", body: '%s'});
const decoder = new TextDecoder();
for await (const piece of response.body) {
    const text = decoder.decode(piece, {stream: true});
    process.stdout.write(text);
    if (text.includes("LEAVE")) break;
}
""".replace("%s", BODY)

SDK = """
import openai
with openai.OpenAI() as client:
    messages = [{"role": "user", "content": "hi"}]
    with client.chat.completions.create(model="gpt-4o", stream=True, messages=messages) as stream:
        for chunk in stream:
            print(chunk.model_dump_json(), flush=True)
            if "LEAVE" in (chunk.choices[0].delta.content or ""):
                break
"""

REQUESTS = """
import os, requests
url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
with requests.post(url, data='%s', stream=True) as response:
    for line in response.iter_lines(chunk_size=1):
        print(line.decode(), flush=True)
        if b"LEAVE" in line:
            break
""".replace("%s", BODY)

CLIENTS: dict[str, Command] = {
    "curl": ["bash", "-c", CURL],
    "node": ["node", "--input-type=module", "--eval", NODE],
    "openai": [sys.executable, "-c", SDK],
    "requests": [sys.executable, "-c", REQUESTS],
}


@pytest.fixture(params=CLIENTS)
def command(request: pytest.FixtureRequest) -> Command:
    name: str = request.param
    tool = "node" if name == "node" else "curl" if name == "curl" else sys.executable
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return CLIENTS[name]


def run(command: Command) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_client_in_another_process_reads_the_whole_stream(
    mock_stream_server: MockStreamServer, command: Command
) -> None:
    mock_stream_server.respond("Grüße, ", "世界 🌍", fragment=5)

    output = run(command)

    assert "Grüße, " in output
    assert "🌍" in output
    (request,) = mock_stream_server.requests
    assert (request.state, request.text) == ("exhausted", "hi")


def test_a_client_in_another_process_that_leaves_is_seen_at_once(
    mock_stream_server: MockStreamServer, command: Command
) -> None:
    mock_stream_server.respond("one ", "LEAVE ", Gate(), "never")

    output = run(command)

    assert "LEAVE" in output
    (request,) = mock_stream_server.requests
    request.assert_closed(within=30, after_chunk=2)
    assert (request.state, request.chunks_wasted) == ("closed", 0)


def test_requests_reads_and_leaves_in_this_process(mock_stream_server: MockStreamServer) -> None:
    gate = Gate()
    mock_stream_server.respond("one ", gate, "two")
    url = mock_stream_server.base_url("openai") + "/chat/completions"

    with requests.post(
        url, json={"model": "gpt-4o", "stream": True, "messages": MESSAGES}, stream=True, timeout=30
    ) as response:
        gate.wait_reached()

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert mock_stream_server.requests[0].state == "closed"


def test_a_client_that_is_killed_has_left(mock_stream_server: MockStreamServer) -> None:
    gate = Gate()
    mock_stream_server.respond("one ", gate, "two")
    with subprocess.Popen(CLIENTS["openai"], stdout=subprocess.PIPE) as process:
        gate.wait_reached(60)
        process.kill()

    mock_stream_server.requests[0].assert_closed(within=30, after_chunk=1)
