"""From the start of the server to its end, whatever ends it: nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from platforms import NEEDS_FORK, NEEDS_SIGNALS, descriptors

from pytest_mockstream import Disconnect, Gate, MockStreamServer, ScriptError, UnclosedStreamWarning
from pytest_mockstream._base.collector import collect
from pytest_mockstream.playbook.script_file import parse_script_file

from .conftest import Run, Wire, chat_request, is_listening

ROUNDS = 200
NO_CHECK = ("--mockstream-leaks=off",)  # what leaks is not the subject
XDIST = ("-p", "xdist.plugin")


def left() -> set[object]:
    """Return what a server could leave behind: threads, tasks and descriptors.

    Of what was there before, some may end in a test: threads that trio keeps for ten seconds, what others forgot.
    """
    collect()
    tasks = {thing for thing in gc.get_objects() if isinstance(thing, asyncio.Task) and not thing.done()}
    return {*threading.enumerate(), *tasks, *descriptors()}


def opened(server: MockStreamServer) -> Wire:
    """Open a stream that does not end, and read its head."""
    server.respond("one ", ttft="10h")
    wire = Wire(server)
    wire.send(chat_request())
    wire.read_until(b"\r\n\r\n")
    return wire


def test_200_rounds_of_start_abandon_and_stop_leave_nothing() -> None:
    before = left()

    for _ in range(ROUNDS):
        server = MockStreamServer().start()
        wire = opened(server)
        with pytest.warns(UnclosedStreamWarning):
            server.stop()
        wire.close()

    assert left() - before == set()


def test_a_connection_that_is_being_accepted_is_closed_with_the_server() -> None:
    before = left()

    for _ in range(50):
        with MockStreamServer() as server:
            wires = [Wire(server) for _ in range(3)]
        for wire in wires:
            with contextlib.suppress(ConnectionResetError):
                assert wire.read_to_end() == b""
            wire.close()

    assert left() - before == set()


def test_a_stopped_server_looks_at_no_sockets_any_more(tmp_path: Path) -> None:
    code = """
import socket
from pytest_mockstream import MockStreamServer
with MockStreamServer(), MockStreamServer():
    pass
