"""What can arrive while a loop is idle: the next chunk of a stream, a timer, the result of a thread, a cancellation.

Each kind knows how to let its next part arrive, and what to call it; which one does is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from math import inf
from typing import Any

from pytest_mockstream._base.callsite import CallSite, calling_site, is_library
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.chunks import StreamChunk
from pytest_mockstream.script.gate import Gate, is_held_at
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import FAULTS, Fault, HTTPError, Played, Stall, Wait, is_end

from .arrival_loop import ArrivalLoop, Call, Timer
from .broken import label_of

_CHUNK, _TIMER, _GATE = range(3)  # who comes first


class Source:
    """Something of which the next part can arrive.

    Args:
        due: when it comes by default, in seconds of the loop's time.
        kind: of which kind it is.
        number: tells which was there first.

    Attributes:
        place: in line: the lowest comes first.
        asked_at: the user's line that asked for it, None where it is not known.
        read_at: the user's line that waits for it, None where it is not known.
        answer: the number of the answer that it is, or 0.
        is_out_of_turn: whether it never arrives by default.
    """

    __slots__ = ("answer", "asked_at", "place", "read_at")
    is_out_of_turn = False

    def __init__(self, due: float, kind: int, number: int) -> None:
        self.place = (0, due, kind, number)
        self.answer = 0
        self.asked_at: CallSite | None = None
        self.read_at: CallSite | None = None

    def arrive(self) -> None:
        """Let the next part arrive."""
        raise NotImplementedError

    def words(self) -> str:
        """Return what the next part is."""
        raise NotImplementedError

    @property
    def is_last(self) -> bool:
        """Whether the next part is the last one."""
        return True

    @property
    def due(self) -> float:
        """When it comes by default."""
        return self.place[1]

    def send_back(self, turn: int) -> None:
        """Send it to the end of the line."""
        self.place = (turn, *self.place[1:])


class Held(Source):
    """A stream, chunk by chunk.

    Args:
        script: what it plays.
        request: what was asked.
        answer: its number in the run, from 1.
        loop: the loop of the run.
        numbers: tells which source was there first.
        explains: whether the lines that read it are worth their time.

    Attributes:
        script: see above.
        request: see above.
        chunk: the number of the chunk that is held, from 1.
        gate: the gate that holds it.
        fault: what arrives instead of the chunk.
        closed: the gates of the script that were closed when it came to them.
    """

    __slots__ = (
        "_came",
        "_explains",
        "_is_users",
        "_loop",
        "_numbers",
        "_waits",
        "chunk",
        "closed",
        "fault",
        "gate",
        "request",
        "script",
    )

    def __init__(
        self,
        script: Script,
        request: Request,
        answer: int,
        *,
        loop: ArrivalLoop,
        numbers: Iterator[int],
        explains: bool,
    ) -> None:
        super().__init__(loop.now, _CHUNK, next(numbers))
        self.answer = answer
        self.asked_at = request.opened_at
        self.script = script
        self.request = request
        self.chunk = 0
        self.gate: Gate | None = None
        self.fault: Fault | None = None
        self.closed: list[Gate] = []
        self._came = loop.now
        self._waits = 0.0
        self._is_users = False
        self._loop = loop
        self._numbers = numbers
        self._explains = explains

    def wait(self, seconds: float) -> None:
        """Note that the script waits before the next chunk."""
        self._waits += seconds

    def hold(self, gate: Gate | None) -> Gate:
        """Hold the stream at a gate, one of the script if it is given; return the gate."""
        self._is_users = gate is not None
        due = self._came + self._waits
        kind = _GATE if self._is_users else _CHUNK
        self.place = (self.place[0], inf if self._is_users else due, kind, next(self._numbers))
        self.gate = gate or Gate()
        if self._explains:
            site = calling_site(sys._getframe(2))
            self.read_at = None if is_library(site.filename) else site
        return self.gate

    @property
    def can_arrive(self) -> bool:
        """Whether its reader waits for it."""
        return self.gate is not None and is_held_at(self.gate) and self.request.state == "open"

    def can_break(self, fault: Fault) -> bool:
        """Tell whether a fault can arrive instead of what is held."""
        return not self._is_users and (self.chunk < 2 or not isinstance(fault, HTTPError))

    def arrive(self) -> None:
        """Let the chunk arrive, and time go on to its instant, but not past a timer."""
        loop = self._loop
        if not self._is_users:
            loop.now = max(loop.now, min([self.due, *map(Timer.when, loop.timers)]))
        self._came, self._waits = loop.now, 0.0
        if self.gate is not None:
            self.gate.open()

    def words(self) -> str:
        """Return what is held."""
        if self._is_users:
            return f"the gate before chunk {self.chunk + 1} of answer {self.answer}"
        if not self.request.streaming:
            return f"answer {self.answer}"
        return f"{'the last chunk' if self.is_last else f'chunk {self.chunk}'} of answer {self.answer}"

    @property
    def is_last(self) -> bool:
        """Whether the chunk that is held is the last one."""
        return not self.request.streaming or self.chunk == self.script.chunk_count


class HeldScript(Script):
    """A script each chunk of which waits for its turn.

    It plays what the whole script plays. Its waits only tell when a chunk comes by default.
    """

    __slots__ = ("_held", "_whole")

    def __init__(self, whole: Script, held: Held) -> None:
        for name in Script.__slots__:
            setattr(self, name, getattr(whole, name))
        self._whole = whole
        self._held = held

    def units(
        self, *, pacing: Pacing | None = None, salt: int = 0, prompt_tokens: int = 0
    ) -> Iterator[Played[StreamChunk | str]]:
        """Yield what is to be played; see ``Script.units``."""
        held, is_let_in = self._held, False
        for played in self._whole.units(pacing=pacing, salt=salt, prompt_tokens=prompt_tokens):
            if isinstance(played, Wait | Stall) and played.seconds is not None:
                held.wait(played.seconds)
                continue
            if isinstance(played, Gate):
                is_let_in = not played.is_open
                if is_let_in:
                    held.closed.append(played)
                    yield held.hold(played)
                continue
            is_unit = isinstance(played, StreamChunk | str)
            if is_unit or isinstance(played, FAULTS):
                held.chunk += is_unit
                if not is_let_in and (held.request.streaming or held.chunk < 2):
                    yield held.hold(None)
                    if held.fault is not None:
                        yield held.fault
                        if is_end(held.fault):
                            return
                        held.fault = None
                is_let_in = False
            yield played


class Timed(Source):
    """A timer that is due soon."""

    __slots__ = ("_loop", "timer")

    def __init__(self, timer: Timer, number: int, loop: ArrivalLoop) -> None:
        super().__init__(timer.when(), _TIMER, number)
        self.timer = timer
        self._loop = loop

    def arrive(self) -> None:
        """Let it be due."""
        self._loop.fire(self.timer)

    def words(self) -> str:
        """Return which timer it is."""
        return "the timer" if self.asked_at is None else f"the timer of {self.asked_at}"


class Called(Source):
    """What another thread called: the result of a job, or something else."""

    __slots__ = ("_call", "_loop")

    def __init__(self, call: Call, number: int, loop: ArrivalLoop) -> None:
        super().__init__(loop.now, _CHUNK, number)
        self._call = call
        self._loop = loop

    def arrive(self) -> None:
        """Let the loop have it."""
        self._loop.let_in(self._call)

    def words(self) -> str:
        """Return what it is."""
        job = self._loop.jobs.get(self._loop.job_of(self._call))  # type: ignore[arg-type] # None is no job
        what = f"the result of {job}" if job is not None else f"a call of {self._call.thread.name!r}"
        return f"{what} from a thread"


class Breaking(Source):
    """A stream that breaks instead of going on."""

    __slots__ = ("fault", "held")
    is_out_of_turn = True

    def __init__(self, held: Held, fault: Fault) -> None:
        super().__init__(held.due, _CHUNK, held.answer)
        self.held = held
        self.fault = fault
        self.answer, self.asked_at, self.read_at = held.answer, held.asked_at, held.read_at

    def arrive(self) -> None:
        """Let the fault arrive."""
        self.held.fault = self.fault
        self.held.arrive()

    def words(self) -> str:
        """Return what happens."""
        return f"{label_of(self.fault).format()} instead of {self.held.words()}"


class Cancelling(Source):
    """The cancellation of the run."""

    __slots__ = ("_task",)
    is_out_of_turn = True

    def __init__(self, task: asyncio.Task[Any]) -> None:
        super().__init__(0.0, _CHUNK, 0)
        self._task = task

    def arrive(self) -> None:
        """Cancel it."""
        self._task.cancel()

    def words(self) -> str:
        """Return what it is."""
        return "the cancellation"
