"""Watches a session: opens a scope for each test, and has it judged when the test is over. It knows no pytest.

Theory of operation: a loop that dies with its test is judged just before ``asyncio.Runner.close``, which would silently
cancel all its tasks. Everything else is judged when the test is over. A child that is forked meanwhile takes no part.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from . import interpreter
from .births import BIRTHS
from .interpreter import can_pump
from .owner import OWNER, Owner
from .scope import Scope, is_quiet

if TYPE_CHECKING:
    from pytest_mockstream._base.loops import Loop

    from .kinds import Census
    from .values import Leak

_MARK = "_pytest_mockstream_mark"
_FAILED = "_pytest_mockstream_failed"
_ANYIO_BACKENDS = ("anyio._backends._asyncio", "anyio._backends._trio")
_TRIO = "trio._core._asyncgens"


class LeakWatch:
    """Watches tasks and threads from ``start`` to ``stop``; one scope at a time.

    Args:
        closing: is told of a loop that is about to be closed; what it returns is asked for leaks when that is done.

    Attributes:
        scope: on stage; None between two of them.
        census: sees the optional kinds, once they are asked for.
        probe: takes the loops that are about to be closed, while the check looks whether it sees that.
        active: whether it watches; in a child that was forked in the middle of a test it does no more.
    """

    def __init__(self, closing: Callable[[Loop], Callable[[], list[Leak]]] | None = None) -> None:
        self.scope: Scope | None = None
        self._closing = closing
        self.census: Census | None = None
        self.probe: Callable[[asyncio.AbstractEventLoop], None] | None = None
        self.active = False
        self._before: Owner | None = None
        self._unreached: tuple[str, ...] = (*_ANYIO_BACKENDS, _TRIO)
        self._modules = 0

    def start(self) -> None:
        """Begin to watch."""
        self.active = True
        self._before = OWNER.get()
        BIRTHS.install()
        if not _WATCHES:
            _know_threads()
            _UNDO.extend(
                (
                    interpreter.patch(asyncio.Runner, "__init__", _marking),
                    interpreter.patch(asyncio.Runner, "__exit__", _noting_exception),
                    interpreter.patch(asyncio.Runner, "close", _judging),
                )
            )
        _WATCHES.append(self)

    def stop(self) -> None:
        """Stop watching and put everything back."""
        self.active = False
        _WATCHES.remove(self)
        if self.census is not None:
            self.census.stop()
        if not _WATCHES:
            while _UNDO:
                _UNDO.pop()()
        BIRTHS.uninstall()
        OWNER.set(self._before)

    def open(self, scope: Scope, first: Owner | None = None) -> None:
        """Put a test or block on stage; what begins it may have an owner of its own."""
        if self._modules != len(sys.modules):
            self._reach_libraries()
        self.scope = scope
        OWNER.set(first or scope.owner)

    def _reach_libraries(self) -> None:
        self._modules = len(sys.modules)
        for name in self._unreached:
            if name in sys.modules:
                self._unreached = tuple(other for other in self._unreached if other != name)
                from . import internals

                if name == _TRIO:
                    _UNDO.append(internals.look_on_at_end_of_trio(sys.modules[name], _looking_on))
                else:
                    internals.give_owners_to_anyio(sys.modules[name], OWNER.get, OWNER.set)

    def look_for(self, kinds: Iterable[str]) -> None:
        """Look for optional kinds in the scope on stage, too."""
        from .kinds import Census  # it brings subprocess and multiprocessing

        self.census = self.census or Census()
        self.census.look_for(kinds)
        if self.scope is not None:
            self.scope.kinds = frozenset(kinds)

    def can_see(self, kinds: Iterable[str]) -> dict[str, bool]:
        """Return which of these optional kinds can be seen."""
        from .kinds import can_see

        return {kind: can_see(kind) for kind in sorted(kinds)}

    def begin_call(self) -> None:
        """Say that the setup is over and the test itself begins."""
        if self._modules != len(sys.modules):
            self._reach_libraries()
        if (scope := self.scope) is not None:
            scope.called_at = BIRTHS.mark()
            OWNER.set(scope.owner)

    def end_call(self) -> None:
        """Say that the test itself has run, where somebody changes the clocks of loops right after it."""
        from .settle import note_clocks

        since = math.inf if self.scope is None else self.scope.mark
        note_clocks({task.get_loop() for birth in BIRTHS.pending_since(since) if (task := birth()) is not None})

    def close(self) -> None:
        """Take it off."""
        if (scope := self.scope) is not None:
            scope.owner.over = True
            if scope.leaks:
                scope.owner.leaked = True
        self.scope = None
        OWNER.set(self._before)

    def judge(self, streams: Callable[[], list[Leak]] = list) -> None:
        """Judge the scope on stage; what it is blamed for is in its ``leaks``.

        Args:
            streams: returns the leaks of streams; it is asked when everything has had its time, and before any garbage
                collection.
        """
        scope = self.scope
        if scope is None or scope.interrupted or not self.active:
            return
        if self.census is None and is_quiet(scope):
            scope.leaks += streams()
            return
        from .verdict import judge_scope

        judge_scope(scope, streams, self.census)

    def begin_owner(self, owner: Owner) -> None:
        """Note what there is when an owner begins that will be judged by itself."""
        owner.mark = BIRTHS.mark()
        owner.threads = interpreter.count_started()
        owner.started = BIRTHS.threads_started

    def judge_ended(self, owner: Owner, grace: float) -> None:
        """Judge what a wider fixture left that is torn down now; the scope on stage carries the result."""
        scope = self.scope
        if scope is None or scope.interrupted or not self.active:
            return
        mark, scope.mark = scope.mark, owner.mark
        if owner.started == BIRTHS.threads_started and is_quiet(scope):
            scope.mark = mark
            return
        from .verdict import judge_ended

        judge_ended(scope, owner, grace)
        scope.mark = mark

    async def judge_here(self) -> None:
        """Do as ``judge``, from a coroutine."""
        if (scope := self.scope) is not None and self.active:
            from .verdict import judge_here

            await judge_here(scope)

    def judge_closing(self, loop: asyncio.AbstractEventLoop, since: int) -> None:
        """Judge what a loop still has to do that is about to be closed."""
        scope = self.scope
        if self.probe is not None:
            self.probe(loop)
        elif scope is not None and self.active and not scope.interrupted:
            if BIRTHS.pending_on(loop) or BIRTHS.jobs:
                from .verdict import judge_closing

                judge_closing(scope, loop, since)
            if self.census is not None:  # the closing would end them, too
                self.census.judge(scope, scope.kinds & {"asyncgen", "timer"})

    @property
    def sees_closing(self) -> bool:
        """Whether somebody is to be asked what the closing of a loop ends."""
        return self._closing is not None

    @contextmanager
    def closing(self, loop: Loop) -> Iterator[None]:
        """Judge what the closing of a loop ends, which takes place meanwhile."""
        scope = self.scope
        if scope is None or scope.interrupted or not self.active or self._closing is None or self.probe is not None:
            yield
            return
        if isinstance(loop, asyncio.AbstractEventLoop) and BIRTHS.pending_on(loop):
            from .verdict import close_generators

            close_generators(scope, loop)
        ended = self._closing(loop)
        yield
        scope.leaks += ended()


def _know_threads() -> None:
    """Take note of the threads that there are before anybody is judged."""
    BIRTHS.foreign = interpreter.count_foreign()
    recorded = {
        ident for ident, thread in interpreter.ACTIVE.copy().items() if type(thread) is not threading._DummyThread
    }
    if interpreter.frames().keys() != recorded:
        from .judge_threads import know_unrecorded

        know_unrecorded()


# asyncio has one Runner, and so has the process one list of who watches it: a session inside another one comes last,
# and what it judged is done when the outer one looks.
_WATCHES: list[LeakWatch] = []
_UNDO: list[Callable[[], None]] = []


def _go_on_in_child() -> None:
    """Leave what is on stage to the parent, which judges it; a child that begins a test itself judges that.

    So do those of pytest-forked, each of which is there to run one test: it is forked while none is on stage.
    """
    for watch in _WATCHES:
        if watch.scope is not None:
            watch.active = False
    if any(watch.active for watch in _WATCHES):
        BIRTHS.raw.clear()  # of all threads only this one is left
        _know_threads()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_go_on_in_child)


def _looking_on(loop: Loop) -> AbstractContextManager[None]:
    """Judge what the closing of a loop ends: for the innermost session, as all that begins and ends there."""
    watch = next((watch for watch in reversed(_WATCHES) if watch.sees_closing), None)
    return nullcontext() if watch is None else watch.closing(loop)


def _judging(close: Callable[[asyncio.Runner], None]) -> Callable[[asyncio.Runner], None]:
    def wrapper(runner: asyncio.Runner) -> None:
        loop = interpreter.runner_loop(runner)
        if loop is not None and can_pump(loop) and not getattr(runner, _FAILED, False):
            for watch in reversed(_WATCHES):
                watch.judge_closing(loop, getattr(runner, _MARK, 0))
            with _looking_on(loop):
                close(runner)
        else:
            close(runner)

    return wrapper


def _marking(init: Callable[..., None]) -> Callable[..., None]:
    def wrapper(runner: asyncio.Runner, *args: Any, **kwargs: Any) -> None:
        setattr(runner, _MARK, BIRTHS.mark())
        BIRTHS.runners.add(weakref.ref(runner, BIRTHS.runners.discard))
        init(runner, *args, **kwargs)

    return wrapper


def _noting_exception(leave: Callable[..., None]) -> Callable[..., None]:
    def wrapper(runner: asyncio.Runner, kind: Any = None, error: Any = None, tb: Any = None) -> None:
        # A runner that ends by an exception cancels what it still has: that is its work, and no leak.
        setattr(runner, _FAILED, kind is not None)
        leave(runner, kind, error, tb)

    return wrapper
