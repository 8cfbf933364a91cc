"""A server on loopback that sends exactly the bytes it is told to, over TLS if need be."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

#: What a server does next: send bytes, or wait for something.
Act: TypeAlias = "bytes | Callable[[], object]"


@dataclass(eq=False)
class RawServer:
    """What a server was asked.

    Attributes:
        url: where it is.
        requests: the requests, as they came.
        gone: set when a client has closed its connection, or was done with.
    """

    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    gone: threading.Event = field(default_factory=threading.Event)


def chunked(*pieces: bytes, headers: str = "") -> list[bytes]:
    """Return an answer in chunks: its head, each chunk, and its end."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{headers}transfer-encoding: chunked\r\n\r\n"
    return [head.encode(), *(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


@contextmanager
def raw_server(*answers: Sequence[Act], tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Serve answers, one for each request; a connection stays open until its client closes it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(f"{'https' if tls else 'http'}://localhost:{listener.getsockname()[1]}")
    waiting = list(answers)
    sockets: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        with suppress(OSError), sock:
            while (request := _request(sock)) and waiting:
                server.requests.append(request)
                for act in waiting.pop(0):
                    if callable(act):
                        act()
                    else:
                        sock.sendall(act)
        server.gone.set()

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            if tls is not None:
                try:
                    sock = tls.wrap_socket(sock, server_side=True)
                except OSError:
                    continue
            sock.settimeout(60)
            sockets.append(sock)
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = [threading.Thread(target=accept, daemon=True)]
    threads[0].start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in sockets:
            with suppress(OSError):  # it is closed already
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(60)


@contextmanager
def tunnel() -> Iterator[str]:
    """Be a proxy that lets one connection through to wherever it says (``CONNECT``); yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                client, _ = listener.accept()
                host, _, port = _request(client).split()[1].decode().partition(":")
                with client, socket.create_connection((host, int(port))) as there:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    back = threading.Thread(target=_pump, args=(there, client), daemon=True)
                    back.start()
                    _pump(client, there)
                    back.join()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(60)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := sock.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    sizes = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while sizes and len(body) < int(sizes[0]):
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body
