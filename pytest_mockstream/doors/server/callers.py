"""Who sends a request to the server: the line of code, if it is in this process; else the client's name.

No line is known of other processes, and of libraries with sockets of their own (uvloop, pycurl).

Theory of operation: both ends of a connection know each other's ports. Sockets are watched: the line that sends
something is noted before it is sent, by the port that it is sent from, so it is there when the request arrives.
"""

from __future__ import annotations

import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, TypeAlias

from pytest_mockstream._base.callsite import NO_LINE, CallSite, awaiting_site, is_library
from pytest_mockstream._base.loops import Loop, running_loop
from pytest_mockstream._base.redaction import Secrets
from pytest_mockstream._base.replace import Replacement, put_on, take_off
from pytest_mockstream.doors.asker import asker_of
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.remedies import remedy_for
from pytest_mockstream.playbook.ledger import Asker, asking_clock

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_SENDING = ("send", "sendall", "sendmsg")  # sendmsg is not on Windows


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        site: the line, or what else is known of the client.
        remedy: how the SDK in use closes a stream, or None.
        loop: returns the event loop that it was sent in, if that still exists.
        asker: what the stack shows of who sent it.
        clock: that of the loop that it was sent in, or None.
    """

    site: CallSite
    remedy: str | None = None
    loop: Callable[[], Loop | None] = _nothing
    asker: Asker = field(default_factory=Asker)
    clock: Callable[[], float] | None = None


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
            for kind in _kinds_of_sockets():
                for name in filter(partial(hasattr, kind), _SENDING):
                    _patches.callback(take_off, put_on(Replacement(kind, name, _noting)))
        callers = _watched[port] = {}
    try:
        yield callers
    finally:
        with _lock:
            del _watched[port]
            if not _watched:
                _patches.close()


def _kinds_of_sockets() -> list[type]:
    """Return the class of sockets, and trio's own where it is loaded: it has bound the other one's methods before.

    The name of trio's is private, checked against trio 0.30 to 0.35; without it no line is known of clients on trio.
    """
    own = getattr(sys.modules.get("trio._socket"), "_SocketType", None)
    return [socket.socket] if own is None else [socket.socket, own]


def client(incoming: HTTPRequest, address: tuple[str, int]) -> Caller:
    """Return who sent a request whose line is not known: the client's name, its address and its port."""
    host, port = address
    agent = Secrets().shown(incoming.headers.get("user-agent", "a client"))
    return Caller(CallSite(f"{agent}, {host}", port, NO_LINE))


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
        loop = running_loop()
        in_loop = _nothing if loop is None else weakref.ref(loop)
        callers[port] = Caller(site, remedy_for(frame, ""), in_loop, asker_of(frame), asking_clock())
