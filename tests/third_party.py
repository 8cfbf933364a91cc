"""Run other people's suites, unmodified, with the leak check on, and compare what it says of them with what is known.

    python tests/third_party.py [uvicorn] [mcp] ...

Each project's sdist comes from the package index, into a virtual environment and a folder that are gone afterwards. The
exit status is 1 if the check says something of a project that is not in the table, or if a suite did not run. All
together take about two hours: once a night is often enough.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LASTING = {"singleton", "import", "plugin"}  # these fail nobody
_TIMEOUT = ("--timeout=60",)

OURS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Project:
    """A project whose sdist has its tests.

    Attributes:
        requirement: what is downloaded.
        extras: of the project, that its tests need.
        needs: what else its tests need.
        args: for pytest.
        limit: seconds that one run of its suite may take.
        judged: what the check says of it, by kind and function; a comment at each entry says what it was found to be.
    """

    requirement: str
    extras: str = ""
    needs: tuple[str, ...] = ()
    args: tuple[str, ...] = ("tests",)
    limit: float = 600
    judged: frozenset[str] = frozenset()


#: Left out, for their sdists have no tests, or not all of what those need: pydantic-ai, httpx, respx, aiosqlite (in one
#: file that pytest does not find), dramatiq (no conftest file). redis, dramatiq's brokers and most of
#: apscheduler's job stores need servers, so that redis stands here with what does without.
PROJECTS = {
    "sse-starlette": Project(
        "sse-starlette==3.7.0",
        needs=("asgi-lifespan", "fastapi", "httpx", "portend", "psutil", "pytest-asyncio", "tenacity", "uvicorn"),
        args=("tests", "--ignore=tests/integration", "--ignore=tests/experimentation"),
    ),
    "starlette": Project("starlette==1.10.0", extras="[full]", needs=("trio", "httpx")),
    "mcp": Project(
        "mcp==2.3.0",
        extras="[cli,ws]",
        needs=("coverage", "dirty-equals", "inline-snapshot", "markdown", "pytest-examples", "pytest-xdist", "trio"),
        args=("tests", "--ignore=tests/examples", "--ignore=tests/docs"),
    ),
    "langchain-core": Project(
        "langchain-core==1.8.3",
        needs=(
            "blockbuster",
            "freezegun",
            "grandalf",
            "langchain-tests",
            "numpy",
            "pytest-asyncio",
            "pytest-mock",
            "pytest-socket",
            "responses",
            "syrupy",
        ),
        args=("tests/unit_tests",),
        judged=frozenset(
            {
                # Real: LangSmithLoader makes a Client that it never closes, and offers no way to. Four tests, each one.
                "thread langsmith._internal._background_thread.tracing_control_thread_func",
                # In the project's own checkout its code is the user's, and so is a pool that it makes and keeps. Where
                # langchain-core is installed, the same pool is a singleton.
                "thread langchain_core/callbacks/manager.py:2795",
            }
        ),
    ),
    "openai-agents": Project(
        "openai-agents==0.24.0",
        extras="[litellm,redis,sqlalchemy,voice]",
        needs=("fakeredis", "graphviz", "inline-snapshot", "pytest-asyncio", "pytest-mock"),
        args=(  # the core, as it runs and traces; all takes half an hour
            "tests/test_agent_runner.py",
            "tests/test_agent_tracing.py",
            "tests/test_cancel_streaming.py",
            "tests/test_run_step_execution.py",
            "tests/test_trace_processor.py",
            "tests/test_tracing.py",
            "tests/test_tracing_errors.py",
        ),
    ),
    "aiohttp": Project(
        "aiohttp==3.14.5",
        needs=(
            "blockbuster",
            "freezegun",
            "isal",
            "proxy.py",
            "pytest-codspeed",
            "pytest-mock",
            "re-assert",
            "trustme",
        ),
        args=(  # what opens connections; all takes half an hour
            "tests/test_client_functional.py",
            "tests/test_client_session.py",
            "tests/test_client_ws_functional.py",
            "tests/test_connector.py",
            "tests/test_resolver.py",
            "tests/test_run_app.py",
            "tests/test_web_functional.py",
            "tests/test_web_runner.py",
            "tests/test_web_server.py",
            "tests/test_web_websocket_functional.py",
        ),
        judged=frozenset(
            {
                # Real, of a test: it waits for the first of two tasks, and leaves the other one sleeping.
                "task asyncio.tasks.sleep",
            }
        ),
    ),
    "redis": Project(
        "redis==8.1.0",
        needs=("pytest-asyncio", "mock"),
        args=(
            "tests/test_asyncio/test_retry.py",
            "tests/test_asyncio/test_multidb",
            "tests/test_background.py",
            "tests/test_backoff.py",
            "tests/test_event.py",
            "tests/test_multidb",
            "tests/test_retry.py",
        ),
        judged=frozenset(
            {
                # Real, of the tests: they start schedulers, and stop none of them.
                "thread redis.background._start_event_loop_in_thread",
            }
        ),
    ),
    "asgiref": Project(
        "asgiref==3.13.0",
        needs=("pytest-asyncio",),
        judged=frozenset(
            {
                # Debatable: gather() leaves what goes on when another one raises; asyncio.run() cancels it then.
                "task asgiref.server.StatelessServer.application_checker",
            }
        ),
    ),
    "uvicorn": Project(
        "uvicorn==0.54.0",
        extras="[standard]",
        needs=("a2wsgi", "cryptography", "httpx", "pytest-mock", "trustme", "wsproto"),
        judged=frozenset(
            {
                # Real, of the tests: always_pong() in a thread of theirs reads for ever from a pipe that nobody closes.
                "thread uvicorn.supervisors.multiprocess.Process.always_pong",
            }
        ),
    ),
    "anyio": Project(
        "anyio==4.16.0",
        extras="[trio]",
        needs=("blockbuster", "exceptiongroup", "hypothesis", "psutil", "pytest-mock", "trustme", "uvloop"),
        limit=1200,
        judged=frozenset(
            {
                # Real, of the tests: the server's thread sleeps for a second, and nobody joins it.
                "thread tests.test_sockets.TestTCPStream.test_receive_timeout.<locals>.serve",
                # Real: where the test fails, as it does where localhost has no address, its server still accepts.
                "thread tests.test_sockets.TestTCPStream.test_happy_eyeballs.<locals>.serve",
            }
        ),
    ),
    "httpx-sse": Project("httpx-sse==0.4.3", needs=("httpx", "pytest-asyncio", "sse-starlette", "starlette")),
    "async-lru": Project("async-lru==2.4.0", needs=("pytest-asyncio",)),
    "aiostream": Project("aiostream==0.8.1", needs=("pytest-asyncio", "pytest-cov")),
    "websockets": Project("websockets==16.1.1"),
    "apscheduler": Project(
        "apscheduler==3.11.3",
        needs=("pytest-asyncio", "pytz", "sqlalchemy", "tornado"),
        args=(
            "tests",
            "-k",
            "not mongodb and not redis and not zookeeper and not etcd and not rethinkdb and not Qt and not Twisted",
        ),
        judged=frozenset(
            {
                # Real, of the tests: they start schedulers that they do not shut down, each with its pool.
                "thread tests/test_schedulers.py:1003",
            }
        ),
    ),
    "hypercorn": Project(
        "hypercorn==0.18.0",
        extras="[trio]",
        needs=("httpx", "pytest-asyncio", "pytest-trio"),
        judged=frozenset(
            {
                # Real, where the test fails, as it does with h2 4.4: then its server goes on with all that it runs.
                "task hypercorn.asyncio.tcp_server.TCPServer.run",
                "task hypercorn.protocol.h2.H2Protocol.send_task",
                "task hypercorn.asyncio.tcp_server.TCPServer._idle_timeout",
            }
        ),
    ),
    "taskiq": Project(
        "taskiq==0.13.0",
        extras="[reload]",
        needs=("polyfactory",),
        judged=frozenset(
            {
                # Real, of the tests: they make brokers that they do not shut down, each with its pool.
                "thread taskiq/brokers/inmemory_broker.py:139",
                # Real, of the tests: pools that nobody shuts down; in one a job sleeps on after its time-out.
                "thread tests/receiver/test_receiver.py:47",
                "thread test_receiver.test_run_timeouts_sync.<locals>.test_func",
            }
        ),
    ),
    "aiofiles": Project("aiofiles==25.1.0"),
    "janus": Project("janus==2.0.0", needs=("pytest-benchmark", "pytest-codspeed", "pytest-cov")),
    "httpcore": Project(
        "httpcore==1.0.9",
        extras="[asyncio,http2,socks,trio]",
        needs=("pytest-httpbin", "pytest-trio"),
        args=("tests", "--ignore=tests/benchmark"),
    ),
}


class Workshop:
    """A folder with an environment in which one project is installed beside our plugin."""

    def __init__(self, folder: Path, project: Project) -> None:
        self._folder = folder
        self._project = project
        self._python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"

    def build(self) -> Path:
        """Install everything and return the folder of the unpacked sdist."""
        venv.create(self._folder / "venv", with_pip=True)
        self._pip("download", "--no-deps", "--no-binary=:all:", f"--dest={self._folder}", self._project.requirement)
        (archive,) = self._folder.glob("*.tar.gz")
        with tarfile.open(archive) as sdist:
            sdist.extractall(self._folder, filter="data")
        (source,) = (path for path in self._folder.glob(f"{archive.name.removesuffix('.tar.gz')}*") if path.is_dir())
        self._pip("install", str(OURS), f"{source}{self._project.extras}", "pytest-timeout", *self._project.needs)
        return source

    def test(self, source: Path, *args: str) -> str:
        """Run the project's suite and return what pytest printed."""
        command = [self._python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-o", "addopts=", *_TIMEOUT]
        command += ["--continue-on-collection-errors", *self._project.args, *args]
        try:
            return self._run(*command, cwd=source, check=False, timeout=self._project.limit).stdout
        except subprocess.TimeoutExpired:
            return f"not over after {self._project.limit:g} s"

    def _pip(self, *args: str) -> None:
        self._run(self._python, "-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check", *args)

    def _run(self, *command: Any, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, check=check, stdout=subprocess.PIPE, encoding="utf-8", errors="replace", **options
        )


def main() -> None:
    """Run the projects that were asked for; all if none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="*", metavar="|".join(PROJECTS))
    names = parser.parse_args().projects or list(PROJECTS)
    if unknown := sorted(set(names) - set(PROJECTS)):
        parser.error(f"no such project: {', '.join(unknown)}")
    surprises = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            if not _is_as_known(PROJECTS[name], Path(folder)):
                surprises.append(name)
    print(f"\n{len(names)} suites; to be looked at: {', '.join(surprises) or 'none'}")
    sys.exit(bool(surprises))


def _is_as_known(project: Project, folder: Path) -> bool:
    workshop = Workshop(folder, project)
    print(f"== {project.requirement}, Python {sys.version.split()[0]}", flush=True)
    try:
        source = workshop.build()
    except subprocess.CalledProcessError as error:
        print(f"not built: {error}")
        return False
    report = folder / "report.json"
    print(f"without the check: {_last_line(workshop.test(source, '--mockstream-leaks=off'))}", flush=True)
    checked = workshop.test(source, f"--mockstream-report={report}")
    print(f"with the check:    {_last_line(checked)}")
    if not report.exists() or " passed" not in _last_line(checked):
        print(checked[-2000:])
        return False
    content = json.loads(report.read_text(encoding="utf-8"))
    armed, leaks = content["armed"], content["leaks"]
    said = [leak for leak in leaks if leak["owner"] not in _LASTING]
    print(f"reported: {len(said)} (armed: {', '.join(kind for kind, sees in armed.items() if sees)})", flush=True)
    for leak in said:
        print(f"  {'known' if _key(leak) in project.judged else 'NEW'}: {_key(leak)}")
        print(f"    {leak['name']!r} of {leak['test']} ({leak['owner']}, {leak['outcome']})")
        print(f"    created at {leak['created_at']}, waits at {leak['waits_at']}; {leak['diagnosis']} {leak['remedy']}")
    found = {_key(leak) for leak in said}
    for gone in sorted(project.judged - found):
        print(f"  not seen this time: {gone}")
    return found <= project.judged


def _key(leak: dict[str, Any]) -> str:
    """Return what tells a leak from others in a project: what runs, or else who started it."""
    return f"{leak['kind']} {leak['target'] or leak['created_at'] or leak['name']}"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if re.search(r"\d+ (passed|failed|error|skipped)", line)]
    return lines[-1].strip("= ") if lines else text[-1000:]


if __name__ == "__main__":
    main()
