"""Recordings that keep what a door tells them, for tests of what that is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter

from pytest_mockstream.playbook.live import Ending
from pytest_mockstream.playbook.request import Request


@dataclass(eq=False)
class Taken:
    """What was told of one exchange.

    Attributes:
        events: what was told, in order: ``"answered"``, ``"received"``, ``"left"``, ``"ended"``.
    """

    url: str
    sent: bytes
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    ending: Ending | None = None
    is_over: threading.Event = field(default_factory=threading.Event)

    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        self.events.append("answered")
        self.status, self.headers = status, dict(headers)

    def received(self, data: bytes) -> None:
        self.events.append("received")
        self.pieces.append(data)
        self.times.append(perf_counter())

    def left(self) -> None:
        self.events.append("left")

    def ended(self, how: Ending = "end") -> None:
        self.events.append("ended")
        if self.ending is None:
            self.ending = how
        self.is_over.set()

    @property
    def body(self) -> bytes:
        """All that came."""
        return b"".join(self.pieces)


class Recorder:
    """Records every request that no script answers.

    Args:
        drain: how long the rest of an answer is read that its client has left, in seconds.
        records: tells whether a request goes to its provider.
    """

    def __init__(self, *, drain: float = 60.0, records: Callable[[Request], bool] = lambda request: True) -> None:
        self.drain = drain
        self.takes: list[Taken] = []
        self._records = records

    def records(self, request: Request) -> bool:
        return self._records(request)

    def take(self, request: Request, *, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Taken:
        taken = Taken(url, body)
        self.takes.append(taken)
        return taken

    def missed(self, request: Request) -> str:
        return ""

    @property
    def only(self) -> Taken:
        """The one exchange that there was."""
        (taken,) = self.takes
        return taken
