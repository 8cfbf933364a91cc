"""A script that breaks before one of its chunks, and who gets it.

The wall: makes schedules and hands them out; runs and judges nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pytest_mockstream._base.callsite import CallSite, is_library
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.playbook.ledger import Request
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    FAULTS,
    Disconnect,
    ErrorEvent,
    Fault,
    HTTPError,
    Malformed,
    Played,
    Stall,
    Truncate,
)

Trouble: TypeAlias = Fault | type[Fault]
#: What another thread may do to a stream that is being read.
Leaving: TypeAlias = Literal["close", "cancel"]

DEFAULT_FAULTS: tuple[Trouble, ...] = (Truncate, Disconnect, Stall, ErrorEvent, Malformed)
_ENDS = (Truncate, Disconnect, ErrorEvent, HTTPError)
_OURS = str(Path(__file__).parent)


def fault_of(trouble: object) -> Fault:
    """Return a fault, of its class or as it is.

    Raises:
        ScriptError: it is none.
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
    """Return a row of faults.

    Raises:
        ScriptError: it is none, or one of them is not a fault.
    """
    if isinstance(troubles, str) or not isinstance(troubles, Iterable):
        msg = f"faults={troubles!r}: give a list of faults"
        raise ScriptError(msg)
    found = tuple(one(trouble) for trouble in troubles)
    if not found:
        msg = "faults=[]: give at least one fault"
        raise ScriptError(msg)
    return found


class BrokenScript(Script):
    """A script with a step put before one of its chunks.

    Everything up to there is what the whole script plays, chunk for chunk and wait for wait.

    Args:
        whole: the script.
        step: a fault, or a gate.
        before: the number of the chunk, from 0.

    Attributes:
        met: whether the playing has come to the step.
        met_at: the user's line that was reading then, None where that cannot be told.
    """

    __slots__ = ("_before", "_step", "met", "met_at")

    def __init__(self, whole: Script, step: Fault | Gate, *, before: int) -> None:
        super().__init__(*whole.steps, **whole.options)
        self._step = step
        self._before = before
        self.met = False
        self.met_at: CallSite | None = None
        if isinstance(step, Gate):
            self.gates = (*self.gates, step)

    def units(
        self, *, pacing: Pacing | None = None, salt: int = 0, prompt_tokens: int = 0
    ) -> Iterator[Played[StreamChunk | str]]:
        """Yield what is to be played; see ``Script.units``."""
        left = self._before
        for played in super().units(pacing=pacing, salt=salt, prompt_tokens=prompt_tokens):
            if isinstance(played, StreamChunk | str):
                if left == 0:
                    self.met, self.met_at = True, _reading_line()
                    yield self._step
                    if isinstance(self._step, _ENDS) or (isinstance(self._step, Stall) and self._step.seconds is None):
                        return
                left -= 1
            yield played


def _reading_line() -> CallSite | None:
    """Return the innermost line of the user's code that is running, up to where the sweep began to run it."""
    frame = sys._getframe(2)
    while frame is not None:
        filename = frame.f_code.co_filename
        if filename.startswith(_OURS) and frame.f_code.co_name != "units":
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
        fault: the fault, or what another thread does to the stream while its reader waits there.
    """

    answer: int
    chunk: int | None
    fault: Fault | Leaving

    @property
    def what(self) -> str:
        """What happens there, with a gap for the number of the chunk."""
        where = "instead of" if self.chunk is None else "before chunk {} of"
        return f"{_short(self.fault)} {where} answer {self.answer + 1}"

    def script(self, whole: Script) -> Script:
        """Return the script that breaks there."""
        if isinstance(self.fault, str):
            return BrokenScript(whole, Gate(), before=self.chunk or 0)
        if self.chunk is None or isinstance(self.fault, HTTPError):
            return Script(self.fault, **{**whole.options, "finish_reason": None})
        return BrokenScript(whole, self.fault, before=self.chunk)


@dataclass(slots=True, eq=False)
class StandIn:
    """Stands between the requests of one run and their scripts.

    A request that asks the same again after its script broke is a retry, and gets the whole script.

    Attributes:
        makes: returns the script that breaks, made of the whole one.
        answer: the number of the answer that is broken, from 0; None breaks none.
        played: what was answered, in order.
        broken: the script that was broken, and the request that got it.
    """

    makes: Callable[[Script], Script] | None = None
    answer: int | None = None
    played: list[tuple[Request, Script]] = field(default_factory=list)
    broken: Script | None = None
    request: Request | None = None

    def __call__(self, request: Request, pick: Callable[[Request], Script]) -> Script:
        """Return the script that a request gets in this run."""
        first = self.request
        if first is not None and _asks_the_same(request, first):
            return next(script for made, script in self.played if made is first)
        script = pick(request)
        self.played.append((request, script))
        if self.makes is not None and len(self.played) - 1 == self.answer:
            self.request = request
            self.broken = self.makes(script)
            return self.broken
        return script

    @property
    def met(self) -> bool:
        """Whether the code under test asked for the script, and its playing came to the fault."""
        return self.broken is not None and getattr(self.broken, "met", True)

    @property
    def place(self) -> CallSite | None:
        """The line of the user's code that was reading then, or else the one that had opened the stream."""
        met_at: CallSite | None = getattr(self.broken, "met_at", None)
        return met_at or (None if self.request is None else self.request.opened_at)


@contextmanager
def standing(playbook: Playbook, stand_in: StandIn) -> Iterator[None]:
    """Let a stand-in answer for a while."""
    playbook.stand_in = stand_in
    try:
        yield
    finally:
        playbook.stand_in = None


def breaks(played: Iterable[tuple[Request, Script]], faults: Iterable[Fault | Leaving]) -> list[Break]:
    """Return every place where what was read of these streams could have broken."""
    faults = tuple(faults)
    return [
        Break(answer=answer, chunk=chunk, fault=fault)
        for answer, (request, _) in enumerate(played)
        for fault in faults
        for chunk in _places(request, fault)
    ]


def _places(request: Request, fault: Fault | Leaving) -> Iterable[int | None]:
    if not request.streaming:
        return () if isinstance(fault, str) else (None,)
    return range(min(1, request.chunks_sent) if isinstance(fault, HTTPError) else request.chunks_sent)


def _short(fault: Fault | Leaving) -> str:
    """Return a fault's name, and its settings where they are not the default."""
    if isinstance(fault, str):
        return {"close": "closed by another thread", "cancel": "cancelled by another thread"}[fault]
    if not isinstance(fault, HTTPError) and fault == type(fault)():
        return type(fault).__name__
    return repr(fault).replace("{", "{{").replace("}", "}}")


def _asks_the_same(one: Request, other: Request) -> bool:
    return (one.path, one.model, one.messages) == (other.path, other.model, other.messages)


def playbook_of(client: object) -> Playbook:
    """Return the playbook behind a door.

    Raises:
        ScriptError: it is no door of ours.
    """
    found = getattr(client, "_playbook", None)
    if isinstance(found, Playbook):
        return found
    msg = f"client={client!r} plays no scripts: give a MockStreamClient, mock_stream_sdk or mock_stream_server"
    raise ScriptError(msg)
