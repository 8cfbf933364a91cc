"""The guard, from the first door of a session to its end: who is refused, who is let out, and what children get."""

from __future__ import annotations

import _socket
import asyncio
import inspect
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_mockstream import MockStreamClient, MockStreamSDK, MockStreamServer, UnexpectedRequestError
from pytest_mockstream.doors.guard import GUARD, held

HOST = "api.openai.com"
UPLOAD = f"https://{HOST}/v1/traces/ingest"
NOWHERE = "http://127.0.0.1:9/"
DOORS = ["mock_stream_client", "mock_stream_sdk", "mock_stream_server"]
#: Where each is tried in a run of pytest of its own.
EACH_DOOR = ["mock_stream_sdk", *(pytest.param(door, marks=pytest.mark.slow) for door in (DOORS[0], DOORS[2]))]
#: Encrypting for a host says its name, and needs no network.
SAYING = """
import ssl
def say(host="api.openai.com"):
    ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host)
"""


def say(host: str = HOST) -> None:
    ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host)


@pytest.fixture
def run(pytester: pytest.Pytester, lean_pytest: None) -> Callable[..., pytest.RunResult]:
    """Run tests in a session of their own."""

    def go(code: str, *options: str) -> pytest.RunResult:
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")
        pytester.makepyfile(test_it=SAYING + code)
        plugins = ("-p", "pytest_asyncio.plugin", "-p", "pytest_mockstream.plugin")
        return pytester.runpytest_subprocess(*plugins, *options)

    return go


# From the first door to the end of the session.


@pytest.mark.parametrize("door", EACH_DOOR)
def test_thread_that_outlives_its_test_reaches_nobody_and_the_message_names_the_test(
    run: Callable[..., pytest.RunResult], door: str
) -> None:
    result = run(
        f"""
import pytest, threading
go = threading.Event()
told = []
def late():
    go.wait()
    try:
        say()
    except AssertionError as error:
        told.append(str(error))
@pytest.mark.allow_leaks(reason="it is what this is about")
def test_first({door}):
    threading.Thread(target=late, name="late").start()
def test_second():
    go.set()
    for thread in threading.enumerate():
        if thread.name == "late":
            thread.join()
    assert "ssl tried to reach api.openai.com (openai) at test_it.py:3, in thread 'late'" in told[0]
    assert "which test_it.py::test_first had left behind" in told[0]
"""
    )

    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(["*PytestWarning: ssl tried to reach api.openai.com (openai) at test_it.py:3*"])


@pytest.mark.parametrize("second", ["", "mock_stream_client"])
def test_task_that_outlives_its_test_reaches_nobody_and_the_message_names_the_test(
    run: Callable[..., pytest.RunResult], second: str
) -> None:
    result = run(
        f"""
import asyncio, pytest
go, told, tasks = asyncio.Event(), [], []
async def late():
    await go.wait()
    try:
        say()
    except AssertionError as error:
        told.append(str(error))
@pytest.mark.allow_leaks(reason="it is what this is about")
@pytest.mark.asyncio(loop_scope="session")
async def test_first(mock_stream_client):
    tasks.append(asyncio.create_task(late()))
@pytest.mark.asyncio(loop_scope="session")
async def test_second({second}):
    go.set()
    await tasks[0]
    assert "ssl tried to reach api.openai.com (openai) at test_it.py:3, which test_it.py::test_first had" in told[0]
"""
    )

    result.assert_outcomes(passed=2, warnings=1)


def test_task_of_the_running_test_is_its_own(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        """
import asyncio, pytest
async def ask():
    say()
async def test_it(mock_stream_client):
    with pytest.raises(AssertionError, match="tried to bypass mock_stream_client"):
        await asyncio.create_task(ask())
"""
    )

    result.assert_outcomes(passed=1, errors=1)


