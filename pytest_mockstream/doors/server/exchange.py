"""Sends one answer on one connection.

It sends the frames of a playback as they are.

Theory of operation: a frame is noted in the ledger before its bytes are written, so that the record has every chunk,
and the end, that a client has seen. Frames that arrive at the same instant are sent in one write and as one HTTP chunk,
as a proxy would, unless the script asked for a cut between them. After each write the exchange waits until the kernel
has taken it. For a client that does not read, no more is thus held than the kernel's buffer and ``buffer_size`` frames.
"""

from __future__ import annotations

import h11

from pytest_mockstream.doors.answer import Answer, Close
from pytest_mockstream.playback import End, Ending
from pytest_mockstream.wire import WireFrame

from .connection import Connection

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_BATCH_BYTES = 64 * 2**10


async def play(answer: Answer, connection: Connection) -> None:
    """Send an answer, to its end or until the connection is lost."""

    def lost(by_client: bool) -> None:
        if by_client:
            answer.leave()
        else:  # whoever is still reading has not left: what that means is for those to say who cut it off
            answer.playback.stop(End.LEFT)

    connection.on_lost = lost
    if connection.lost:
        answer.leave()
    exchange = _Exchange(answer, connection)
    got = answer.playback.take()
    if answer.headers_first and not isinstance(got, tuple):
        exchange.send_head()
    while not connection.lost:
        if got is not None and await exchange.send(got):
            return
        got = await answer.playback.areceive()


class _Exchange:
    def __init__(self, answer: Answer, connection: Connection) -> None:
        self._answer = answer
        self._connection = connection
        self._has_head = False

    def send_head(self, length: int | None = None) -> None:
        headers = list(self._answer.headers.items())
        if length is not None:
            headers.append(("content-length", str(length)))
        self._connection.send_head(self._answer.status, headers)
        self._has_head = True

    async def send(self, got: tuple[float, WireFrame] | Ending | None) -> bool:
        """Send what has arrived by now; return whether that was the end."""
        pieces, ending = self._gather(got)
        close = None if ending is None else self._answer.finished(ending)
        whole = close is Close.END
        if not self._has_head and (pieces or whole):
            # A stream does not know its length, even where all of it happens to be there at once.
            self.send_head(sum(map(len, pieces)) if whole and not self._answer.headers_first else None)
        parts: list[h11.Event] = [h11.Data(data=bytes(piece)) for piece in pieces]
        self._connection.send(*parts, *([h11.EndOfMessage()] if whole else []))
        await self._connection.drained()
        if close is Close.RESET:
            self._connection.reset()
        elif close is Close.CUT:
            self._connection.cut()
        return close is not None

    def _gather(self, got: tuple[float, WireFrame] | Ending | None) -> tuple[list[bytearray], Ending | None]:
        pieces: list[bytearray] = []
        size = 0
        while isinstance(got, tuple):
            _, frame = got
            data = self._answer.delivered(*got)
            if not pieces or frame.piece:
                pieces.append(bytearray())
            pieces[-1] += data
            size += len(data)
            if size >= _BATCH_BYTES:
                return pieces, None
            got = self._answer.playback.take()
        return pieces, got
