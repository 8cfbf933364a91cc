"""What a door asks of whoever records its requests: which of them go to their provider, and to look on.

Recordings themselves are another room's; this is only what the playbook and the doors know of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol, TypeAlias

from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: How a real answer ended: its body is complete; the connection was reset, or closed before the end of the body; or
#: nothing came until the client gave up.
Ending: TypeAlias = Literal["end", "reset", "cut", "silence"]


class Take(Protocol):
    """Looks on at one real exchange. Callable from the thread or loop that reads it; it never blocks."""

    def answered(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Note the status and the headers of the answer."""

    def received(self, data: bytes) -> None:
        """Note the next bytes of the body, decompressed, when they come from the provider."""

    def left(self) -> None:
        """Note that the client has left; what still comes is the provider's, and is noted all the same.

        Where the rest does not come in time, or cannot be waited for, ``ended`` is never called.
        """

    def ended(self, how: Ending = "end") -> None:
        """Note how the answer ended; without a status before, it is how the connection ended. The first time counts."""


class Recordings(Protocol):
    """What a test's recordings do at its doors.

    Attributes:
        drain: how long the rest of an answer is read that its client has left, in seconds.
    """

    drain: float

    def records(self, request: Request) -> bool:
        """Tell whether a request that no script answers goes to its provider."""

    def take(self, request: Request, *, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Take:
        """Return what looks on at a request that goes to its provider."""

    def missed(self, request: Request) -> str:
        """Return lines for the message about a request that no recording answers: the nearest, and what differs."""


class Live:
    """Stands for a script where a request goes to its provider."""

    def __repr__(self) -> str:
        return "LIVE"


LIVE = Live()