print({"send", "sendall", "sendmsg"} & set(vars(socket.socket)))
"""

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert result.stdout == "set()\n"


def test_a_stopped_server_has_closed_its_port() -> None:
    with MockStreamServer() as server:
        url = server.url

    assert not is_listening(url)


def test_a_stopped_server_may_be_started_again_at_its_port() -> None:
    with MockStreamServer() as server:
        url = server.url

    with server:
        assert server.url == url
        assert is_listening(url)


def test_starting_and_stopping_twice_is_once() -> None:
    server = MockStreamServer().start()
    url = server.url
    server.start()
    assert server.url == url

    server.stop()
    server.stop()

    assert not is_listening(url)


def test_a_port_that_is_taken_is_an_error_and_leaves_no_thread() -> None:
    with MockStreamServer() as server:
        before = left()
        port = int(server.url.rpartition(":")[2])

        with pytest.raises(OSError, match="in use"):
            MockStreamServer(port=port).start()

        assert left() - before == set()


def test_the_record_outlives_the_server() -> None:
    with MockStreamServer() as server:
        wire = Wire(server)
        wire.send(chat_request(connection="close"))
        wire.read_to_end()
        wire.close()

    assert server.requests[0].state == "exhausted"


def test_a_record_may_be_kept_short() -> None:
    with MockStreamServer(record=2, keep_alive=True) as server:
        wire = Wire(server)
        for _ in range(5):
            wire.send(chat_request())
            wire.read_until(b"\r\n0\r\n\r\n")
        wire.close()

    assert [request.number for request in server.requests] == [4, 5]


def test_a_stream_that_only_the_stop_ended_was_never_closed() -> None:
    server = MockStreamServer().start()
    wire = opened(server)

    with pytest.warns(UnclosedStreamWarning, match="was never closed: it ended with its server") as told:
        server.stop()

    wire.close()
    (request,) = server.requests
    assert (request.state, told[0].filename) == ("dropped", request.opened_at.filename)
    with pytest.raises(AssertionError, match="its consumer never closed it"):
        request.assert_closed()


def test_a_stream_that_an_error_left_open_is_no_news() -> None:
    server = MockStreamServer()

    with contextlib.suppress(LookupError), server:
        wire = opened(server)
        raise LookupError

    wire.close()
    assert server.requests[0].state == "broken"


def test_a_stream_whose_scripts_were_replaced_ends_with_the_server() -> None:
    server = MockStreamServer().start()
    wire = opened(server)
    (request,) = server.requests
    server.replace(parse_script_file("", name="empty.toml"))

    server.end_streams()

    wire.read_to_reset()
    wire.close()
    server.stop()
    assert request.state == "broken"


@NEEDS_FORK
def test_a_forked_child_does_not_wait_for_a_server_that_is_not_there(mock_stream_server: MockStreamServer) -> None:
    # A warning of Python's own: with threads, a fork is not safe. Who forks all the same shall not hang in our ledger.
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        child = os.fork()
    if child == 0:  # pragma: no cover - coverage ends with the parent
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)  # or its hanging would be ours
        os._exit(len(mock_stream_server.requests))

    assert os.waitpid(child, 0)[1] == 0


@contextlib.contextmanager
def forked(port: int = 0) -> Iterator[int]:
    """Fork a child that does nothing but live while the block lasts; yields how many sockets it has at a port."""
    told, tell = os.pipe()
    ended, end = os.pipe()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        child = os.fork()
    if child == 0:  # pragma: no cover - coverage ends with the parent
        os.close(end)
        os.write(tell, bytes([sum(_is_at(port, int(one)) for one in os.listdir("/proc/self/fd"))]))
        os.read(ended, 1)
        os._exit(0)
    os.close(ended)
    try:
        yield os.read(told, 1)[0]
    finally:
        for descriptor in (end, told, tell):
            os.close(descriptor)
        os.waitpid(child, 0)


def _is_at(port: int, descriptor: int) -> bool:  # pragma: no cover - it runs in a forked child
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            name = copy.getsockname()
    except OSError:
        return False
    return isinstance(name, tuple) and name[1] == port


def test_a_forked_child_has_no_socket_of_the_server() -> None:
    with MockStreamServer() as server:
        wire = opened(server)
        with forked(server._listener.port) as sockets:
            assert sockets == 0
        wire.close()


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_a_connection_ends_while_a_forked_child_lives(how: Literal["cut", "reset"]) -> None:
    gate = Gate()
    with MockStreamServer() as server:
        server.respond("one ", gate, Disconnect(how=how))
        wire = Wire(server)
        wire.send(chat_request())
        wire.read_until(b"one ")

        with forked():
            gate.open()
            if how == "cut":
                assert b"[DONE]" not in wire.read_to_end()
            else:
                wire.read_to_reset()
        wire.close()


def test_a_server_refuses_connections_while_a_forked_child_lives() -> None:
    with MockStreamServer() as server, forked():
        with server.down():
            assert not is_listening(server.url)

        assert is_listening(server.url)


def test_a_server_stops_while_a_forked_child_lives() -> None:
    server = MockStreamServer().start()
    wire = Wire(server)

    with forked():
        server.stop()

        assert not is_listening(server.url)
        assert wire.read_to_end() == b""
    wire.close()


def test_a_copy_of_the_port_that_nobody_has_closed_yet_accepts_nothing() -> None:
    with MockStreamServer() as server:
        assert server._listener._socket is not None
        copy = server._listener._socket.dup()  # as a child has it between its fork and its first own step

        with server.down():
            assert not is_listening(server.url)

        copy.close()


def test_a_forked_child_is_answered_by_its_parent(mock_stream_server: MockStreamServer) -> None:
    mock_stream_server.respond("Hello")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        child = os.fork()
    if child == 0:  # pragma: no cover - coverage ends with the parent
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)  # or its hanging would be ours
        wire = Wire(mock_stream_server)
        wire.send(chat_request())
        os._exit(b"Hello" not in wire.read_to_end())

    assert os.waitpid(child, 0)[1] == 0
    assert [request.state for request in mock_stream_server.requests] == ["exhausted"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_holds_up_nothing(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    with MockStreamServer() as server, warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        process = context.Process(target=time.sleep, args=(600,))
        process.start()

        with server.down():
            assert not is_listening(server.url)

        process.kill()
        process.join()
        process.close()


def test_a_program_that_inherits_descriptors_holds_up_nothing() -> None:
    with (
        MockStreamServer() as server,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as program,
    ):
        with server.down():
            assert not is_listening(server.url)

        program.kill()


# In a pytest of its own.


def test_streams_of_one_test_are_not_seen_by_the_next(run_pytest: Run) -> None:
    result = run_pytest(
        """
