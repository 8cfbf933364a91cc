"""``python -m pytest_mockstream serve``: the server outside of pytest."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from platforms import LINUX_ONLY, NEEDS_FIFOS, NEEDS_SIGNALS, NEEDS_ULIMIT

from pytest_mockstream import MockStreamServer, Recording, RecordingError
from pytest_mockstream.recordings import Tape
from pytest_mockstream.serve import main

from .conftest import MESSAGES
from .paneled import page_of
from .served import PYTHON, Served
from .served import served as started

HELLO = '[[script]]\nsteps = ["Hello"]\n'
COMMAND = [*PYTHON, "serve"]


def rewrite(path: Path, text: str | bytes) -> None:
    """Write a file that is served at one go: an empty one would be read, too, and played."""
    new = path.with_name("new")
    new.write_bytes(text.encode() if isinstance(text, str) else text)
    new.replace(path)


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


def test_it_says_where_its_page_is_and_that_one_commands(served: Served) -> None:
    assert served.wait_for("by hand: (.*)") == f"{served.url}/"

    with page_of(served.url) as page:
        served_of = page.command("check", text=HELLO)["scripts"]
        page.command("hold_new", on=True)

    assert served_of == "1 script"


def refused(served: Served, text: str) -> str:
    """Ask what no script answers; return why it is refused."""
    with pytest.raises(openai.BadRequestError) as caught:
        served.ask(text)
    return str(caught.value.body["message"])  # type: ignore[index] # it is a JSON object


def test_a_request_that_no_script_answers_is_told_what_to_write_into_the_file(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text('[[script]]\nwhen = { contains = "weather" }\nsteps = ["Rain"]\n')
    question = 'Say "hi" \\ or\t\u2028nothing'

    with started("serve", script) as served:
        told = refused(served, question)
        advised = re.search(r"  \[\[script\]\]\n.*?\n    steps.*?\n", told, re.DOTALL)
        assert advised is not None
        rewrite(script, script.read_text() + advised[0])
        served.wait_for("(read again)")
        answer = served.ask(question)
        still = refused(served, "something else")

    assert answer == "Hello"
    assert f"queued at {script}:1 (played 0 times, meant for any number), not met: contains=\n" in told
    assert f"\n  Add one to {script}, in an editor or at {served.url}/; what is saved is played at once:\n" in told
    assert "\n  For a default, end the file with a [[script]] that has no `when`: it answers all other" in told
    assert re.search(r"respond|fixture|mock_stream_|times=None", told + still) is None


@pytest.mark.parametrize(
    ("more", "where"),
    [((), "script.toml; what"), (("--allow-remote-control",), "script.toml, in an editor or at http")],
)
def test_who_may_not_command_is_not_led_to_the_page(script: Path, more: tuple[str, ...], where: str) -> None:
    script.write_text(HELLO + "when = { model = 'other' }\n")

    every = "0.0.0.0"  # noqa: S104 - that is what it is about
    with started("serve", script, "--host", every, *more) as served:
        served.url = served.url.replace(every, "127.0.0.1")
        told = refused(served, "hi")

    assert where in told


def test_a_text_that_the_page_saves_is_played_at_once(served: Served, script: Path) -> None:
    with page_of(served.url) as page:
        page.command("save", text=HELLO.replace("Hello", "Saved"), base=page.state["file"]["base"])

    assert (served.ask(), "Saved" in script.read_text()) == ("Saved", True)


@pytest.mark.parametrize(
    ("more", "told", "commands"),
    [((), "holding and breaking streams there is off", False), (("--allow-remote-control",), "whoever can open", True)],
)
def test_where_others_reach_it_commands_are_off_unless_that_is_allowed(
    script: Path, more: tuple[str, ...], told: str, commands: bool
) -> None:
    every = "0.0.0.0"  # noqa: S104 - that is what it is about
    with started("serve", script, "--host", every, *more) as served:
        assert told in served.wait_for(r"(watch it.*)")
        with page_of(served.url.replace(every, "127.0.0.1")) as page:
            assert (page.data["token"] is not None) == commands


def test_help_names_the_page_and_who_may_command() -> None:
    told = " ".join(run("--help").stdout.split())

    assert "show at / what happens" in told
    assert "--allow-remote-control" in told


def test_it_listens_on_loopback(served: Served) -> None:
    assert served.url.startswith("http://127.0.0.1:")


def test_a_change_of_the_file_is_played_at_once(served: Served, script: Path) -> None:
    rewrite(script, HELLO.replace("Hello", "Good evening"))
    served.wait_for("(read again)")

    assert served.ask() == "Good evening"


def test_a_change_tells_how_many_scripts_there_are(served: Served, script: Path) -> None:
    rewrite(script, HELLO * 2)
    assert served.wait_for("read again, (.*)") == "2 scripts"

    script.write_text("")
    assert served.wait_for("read again, (.*)") == "0 scripts"


def test_a_change_with_mistakes_leaves_what_was_played(served: Served, script: Path) -> None:
    rewrite(script, "delai = 3")

    assert served.wait_for(r"script.toml:1: (\w+)") == "delai"
    assert served.ask() == "Hello"


def stands_at(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


HOSTILE: tuple[Callable[[Path], object], ...] = (
    lambda path: rewrite(path, "x = " + "[" * 20_000),
    lambda path: rewrite(path, "x." * 20_000 + "x = 1"),
    lambda path: rewrite(path, "seed = " + "9" * 5_000),
    lambda path: rewrite(path, HELLO[:-4]),
    lambda path: rewrite(path, b"\xff" + HELLO.encode()),
    Path.unlink,
    lambda path: stands_at(path, os.mkfifo),
    lambda path: stands_at(path, Path.mkdir),
    lambda path: os.truncate(path, 2**40),
    lambda path: rewrite(path, "[[script]]\nstep = []\n" * 20_000),
)


@NEEDS_FIFOS
def test_nothing_that_stands_at_the_path_stops_it(served: Served, script: Path) -> None:
    for number, change in enumerate(HOSTILE):
        change(script)

        served.wait_for("(playing what it said before)")
        assert served.ask() == (f"Hello {number}" if number else "Hello")

        if script.is_dir():
            script.rmdir()
        script.unlink(missing_ok=True)
        rewrite(script, HELLO.replace("Hello", f"Hello {number + 1}"))
        served.wait_for("(read again)")
        assert served.ask() == f"Hello {number + 1}"


@NEEDS_SIGNALS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_cleanly(served: Served, number: int) -> None:
    os.kill(served.process.pid, number)

    output, _ = served.process.communicate(timeout=60)

    assert served.process.returncode == 0
    assert "Traceback" not in output


@LINUX_ONLY
def test_a_second_ctrl_c_waits_for_nothing(script: Path) -> None:
    import fcntl
    import termios

    read, write = os.pipe()
    size = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)  # type: ignore[attr-defined,unused-ignore] # Linux has it
    with (
        os.fdopen(read),
        os.fdopen(write) as errors,
        subprocess.Popen(
            [*COMMAND, str(script), "--port", "0"], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as it,
    ):
        Served(it)
        script.write_text("[[script]]\nstep = []\n" * 100)
        while int.from_bytes(fcntl.ioctl(read, termios.FIONREAD, bytes(4)), sys.byteorder) < size:
            time.sleep(0.01)  # until it waits for somebody to read its errors

        it.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            it.wait(0.5)
        it.send_signal(signal.SIGINT)

        assert it.wait(60) == -signal.SIGINT


@NEEDS_SIGNALS
def test_ctrl_c_ends_streams_that_run(served: Served, script: Path) -> None:
    rewrite(script, '[[script]]\nsteps = ["Hello ", { stall = true }]')
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


@NEEDS_SIGNALS
def test_ctrl_c_ends_pages_and_streams_that_they_hold(served: Served) -> None:
    with page_of(served.url) as page:
        page.command("hold_new", on=True)
        asked = {"model": "m", "stream": True, "messages": MESSAGES}
        with requests.post(f"{served.url}/v1/chat/completions", json=asked, stream=True, timeout=30):
            page.latest_is(held=True)

            os.kill(served.process.pid, signal.SIGINT)
            output, _ = served.process.communicate(timeout=60)

    assert (served.process.returncode, "Traceback" in output, "Warning" in output) == (0, False, False)


@NEEDS_ULIMIT
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


PAGE = {"origin": "http://localhost:3000"}


def test_a_browser_is_allowed_what_it_asks_for(served: Served) -> None:
    asked = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization,x-stainless-os"}

    answered = requests.options(f"{served.url}/v1/chat/completions", headers=PAGE | asked, timeout=30)

    assert answered.status_code == 204
    assert allowed_by(answered) == {
        "allow-origin": "*",
        "allow-methods": "PUT",
        "allow-headers": "authorization,x-stainless-os",
    }


def test_a_page_of_the_internet_may_reach_this_machine(served: Served) -> None:
    asked = {"access-control-request-private-network": "true"}

    answered = requests.options(f"{served.url}/v1/chat/completions", headers=PAGE | asked, timeout=30)

    assert allowed_by(answered)["allow-private-network"] == "true"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}, 200),
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "fail"}]}, 429),
        ("/v1/chat/completions", {}, 400),
        ("/v1/nothing", {}, 404),
    ],
)
def test_a_page_may_read_answers_and_errors(served: Served, script: Path, path: str, body: Any, status: int) -> None:
    rewrite(script, '[[script]]\nwhen = { contains = "fail" }\nsteps = [{ http_error = 429 }]\n' + HELLO)
    served.wait_for("(read again)")

    answered = requests.post(served.url + path, headers=PAGE, json=body, timeout=30)

    assert answered.status_code == status
    assert allowed_by(answered)["allow-origin"] == "*"
    assert "x-request-id" in allowed_by(answered)["expose-headers"].split(", ")


def test_a_page_may_read_that_its_request_was_refused(served: Served) -> None:
    answered = requests.post(served.url, headers=PAGE, data=b"x" * (8 * 2**20 + 1), timeout=30)

    assert (answered.status_code, allowed_by(answered)["allow-origin"]) == (413, "*")


def allowed_by(response: requests.Response) -> dict[str, str]:
    """Return the headers of CORS without their prefix."""
    prefix = "access-control-"
    named = ((name.lower(), value) for name, value in response.headers.items())
    return {name.removeprefix(prefix): value for name, value in named if name.startswith(prefix)}


def test_it_says_how_to_reach_it(served: Served) -> None:
    assert served.wait_for(r"export OPENAI_BASE_URL=(\S+)") == f"{served.url}/v1"


def test_check_says_that_a_default_text_beside_scripts_is_never_played(script: Path) -> None:
    script.write_text('default_text = "Hello"\n[[script]]\nsteps = ["Hi"]\n', encoding="utf-8")

    result = run(script, "--check")

    assert result.returncode == 0
    assert "default_text is played only where there are no scripts" in result.stdout


def test_check_finds_no_mistakes(script: Path) -> None:
    result = run(script, "--check")

    assert (result.returncode, result.stdout) == (0, f"{script}: 1 script, no mistakes\n")


def test_check_tells_the_mistakes(script: Path) -> None:
    script.write_text(HELLO + "times = 0")

    result = run(script, "--check")

    assert result.returncode == 1
    assert result.stderr.startswith(f"{script}:3: script 1, times: times=0: give an int > 0")


RECORDED = """\
[recording]
version = 1

