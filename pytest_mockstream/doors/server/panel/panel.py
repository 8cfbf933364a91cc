"""``Panel``: the paths of the server's page, and what is answered there.

Theory of operation: ``/`` is the page, for browsers. It gets what happens from ``/_mockstream/events``, an event stream
that first tells all there is and then what changes, and it sends commands to ``/_mockstream/command``. None of these is
in the record, and none may be read or asked by the pages of other sites: see ``access``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import h11

from pytest_mockstream._base import watching
from pytest_mockstream._base.errors import MockStreamError
from pytest_mockstream._base.redaction import Secrets, shown
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.answer import Answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.server.own_paths import PREFIX
from pytest_mockstream.pages import page
from pytest_mockstream.playbook.ledger import entry_of
from pytest_mockstream.playbook.playbook import Playbook

from .access import Access, Refusal, disarmed
from .board import Board, Follower
from .control import ABOUT_STREAMS, CommandError, Streams, unknown_command
from .script_text import ScriptText
from .scripts import listed_scripts

if TYPE_CHECKING:
    from pytest_mockstream.doors.server.connection import Connection

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_EVENTS = f"{PREFIX}events"
_COMMAND = f"{PREFIX}command"
_MOST_PAGES = 20
_MOST_CONNECTIONS = 100  # that are listed
_MOST_OF_BODY = 100_000  # characters
_PAUSE = 0.1  # seconds between two things that a page is told
_QUIET = 15.0  # seconds, after which a page is told nothing, so that one that has vanished is noticed
_COMMANDS = (*ABOUT_STREAMS, "reset_all", "hold_new", "next", "look", "check", "play", "save")
#: A page of another site may neither show this one in a frame nor get at it in any other way.
_HEADERS = (
    ("cache-control", "no-store"),
    ("content-security-policy", "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)


class Panel:
    """The server's page, from ``open`` to ``close``.

    Args:
        script: the text of what is played, and its file; None where scripts come from somewhere else.
        allows_remote: whether commands are taken, too, where other machines reach the server.
    """

    def __init__(self, *, script: ScriptText | None = None, allows_remote: bool = False) -> None:
        self._script = script
        self._allows_remote = allows_remote
        self._until_closed = ExitStack()
        self._start = secrets.token_hex(8)
        self._access: Access
        self._board: Board
        self._streams: Streams
        self._playbook: Callable[[], Playbook]
        self._connections: Collection[Connection] = ()
        self._following: dict[asyncio.Task[Any], Connection] = {}
        self._of_pages: weakref.WeakSet[Connection] = weakref.WeakSet()

    def access_at(self, host: str, port: int, *, is_local: bool) -> Access:
        """Return who may do what at an address."""
        return Access(host=host, port=port, is_local=is_local, allows_remote=self._allows_remote)

    async def open(self, access: Access, playbook: Callable[[], Playbook], connections: Collection[Connection]) -> None:
        """Begin, on the server's loop.

        Args:
            access: who may do what.
            playbook: returns the one that is played.
            connections: those that are open.
        """
        self._access = access
        self._playbook = playbook
        self._connections = connections
        self._streams = Streams(self._done_to)
        parts: dict[str, Callable[[], Any]] = {
            "totals": lambda: {**self._board.totals(), "playing": self._streams.count},
            "scripts": self._scripts,
            "connections": self._listed_connections,
            "settings": self._settings,
        }
        if self._script is not None:
            parts["file"] = partial(self._file, self._script)
        self._board = Board(parts, concerns=lambda request: entry_of(request).record() is self._playbook())
        loop = asyncio.get_running_loop()
        if self._script is not None:
            self._script.changed = partial(loop.call_soon_threadsafe, self._board.changed, "file", "scripts")
        self._until_closed.enter_context(watching.watched(self._board.note))

    async def close(self) -> None:
        """End; all connections are closed. Nothing of it runs any more when this returns."""
        if self._following:
            await asyncio.wait(self._following)
        self._until_closed.close()
        if self._script is not None:
            self._script.changed = lambda: None

    def connections_changed(self) -> None:
        """Note that a connection was opened or closed."""
        self._board.changed("connections")

    @contextmanager
    def playing(self, answer: Answer, connection: Connection) -> Iterator[None]:
        """Take commands about a stream for the length of a block."""
        answer.headers = disarmed(answer.headers)
        with self._streams.playing(answer, connection):
            self._board.changed("totals", "connections")
            if answer.error is not None:
                self._done_to(answer.entry.asked_as, _why_refused(answer.error))
            yield
        self._board.changed("totals", "connections")

    # Its paths.

    def serves(self, incoming: HTTPRequest) -> bool:
        """Tell whether a request is for the page, and not for a provider."""
        if incoming.path.startswith(PREFIX):
            return True
        accepted = incoming.lower_headers.get("accept", "")
        return incoming.method == "GET" and incoming.path == "/" and "text/html" in accepted.lower()

    async def respond(self, incoming: HTTPRequest, connection: Connection) -> None:
        """Answer a request that is for the page."""
        self._of_pages.add(connection)
        method, headers = incoming.method, incoming.lower_headers
        match incoming.path:
            case "/":
                self._show(headers, connection)
            case _ as path if path == _EVENTS and method == "GET":
                await self._tell(headers, connection)
            case _ as path if path == _COMMAND and method == "POST":
                await self._command(headers, incoming.body, connection)
            case _ as path if path in {_EVENTS, _COMMAND}:
                allowed = "GET" if path == _EVENTS else "POST"
                _send(connection, 405, {"error": f"this path is asked with {allowed}"}, ("allow", allowed))
            case _:
                _send(connection, 404, {"error": f"there are {_EVENTS} and {_COMMAND}, and the page at /"})

    def _show(self, headers: Mapping[str, str], connection: Connection) -> None:
        if (refusal := self._access.why_not_shown(headers)) is not None:
            _refuse(connection, refusal)
            return
        why_none = self._access.why_no_commands
        data = {
            "start": self._start,
            "name": self._named(),
            "events": _EVENTS,
            "command": _COMMAND,
            "token": self._access.token if why_none is None else None,
            "why_no_commands": why_none,
            "address": f"http://{headers['host']}",
        }
        html = page("serve", data, title=f"{self._named()} - pytest-mockstream serve", live=True)
        _send(connection, 200, html, ("content-type", "text/html; charset=utf-8"))

    def _named(self) -> str:
        return "scripts" if self._script is None else self._script.source.path.name

    async def _tell(self, headers: Mapping[str, str], connection: Connection) -> None:
        """Tell a page what happens, until it goes."""
        refusal = self._access.why_not_followed(headers)
        if refusal is None and self._board.followers >= _MOST_PAGES:
            refusal = Refusal(503, f"{_MOST_PAGES} pages follow already, which is the most: close one")
        if refusal is not None:
            _refuse(connection, refusal)
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._following[task] = connection
        follower = self._board.follow()
        connection.on_lost = lambda _by_client: follower.leave()
        self._board.changed("connections")
        try:
            connection.send_head(200, [*_HEADERS, ("content-type", "text/event-stream; charset=utf-8")], cors=False)
            connection.send(h11.Data(data=b"retry: 1000\n\n"))
            await self._follow(follower, connection)
        finally:
            connection.on_lost = None
            self._board.unfollow(follower)
            del self._following[task]

    async def _follow(self, follower: Follower, connection: Connection) -> None:
        while True:
            is_news = await follower.changed(within=_QUIET)
            if connection.lost:
                return
            news = follower.news() if is_news else None
            said = ": still here" if news is None else f"data: {_json({'start': self._start, **news})}"
            connection.send(h11.Data(data=f"{said}\n\n".encode()))
            await connection.drained()
            await follower.left(within=_PAUSE)

    # What is told besides the streams.

    def _scripts(self) -> dict[str, Any]:
        return listed_scripts(self._playbook(), () if self._script is None else self._script.lines)

    def _listed_connections(self) -> dict[str, Any]:
        connections = list(self._connections)
        listed = [
            {"client": ":".join(map(str, one.peer)), "does": self._what(one)} for one in connections[:_MOST_CONNECTIONS]
        ]
        return {"count": len(connections), "listed": listed, "pages": self._board.followers}

    def _what(self, connection: Connection) -> Any:
        if (number := self._streams.of(connection)) is not None:
            return number
        if connection in self._of_pages:
            return "a page"
        return "idle" if connection.is_idle else "busy"

    def _file(self, script: ScriptText) -> dict[str, Any]:
        """Return the script and its file; who may not change it, but comes from anywhere, sees no secret in it."""
        state = script.state()
        if self._access.why_no_commands is not None:
            secrets = Secrets()
            state |= {name: secrets.shown(state[name] or "") for name in ("text", "played")}
            state["problems"] = [{**problem, "text": secrets.shown(problem["text"])} for problem in state["problems"]]
        return state

    def _settings(self) -> dict[str, Any]:
        return {"hold_new": self._streams.holds_new}

    # Commands.

    async def _command(self, headers: Mapping[str, str], body: bytes, connection: Connection) -> None:
        if (refusal := self._access.why_not_obeyed(headers)) is not None:
            _refuse(connection, refusal)
            return
        try:
            answer = await self._obey(_said(body))
        except CommandError as error:
            _refuse(connection, Refusal(error.status, str(error)))
        else:
            if not connection.lost:
                _send(connection, 200, answer)

    async def _obey(self, said: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what a command says, and return what its answer says.

        Raises:
            CommandError: it cannot be done.
        """
        name = said.get("command")
        if name in ABOUT_STREAMS:
            self._streams.command(str(name), said)
            return {}
        match name:
            case "reset_all":
                return {"reset": self._reset_all()}
            case "hold_new":
                self._streams.holds_new = _flag(said, "on")
                self._board.changed("settings")
            case "next":
                self._prefer(said.get("script"))
            case "look":
                return self._look(said.get("stream"))
            case "check" | "play" | "save":
                return await asyncio.to_thread(self._about_text, name, said)  # a large one takes a second
            case _:
                raise unknown_command(name, _COMMANDS)
        return {}

    def _reset_all(self) -> int:
        """Reset all connections but those of pages."""
        count = self._streams.reset_all()
        for connection in list(self._connections):
            if connection.is_idle and connection not in self._of_pages:
                connection.reset()
                count += 1
        return count

    def _prefer(self, number: object) -> None:
        playbook = self._playbook()
        queued = playbook.queued
        if number is None:
            playbook.prefer(None)
        elif not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= len(queued):
            legal = f"1 to {len(queued)}" if queued else "none, as there are no scripts"
            raise CommandError(f"script={number!r:.80}: give {legal}, or null for the one that is meant for a request")
        else:
            playbook.prefer(queued[number - 1])
        self._board.changed("scripts")

    def _look(self, number: object) -> dict[str, Any]:
        """Return all that is known of a request, as the record shows it."""
        view = self._board.views.get(number) if isinstance(number, int) else None
        request = None if view is None else view.request()
        if request is None:
            raise CommandError(f"stream {number!r:.80} is not in the record any more", 409)
        body = shown(request.body)
        text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False, default=str)
        return {
            "headers": dict(request.headers),
            "body": text[:_MOST_OF_BODY],
            "cut": max(0, len(text) - _MOST_OF_BODY),
        }

    def _about_text(self, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
        script, text = self._script, said.get("text")
        if script is None:
            raise CommandError("this server plays no script file")
        if name == "check":
            problems, count = script.check(text)
            return {"problems": [problem._asdict() for problem in problems], "scripts": counted(count, "script")}
        if name == "play":
            script.play(text)
        else:
            script.save(text, said.get("base"), overwrite=_flag(said, "overwrite", default=False))
        return {}

    def _done_to(self, number: int, what: str) -> None:
        """Note what was done to a stream."""
        if (view := self._board.views.get(number)) is not None:
            view.is_held, view.is_stalled_by_hand = self._streams.is_held(number), self._streams.is_stalled(number)
            view.add_note(what)
            self._board.touch(view)


def _why_refused(error: MockStreamError) -> str:
    """Say why a request got an error of ours, to somebody who has a script file and no test."""
    why = str(error).partition("\n")[0]
    if why.startswith("no script left"):
        return "refused: no script is left for it. Add one that fits, or one without `when`"
    return f"refused: {why}"


def _said(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"this is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise CommandError(f'{said!r:.80} is no command: give an object such as {{"command": "hold", "stream": 3}}')
    return said


def _flag(said: Mapping[str, Any], name: str, *, default: bool | None = None) -> bool:
    value = said.get(name, default)
    if not isinstance(value, bool):
        raise CommandError(f"{name}={value!r:.80}: give true or false")
    return value


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _refuse(connection: Connection, refusal: Refusal) -> None:
    _send(connection, refusal.status, {"error": refusal.why})


def _send(connection: Connection, status: int, body: object, *headers: tuple[str, str]) -> None:
    data = (body if isinstance(body, str) else _json(body)).encode()
    kind = [] if isinstance(body, str) else [("content-type", "application/json")]
    own: Iterable[tuple[str, str]] = (*_HEADERS, *kind, *headers, ("content-length", str(len(data))))
    connection.send_head(status, own, cors=False)
    connection.send(h11.Data(data=data), h11.EndOfMessage())
