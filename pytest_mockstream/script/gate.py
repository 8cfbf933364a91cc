"""``Gate``: a step that holds a stream until the test opens it.

It does not know what it holds; whoever waits at a gate has registered with ``hold`` to be told when it opens.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from pytest_mockstream._base.copied import copied
from pytest_mockstream._base.legal import duration
from pytest_mockstream._base.notifier import Notifier

if TYPE_CHECKING:
    from typing import Protocol

    class Held(Protocol):
        """What a gate can hold."""

        def gate_opened(self, gate: Gate) -> None:
            """Note that the gate has just been opened."""


class Gate:
    """A step that holds the stream until the test calls ``open()``; with it, a test needs no sleeps.

    Once open, a gate stays open: make one for each test. One gate may stand in several scripts and then holds all of
    their streams. All methods may be called from any thread.

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
        """Let all streams pass that the gate holds, and all that reach it later."""
        if self._open:
            return
        self._open = True
        for held in copied(self._held):
            held.gate_opened(self)

    async def reached(self) -> None:
        """Wait until a consumer has read everything before the gate and waits for what comes after it.

        Like any await, it is bounded by ``asyncio.timeout(...)``, or ``trio.fail_after(...)``, around it.
        """
        while not self._reached:
            seen = self._changed.count
            if not self._reached:
                await self._changed.wait_async(seen, None)

    def wait_reached(self, timeout: float | str | None = None) -> None:
        """Do as ``reached``, for a test without an event loop: block this thread.

        Args:
            timeout: the longest to wait: seconds, or text such as ``"50ms"``; None waits for ever.

        Raises:
            TimeoutError: no consumer came in time.
            ScriptError: ``timeout`` is not a duration.
        """
        limit = None if timeout is None else duration(timeout, "timeout")
        seen = self._changed.count
        if not self._reached and not self._changed.wait(seen, limit) and not self._reached:
            msg = f"no consumer reached the gate within {limit:g} s"
            raise TimeoutError(msg)

    def hold(self, held: Held) -> None:
        """Have ``held.gate_opened`` called when the gate opens; the gate keeps only a weak reference."""
        self._held.add(held)

    def mark_reached(self) -> None:
        """Note that a consumer waits at the gate."""
        if not self._reached:
            self._reached = True
            self._changed.notify()


def is_held_at(gate: Gate) -> bool:
    """Tell whether a consumer waits at a closed gate, or has waited there."""
    return gate._reached and not gate._open


def rewind(gate: Gate) -> None:
    """Close a gate again that nobody has reached yet, for another run of the same script."""
    gate._open = gate._reached = False
