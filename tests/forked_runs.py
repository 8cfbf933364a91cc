"""Starts the runs of pytest that tests start: each is forked from a process that has loaded pytest.

Most of what such a run costs is to load pytest, what asyncio and this package need of the standard library, and openai,
if a file of the run imports that. It has been loaded, and nothing else, and each run has a process of its own, from its
arguments to its exit. A new interpreter is started where the two might differ, where there is no fork, and with
``--slow``.

Run as a program, this is the process that forks, with what it is to load besides as arguments. It reads a line of JSON
for each run and answers with two: the id of the process, and how that has ended.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import re
import runpy
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pytest

#: What each run loads of the standard library. Not asyncio itself, nor pdb, which loads it from CPython 3.14 on:
#: runs that do not use it show that they do not load it.
_LOADED = ("concurrent.futures.thread", "email.parser", "secrets", "ssl", "subprocess", "sysconfig", "tomllib")
#: Variables that an interpreter reads when it starts.
_AT_START = ("PYTHON", "LC_", "LANG")
_IMPORT = re.compile(rb"^\s*(import|from) openai\b", re.MULTILINE)


def at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an interpreter reads of an environment when it starts, but for its path."""
    return {name: value for name, value in environment.items() if name.startswith(_AT_START) and name != "PYTHONPATH"}


class Forks:
    """Starts runs, one at a time."""

    def __init__(self) -> None:
        self._environment = at_start(os.environ)
        self._with_openai = importlib.util.find_spec("openai") is not None
        self._servers: dict[tuple[str, ...], Server] = {}

    def popen(self, start: Callable[..., Any], command: Sequence[str], **how: Any) -> Any:
        """Do as ``Pytester.popen``, which is ``start``, does; fork where the command runs pytest, as it would here."""
        is_run = tuple(command[:2]) == (sys.executable, "-mpytest") and how.keys() == {"stdin", "stdout", "stderr"}
        if not is_run or how["stdin"] is not pytest.Pytester.CLOSE_STDIN or at_start(os.environ) != self._environment:
            return start(command, **how)
        path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH", "")]))
        return self.run(command[2:], {**os.environ, "PYTHONPATH": path}, how["stdout"], how["stderr"])

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], stdout: TextIO, stderr: TextIO
    ) -> ForkedRun:
        """Start a run of pytest in the current folder, whose output goes into two files."""
        also = ("openai",) if self._with_openai and _imports_openai() else ()
        server = self._servers.get(also) or self._servers.setdefault(also, Server(also))
        wanted = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": os.getcwd(),
            "output": [os.fspath(file.name) for file in (stdout, stderr)],
        }
        server.ask(wanted)
        return ForkedRun(server, server.told())

    def close(self) -> None:
        """End the processes that fork; runs that they have forked go on."""
        for server in self._servers.values():
            server.close()


def _imports_openai() -> bool:
    """Tell whether a file of the current folder imports openai."""
    return any(_IMPORT.search(file.read_bytes()) for file in Path.cwd().rglob("*.py"))


class Server:
    """A process that forks, as whoever wants runs sees it.

    Args:
        also: the modules that it loads besides.
    """

    def __init__(self, also: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *also],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )

    def ask(self, wanted: object) -> None:
        """Ask for a run."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")

    def told(self, timeout: float | None = None) -> int:
        """Return the next number that the process tells.

        Raises:
            subprocess.TimeoutExpired: it tells none in time.
        """
        stdout = self._process.stdout
        assert stdout is not None
        if not select.select([stdout], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("pytest", timeout or 0)
        return int(stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class ForkedRun:
    """A run, with what ``Pytester`` asks of a ``subprocess.Popen``."""

    stdin = None

    def __init__(self, server: Server, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return its exit status, as ``subprocess`` has it."""
        if self.returncode is None:
            self.returncode = self._server.told(timeout)
        return self.returncode

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, 9)


def _serve() -> None:
    """Fork for each line; only in the processes of runs does this return."""
    from _pytest.config import default_plugins

    for name in [*(f"_pytest.{name}" for name in default_plugins), *_LOADED, *sys.argv[1:]]:
        importlib.import_module(name)
    if (module := sys.modules.get("asyncio")) is not None:
        module.__doc__ = "PYTEST_DONT_REWRITE"  # or `-p asyncio`, a plugin, would warn that it is loaded already
    gc.freeze()  # collections of the runs pass over what is there: pytest itself collects several times
    path = sys.path[1:]  # without the folder of this file
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(wanted, path)
            return
        for number in (pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])):
            os.write(1, b"%d\n" % number)
    os._exit(0)


def _become(wanted: dict[str, Any], path: list[str]) -> None:
    """Make of this process what a new one would be."""
    for number, name in enumerate([os.devnull, *wanted["output"]]):
        file = os.open(name, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = os.fdopen(0, encoding=sys.stdin.encoding, closefd=False)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.path[:] = [wanted["folder"], *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *path]
    sys.argv[:] = ["pytest", *wanted["arguments"]]


if __name__ == "__main__":
    _serve()
    runpy.run_module("pytest", run_name="__main__", alter_sys=True)
