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
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

import h11

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import MockStreamError, ScriptError, UnclosedStreamWarning
from pytest_mockstream._base.legal import duration, integer, one_of
from pytest_mockstream._base.redaction import Secrets
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors import cloud
from pytest_mockstream.doors.answer import WIRE_PROVIDERS, Answer, Asked, provider_given, understood
from pytest_mockstream.doors.asker import with_attempts
from pytest_mockstream.doors.guard import FAKE_KEY, UNTRACED
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.passed import Passed
from pytest_mockstream.doors.settings import DEFAULT_BUFFER_SIZE, ServerOptions, door_settings, lists_server_options
from pytest_mockstream.doors.unknown import wrong_path
from pytest_mockstream.playbook.ledger import State, entry_of
from pytest_mockstream.playbook.live import Recordings
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.playbook.script_file import ScriptFile
from pytest_mockstream.playbook.scripting import Scripted, default_script
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.wire import DIALECTS, keys_of

from .callers import Callers, client, watched
from .choice import choose
from .connection import Connection, Limits
from .cors import preflight
from .exchange import play
from .listener import Listener
from .relay import Relays
from .thread import LoopThread
from .upstreams import BASES, Upstream, Upstreams, is_of_this_machine

if TYPE_CHECKING:
    from .panel import Panel

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_NAME = "mock_stream_server"
_LOOK_EVERY = 5.0  # the thread is waited for no longer than 20 s
_KEYS = ("ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OLLAMA_API_KEY", *keys_of(("cohere", *DIALECTS)))

_OWN_KEYWORDS = (
    "host",
    "port",
    "max_body",
    "request_timeout",
    "record",
    "cors",
    "keep_alive",
    "provider",
    "recordings",
    "upstream",
    "panel",
)

