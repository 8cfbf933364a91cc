"""What a run left behind: tasks and threads, which the leak check finds, and streams, which are in the ledger.

The wall: the one place of the sweeps that knows who looks for leaks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from pytest_mockstream._exceptions import LeakError
from pytest_mockstream._ledger import Request, State, opened_requests
from pytest_mockstream._line import End
from pytest_mockstream._playback import Playback
from pytest_mockstream.leaks import LeakReport, leak_check

_LEAVING: dict[str, tuple[State, End]] = {"close": ("closed", End.LEFT), "cancel": ("cancelled", End.CANCELLED)}
_LOOKS = 20


class Remains:
    """Looks what a block leaves: ``with`` where no loop runs, ``async with`` in a coroutine. What is left is ended.

    Args:
        grace: seconds to wait, at most, for all that to end by itself.
        ignore: what is meant to go on; see ``leak_check``.

    Attributes:
        opened: the streams that were opened in the block.
        problems: what is left, in words, once the block is over.
    """

    def __init__(self, grace: float, ignore: Iterable[str] = ()) -> None:
        self._check = leak_check(grace=grace, ignore=ignore)
        self._grace = grace
        self._stack = ExitStack()
        self.opened: list[Request] = []
        self.problems: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        self.opened = self._stack.enter_context(opened_requests())
        self._check.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._stack:
            try:
                self._check.__exit__(kind, error, tb)
            except LeakError as found:
                self._note(found)
            for pause in self._pauses():
                time.sleep(pause)
            self.problems += left_open(self.opened)

    async def __aenter__(self) -> Self:
        self.opened = self._stack.enter_context(opened_requests())
        await self._check.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        with self._stack:
            try:
                await self._check.__aexit__(kind, error, tb)
            except LeakError as found:
                self._note(found)
            for pause in self._pauses():
                await asyncio.sleep(pause)
            self.problems += left_open(self.opened)

    def _note(self, found: LeakError) -> None:
        report = found.report
        self.problems += (str(replace(report, title="it") if isinstance(report, LeakReport) else found),)

    def _pauses(self) -> Iterator[float]:
        """Yield pauses as long as a server may still get to know that its client went away."""
        for _ in range(_LOOKS):
            if not any(
                request.state == "open" and not isinstance(request.progress, Playback) for request in self.opened
            ):
                return
            yield self._grace / _LOOKS


def left_open(opened: Iterable[Request]) -> tuple[str, ...]:
    """Return the streams that nobody closed, in words, and close them."""
    left = [request for request in opened if request.state in {"open", "dropped"}]
    told = tuple(f"{request.title()} was not closed" for request in left)
    for request in left:
        end_stream(request, "close")
    return told


def end_stream(request: Request, how: str) -> None:
    """End a stream as its own ``close()`` or ``cancel()`` would; only what is open."""
    state, ending = _LEAVING[how]
    progress: Any = request.progress
    if request.settle(state) and progress is not None:
        getattr(progress, "playback", progress).stop(ending)
