"""A recording that only collects what it is told, and a provider that says exactly these bytes."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pytest_mockstream._base.clock import monotonic
from pytest_mockstream.playbook.live import Ending
from pytest_mockstream.playbook.request import Request

Wrap: TypeAlias = "Callable[[socket.socket], Any]"

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Heard:
    """What a recording was told of one exchange."""

    method: str
    url: str
    sent: bytes
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    left_after: int | None = None
    ending: Ending | None = None
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)

    def received(self, data: bytes) -> None:
        self.pieces.append((monotonic(), data))

    def left(self) -> None:
        self.left_after = len(self.body)

    def ended(self, how: Ending = "end") -> None:
        self.ending = self.ending or how
        self.over.set()


class Recorder:
    """Records every request for which there is no script."""

    def __init__(self, drain: float = 30.0) -> None:
        self.drain = drain
        self.heard: list[Heard] = []

    def records(self, request: Request) -> bool:
        return True

    def take(self, request: Request, *, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Heard:
        self.heard.append(Heard(method, url, body))
        return self.heard[-1]

    def missed(self, request: Request) -> str:
        return ""


class Provider:
    """One connection that a provider has accepted, with the request that came."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        with sock.makefile("rb") as file:
            self.line, *lines = [line.rstrip().decode("latin-1") for line in iter(file.readline, b"\r\n")]
            self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            self.body = file.read(int(self.headers.get("content-length", 0)))

    def say(self, data: bytes) -> None:
        self._sock.sendall(data)

    def fill(self, data: bytes, *, most: int) -> bool:
        """Say something again and again until nobody takes any more, at most so many times; return whether it was."""
        self._sock.settimeout(0.5)
        try:
            for _ in range(most):
                self._sock.sendall(data)
        except TimeoutError:
            return True
        finally:
            self._sock.settimeout(30)
        return False

    def reset(self) -> None:
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._sock.close()

    def wait_for_leaving(self) -> None:
        """Wait until the other side has closed the connection."""
        with suppress(ConnectionError):
            assert self._sock.recv(1) == b""


@contextmanager
def provider(
    answer: Callable[[Provider], None], wrap: Callable[[socket.socket], Any] = lambda sock: sock
) -> Iterator[str]:
    """Answer every connection to a port of this machine; yields its URL."""
    problems: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listening.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=converse, args=(sock,)))
                threads[-1].start()

        def converse(sock: socket.socket) -> None:
            try:
                with wrap(sock) as wrapped:
                    wrapped.settimeout(30)
                    answer(Provider(wrapped))
            except ssl.SSLError:  # who does not trust us has left, and says so
                pass
            except BaseException as problem:  # shown by the test
                problems.append(problem)

        threads = [threading.Thread(target=serve)]
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(30)
    if problems:
        raise problems[0]