_provider = one_of(*BASES)
_at_least_one = integer(at_least=1)
_at_least_none = integer(at_least=0)
#: Returns the port of an address; 0 means any free one.
port_of = integer(at_least=0, at_most=65535)


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
        record: how many requests are remembered, the latest; 0 for none, None for all.
        cors: let web pages of any origin call it.
        keep_alive: let a client use a connection for its next request, too. By default each answer closes its
            connection, or a client that outlives its test would ask the next one on a connection of a closed event
            loop.
        provider: whose dialect of OpenAI's format it speaks, such as ``"openrouter"``; by default each request tells it
            by its path (see ``base_url``) or its ``User-Agent``.
        recordings: looks on at the requests that no script answers, and says which of them go to their provider.
        upstream: where those go: one base URL for all, as a provider's SDK is given it, or one for each provider by its
            name. By default the provider's own: the one that the environment named before ``environment()`` was asked
            for, or else its usual one. The fake keys of ``environment()`` are replaced likewise, for programs of this
            machine.
        panel: its page, as ``serve`` shows one at ``/``; None for no page.

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
        keep_alive: bool = False,
        provider: str | None = None,
        recordings: Recordings | None = None,
        upstream: Upstream = None,
        panel: Panel | None = None,
        **options: Unpack[ServerOptions],
    ) -> None:
        settings = door_settings(options, ServerOptions, *_OWN_KEYWORDS)
        self._pacing = settings.pacing
        self._buffer_size = settings.buffer_size
        self._keep = None if record is None else _at_least_none(record, "record")
        self._cors = cors
        self._provider = provider_given(provider)
        self._host = _address(host)
        self._default_text = settings.default_text
        self._thread = LoopThread(f"mockstream server {host}")
        self._panel = panel
        self._cut_off: list[Answer | Passed] = []
        self._recordings = recordings
        self._relays = Relays(Upstreams(upstream, lends_keys=is_of_this_machine(host)))
        self._callers: Callers = {}
        self._until_stopped = contextlib.ExitStack()
        self._google_file: str | None = None
        limits = Limits(
            body=_at_least_one(max_body, "max_body"),
            request_seconds=duration(request_timeout, "request_timeout"),
            keep_alive=keep_alive,
        )
        self._listener = Listener(self._respond, host=host, port=port_of(port, "port"), limits=limits, cors=cors)
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
            self._thread.run(self._open())
            self._callers = stack.enter_context(watched(self._listener.port))
            self._until_stopped = stack.pop_all()
        return self

    async def _open(self) -> None:
        await self._listener.open()
        if (panel := self._panel) is not None:
            access = panel.access_at(self._host, self._listener.port, is_local=is_of_this_machine(self._host))
            await panel.open(access, lambda: self._playbook, self._listener.connections)
            self._listener.connections.changed = panel.connections_changed

    def stop(self) -> None:
        """Close the port and every connection; thread and loop have ended when this returns. Any number of times.

        A stream that is still open was never closed by its client: its state becomes ``dropped``, and an
        ``UnclosedStreamWarning`` names the line that opened it.
        """
        if not self._thread.is_running:
            return
        self._thread.run(self._listener.close())
        self._thread.run(self._relays.stop())
        if self._panel is not None:
            self._thread.run(self._panel.close())
        self._until_stopped.close()
        self._google_file = None
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
        if not self._thread.is_running:
            return
        if self._listener.connections:
            self._thread.run(self._listener.end_streams())
            self._settle("broken")
        if self._relays.unfinished:
            self._thread.run(self._relays.stop())

    def finish_recording(self) -> None:
        """Wait until the recordings have what providers still say to clients that have left.

        That takes at most as long as the recordings want it, for each client.
        """
        self.catch_up()  # with what clients have done
        while self._thread.is_running and not self._thread.run(self._relays.finish(_LOOK_EVERY)):
            pass

    @property
    def unfinished(self) -> int:
        """How many clients have left while their provider still talks to the recordings."""
        self.catch_up()
        return len(self._relays.unfinished)

    def _settle(self, state: State) -> list[Answer | Passed]:
        """Settle the streams that the server has cut off, and return them."""
        cut_off, self._cut_off = self._cut_off, []
        return [answered for answered in cut_off if answered.entry.settle(state)]

    def reset(
        self,
        *,
        pacing: Pacing | None = None,
        buffer_size: int = DEFAULT_BUFFER_SIZE,
        provider: str | None = None,
        recordings: Recordings | None = None,
    ) -> None:
        """Start anew: end every stream, forget all scripts and requests, accept connections.

        Args:
            pacing: from now on, of scripts that set none themselves.
            buffer_size: from now on, as for the constructor.
            provider: from now on, as for the constructor.
            recordings: from now on, as for the constructor.
        """
        self.end_streams()
        self._recordings = recordings
        self._callers.clear()  # the port of one that has gone may soon be another's
        self._playbook = self._new_playbook(self._default_text)
        self._pacing = pacing or Pacing()
        self._buffer_size = buffer_size
        self._provider = provider_given(provider)
        if self._thread.is_running:
            self._thread.run(self._listener.open())

    def replace(self, content: ScriptFile, *, advise: Callable[[Request], str] | None = None) -> None:
        """Play the scripts of a file from now on, with an empty record; running streams go on.

        Args:
            content: what the file says.
            advise: says what to do about a request that no script is left for; by default, what a test would do.
        """
        playbook = self._new_playbook(content.default_text or self._default_text)
        playbook.advise = advise or playbook.advise
        for (script, condition), line in zip(content.scripts, content.lines, strict=True):
            playbook.queue(script, condition, site=CallSite(content.name, line, ""))
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
        """Return the base URL for a provider's SDK, or for OpenAI's if the provider has none of its own.

        Args:
            provider: ``"openai"``, ``"anthropic"``, ``"google"``, ``"ollama"``, ``"bedrock"``, ``"vertex"``,
                ``"cohere"``, or one whose dialect of OpenAI's format is to be spoken there, such as ``"vllm"``.

        Raises:
            ScriptError: no such provider.
        """
        return self.url + BASES[_provider(provider, "provider")]

    def environment(self) -> dict[str, str]:
        """Return environment variables that lead every provider's SDK here, past any proxy; the keys are fake.

        Credentials of AWS and Google Cloud, and AWS's region, are among them only where there are none.
        """
        direct = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), self._host]))
        own = {
            "OPENAI_BASE_URL": self.base_url("openai"),
            "OPENAI_API_BASE": self.base_url("openai"),
            "ANTHROPIC_BASE_URL": self.base_url("anthropic"),
            "GOOGLE_GEMINI_BASE_URL": self.base_url("google"),
            "GEMINI_API_BASE": self.base_url("google"),
            "OLLAMA_HOST": self.base_url("ollama"),
            "OLLAMA_API_BASE": self.base_url("ollama"),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.base_url("bedrock"),
            "ANTHROPIC_BEDROCK_BASE_URL": self.base_url("bedrock"),
            "GOOGLE_VERTEX_BASE_URL": self.base_url("vertex"),
            "ANTHROPIC_VERTEX_BASE_URL": self.base_url("vertex") + "/v1",
            **self._lacking_of_clouds(),
            "CO_API_URL": self.base_url("cohere"),
            "CO_BASE_URL": self.base_url("cohere"),
            "MISTRAL_BASE_URL": self.base_url("mistral") + "/v1",
            "GROQ_BASE_URL": self.base_url("groq"),
            **dict.fromkeys(_KEYS, FAKE_KEY),
            **UNTRACED,
            "NO_PROXY": direct,
            "no_proxy": direct,
        }
        self._relays.upstreams.note(own)
        return own

    def _lacking_of_clouds(self) -> dict[str, str]:
        lacking = cloud.lacking(os.environ)
        if cloud.GOOGLE in lacking and self._thread.is_running:
            if self._google_file is None:
                url = f"{self.url}/google-access-token"
                with contextlib.suppress(OSError):  # no room for one more file, or no place: serving goes on
                    self._google_file = self._until_stopped.enter_context(cloud.google_file(url))
            if self._google_file is not None:
                lacking[cloud.GOOGLE] = self._google_file
        return lacking

    # What came.

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in order, each with what became of it.

        It shows everything that clients have done to their connections. What a client has not done yet, it cannot show:
        an event loop closes a socket one turn after it was told to.
        """
        self.catch_up()
        return self._playbook.requests

    @property
    def problems(self) -> list[MockStreamError]:
        """What ``verify`` fails a test for: requests that could not be answered, and why."""
        return self._playbook.unexpected[:]

    def catch_up(self) -> None:
        """Wait until the server has handled everything that has reached it."""
        if self._thread.is_running and not self._thread.is_current:
            self._thread.run(self._listener.catch_up())

    async def _respond(self, incoming: HTTPRequest, connection: Connection) -> None:
        if self._panel is not None and self._panel.serves(incoming):
            await self._show(self._panel, incoming, connection)
            return
        if self._cors and incoming.method == "OPTIONS":
            connection.send_head(204, preflight(incoming.headers).items())
            connection.send(h11.EndOfMessage())
            return
        playbook = self._playbook
        try:
            answered = await self._answered(playbook, incoming, connection)
        except Exception as error:
            _fail(playbook, connection, f"{incoming.method} {incoming.path} could not be answered", error)
            return
        if answered is None:
            return
        try:
            if isinstance(answered, Passed):
                await self._relays.relay(answered, incoming, connection, own_port=self._listener.port)
            elif self._panel is None:
                await play(answered, connection)
            else:
                with self._panel.playing(answered, connection):
                    await play(answered, connection)
        except Exception as error:  # and a request may say what no answer can repeat, as a number that is infinite
            answered.left("broken") if isinstance(answered, Passed) else answered.leave("broken")
            _fail(playbook, connection, f"{answered.request} could not be played", error)
        if answered.request.state == "open":
            self._cut_off.append(answered)

    async def _show(self, panel: Panel, incoming: HTTPRequest, connection: Connection) -> None:
        try:
            await panel.respond(incoming, connection)
        except Exception as error:
            _fail(self._playbook, connection, f"{incoming.method} {incoming.path} could not be answered", error)

    async def _answered(
        self, playbook: Playbook, incoming: HTTPRequest, connection: Connection
    ) -> Answer | Passed | None:
        """Return the answer to a request; None if the client left before it was chosen."""
        caller = self._callers.pop(connection.peer[1], None) or client(incoming, connection.peer)
        asked = understood(
            playbook,
            incoming,
            opened_at=caller.site,
            pacing=self._pacing,
            buffer_size=self._buffer_size,
            provider=self._provider,
            controlled=self._panel is not None,
        )
        answered: Answer | Passed
        if isinstance(asked, Asked):
            entry = entry_of(asked.request)
            entry.asker = with_attempts(caller.asker, incoming.lower_headers)
            if caller.clock is not None:
                entry.note_asked(caller.clock)  # which may show virtual time
            chosen = await choose(asked, playbook, connection)
            if chosen is None:
                asked.leave()
                return None
            answered = asked.play_or_pass(chosen)
        else:
            answered = asked
        answered.entry.remedy = caller.remedy or answered.entry.remedy
        answered.entry.catch_up = self.catch_up
        answered.entry.asked_in = caller.loop
        return answered

    def _new_playbook(self, default_text: str) -> Playbook:
        playbook = Playbook(
            default_script(default_text),
            name=_NAME,
            providers=WIRE_PROVIDERS,
            keep=self._keep,
            wrong_path=wrong_path,
        )
        playbook.recordings = self._recordings
        playbook.catch_up = self.catch_up
        playbook.is_open = lambda: self._thread.is_running and self._playbook is playbook
        return playbook


def _address(host: str) -> str:
    if not isinstance(host, str) or not host.strip():
        msg = f"host={host!r} is no address, and would be every address of this machine: give '127.0.0.1', or '0.0.0.0'"
        raise ScriptError(msg)
    return host


def _fail(playbook: Playbook, connection: Connection, what: str, error: Exception) -> None:
    """Report to both the client and the test that a request cannot be answered."""
    problem = ScriptError(Secrets().shown(f"{what}: {error!r}"))
    problem.__cause__ = error
    playbook.remember(problem)
    connection.refuse(500, f"pytest-mockstream: {problem}")
