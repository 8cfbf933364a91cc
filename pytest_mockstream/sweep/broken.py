"""Scripts that break before one of their chunks, and the request that gets one.

It makes scripts and hands them out; it runs nothing and judges nothing.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pytest_mockstream._base.callsite import CallSite, is_library
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.paths import comparable, start_of
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.playbook.tries import text_of
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.inserted import ScriptWithStep
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    FAULTS,
    Disconnect,
    ErrorEvent,
    Fault,
    HTTPError,
    Malformed,
    Stall,
    Truncate,
)

#: What another thread may do to a stream that is being read.
Interruption: TypeAlias = Literal["close", "cancel"]

DEFAULT_FAULTS: tuple[Fault | type[Fault], ...] = (Truncate, Disconnect, Stall, ErrorEvent, Malformed)
_HERE = start_of(os.path.dirname(__file__))


def fault_of(trouble: object) -> Fault:
    """Return a fault; of a class, one with its defaults.

    Raises:
        ScriptError: it is no fault, or a class without defaults.
    """
    if isinstance(trouble, FAULTS):
        return trouble
    if isinstance(trouble, type) and issubclass(trouble, FAULTS) and trouble is not HTTPError:
        return trouble()  # type: ignore[call-arg] # every fault but HTTPError has defaults for all it takes
    known = ", ".join(kind.__name__ for kind in FAULTS)
    hint = ": it needs a status, such as HTTPError(503)" if trouble is HTTPError else ""
    msg = f"faults: {trouble!r} is not a fault{hint}; give some of {known}, as classes or with their settings"
    raise ScriptError(msg)


def faults_of(troubles: object, one: Callable[[object], Any] = fault_of) -> tuple[Any, ...]:
    """Return a list of faults as a tuple.

    Args:
        troubles: the list.
        one: returns the fault that an item of it stands for.

    Raises:
        ScriptError: it is no list, it is empty, or an item is not a fault.
    """
    if isinstance(troubles, str) or not isinstance(troubles, Iterable):
        msg = f"faults={troubles!r}: give a list of faults"
        raise ScriptError(msg)
    found = tuple(one(trouble) for trouble in troubles)
    if not found:
        msg = "faults=[]: give at least one fault"
        raise ScriptError(msg)
    return found


class BrokenScript(ScriptWithStep):
    """A script that breaks, or is held by a gate, before one of its chunks, and notes whether it came so far.

    Attributes:
        reached: whether the step was reached.
        reached_at: the user's line that was reading then, None where it is not known.
    """

    __slots__ = ("reached", "reached_at")

    def __init__(self, whole: Script, step: Fault | Gate, *, before: int) -> None:
        super().__init__(whole, step, before=before)
        self.reached = False
        self.reached_at: CallSite | None = None

    def note_reached(self) -> None:
        """Note that the step is about to be played, the first time: the record may ask later what was played."""
        if not self.reached:
            self.reached, self.reached_at = True, _reading_line()


def _reading_line() -> CallSite | None:
    """Return the innermost line of the user's code that is running, below the frames of the sweep itself."""
    frame = sys._getframe(2)
    while frame is not None:
        filename = frame.f_code.co_filename
        if comparable(filename).startswith(_HERE) and frame.f_code.co_name != "units":
            return None
        if not is_library(filename):
            return CallSite(filename, frame.f_lineno, frame.f_code.co_qualname)
        frame = frame.f_back  # type: ignore[assignment] # None ends the loop
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where a stream is broken, and how.

    Attributes:
        answer: the number of the script that is played, from 0.
        chunk: the number of its chunk, from 0; None for a reply that is not streamed.
        fault: the fault, or what another thread does to the stream while its reader waits for the chunk.
    """

    answer: int
    chunk: int | None
    fault: Fault | Interruption

    @property
    def what(self) -> str:
        """What happens there, with ``{}`` for the number of the chunk."""
        where = "instead of" if self.chunk is None else "before chunk {} of"
        return f"{label_of(self.fault)} {where} answer {self.answer + 1}"

    def script(self, whole: Script) -> Script:
        """Return the script that breaks there, made from the whole one."""
        if isinstance(self.fault, str):
            return BrokenScript(whole, Gate(), before=self.chunk or 0)
        if self.chunk is None or isinstance(self.fault, HTTPError):
            return Script(self.fault, **{**whole.options, "finish_reason": None})
        return BrokenScript(whole, self.fault, before=self.chunk)


@dataclass(slots=True, eq=False)
class StandIn:
    """Decides which script each request of one run gets.

    A request that asks the same again after its script broke is a retry, and gets the whole script.

    Attributes:
        make_broken: returns the script that breaks, made from the whole one.
        answer: the number of the answer that is broken, from 0; None breaks none.
        played: the requests and the whole scripts that they were given, in order.
        broken: the script that breaks, once a request got it.
        request: that request.
    """

    make_broken: Callable[[Script], Script] | None = None
    answer: int | None = None
    played: list[tuple[Request, Script]] = field(default_factory=list)
    broken: Script | None = None
    request: Request | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def again(self, request: Request) -> Script | None:
        """Return the whole script that broke, if a request asks the same again."""
        first = self.request
        if first is None or not is_same_request(request, first):
            return None
        return next(script for made, script in self.played if made is first)

    def instead_of(self, script: Script, request: Request) -> Script:
        """Return the script that a request gets in this run in place of the one from the queue."""
        with self.lock:  # two threads may ask at once
            self.played.append((request, script))
            position = len(self.played) - 1
        if self.make_broken is not None and position == self.answer:
            self.request = request
            self.broken = self.make_broken(script)
            return self.broken
        return script

    @property
    def reached(self) -> bool:
        """Whether the code under test asked for the script, and the script came to its fault."""
        return self.broken is not None and getattr(self.broken, "reached", True)

    @property
    def whole_text(self) -> str:
        """What the answer would have said whose script broke."""
        return "".join(text_of(script) for request, script in self.played if request is self.request)

    @property
    def place(self) -> CallSite | None:
        """The user's line that was reading when the stream broke, or else the one that had opened the stream."""
        reached_at: CallSite | None = getattr(self.broken, "reached_at", None)
        return reached_at or (None if self.request is None else self.request.opened_at)