def test_1(hanging):
    assert len(hanging.requests) == 1

def test_2(mock_stream_server):
    assert mock_stream_server.requests == []

def test_3(mock_stream_server):
    assert Path("url").read_text() == mock_stream_server.url
""",
        *NO_CHECK,
    )

    result.assert_outcomes(passed=3)


def test_a_stream_that_is_still_open_is_ended_with_its_test(run_pytest: Run) -> None:
    result = run_pytest(
        """
def test_1(hanging):
    pass

def test_2():
    with pytest.raises(ConnectionResetError):
        while SOCKETS[0].recv(1000):
            pass
""",
        *NO_CHECK,
    )

    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("options", [(), ("-x",)])
def test_a_failing_test_does_not_keep_the_server(run_pytest: Run, options: tuple[str, ...]) -> None:
    result = run_pytest("def test_1(hanging): assert False\ndef test_2(hanging): assert False", *options)

    result.assert_outcomes(failed=1 if options else 2)


@NEEDS_SIGNALS
def test_ctrl_c_ends_the_server(run_pytest: Run) -> None:
    result = run_pytest(
        """
def test_1(hanging):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    os.kill(os.getpid(), signal.SIGINT)
"""
    )

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_test_that_takes_the_server_down_leaves_it_up(run_pytest: Run) -> None:
    result = run_pytest(
        """
def test_1(mock_stream_server):
    mock_stream_server.down().__enter__()

def test_2(hanging):
    pass
""",
        *NO_CHECK,
    )

    result.assert_outcomes(passed=2)


def test_each_worker_has_a_server_of_its_own(run_pytest: Run, pytester: pytest.Pytester) -> None:
    result = run_pytest(
        """
@pytest.mark.parametrize("n", range(4))
def test_1(hanging, worker_id, n):
    Path(f"url-{worker_id}").write_text(hanging.url)
""",
        *NO_CHECK,
        *XDIST,
        "-n2",
    )

    result.assert_outcomes(passed=4)
    urls = {path.read_text() for path in pytester.path.glob("url-*")}
    assert len(urls) == 2
    assert not any(map(is_listening, urls))


def test_a_worker_that_is_killed_takes_its_server_with_it(run_pytest: Run) -> None:
    result = run_pytest("def test_1(hanging): os._exit(9)", *XDIST, "-n1", "--max-worker-restart=0")

    result.stdout.fnmatch_lines(["*worker 'gw0' crashed while running*"])


def test_the_environment_is_restored(run_pytest: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.delenv("OLLAMA_HOST", raising=False)

    result = run_pytest(
        """
def test_1(mock_stream_server):
    assert os.environ["OPENAI_BASE_URL"].startswith(mock_stream_server.url)

def test_2():
    assert os.environ["OPENAI_BASE_URL"] == "http://127.0.0.1:9/v1"
    assert "OLLAMA_HOST" not in os.environ
""",
    )

    result.assert_outcomes(passed=2)


def test_without_the_extra_the_fixture_says_how_to_install_it(run_pytest: Run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys; sys.modules['h11'] = None")

    result = run_pytest("def test_1(mock_stream_server): pass")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["_* ERROR at setup of test_1 _*", "the HTTP server needs h11, *: pip install 'pytest-mockstream[[]server]'"],
        consecutive=True,
    )


def test_without_the_fixture_nothing_is_imported(run_pytest: Run) -> None:
    result = run_pytest(
        "import sys\ndef test_1(): assert not {'h11', 'pytest_mockstream.doors.server'} & set(sys.modules)"
    )

    result.assert_outcomes(passed=1)


def test_a_killed_process_leaves_its_port_to_others(tmp_path: Path) -> None:
    code = "from pytest_mockstream import MockStreamServer as S; print(S().start().url, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert is_listening(url)

        process.kill()
        process.wait()

    assert not is_listening(url)


@pytest.mark.parametrize("host", ["", " ", None])
def test_every_address_is_bound_only_if_that_is_said(host: Any) -> None:
    with pytest.raises(ScriptError, match="is no address, and would be every address of this machine"):
        MockStreamServer(host=host)


@pytest.mark.parametrize("port", ["abc", 70_000, -1, "", None, True, 80.0])
def test_a_port_that_is_none_is_said_before_anything_starts(port: Any) -> None:
    with pytest.raises(ScriptError, match=re.escape(f"port={port!r}: give a whole number from 0 to 65535")):
        MockStreamServer(port=port)
