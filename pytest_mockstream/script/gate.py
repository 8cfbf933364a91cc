"""``Gate``: a step that holds the stream until the test opens it.

The wall: knows no script and no stream; a playback asks to be told when the gate opens.
"""

from __future__ import annotations

import weakref

from pytest_mockstream._base.legal import duration
from pytest_mockstream._base.notifier import Notifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Held(Protocol):
        """Somebody who stands at gates."""

        def gate_opened(self, gate: Gate) -> None:
            """Be told that the gate has just been opened."""


class Gate:
    """Holds the stream where it stands until ``open()``.

    A gate serves one test: once open it stays open. One gate may stand in several scripts.

    Example:
        >>> gate = Gate()
        >>> client.respond("Thinking", gate, "done")  # doctest: +SKIP
        >>> await gate.reached()  # doctest: +SKIP
        >>> gate.open()
    """

    def __init__(self) -> None:
        self._changed = Notifier()
        self._open = False
        self._reached = False
        self._held: weakref.WeakSet[Held] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"<Gate {'open' if self._open else 'closed'}{', reached' if self._reached else ''}>"

    @property
    def is_open(self) -> bool:
        """Whether ``open()`` was called."""
        return self._open

    def open(self) -> None:
        """Let every stream pass that stands here or comes later. From any thread or task."""
        if self._open:
            return
        self._open = True
        for held in list(self._held):
            held.gate_opened(self)

    async def reached(self) -> None:
        """Wait until a consumer has read everything before the gate and waits for what is behind it."""
        while not self._reached:
            seen = self._changed.count
            if not self._reached:
                await self._changed.wait_async(seen, None)

    def wait_reached(self, timeout: float | str | None = None) -> None:
        """Block this thread until a consumer waits at the gate.

        Args:
            timeout: the longest to wait, in seconds; None waits for ever.

        Raises:
            TimeoutError: nobody came.
        """
        limit = None if timeout is None else duration(timeout, "timeout")
        seen = self._changed.count
        if not self._reached and not self._changed.wait(seen, limit) and not self._reached:
            msg = f"no consumer reached the gate within {limit:g} s"
            raise TimeoutError(msg)

    def hold(self, held: Held) -> None:
        """Tell ``held``, which the gate does not keep alive, when the gate opens."""
        self._held.add(held)

    def mark_reached(self) -> None:
        """Note that a consumer waits here."""
        if not self._reached:
            self._reached = True
            self._changed.notify()