@contextmanager
def installed(playbook: Playbook, stand_in: StandIn) -> Iterator[None]:
    """Let a stand-in choose the scripts of a playbook for the duration of a block."""
    playbook.stand_in = stand_in
    try:
        yield
    finally:
        playbook.stand_in = None


def all_breaks(played: Iterable[tuple[Request, Script]], faults: Iterable[Fault | Interruption]) -> list[Break]:
    """Return every way in which these streams could have broken before a chunk that was read."""
    faults = tuple(faults)
    return [
        Break(answer=answer, chunk=chunk, fault=fault)
        for answer, (request, _) in enumerate(played)
        for fault in faults
        for chunk in _places(request, fault)
    ]


def _places(request: Request, fault: Fault | Interruption) -> Iterable[int | None]:
    if not request.streaming:
        return () if isinstance(fault, str) else (None,)
    return range(min(1, request.chunks_sent) if isinstance(fault, HTTPError) else request.chunks_sent)


def label_of(fault: Fault | Interruption) -> str:
    """Return a fault's name, and its settings where they are not the default."""
    if isinstance(fault, str):
        return {"close": "closed by another thread", "cancel": "cancelled by another thread"}[fault]
    if not isinstance(fault, HTTPError) and fault == type(fault)():
        return type(fault).__name__
    return repr(fault).replace("{", "{{").replace("}", "}}")


def is_same_request(one: Request, other: Request) -> bool:
    """Tell whether two requests ask the same."""
    return (one.path, one.model, one.messages) == (other.path, other.model, other.messages)


def playbook_of(client: object) -> Playbook:
    """Return the playbook of a door.

    Raises:
        ScriptError: it has none of ours.
    """
    found = getattr(client, "_playbook", None)
    if isinstance(found, Playbook):
        return found
    msg = f"client={client!r} plays no scripts: give a MockStreamClient, mock_stream_sdk or mock_stream_server"
    raise ScriptError(msg)
