"""``python -m pytest_mockstream serve``: the server outside of pytest, for a browser, a demo or a load test.

Here are the arguments, the script file, the output and the signals; the server is the one that tests use.
"""

from __future__ import annotations

import argparse
import ipaddress
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from pytest_mockstream.doors.answer import WIRE_PROVIDERS
from pytest_mockstream.playbook.script_file import ScriptFile, ScriptFileError, parse_script_file

Modified: TypeAlias = "tuple[int, int] | None"

_LOOK_EVERY = 0.3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 for a file with mistakes, 2 for a wrong call."""
    options = _parser().parse_args(arguments)
    path = Path(options.script)
    modified = _modified(path)  # before it is read: what changes later is read again
    try:
        content = _load(path)
    except ScriptFileError as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, UnicodeDecodeError) as error:
        print(f"{path}: cannot be read: {error}", file=sys.stderr)
        return 2
    if options.check:
        count = len(content.scripts)
        print(f"{path}: {count} script{'' if count == 1 else 's'}, no mistakes")
        return 0
    return _serve(path, content, modified, host=options.host, port=options.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_mockstream serve", description=_serve.__doc__)
    parser.add_argument("script", metavar="SCRIPT.toml", help="the scripts, in TOML; read again whenever it changes")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s, this machine only)")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="port to bind, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="say what is wrong with the file, and serve nothing")
    return parser


def port_number(text: str) -> int:
    """Read a port of the command line; 0 means any free one."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise ValueError
    return port


def _load(path: Path) -> ScriptFile:
    return parse_script_file(path.read_text(encoding="utf-8"), name=str(path), providers=WIRE_PROVIDERS)


def _serve(path: Path, content: ScriptFile, modified: Modified, *, host: str, port: int) -> int:
    """Play a script file over HTTP until Ctrl-C."""
    try:
        from pytest_mockstream.doors.server import MockStreamServer
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    server = MockStreamServer(host=host, port=port, record=1000, cors=True)
    server.replace(content)
    try:
        server.start()
    except OSError as error:
        print(f"{host}:{port} cannot be bound: {error}", file=sys.stderr)
        return 2
    with server, _interruption() as over:
        _greet(server, path, host)
        while not over.wait(_LOOK_EVERY):
            if (now := _modified(path)) != modified:
                modified = now
                _reload(server, path)
        server.end_streams()
    return 0


def _greet(server: Any, path: Path, host: str) -> None:
    print(f"{path} plays on {server.url} until Ctrl-C", flush=True)
    for name, value in server.environment().items():
        if value.startswith(server.url):
            print(f"  export {name}={value}", flush=True)
    if not _is_loopback(host):
        print(f"  {host} is open to other machines: nothing here asks who is calling", flush=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reload(server: Any, path: Path) -> None:
    try:
        server.replace(_load(path))
    except (OSError, UnicodeDecodeError, ScriptFileError) as error:
        print(f"{error}\n{path} has mistakes: playing what it said before", file=sys.stderr, flush=True)
    else:
        print(f"{path} has changed: read again", flush=True)


def _modified(path: Path) -> Modified:
    try:
        status = path.stat()
    except OSError:  # an editor that replaces the file has it away for a moment
        return None
    return status.st_mtime_ns, status.st_size


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set, so that nothing is broken off halfway."""
    over = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        over.set()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
