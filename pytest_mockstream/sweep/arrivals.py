"""Lets things arrive in one run, each when its loop is idle, in the order that a tape tells.

It notes what came; it plans no runs and judges none.

Theory of operation: while a run lasts, each script that a request of it gets is played as a ``HeldScript``, which has a
gate before each chunk. A stream whose reader waits at such a gate can go on; so can a timer that is due soon, and what
another thread has called. By default they come when they are due, as in any loop with virtual time, and what is due at
the same instant in the order in which it was asked for; gates of the scripts come last. Whatever is passed over by a
deviation goes to the end of the line and stays there, so that a single deviation is enough for "answer 1 stops here
until answer 2 is over".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any

from pytest_mockstream._base.callsite import CallSite, calling_site
from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.loops import running_loop
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.gate import rewind
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Fault

from .arrival_loop import ArrivalLoop, Call, Timer
from .broken import is_same_request
from .order_search import Tape
from .signals_at_work import signals_may_act
from .sources import Breaking, Called, Cancelling, Held, HeldScript, Source, Timed
from .threads_at_work import threads_may_act

_MOST_EVENTS = 10_000  # in a run
_CANCELLATIONS = 3  # of a run that is stuck


@dataclass(frozen=True, slots=True)
class Choosing:
    """What may arrive out of turn.

    Attributes:
        late: how many of the next timers may come before or after everything else.
        horizon: how soon such a timer has to be due, in seconds.
        faults: the ways in which one stream may break.
        cancel: whether the run may be cancelled once.
    """

    late: int = 3
    horizon: float = 5.0
    faults: tuple[Fault, ...] = ()
    cancel: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that arrived.

    Attributes:
        source: of what it is a part.
        words: what it is.
        is_last: whether it is the last part.
        read_at: the user's line that waited for it.
        passed_over: what would have come before it by default, each with its words.
    """

    source: Source
    words: str
    is_last: bool
    read_at: CallSite | None
    passed_over: tuple[tuple[Source, str], ...]


