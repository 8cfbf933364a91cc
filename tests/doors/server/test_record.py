"""``python -m pytest_mockstream record``: a proxy that records what passes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
import requests
from platforms import NEEDS_SIGNALS

from pytest_mockstream.record import main
from pytest_mockstream.recordings import Recording
from pytest_mockstream.script.steps import Text, ToolCall

from .conftest import MESSAGES
from .recorder import Provider, provider
from .served import Served, served

SCRIPT = """
[[script]]
when = { contains = "weather" }
steps = ["Let me look. ", { wait = "20ms" }, { tool_call = { name = "get_weather", arguments = { city = "Paris" } } }]

[[script]]
when = { contains = "break" }
steps = ["Hello", { disconnect = true }]

[[script]]
when = { contains = "slow" }
steps = ["Hello", { stall = true }]

[[script]]
steps = ["Hello ", "from afar"]
"""


@pytest.fixture(scope="module")
def afar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Is a provider in another process."""
    path = tmp_path_factory.mktemp("afar") / "script.toml"
    path.write_text(SCRIPT)
    with served("serve", path) as it:
        yield it


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "recording.toml"


@pytest.fixture
def proxy(afar: Served, out: Path) -> Iterator[Served]:
    with served("record", "--to", afar.url, "--out", out) as it:
        yield it


def ended(it: Served) -> str:
    """End a command with Ctrl-C, and return what it has said since."""
    it.process.send_signal(signal.SIGINT)
    output, _ = it.process.communicate(timeout=60)
    return output