def test_later_test_reaches_a_provider_only_if_it_says_so(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        """
import pytest
def test_before():
    say()
def test_first(mock_stream_client):
    pass
def test_refused():
    say()
@pytest.mark.mockstream(passthrough=["api.openai.com"])
def test_allowed():
    say()
@pytest.mark.mockstream(passthrough=[".openai.com", "api.groq.com:443"])
def test_allowed_by_its_ending():
    say()
def test_other_hosts():
    say("example.com")
""",
        "-v",
    )

    result.assert_outcomes(passed=5, failed=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            "*UnexpectedRequestError: ssl tried to reach api.openai.com (openai) at test_it.py:3,"
            " in test_it.py::test_refused, where no door is open; it was refused, and nothing was sent.",
            '*A test that means to says so: @pytest.mark.mockstream(passthrough=[[]"api.openai.com"[]]).',
        ]
    )


def test_ini_file_lets_hosts_out(run: Callable[..., pytest.RunResult]) -> None:
    hosts = "mockstream_passthrough=api.x.ai, api.openai.com"

    result = run("def test_it(mock_stream_server):\n    say()\n", "-o", hosts)

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("port", [None, 443, 8443])
def test_port_that_is_let_out_is_let_out_wherever_it_is_known(port: int | None) -> None:
    with held():
        GUARD.allow(["api.openai.com:443"])

        if port == 8443:
            with pytest.raises(UnexpectedRequestError):
                GUARD.check("api.openai.com", "socket", port=port)
            GUARD.refused.clear()  # or the session would warn of it
        else:
            GUARD.check("api.openai.com", "socket", port=port)


def test_passthrough_that_is_no_host_is_refused(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        """
import pytest
@pytest.mark.mockstream(passthrough=["https://api.openai.com/"])
def test_it():
    pass
"""
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*passthrough=*'https://api.openai.com/'*: give hosts, such as*"])


def test_session_that_opens_no_door_has_no_guard(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        """
import socket, subprocess, sys
def test_it():
    say()
    assert "pytest_mockstream.doors.guard" not in sys.modules
    assert socket.getaddrinfo.__code__.co_filename == socket.__file__
"""
    )

    result.assert_outcomes(passed=1)


def test_door_outside_of_tests_leaves_no_guard_behind() -> None:
    code = f"{SAYING}\nfrom pytest_mockstream import MockStreamSDK\nwith MockStreamSDK(): pass\nsay()"

    subprocess.run([sys.executable, "-c", code], check=True)


# While a door is open.


@pytest.mark.parametrize("door", EACH_DOOR)
def test_provider_that_is_reached_past_an_open_door_fails_the_test(
    run: Callable[..., pytest.RunResult], door: str
) -> None:
    result = run(
        f"""
import contextlib
def test_it({door}):
    with contextlib.suppress(Exception):
        say()
"""
    )

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"*ssl tried to bypass {door} and reach api.openai.com*"])


def test_what_somebody_saved_before_the_guard_and_puts_back_reaches_nobody(
    run: Callable[..., pytest.RunResult],
) -> None:
    """It takes our layers along, and the audit hook is left."""
    pytest.importorskip("httpx")
    result = run(
        """
import socket, httpcore, httpx, pytest
NAMES = [
    (httpcore.ConnectionPool, "handle_request"), (socket, "getaddrinfo"), (socket.socket, "connect"),
    (socket, "create_connection"),
]
SAVED = [(owner, name, vars(owner).get(name)) for owner, name in NAMES]
def put_back():
    for owner, name, value in SAVED:
        if value is None:
            delattr(owner, name)
        else:
            setattr(owner, name, value)
def ask():
    with pytest.raises(AssertionError, match="reach api.openai.com") as caught:
        httpx.post("https://api.openai.com/v1/chat/completions", json={}, verify=False, trust_env=False)
    return str(caught.value)
def test_door(mock_stream_sdk):
    put_back()
    assert "httpx tried to bypass mock_stream_sdk" in ask()
def test_later():
    assert "httpx tried to reach api.openai.com (openai) at test_it.py" in ask()
"""
    )

    result.assert_outcomes(passed=2, errors=1, warnings=1)