class Arrivals:
    """Lets things arrive in one run; it is a ``playbook.StandIn``, too.

    Args:
        loop: the loop of the run.
        tape: the decisions.
        choosing: what they are about.
        patience: how long to wait for threads and sockets, in seconds of real time.
        on_stuck: called where nothing can come any more, or has come for too long; it is told which.
        explains: whether the run is to be told, so that ``events`` is worth its time.

    Attributes:
        count: how many things have arrived.
        events: what has arrived, if the run is to be told.
        broken: the stream that broke instead of going on.
        fault: how it did.
        cancelled: whether the run was cancelled by a decision.
    """

    def __init__(
        self,
        loop: ArrivalLoop,
        tape: Tape,
        choosing: Choosing,
        *,
        patience: float,
        on_stuck: Callable[[str], None],
        explains: bool = False,
    ) -> None:
        self._loop = loop
        self._tape = tape
        self._choosing = choosing
        self._patience = patience
        self._on_stuck = on_stuck
        self._explains = explains
        self._streams: list[Held] = []
        self._others: dict[Timer | Call, Source] = {}
        self._sites: dict[Timer, CallSite] = {}
        self._numbers = count(1)
        self._turn = 0
        self._task: asyncio.Task[Any] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._waiting_since: float | None = None
        self._slow_jobs: set[object] = set()
        self._cancellations = 0
        self.count = 0
        self.events: list[Event] = []
        self.broken: Held | None = None
        self.fault: Fault | None = None
        self.cancelled = False

    # The scripts of the run.

    def again(self, request: Request) -> Script | None:
        """Return the whole script that broke, if a request asks the same again."""
        broken = self.broken
        if broken is None or not is_same_request(request, broken.request):
            return None
        return self.instead_of(broken.script, request)

    def instead_of(self, script: Script, request: Request) -> Script:
        """Return the script that a request gets in place of the one from the queue."""
        if running_loop() is not self._loop:
            return script  # read by a thread, which nobody can hold here
        held = Held(
            script,
            request,
            len(self._streams) + 1,
            loop=self._loop,
            numbers=self._numbers,
            explains=self._explains,
        )
        self._streams.append(held)
        return HeldScript(script, held)

    # The run.

    async def watch(self, task: asyncio.Task[Any]) -> None:
        """Decide what arrives until a task has ended, or cannot be ended; only then is nothing else waited for."""
        self._task = task
        self._ended = self._loop.create_future()
        task.add_done_callback(lambda _: self._leave())
        if self._explains:
            self._loop.on_timer = self._note_timer
        try:
            await self._ended
        finally:
            self._task = self._loop.on_timer = None
            for held in self._streams:
                for gate in held.closed:
                    rewind(gate)

    def _note_timer(self, timer: Timer) -> None:
        self._sites[timer] = calling_site()

    def on_idle(self) -> bool:
        """Let the next thing arrive; return False if there may be something later, in real time."""
        if self._waits_for_jobs():
            return False
        sources = self._sources()
        if not sources:
            return self._nothing_comes()
        self._waiting_since = None
        if self._task is None:  # what follows the run takes its course
            sources[0].arrive()
        else:
            self._decide(sources)
        return True

    def _sources(self) -> list[Source]:
        """Return what can arrive, in the order of the line; of what is due later than the horizon, one at most."""
        loop = self._loop
        timers = sorted((timer for timer in loop.timers if not timer.cancelled()), key=Timer.when)
        near = timers[: self._choosing.late]
        found: list[Source] = [held for held in self._streams if held.can_arrive]
        found += [*map(self._source_of, loop.calls_in_order()), *map(self._source_of, near)]
        found.sort(key=lambda source: source.place)
        end = loop.now + self._choosing.horizon
        soon = [source for source in found if source.due <= end or source.due == inf]
        return soon or sorted(found, key=lambda source: source.due)[:1]

    def _source_of(self, what: Timer | Call) -> Source:
        source = self._others.get(what)
        if source is None:
            kind: Any = Timed if isinstance(what, Timer) else Called
            self._others[what] = source = kind(what, next(self._numbers), self._loop)
            source.asked_at = self._sites.get(what) if isinstance(what, Timer) else None
        return source

    def _out_of_turn(self, sources: list[Source]) -> list[Source]:
        """Return what may arrive besides, but never does by default."""
        found: list[Source] = []
        if self.broken is None:
            found += [
                Breaking(held, fault)
                for held in sources
                if isinstance(held, Held)
                for fault in self._choosing.faults
                if held.can_break(fault)
            ]
        if self._choosing.cancel and not self.cancelled and self._task is not None:
            found.append(Cancelling(self._task))
        return found

    def _decide(self, sources: list[Source]) -> None:
        options = sources + self._out_of_turn(sources)
        chosen = self._tape.choose(len(options)) if len(options) > 1 else 0
        source, passed_over = options[chosen], sources[:chosen] if chosen < len(sources) else []
        self.count += 1
        if self._explains:
            self._tell(source, passed_over)
        if passed_over:
            self._turn += 1
            for other in passed_over:
                other.send_back(self._turn)
        if isinstance(source, Breaking):
            self.broken, self.fault = source.held, source.fault
        self.cancelled = self.cancelled or isinstance(source, Cancelling)
        source.arrive()
        if self.count >= _MOST_EVENTS:
            self._end(f"it did not end within {_MOST_EVENTS:,} arrivals")

    def _tell(self, source: Source, passed_over: list[Source]) -> None:
        self.events.append(
            Event(
                source=source,
                words=source.words(),
                is_last=source.is_last,
                read_at=source.read_at,
                passed_over=tuple((other, other.words()) for other in passed_over),
            )
        )

    # Where nothing comes.

    def _waits_for_jobs(self) -> bool:
        """Tell whether a thread is still busy for the run: what it does may not depend on how fast it is."""
        jobs = self._loop.busy_jobs() - self._slow_jobs
        if not jobs:
            return False
        if self._has_waited():
            self._slow_jobs |= jobs
            self._waiting_since = None
            return False
        return True

    def _has_waited(self) -> bool:
        if self._waiting_since is None:
            self._waiting_since = monotonic()
        return monotonic() - self._waiting_since >= self._patience

    def _nothing_comes(self) -> bool:
        """End the run if nothing can come any more, or has come for too long; see ``on_idle``."""
        loop = self._loop
        if loop.has_sockets or loop.jobs or signals_may_act() or threads_may_act():
            if not self._has_waited():
                return False
            self._end(f"it did not end: nothing has come for {self._patience:.3g} s of real time")
        else:
            self._end("")
        return True

    def _end(self, why: str) -> None:
        """Cancel the run, and leave it if that does not help."""
        if self._task is None:
            raise RuntimeError("what runs after the code under test, such as check=, waits for what never comes")
        if not self._cancellations:
            self._on_stuck(why)
        self._cancellations += 1
        self._task.cancel()
        if self._cancellations >= _CANCELLATIONS:
            self._leave()

    def _leave(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
