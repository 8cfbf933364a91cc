"""What the commands that start the server have in common: arguments, greeting and signals."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytest_mockstream._base.errors import ScriptError

from .door import MockStreamServer, port_of
from .upstreams import is_of_this_machine

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where a server listens and what it speaks."""
    parser.add_argument(
        "--host", type=_host, default="127.0.0.1", help="address to bind (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--port", type=_port, default=8000, help="port to bind, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--provider", help="whose dialect of OpenAI's format it speaks, such as openrouter (default: by the path)"
    )


def _host(text: str) -> str:
    if not text.strip():  # which for sockets means every address
        msg = f"{text!r} is no address: give 127.0.0.1 for this machine only, or 0.0.0.0 for all that can reach it"
        raise argparse.ArgumentTypeError(msg)
    return text


def _port(text: str) -> int:
    try:
        return port_of(text, "port")
    except ScriptError as error:
        raise argparse.ArgumentTypeError(f"{error}; 0 is any free one") from None


def server_of(options: argparse.Namespace, **more: Any) -> MockStreamServer | None:
    """Return a server for any client, browsers too; None if there can be none, which has been said then."""
    where = {"host": options.host, "port": options.port, "provider": options.provider}
    try:
        return MockStreamServer(**where, record=1000, cors=True, keep_alive=True, **more)
    except ScriptError as error:
        print(f"--provider: {error}", file=sys.stderr)
        return None


def starts(server: MockStreamServer, options: argparse.Namespace) -> bool:
    """Start a server; False if it cannot be started, which has been said then."""
    try:
        server.start()
    except (OSError, UnicodeError) as error:  # of the second kind for a name that no host can have
        print(f"{options.host}:{options.port} cannot be bound: {error}", file=sys.stderr)
        return False
    return True


def greet(server: MockStreamServer, what: str, host: str) -> None:
    """Say what the server does, and how clients find it."""
    print(f"{what} on {server.url} until Ctrl-C", flush=True)
    for name, value in server.environment().items():
        if value.startswith(server.url):
            print(f"  export {name}={value}", flush=True)
    if not is_of_this_machine(host):
        print(f"  {host} is open to other machines: nothing here asks who is calling", flush=True)


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set, so that nothing is broken off halfway; a second one breaks it off."""
    over = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        over.set()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