def test_library_is_named_that_is_called_by_way_of_python_s_own(run: Callable[..., pytest.RunResult]) -> None:
    pytest.importorskip("httpx")
    result = run(
        """
import httpx, pytest
from concurrent.futures import ThreadPoolExecutor
def test_it(mock_stream_client):
    with ThreadPoolExecutor(1) as pool, pytest.raises(AssertionError, match="httpx tried to bypass"):
        pool.submit(httpx.get, "https://api.openai.com/v1/models").result()
"""
    )

    result.assert_outcomes(passed=1, errors=1)


def test_who_runs_the_task_that_calls_is_not_named(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        """
import asyncio, pytest
async def test_it(mock_stream_client):
    task = asyncio.create_task(asyncio.open_connection("api.openai.com", 443))
    with pytest.raises(AssertionError, match="^asyncio.streams tried to bypass"):
        await task
"""
    )

    result.assert_outcomes(passed=1, errors=1)


@pytest.mark.parametrize(
    "host",
    [
        "bedrock-runtime.eu-central-1.amazonaws.com",
        "api.deepgram.com",
        "api.eu.residency.elevenlabs.io",
        "api.elevenlabs.io",
        "x.endpoints.huggingface.cloud",
    ],
)
def test_hosts_of_every_provider_that_is_named_are_refused(host: str) -> None:
    with MockStreamSDK(), pytest.raises(UnexpectedRequestError):
        socket.getaddrinfo(host, 443)


def test_function_that_somebody_bound_before_is_refused() -> None:
    original: Any = socket.getaddrinfo
    while hasattr(original, "__wrapped__"):
        original = original.__wrapped__

    with MockStreamSDK(), pytest.raises(UnexpectedRequestError, match="socket tried to bypass"):
        original(HOST, 443)


def test_address_that_was_looked_up_before_is_refused_when_it_is_encrypted_for_its_host() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(10)  # or a handshake that nobody refuses would wait for ever

    with ours, theirs, MockStreamSDK(), pytest.raises(UnexpectedRequestError):
        ssl.create_default_context().wrap_socket(ours, server_hostname=HOST)


async def _look_up() -> None:
    await asyncio.get_running_loop().getaddrinfo(HOST, 443)


async def _connect() -> None:
    await asyncio.get_running_loop().create_connection(asyncio.Protocol, HOST, 443)


async def _connect_to_an_address() -> None:
    context = ssl.create_default_context()
    loop = asyncio.get_running_loop()
    await loop.create_connection(asyncio.Protocol, "127.0.0.1", 9, ssl=context, server_hostname=HOST)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("way", [_look_up, _connect, _connect_to_an_address])
def test_every_way_of_a_loop_is_refused(loop: str, way: Callable[[], Any]) -> None:
    module = pytest.importorskip(loop)

    with (
        MockStreamSDK(),
        asyncio.Runner(loop_factory=module.new_event_loop) as runner,
        pytest.raises(UnexpectedRequestError, match="bypass") as caught,
    ):
        runner.run(way())

    lines, first = inspect.getsourcelines(way)
    assert first < int(str(caught.value).partition("test_guard.py:")[2].partition(";")[0]) < first + len(lines)


@pytest.mark.parametrize("target", ["api.x.ai:443", "dns:///api.x.ai", "dns://1.1.1.1/api.x.ai:443"])
@pytest.mark.parametrize("module", ["grpc", "grpc.aio"])
async def test_grpc_channel_is_refused_where_it_is_made(module: str, target: str) -> None:
    grpc = pytest.importorskip(module)

    with MockStreamSDK(), pytest.raises(UnexpectedRequestError, match=r"bypass .* api\.x\.ai \(xai\)"):
        grpc.insecure_channel(target)


@pytest.mark.parametrize("target", ["localhost:1", "unix:/nowhere", "ipv4:127.0.0.1:1"])
def test_grpc_channel_to_this_machine_is_made(target: str) -> None:
    grpc = pytest.importorskip("grpc")

    with MockStreamSDK(), grpc.insecure_channel(target):
        pass


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what names lead to; C's own look-up, which tells audit hooks, is asked nothing else."""
    table = {"db.example.com": "10.1.2.3", "files.example.com": "93.184.216.34"}

    def getaddrinfo(host: str, port: object, *args: Any) -> list[Any]:
        sys.audit("socket.getaddrinfo", host, port, *args)
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (table[host], port or 0))]

    monkeypatch.setattr(_socket, "getaddrinfo", getaddrinfo)
    return table