[[script]]
key = "KEY"
steps = ["Hello"]
request = '''{"messages": [{"role": "user", "content": "hi"}], "model": "gpt-5", "provider": "openai"}'''

[[script]]
steps = ["Bye"]
"""


def test_check_tells_what_is_wrong_with_a_recording_as_playing_it_does(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text(RECORDED)

    wrong = main([str(script), "--check"]), capsys.readouterr().err
    with pytest.raises(RecordingError) as played:
        Tape("none", Recording.load(script)).play_at(MockStreamServer()._playbook)
    right = wrong[1].partition("which is '")[2].partition("'")[0]
    script.write_text(RECORDED.replace("KEY", right))
    mended = main([str(script), "--check"]), capsys.readouterr().out

    assert wrong == (1, f"{played.value}\n")
    assert wrong[1].startswith(f"{script}:4: key = 'KEY' is not that of the `request` below it, which is '")
    assert mended == (0, f"{script}: 2 scripts, no mistakes\n")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"openai"', '"nobody"', ":4: nothing here speaks as 'nobody' does, who said this"),
        ('["Bye"]', "[{ echo = true }]", ":8: a recording says what came, and computes nothing"),
    ],
)
def test_check_tells_what_no_test_could_play(
    script: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, told: str
) -> None:
    script.write_text(RECORDED.replace('key = "KEY"\n', "").replace(before, after))

    assert (main([str(script), "--check"]), told in capsys.readouterr().err) == (1, True)


def test_check_knows_all_whom_a_test_may_ask(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(RECORDED.replace('key = "KEY"\n', "").replace('"openai"', '"nvidia"'))

    assert (main([str(script), "--check"]), capsys.readouterr().err) == (0, "")


def test_check_finds_no_mistakes_in_scripts_that_compute_beside_a_request(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text("[[script]]\nsteps = [{ echo = true }]\n")

    assert (main([str(script), "--check"]), capsys.readouterr().err) == (0, "")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    result = run(tmp_path / "none.toml")

    assert (result.returncode, "cannot be read" in result.stderr) == (2, True)


def test_a_port_that_is_taken_is_said(served: Served, script: Path) -> None:
    port = served.url.rpartition(":")[2]

    result = run(script, "--port", port)

    assert result.returncode == 2
    assert re.search(r"127\.0\.0\.1:\d+ cannot be bound: .*in use", result.stderr)


@pytest.mark.parametrize("port", ["abc", "70000", "-1", "", "8000.0"])
def test_a_port_that_is_none_is_said_with_what_is_legal(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["script.toml", "--port", port])

    *_, told = capsys.readouterr().err.splitlines()
    assert told.endswith(f"argument --port: port={port!r}: give a whole number from 0 to 65535; 0 is any free one")


@pytest.mark.parametrize("host", ["", " "])
def test_every_address_is_bound_only_if_that_is_said(script: Path, host: str) -> None:
    result = run(script, "--host", host)

    assert result.returncode == 2
    assert f"argument --host: {host!r} is no address" in result.stderr


def test_a_host_that_is_none_is_said(script: Path) -> None:
    result = run(script, "--host", "x" * 70, "--port", "0")

    assert (result.returncode, "cannot be bound" in result.stderr) == (2, True)


def test_provider_tells_whose_dialect_it_speaks(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text('[[script]]\nsteps = [{reasoning = "hm"}, "so"]\n')
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [*COMMAND, str(script), "--port", "0", "--provider", "vllm"], stdout=subprocess.PIPE, text=True
            )
        )
        stack.callback(process.kill)
        asked = {"model": "m", "messages": MESSAGES}
        reply = requests.post(Served(process).url + "/v1/chat/completions", json=asked, timeout=30).json()

    assert reply["choices"][0]["message"]["reasoning"] == "hm"


def test_provider_that_is_not_known_is_told_with_all(script: Path) -> None:
    result = run(script, "--provider", "openruter")

    assert result.returncode == 2
    assert result.stderr.startswith("--provider: provider='openruter' is not known: give 'openai' or 'azure' or ")
