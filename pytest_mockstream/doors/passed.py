"""``Passed``: a request that goes to its provider, while the ledger and a recording look on.

It has no socket and no HTTP library. A door tells it what comes and what becomes of the stream, as it tells ``Answer``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pytest_mockstream._base import clock
from pytest_mockstream._base.errors import MockStreamError, ScriptError
from pytest_mockstream._base.loops import Loop, running_loop
from pytest_mockstream._base.watching import Note
from pytest_mockstream.doors.decompression import Decompress, UnknownCodingError, decompressor
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.unclosed import warn_unclosed
from pytest_mockstream.playbook.ledger import Entry, State, begin
from pytest_mockstream.playbook.live import Ending, Recordings, Take
from pytest_mockstream.playbook.request import Request, shown_path

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Reading:
    """What the ledger asks of a stream that its provider plays: only when it began, and in which loop."""

    timed_out = False
    produced = 0

    def __init__(self) -> None:
        self.loop: Loop | None = running_loop()
        self._begun = clock.monotonic()

    def now(self) -> float:
        return clock.monotonic() - self._begun

    def stop(self, ending: Any) -> None:
        """Do nothing: nobody here can stop a provider."""

    def watch(self, note: Note, number: int) -> None:
        """Do nothing: nothing is known of what the provider does."""


@dataclass(eq=False, slots=True)
class Passed:
    """A request that goes to its provider.

    Attributes:
        request: what was asked, as the user sees it.
        entry: the ledger's entry for it.
        take: looks on.
        drain: how long the rest is read that a client has left, in seconds.
        remember: keeps an error for the end of the test.
        status: of the answer, once it has come.
    """

    request: Request
    entry: Entry
    take: Take
    drain: float
    remember: Callable[[MockStreamError], None]
    status: int = 0
    _begun: float = field(default_factory=clock.monotonic, repr=False)
    _decompress: Decompress | None = field(default=None, repr=False)

    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Note the status and the headers of the answer."""
        self.status = status
        listed = [(name.lower(), value) for name, value in headers]
        codings = ", ".join(value for name, value in listed if name == "content-encoding")
        try:
            self._decompress = decompressor(codings)
        except UnknownCodingError as error:
            asked = f"{shown_path(self.request)} (request {self.request.number}, at {self.request.opened_at})"
            told = f"the answer to {asked} cannot be recorded: {error}. Let the client send `accept-encoding: identity`"
            self.remember(ScriptError(told))
        if self.entry.note is not None:
            now = clock.monotonic() - self._begun
            self.entry.note(("answered", self.entry.asked_as, now, status, dict(listed)))
        self.take.answered(status, listed)

    def received(self, data: bytes) -> None:
        """Note the next bytes of the body, when they come from the provider."""
        entry = self.entry
        entry.chunks_sent += 1  # of bytes: nobody here knows where the model's begin
        entry.last_sent_at = now = clock.monotonic() - self._begun
        if self._decompress is not None:
            try:
                data = self._decompress(data)
            except Exception:  # of each library its own; the client sees the same garbage
                self._decompress = None
        if data:
            if entry.note is not None:
                entry.note(("frame", entry.asked_as, now, now, 1, data))
            self.take.received(data)

    def ended(self, how: Ending = "end") -> None:
        """Note how the answer ended."""
        self.entry.settle("exhausted" if how == "end" and self.status < 400 else "broken")
        self.take.ended(how)

    def left(self, state: State = "closed") -> None:
        """Note that the client has left; any number of times."""
        if self.entry.settle(state):
            self.take.left()

    def dropped(self) -> None:
        """Do as ``left``, from the finaliser of a body that nobody closed; warns if the stream was open."""
        if self.entry.settle("dropped"):
            self.take.left()
            warn_unclosed(self.request, self.entry.remedy)


def pass_on(
    request: Request, incoming: HTTPRequest, recordings: Recordings, remember: Callable[[MockStreamError], None]
) -> Passed:
    """Begin to look on at a request that goes to its provider."""
    take = recordings.take(
        request, method=incoming.method, url=incoming.url, headers=incoming.lower_headers, body=incoming.body
    )
    return Passed(request, begin(request, _Reading(), chunk_count=None), take, recordings.drain, remember)