def test_name_in_the_public_network_is_refused_while_there_are_fake_keys(names: dict[str, str]) -> None:
    with MockStreamSDK(), pytest.raises(UnexpectedRequestError, match="there are fake keys in the environment"):
        socket.getaddrinfo("files.example.com", 443)


def test_name_in_the_public_network_is_let_out_where_the_test_says_so(names: dict[str, str]) -> None:
    with MockStreamSDK(passthrough=["files.example.com"]):
        assert socket.getaddrinfo("files.example.com", 443)


def test_private_names_and_names_that_lead_nowhere_are_none_of_its_business(names: dict[str, str]) -> None:
    with MockStreamSDK():
        assert socket.getaddrinfo("db.example.com", 5432)
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("no.example.com", 443)


def test_public_names_are_let_out_where_no_fake_key_is(
    names: dict[str, str], mock_stream_client: MockStreamClient
) -> None:
    assert socket.getaddrinfo("files.example.com", 443)


# Uploads in the background.


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("door", DOORS)
def test_traces_of_openai_agents_go_nowhere_and_are_no_request(
    request: pytest.FixtureRequest, door: str, library: str
) -> None:
    http = pytest.importorskip(library)
    opened = request.getfixturevalue(door)

    assert http.post(UPLOAD, json={"data": ["what was said"]}).status_code == 204
    assert opened.requests == []


# Processes.


@pytest.fixture
def real_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("GROQ_API_KEY", "gsk-real")
    for name in ("OPENAI_BASE_URL", "GROQ_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_of_a_child(**options: Any) -> dict[str, str]:
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, **options)
    shown: dict[str, str] = json.loads(done.stdout)
    return shown


def inherited() -> dict[str, str]:
    return environment_of_a_child()


def given() -> dict[str, str]:
    return environment_of_a_child(env={**os.environ, "MINE": "1"})


def given_as_bytes() -> dict[str, str]:
    return environment_of_a_child(env={os.fsencode(name): os.fsencode(value) for name, value in os.environ.items()})


def of_asyncio() -> dict[str, str]:
    async def main() -> bytes:
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", SHOW, stdout=asyncio.subprocess.PIPE)
        return (await child.communicate())[0]

    shown: dict[str, str] = json.loads(asyncio.run(main()))
    return shown


def of_os_system() -> dict[str, str]:
    with tempfile.NamedTemporaryFile() as file:
        os.system(f"{sys.executable} -c '{SHOW}' > {file.name}")  # noqa: S605 - what is tested
        shown: dict[str, str] = json.load(file)
    return shown


@pytest.mark.parametrize("start", [inherited, given, given_as_bytes, of_asyncio, of_os_system])
def test_child_gets_an_environment_that_leads_nowhere(
    start: Callable[[], dict[str, str]], real_keys: None, mock_stream_sdk: MockStreamSDK
) -> None:
    child = start()

    assert child["OPENAI_BASE_URL"].startswith(NOWHERE)
    assert child["GROQ_BASE_URL"].startswith(NOWHERE)
    assert "real" not in child["OPENAI_API_KEY"] + child["GROQ_API_KEY"]
    assert "AZURE_OPENAI_ENDPOINT" not in child  # there is no default that it would replace
    assert os.environ["OPENAI_API_KEY"] == "sk-real"
    assert "OPENAI_BASE_URL" not in os.environ


def test_child_of_a_test_with_the_server_is_led_to_it(real_keys: None, mock_stream_server: MockStreamServer) -> None:
    child = inherited()

    assert child["OPENAI_BASE_URL"] == mock_stream_server.base_url("openai")
    assert child["GROQ_BASE_URL"] == mock_stream_server.base_url("groq")
    assert child["OPENAI_AGENTS_DISABLE_TRACING"] == "1"


