"""Who sends a request to the server: the line of code, if it is in this process; else the client's name.

No line is known of other processes, and of libraries with sockets of their own (uvloop, pycurl).

Theory of operation: both ends of a connection know each other's ports. Sockets are watched: the line that sends
something is noted before it is sent, by the port that it is sent from, so it is there when the request arrives.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import weakref
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

from pytest_mockstream._base.callsite import CallSite, awaiting_site, is_library
from pytest_mockstream._base.replace import Replacement, put_on, take_off
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.remedies import remedy_for

_SENDING = ("send", "sendall", "sendmsg")  # sendmsg is not on Windows
_NO_LINE = "a client that shows no line"


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        site: the line, or what else is known of the client.
        remedy: how the SDK in use closes a stream, or None.
        loop: returns the event loop that it was sent in, if that still exists.
    """

    site: CallSite
    remedy: str | None = None
    loop: Callable[[], AbstractEventLoop | None] = _nothing


#: By the client's port.
Callers: TypeAlias = "dict[int, Caller]"

# By the server's port. The class of sockets is patched once for all servers of the process. Single operations on a dict
# are atomic.
_watched: dict[int, Callers] = {}
_patches = ExitStack()
_lock = threading.Lock()


@contextmanager
def watched(port: int) -> Iterator[Callers]:
    """Note who sends something to a port of this machine, while the block lasts.

    Args:
        port: a server's.
    """
    with _lock:
        if not _watched:
            for name in filter(partial(hasattr, socket.socket), _SENDING):
                _patches.callback(take_off, put_on(Replacement(socket.socket, name, _noting)))
        callers = _watched[port] = {}
    try:
        yield callers
    finally:
        with _lock:
            del _watched[port]
            if not _watched:
                _patches.close()


def client(incoming: HTTPRequest, address: tuple[str, int]) -> Caller:
    """Return who sent a request whose line is not known: the client's name, its address and its port."""
    host, port = address
    agent = incoming.headers.get("user-agent", "a client")
    return Caller(CallSite(f"{agent}, {host}", port, _NO_LINE))


def _noting(original: Callable[..., Any]) -> Callable[..., Any]:
    def send(sock: socket.socket, *args: Any) -> Any:
        if _watched:
            _note(sock, sys._getframe(1))
        return original(sock, *args)

    return send


def _note(sock: socket.socket, frame: FrameType) -> None:
    try:
        peer = sock.getpeername()
        callers = _watched.get(peer[1]) if isinstance(peer, tuple) else None
        if callers is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        port = sock.getsockname()[1]
    except OSError:  # it is not connected: sending will say so
        return
    site = awaiting_site(frame)
    if not is_library(site.filename):  # aiohttp on Python 3.11 sends from a task of its own
        loop = asyncio._get_running_loop()
        callers[port] = Caller(site, remedy_for(frame, ""), _nothing if loop is None else weakref.ref(loop))