@contextmanager
def asked_slowly(it: Served) -> Iterator[Iterator[bytes]]:
    """Ask for a stream that never ends, and read what it begins with; yields the rest."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "slow"}]}
    with requests.post(f"{it.url}/v1/chat/completions", json=body, stream=True, timeout=30) as response:
        pieces: Iterator[bytes] = response.iter_content(None)
        assert b"data: " in next(pieces)
        yield pieces


@NEEDS_SIGNALS
def test_what_was_recorded_is_played_again(proxy: Served, out: Path) -> None:
    assert proxy.ask() == "Hello from afar"
    assert proxy.wait_for(r"recording.toml: (.*)") == "1 request"
    with pytest.raises(openai.APIConnectionError):
        proxy.ask("break")
    assert "Let me look. " in proxy.ask("weather")
    output = ended(proxy)

    assert (proxy.process.returncode, output.splitlines()[-1]) == (0, f"{out}: 3 requests")
    assert "Traceback" not in output
    with served("serve", out) as again:
        assert again.ask() == "Hello from afar"
        with pytest.raises(openai.APIConnectionError):
            again.ask("break")
        assert again.ask("weather") == "Let me look. "


def test_the_file_says_what_came(proxy: Served, out: Path) -> None:
    proxy.ask("weather")
    proxy.ask()
    while proxy.wait_for(r"recording.toml: (\d)") != "2":
        pass

    weather, hello = Recording.load(out).replies
    assert hello.script.steps == (Text(["Hello ", "from ", "afar"]),)
    assert weather.script.steps == (
        Text(["Let ", "me ", "look. "]),
        ToolCall("get_weather", id="call_1", fragments=["", '{"city": ', '"Paris"}']),
    )
    assert (hello.lost, weather.lost) == ((), ())


BODY = '{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
NODE = f"""
const url = process.env.OPENAI_BASE_URL + "/chat/completions";
const response = await fetch(url, {{method: "POST", body: '{BODY}'}});
process.stdout.write(await response.text());
"""
CLIENTS = {
    "curl": ["bash", "-c", f"curl --silent --no-buffer --json '{BODY}' \"$OPENAI_BASE_URL/chat/completions\""],
    "node": ["node", "--input-type=module", "--eval", NODE],
}


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS)
def test_clients_in_any_language_are_recorded(afar: Served, proxy: Served, out: Path, client: str) -> None:
    if shutil.which(client) is None:
        pytest.skip(f"{client} is not installed")

    said = [
        subprocess.run(
            CLIENTS[client],
            env={**os.environ, "OPENAI_BASE_URL": f"{url}/v1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for url in (afar.url, proxy.url)
    ]

    assert said[0].count("data: ") == said[1].count("data: ") == 6
    assert _numberless(said[0]) == _numberless(said[1])
    proxy.wait_for(r"recording.toml: (.*)")
    assert Recording.load(out).replies[0].script.steps == (Text(["Hello ", "from ", "afar"]),)


def _numberless(said: str) -> list[str]:
    """Return the frames of an answer without the number of its request."""
    return [line.partition(",")[2] for line in said.splitlines()]


def test_a_conversation_is_written_while_another_goes_on(proxy: Served, out: Path) -> None:
    with asked_slowly(proxy):
        proxy.ask()

        assert proxy.wait_for(r"recording.toml: (.*)") == "1 request"
    assert len(Recording.load(out).replies) == 1


@NEEDS_SIGNALS
def test_what_goes_on_at_the_end_is_left_out(proxy: Served, out: Path) -> None:
    proxy.ask()
    with asked_slowly(proxy) as rest:
        output = ended(proxy)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(rest)

    assert (proxy.process.returncode, "Traceback" in output) == (0, False)
    [reply] = Recording.load(out).replies
    assert reply.script.steps == (Text(["Hello ", "from ", "afar"]),)


@NEEDS_SIGNALS
def test_ctrl_c_waits_for_the_rest_of_what_a_client_has_left(out: Path) -> None:
    goes_on = threading.Event()

    def answer(provider: Provider) -> None:
        provider.say(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        for text in ("one ", "two"):
            provider.say(b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % text.encode())
            assert goes_on.wait(30) or text == "two"
        provider.say(b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')

    with provider(answer) as url, served("record", "--to", url, "--out", out) as proxy:
        with requests.post(
            f"{proxy.url}/v1/chat/completions",
            json={"model": "m", "stream": True, "messages": MESSAGES},
            stream=True,
            timeout=30,
        ) as response:
            next(response.iter_content(None))
        proxy.process.send_signal(signal.SIGINT)
        proxy.wait_for("waiting for the rest of what (1 client) left")
        goes_on.set()
        output, _ = proxy.process.communicate(timeout=60)

    assert (proxy.process.returncode, output.splitlines()[-1]) == (0, f"{out}: 1 request")
    [reply] = Recording.load(out).replies
    assert (reply.script.steps, reply.left_after) == ((Text(["one ", "two"]),), 1)


def test_what_cannot_be_recorded_is_told_and_the_rest_is_kept(proxy: Served, out: Path) -> None:
    said = requests.post(
        f"{proxy.url}/v1/audio/speech", json={"model": "m", "input": "hi", "voice": "alloy"}, timeout=30
    )
    assert said.status_code == 200
    assert proxy.wait_for(r"(/audio/speech .*) cannot be recorded: .* answers with audio/mpeg")
    assert requests.get(f"{proxy.url}/v1/nothing", timeout=30).status_code == 404
    assert proxy.wait_for(r"(GET /v1/nothing)")
    proxy.ask()

    assert proxy.wait_for(r"recording.toml: (.*)") == "1 request"
    ended(proxy)
    assert proxy.process.returncode == 1


def test_a_page_may_read_what_comes_from_afar(proxy: Served) -> None:
    answered = requests.post(
        f"{proxy.url}/v1/chat/completions",
        headers={"origin": "http://localhost:3000"},
        json={"model": "m", "messages": MESSAGES},
        timeout=30,
    )

    assert answered.headers["access-control-allow-origin"] == "*"  # both of them say so


def test_no_secret_gets_into_the_file(afar: Served, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "a-token-of-no-known-shape-8213")
    with served("record", "--to", afar.url, "--out", out) as proxy:
        proxy.ask("my token is a-token-of-no-known-shape-8213 and my key is sk-proj-" + "a1B2" * 12)
        proxy.wait_for(r"recording.toml: (.*)")

    assert "8213" not in out.read_text()
    assert "a1B2" not in out.read_text()


def test_a_file_that_is_there_is_not_written_over(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out.write_text("dear")

    assert (main(["--out", str(out)]), out.read_text()) == (2, "dear")
    assert capsys.readouterr().err == f"{out} is there already: give another --out, or say --overwrite to record anew\n"


def test_a_folder_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--overwrite"]) == 2
    assert capsys.readouterr().err == f"{tmp_path} is no file: give another --out\n"


@pytest.mark.slow
def test_a_file_is_written_over_where_that_is_said(afar: Served, out: Path) -> None:
    out.write_text("old")
    with served("record", "--to", afar.url, "--out", out, "--overwrite") as proxy:
        assert out.read_text() == "old"  # until there is something new
        proxy.ask()
        proxy.wait_for(r"recording.toml: (.*)")

    assert len(Recording.load(out).replies) == 1


def test_an_address_that_is_none_is_said(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--to", "api.openai.com", "--out", str(out)])

    said = "argument --to: URL='api.openai.com' is no base URL: it begins with neither http:// nor https://"
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--out", str(out), "--port", str(taken.getsockname()[1])]) == 2

    assert "cannot be bound" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_said_and_tried_again(afar: Served, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("in the way")
    with served("record", "--to", afar.url, "--out", place / "recording.toml") as proxy:
        proxy.ask()
        assert proxy.wait_for(r"(recording.toml cannot be written)")
        place.unlink()
        assert proxy.wait_for(r"recording.toml: (.*)") == "1 request"