def test_child_is_led_where_its_user_leads_it(
    real_keys: None, monkeypatch: pytest.MonkeyPatch, mock_stream_sdk: MockStreamSDK
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    mock_stream_sdk.passthrough("api.groq.com")

    child = inherited()

    assert (child["OPENAI_BASE_URL"], child["OPENAI_API_KEY"]) == ("http://localhost:8000/v1", "sk-real")
    assert "GROQ_BASE_URL" not in child
    assert child["GROQ_API_KEY"] == "gsk-real"


def test_process_that_is_spawned_has_a_guard_of_its_own(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        """
import multiprocessing, os
def ask(queue):
    try:
        say()
    except AssertionError as error:
        queue.put(f"{os.environ['OPENAI_BASE_URL']} {error}")
def test_it(mock_stream_sdk):
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=ask, args=(queue,))
    process.start()
    told = queue.get()
    process.join()
    assert told.startswith("http://127.0.0.1:9/")
    assert "ssl tried to reach api.openai.com (openai)" in told
    assert "in test_it.py::test_it, where no door is open" in told
    assert "This is another process than the test's: of the doors, mock_stream_server alone answers it." in told
"""
    )

    result.assert_outcomes(passed=1)


def test_process_that_is_spawned_ends_in_silence(tmp_path: Path) -> None:
    """The interpreter tells audit hooks of its end, when it has emptied the modules."""
    script = tmp_path / "spawning.py"
    script.write_text(
        """
import multiprocessing
from pytest_mockstream import MockStreamSDK
if __name__ == "__main__":
    with MockStreamSDK():
        process = multiprocessing.get_context("spawn").Process(target=print, args=("ran",))
        process.start()
        process.join()
"""
    )

    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("ran\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("door", ["mock_stream_client", "mock_stream_sdk"])
def test_request_of_a_forked_process_is_said_not_to_be_in_the_record(door: str) -> None:
    """In a process of its own: a test run has threads, and a fork copies none."""
    asking = {
        "mock_stream_client": 'assert door.complete("hi").content == "Hello"',
        "mock_stream_sdk": 'assert httpx.post("https://api.openai.com/v1/chat/completions", json=CHAT).is_success',
    }
    code = f"""
import os
from contextlib import nullcontext
import httpx
from pytest_mockstream import MockStreamClient, MockStreamSDK
CHAT = {{"model": "m", "messages": [{{"role": "user", "content": "hi"}}]}}
with {"MockStreamSDK()" if door == "mock_stream_sdk" else "nullcontext(MockStreamClient())"} as door:
    door.respond("Hello")
    if not (child := os.fork()):
        {asking[door]}
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert door.requests == []
door.verify()
"""
    pytest.importorskip("httpx")

    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"RuntimeWarning: a process that was forked while {door} was open has made requests" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_fork_that_asks_nothing_is_nobodys_business() -> None:
    code = """
import os
from pytest_mockstream import MockStreamClient, MockStreamSDK
client = MockStreamClient()
with MockStreamSDK() as sdk:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    client.complete("hi")
sdk.verify()
client.verify()
"""

    subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-c", code], check=True)


def test_guard_that_could_not_go_up_goes_up_with_the_next_door(pytester: pytest.Pytester) -> None:
    """In a process of its own: in this one, the session holds the guard up."""
    script = pytester.makepyfile(
        """
        import json, subprocess
        from pytest_mockstream.doors.guard import GUARD, held, hooks

        original = vars(subprocess.Popen)["__init__"]

        def fails(library):
            raise RuntimeError("this version has changed")

        hooks.HOOKS["json"] = fails
        try:
            with held():
                pass
        except RuntimeError:
            del hooks.HOOKS["json"]
        with held():
            print(vars(subprocess.Popen)["__init__"] is original)
        print(vars(subprocess.Popen)["__init__"] is original, GUARD.holders)
        """
    )

    assert pytester.runpython(script).outlines == ["False", "True 0"]
