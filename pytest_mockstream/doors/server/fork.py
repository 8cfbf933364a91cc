"""Sockets of which a forked child keeps no copy.

Theory of operation: a connection ends, and a port is free, once every process has closed its copy of the socket. A
child of ``fork`` has copies, and no thread that serves them. So each of the server's sockets is noted here, and a child
closes its copies before it does anything else. A socket is opened and closed with a lock held that a fork waits for: at
neither moment does its object tell which descriptor it has. A program that is executed has none (PEP 446).
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Self

_lock = threading.RLock()  # held while a child closes its copies
_sockets: weakref.WeakSet[UnsharedSocket] = weakref.WeakSet()


class UnsharedSocket(socket.socket):
    """A socket of which a forked child keeps no copy."""

    @classmethod
    def take(cls, opened: Callable[[], socket.socket]) -> Self:
        """Take over the socket that ``opened`` returns, which must not block."""
        with _lock:
            taken = opened()
            own = cls(taken.family, taken.type, taken.proto, taken.detach())
            _sockets.add(own)
        return own

    def close(self) -> None:
        """Close it."""
        with _lock:
            super().close()


def _in_child() -> None:
    for copy in list(_sockets):
        copy.close()
    _lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_in_child)
