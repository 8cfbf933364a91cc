"""``MockStreamServer``: a real HTTP server that plays scripts.

It needs no pytest.

Theory of operation: the record is written in the server's thread and read in the test's. Reading it first waits until
the server's event loop has handled everything that the kernel has for it. So whatever the code under test did to a
connection before the test looks is in the record, and a test never needs to wait or poll.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Self, Unpack

import h11

from pytest_mockstream._base.errors import ScriptError, UnclosedStreamWarning
from pytest_mockstream._base.legal import duration, integer, one_of
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.answer import WIRE_PROVIDERS, Answer, answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.settings import DEFAULT_BUFFER_SIZE, ServerOptions, door_settings, lists_server_options
from pytest_mockstream.playbook.ledger import State
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.playbook.script_file import ScriptFile
from pytest_mockstream.playbook.scripting import Scripted, default_script
from pytest_mockstream.script.pacing import Pacing

from .callers import Callers, client, watched
from .connection import Connection, Limits
from .exchange import play
from .listener import Listener
from .thread import LoopThread

_NAME = "mock_stream_server"
_BASES = {"openai": "/v1", "anthropic": "", "google": "", "ollama": ""}
_FAKE_KEY = "mockstream-fake-key"
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OLLAMA_API_KEY")
_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-headers": "*",
    "access-control-allow-methods": "POST",
}

_provider = one_of(*_BASES)
_at_least_one = integer(at_least=1)


class MockStreamServer(Scripted):
    """A streaming LLM provider on a real socket that plays scripts; works in and outside of pytest.

    It speaks HTTP/1.1 and all wire formats, which it tells apart by the path. It runs in a thread of its own from
    ``start`` to ``stop``; as a context manager it does both.

    Args:
        default_text: the text that every request gets as long as no script was ever queued.
        delay: seconds before each chunk.
        ttft: seconds before the first chunk; default: ``delay``.
        jitter: the largest random change of each gap between chunks, plus or minus, in seconds.
        seed: of the jitter.
        tokens_per_second: instead of ``delay``; one chunk counts as one token.
        buffer_size: how many frames a stream may be ahead of its client.
        host: the address to bind. Whoever can reach it can use it: it asks for no key.
        port: the port to bind; 0 for a free one.
        max_body: the largest body of a request, in bytes; a larger one gets status 413.
        request_timeout: how long a request may take to arrive, in seconds; a slower one gets status 408.
        record: how many requests ``requests`` remembers; None for all.
        cors: let web pages of any origin call it.

    Raises:
        ScriptError: a value is not legal.
        TypeError: there is no such keyword.
    """

    @lists_server_options
    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        max_body: int = 8 * 2**20,
        request_timeout: float | str = 30.0,
        record: int | None = None,
        cors: bool = False,
        **options: Unpack[ServerOptions],
    ) -> None:
        settings = door_settings(
            options, ServerOptions, "host", "port", "max_body", "request_timeout", "record", "cors"
        )
        self._pacing = settings.pacing
        self._buffer_size = settings.buffer_size
        self._keep = record
        self._cors = _CORS if cors else {}
        self._host = host
        self._default_text = settings.default_text
        self._thread = LoopThread(f"mockstream server {host}")
        self._cut_off: list[Answer] = []
        self._callers: Callers = {}
        self._until_stopped = contextlib.ExitStack()
        limits = Limits(
            body=_at_least_one(max_body, "max_body"),
            request_seconds=duration(request_timeout, "request_timeout"),
        )
        self._listener = Listener(self._respond, host=host, port=port, limits=limits)
        super().__init__(self._new_playbook(self._default_text))

    def __repr__(self) -> str:
        state = self.url if self._thread.is_running else "stopped"
        return f"<MockStreamServer {state}, {counted(len(self._playbook.requests), 'request')}>"

    # Its life.

    def start(self) -> Self:
        """Bind the address and serve; connections are accepted when this returns.

        Raises:
            OSError: the address cannot be bound.
        """
        if self._thread.is_running:
            return self
        with contextlib.ExitStack() as stack:
            self._thread.start()
            stack.callback(self._thread.stop)
            self._thread.run(self._listener.open())
            self._callers = stack.enter_context(watched(self._listener.port))
            self._until_stopped = stack.pop_all()
        return self

    def stop(self) -> None:
        """Close the port and every connection; thread and loop have ended when this returns. Any number of times.

        A stream that is still open was never closed by its client: its state becomes ``dropped``, and an
        ``UnclosedStreamWarning`` names the line that opened it.
        """
        if not self._thread.is_running:
            return
        self._thread.run(self._listener.close())
        self._until_stopped.close()
        for answered in self._settle("dropped"):
            message = f"{answered.request} was never closed: it ended with its server. {answered.entry.remedy}"
            site = answered.request.opened_at
            warnings.warn_explicit(message, UnclosedStreamWarning, site.filename, site.lineno)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if error is not None:  # that streams are left open is its doing, and no news
            self.end_streams()
        self.stop()

    def end_streams(self) -> None:
        """End every stream that is still open: its client gets a reset, and its state becomes ``broken``."""
        if self._thread.is_running and self._listener.connections:
            self._thread.run(self._listener.end_streams())
            self._settle("broken")

    def _settle(self, state: State) -> list[Answer]:
        """Settle the streams that the server has cut off, and return them."""
        cut_off, self._cut_off = self._cut_off, []
        return [answered for answered in cut_off if answered.entry.settle(state)]

    def reset(self, *, pacing: Pacing | None = None, buffer_size: int = DEFAULT_BUFFER_SIZE) -> None:
        """Start anew: end every stream, forget all scripts and requests, accept connections.

        Args:
            pacing: from now on, of scripts that set none themselves.
            buffer_size: from now on, as for the constructor.
        """
        self.end_streams()
        self._callers.clear()  # the port of one that has gone may soon be another's
        self._playbook = self._new_playbook(self._default_text)
        self._pacing = pacing or Pacing()
        self._buffer_size = buffer_size
        if self._thread.is_running:
            self._thread.run(self._listener.open())

    def replace(self, content: ScriptFile) -> None:
        """Play the scripts of a file from now on, with an empty record; running streams go on."""
        playbook = self._new_playbook(content.default_text or self._default_text)
        for script, condition in content.scripts:
            playbook.queue(script, condition)
        self._pacing = content.pacing
        self._playbook = playbook

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections while the ``with`` block lasts; running streams go on.

        Idle connections, which clients keep for their next request, are closed. The port stays bound.
        """
        self._thread.run(self._listener.refuse())
        try:
            yield
        finally:
            if self._thread.is_running:
                self._thread.run(self._listener.open())

    # Where it is.

    @property
    def url(self) -> str:
        """Its address, such as ``http://127.0.0.1:54321``; the port is known after ``start``."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._listener.port}"

    def base_url(self, provider: str) -> str:
        """Return the base URL for a provider's SDK.

        Args:
            provider: ``"openai"``, ``"anthropic"``, ``"google"`` or ``"ollama"``.

        Raises:
            ScriptError: no such provider.
        """
        return self.url + _BASES[_provider(provider, "provider")]

    def environment(self) -> dict[str, str]:
        """Return environment variables that lead every provider's SDK here, past any proxy; the keys are fake."""
        direct = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), self._host]))
        return {
            "OPENAI_BASE_URL": self.base_url("openai"),
            "ANTHROPIC_BASE_URL": self.base_url("anthropic"),
            "GOOGLE_GEMINI_BASE_URL": self.base_url("google"),
            "OLLAMA_HOST": self.base_url("ollama"),
            **dict.fromkeys(_KEYS, _FAKE_KEY),
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    # What came.

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order, each with what became of it.

        It shows everything that clients have done to their connections. What a client has not done yet, it cannot show:
        an event loop closes a socket one turn after it was told to.
        """
        self.catch_up()
        return self._playbook.requests

    def catch_up(self) -> None:
        """Wait until the server has handled everything that has reached it."""
        if self._thread.is_running and not self._thread.is_current:
            self._thread.run(self._listener.catch_up())

    async def _respond(self, incoming: HTTPRequest, connection: Connection) -> None:
        if self._cors and incoming.method == "OPTIONS":
            connection.send_head(204, self._cors.items())
            connection.send(h11.EndOfMessage())
            return
        playbook = self._playbook
        try:
            answered = self._answer(playbook, incoming, connection)
        except Exception as error:  # a predicate of the test's own may raise anything
            _fail(playbook, connection, f"{incoming.method} {incoming.path} could not be matched to a script", error)
            return
        answered.headers.update(self._cors)
        try:
            await play(answered, connection)
        except Exception as error:  # and a request may say what no answer can repeat, as a number that is infinite
            answered.leave("broken")
            _fail(playbook, connection, f"{answered.request} could not be played", error)
        if answered.request.state == "open":
            self._cut_off.append(answered)

    def _new_playbook(self, default_text: str) -> Playbook:
        playbook = Playbook(default_script(default_text), name=_NAME, providers=WIRE_PROVIDERS)
        playbook.catch_up = self.catch_up
        playbook.is_open = lambda: self._thread.is_running and self._playbook is playbook
        return playbook

    def _answer(self, playbook: Playbook, incoming: HTTPRequest, connection: Connection) -> Answer:
        caller = self._callers.pop(connection.peer[1], None) or client(incoming, connection.peer)
        answered = answer(playbook, incoming, opened_at=caller.site, pacing=self._pacing, buffer_size=self._buffer_size)
        answered.entry.remedy = caller.remedy or answered.entry.remedy
        answered.entry.catch_up = self.catch_up
        answered.entry.asked_in = caller.loop
        if self._keep is not None:
            del playbook.requests[: -self._keep]
        return answered


def _fail(playbook: Playbook, connection: Connection, what: str, error: Exception) -> None:
    """Report to both the client and the test that a request cannot be answered."""
    problem = ScriptError(f"{what}: {error!r}")
    problem.__cause__ = error
    playbook.remember(problem)
    connection.refuse(500, f"pytest-mockstream: {problem}")
