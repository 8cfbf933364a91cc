"""What a task waits for, and who could end that, in words; whichever event loop runs it.

Theory of operation: a wait of a library is known by its code object, and its frame has the lock, queue or event. A task
holds a lock if its coroutine has the lock, or its ``__aexit__``, on its stack, where ``async with`` keeps it: the
garbage collector knows what a coroutine refers to. It is to fill a queue, or to set an event, if one of its functions
calls a method of that name and has the object within reach.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import FrameType, MethodType
from typing import Any

from pytest_mockstream._base.callsite import CallSite, is_library
from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream.leaks import frames_of
from pytest_mockstream.script.gate import Gate

from .positions import describe
from .probe import Probe
from .problem import Problem
from .threads_at_work import server_runs

_REACHED = Gate.reached.__code__
_WAITS = Notifier.wait_async.__code__
_NAME = "deadlock: nothing can happen any more:"
_REACH = 2  # attributes from a variable to what a task could act on: ``self.shared.event``


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of wait.

    Attributes:
        what: what is waited for.
        does: what another task would do to it, in words; "" if it holds it.
        calls: the methods with which it does.
    """

    what: str
    does: str = ""
    calls: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Wait:
    """What a task waits for: an object of a kind, other tasks, or the next part of a stream of ours.

    Attributes:
        task: who waits.
        name: its name, in words.
        coroutine: what it runs.
        site: the line where it waits.
        kind: None if it is not known, or waits for tasks or a stream.
        thing: the object.
        owners: the tasks that hold it, where it tells; None where only their stacks do.
        tasks: the names of the tasks that it waits for.
        is_stream: whether it waits for a stream.
    """

    task: object
    name: str
    coroutine: Any
    site: CallSite | None
    kind: Kind | None = None
    thing: object = None
    owners: Collection[object] | None = None
    tasks: tuple[str, ...] = ()
    is_stream: bool = False

    @property
    def is_known(self) -> bool:
        """Whether only a task of the same loop could end it."""
        return self.kind is not None or bool(self.tasks) or self.is_stream


def is_for_stream(frame: FrameType) -> bool:
    """Tell whether a frame waits for a stream of ours: for what comes next, or for its reader to come to a gate."""
    return frame.f_code is _REACHED or frame.f_code is _WAITS


def is_read_here(frame: FrameType) -> bool:
    """Tell whether the stream that a frame waits for is read in this loop; a gate may stand in one of a server's."""
    return frame.f_code is not _REACHED or not server_runs()


def deadlocked(waits: Collection[Wait], hint: str) -> Problem:
    """Return that tasks wait for one another, or for what nobody will do."""
    lines = [f"  {wait.name} waits {_what(wait, waits)}at {describe(wait.site)}" for wait in waits]
    return deadlock_of(lines, hint)


def deadlock_of(lines: Collection[str], hint: str = "") -> Problem:
    """Return a deadlock with one line for each task, in an order of their own."""
    return Problem("\n".join([_NAME, *sorted(lines)]), hint=hint)


def waiting_frames(frames: list[FrameType]) -> Iterator[FrameType]:
    """Yield the frames of the library that waits, the outermost first: ``Queue.get`` waits by other means in turn."""
    inner = next((at for at, frame in reversed([*enumerate(frames)]) if not is_library(frame.f_code.co_filename)), -1)
    yield from frames[inner + 1 :]


def _what(wait: Wait, waits: Collection[Wait]) -> str:
    if wait.is_stream:
        return "for a stream that stands still, "
    if wait.tasks:
        return f"for {' and '.join(wait.tasks)}, "
    if wait.kind is None:
        return "for a future, "
    others = [other for other in waits if other.task is not wait.task and wait.thing is not None]
    if wait.kind.does:
        doers = [other for other in others if _does(other.coroutine, wait.thing, wait.kind.calls)]
        told = [f"{other.name} {wait.kind.does}" for other in doers]
    else:
        told = [f"{other.name} holds at {other.site}" for other in others if _holds(other, wait)]
    return f"{wait.kind.what} that {' and '.join(told)}, " if told else f"{wait.kind.what}, "


def _holds(other: Wait, wait: Wait) -> bool:
    if wait.owners is not None:
        return any(other.task is owner for owner in wait.owners)
    return _has_on_stack(other.coroutine, wait.thing)


def _has_on_stack(coroutine: Any, thing: object) -> bool:
    """Tell whether a coroutine is in the middle of an ``async with`` of something."""
    exits = [one for one in gc.get_referrers(thing) if type(one) is MethodType and one.__name__ == "__aexit__"]
    on_stack = [thing, *exits]
    coroutine = coroutine.coro if isinstance(coroutine, Probe) else coroutine
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        if frame is not None and not is_library(frame.f_code.co_filename):
            variables = [*frame.f_locals.values()]
            for one in gc.get_referents(coroutine, frame):
                if any(one is held for held in on_stack) and not any(one is value for value in variables):
                    return True
        coroutine = getattr(coroutine, "cr_await", None)
    return False


def _does(coroutine: Any, thing: object, calls: frozenset[str]) -> bool:
    """Tell whether a function of a task that is not over calls one of these methods, and has what to call it on."""
    return any(
        calls.intersection(frame.f_code.co_names)
        and any(_leads_to(value, thing, _REACH) for value in frame.f_locals.values())
        for frame in frames_of(coroutine)
        if not is_library(frame.f_code.co_filename)
    )


def _leads_to(value: object, thing: object, reach: int) -> bool:
    if value is thing:
        return True
    return reach > 0 and any(_leads_to(one, thing, reach - 1) for one in getattr(value, "__dict__", {}).values())
