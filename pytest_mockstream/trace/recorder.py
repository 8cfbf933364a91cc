"""Notes what happens while a test runs: requests and their streams, tasks, threads and phases, in one list, in order.

Theory of operation: while a test runs, each thing that happens is one tuple at the end of a list, told by the streams
(``_base.watching``), by the leak check's register of births, and by whoever runs the test. Nothing is worked out before
a trace is written. What was born is held by weak references, and nothing is asked of the code under test: no callback
hangs on a task. So when a task or a thread ended is known from the death of its weak reference, or from a look at those
that live when something else happens. All of it may be called in any thread, finaliser or signal handler, and takes no
lock: appending to a list is one step.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from types import CodeType, CoroutineType
from typing import Any

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.loops import running_coroutine, running_loop
from pytest_mockstream._base.paths import comparable, is_ours, start_of
from pytest_mockstream._base.redaction import Secrets
from pytest_mockstream._base.watching import Happening, begin_watching, end_watching
from pytest_mockstream.leaks import (
    Birth,
    Leak,
    TaskBirth,
    begin_telling_births,
    end_telling_births,
    error_of,
    is_by_finaliser,
    name_at_birth,
)
from pytest_mockstream.playbook.findings import Finding
from pytest_mockstream.playbook.ledger import asking_clock
from pytest_mockstream.playbook.request import Request

from .happenings import MOST_BYTES, MOST_HAPPENINGS, NEAR, Failure, Happenings, Life, Phase, PhaseKind

_LOOKED_AT = 8  # of those that live, each time that something else happens
_append = list.append
_ASYNCIO = start_of(asyncio.__path__[0])
_LASTING = frozenset({"import", "plugin", "check", "singleton"})  # owners of what is nobody's
_LOOKS = frozenset({"asked", "over"})  # what happens to a stream after which it is looked who has ended


class Recorder:
    """Notes what happens, one attempt at a test after the other, from ``start`` to ``stop``.

    Of a recorder inside of another one, such as that of a pytest session in a test, neither disturbs the other.

    Example:
        >>> recorder = Recorder()
        >>> recorder.start()
        >>> recorder.begin()
        >>> with recorder.phase("test", "call"):
        ...     pass
        >>> attempt = recorder.attempt(outcome="passed", duration=0.01)
        >>> recorder.stop()
    """

    def __init__(self) -> None:
        self._told = Happenings()
        self._living: dict[int, Life] = {}
        self._secrets: Secrets | None = None
        self._size = 0  # of the frames

    def start(self) -> None:
        """Begin to watch streams, tasks and threads."""
        begin_telling_births(self._born)
        begin_watching(self._note)
        self.begin()

    def stop(self) -> None:
        """Stop watching, and forget everything."""
        end_watching(self._note)
        end_telling_births(self._born)
        self.begin()

    def begin(self) -> None:
        """Begin an attempt at a test: forget everything before it."""
        self._told = Happenings()
        self._living = {}
        self._secrets = None
        self._size = 0

    @property
    def requests(self) -> list[Request]:
        """The requests since ``begin``, in order, without those of the runs of a sweep."""
        return self._told.requests[:]

    # Phases.

    def begin_phase(self, kind: PhaseKind, name: str, place: CallSite | None = None) -> Phase:
        """Note that a phase begins; ``end_phase`` ends it."""
        phase = Phase(kind, name, place)
        self._tell_phase(("phase", phase, True, monotonic()))
        return phase

    def end_phase(self, phase: Phase, *, at: float | None = None) -> None:
        """Note that a phase ends; its ``state`` may be set until the attempt is asked for.

        Args:
            phase: what ``begin_phase`` returned.
            at: when it ended, by the real clock; None for now.
        """
        self._tell_phase(("phase", phase, False, monotonic() if at is None else at))
        if phase.state == "failed":  # what a test sets in the environment is gone when its trace is written
            secrets = Secrets()
            if self._secrets is not None:
                secrets.join(self._secrets)
            self._secrets = secrets

    def _tell_phase(self, happening: Happening) -> None:
        """Tell a phase, whether it begins, and when by the real clock: what runs tests stands outside of loops."""
        if self._living:
            self._look()
        _append(self._told.told, happening)

    @contextmanager
    def phase(self, kind: PhaseKind, name: str, place: CallSite | None = None) -> Iterator[Phase]:
        """Note a phase: a part of the test itself, such as ``"call"``, or a fixture.

        Args:
            kind: ``"test"`` or ``"fixture"``.
            name: which it is.
            place: the line of the function.
        """
        phase = self.begin_phase(kind, name, place)
        try:
            yield phase
        except BaseException:
            phase.state = "failed"
            raise
        finally:
            self.end_phase(phase)

    # What is told.

    def _note(self, happening: Happening) -> None:
        if happening[0] == "chunk":  # by far the most
            told = self._told.told
            if len(told) < MOST_HAPPENINGS:
                _append(told, happening)
                return
        elif happening[0] == "frame":
            happening = self._weighed(happening)
        elif happening[0] in _LOOKS:
            if self._living:
                self._look()
            happening = (*happening, monotonic())
        self._told.append(happening)

    def _weighed(self, happening: Happening) -> Happening:
        """Return a frame with its bytes, if there have not been too many of them."""
        self._size += len(happening[5])
        return happening if self._size <= MOST_BYTES else (*happening[:5], b"")

    def _born(self, thing: asyncio.Task[Any] | threading.Thread, birth: TaskBirth | Birth) -> None:
        if not _is_of_test(thing, birth) or not isinstance(thing, asyncio.Task | threading.Thread):
            return
        if self._living:
            self._look()
        life = Life(thing, self._died)
        life.serial = birth.serial
        life.frames = birth.frames
        life.owner = "" if birth.owner is None else birth.owner.label
        life.parent = self._me()
        life.clock, life.born = _now()
        if isinstance(thing, threading.Thread):
            life.kind, life.name, life.key, life.target = "thread", _name_of(thing), 0, ""
        else:
            coro = thing.get_coro()
            life.kind, life.name, life.key = "task", name_at_birth(thing), id(coro)
            life.target = coro.__qualname__ if isinstance(coro, CoroutineType) else ""
        life.told = self._told.told
        self._living[birth.serial] = life
        life.told.append(("born", life))

    def _died(self, life: Life) -> None:
        if self._living.pop(life.serial, None) is not None:  # it is not known yet to have ended
            _end(life, "ended", "")

    def _look(self, most: int = _LOOKED_AT) -> None:
        """Look which of those that live have ended, of the first few, which are the last ones next time."""
        living = self._living
        try:
            some = list(islice(living.items(), most))
        except RuntimeError:  # another thread, or a finaliser, changes it this very moment
            return
        for serial, life in some:
            thing = life()
            if thing is None:
                continue
            if life.kind == "task":
                life.name = asyncio.Task.get_name(thing)
                how = _end_of_task(thing)
            else:
                how = self._end_of_thread(life, thing)
            if how is not None:
                if living.pop(serial, None) is not None:
                    _end(life, *how)
            elif len(living) > _LOOKED_AT and (again := living.pop(serial, None)) is not None:
                living[serial] = again

    def _end_of_thread(self, life: Life, thread: threading.Thread) -> tuple[str, str] | None:
        """Return how a thread has ended; None if it has not, or has not been seen alive yet."""
        life.name = _name_of(thread)
        if threading.Thread.is_alive(thread):
            if not life.key and thread.ident is not None:
                life.key = thread.ident
            return None
        return ("ended", "") if life.key else None

    @staticmethod
    def _me() -> int:
        """Return what requests call the task, or the thread, that runs here (``Asker.task``)."""
        coroutine = running_coroutine()
        return threading.get_ident() if coroutine is None else id(coroutine)

    # What it was.

    def attempt(
        self,
        *,
        outcome: str,
        duration: float,
        failures: Sequence[Failure] = (),
        leaks: Sequence[Leak] = (),
        findings: Sequence[Finding] = (),
    ) -> dict[str, Any]:
        """Return what has happened since ``begin``, as the schema's ``Attempt``, with the ``sources`` of its places.

        Args:
            outcome: ``"passed"``, ``"failed"``, ``"skipped"`` or ``"rerun"``.
            duration: of the attempt, in seconds of real time.
            failures: the phase and the text of each failure, and the line that failed where it is known.
            leaks: what the leak check found.
            findings: what was found wrong with how the code copes with trouble.
        """
        from .attempts import attempt_of

        self._look(len(self._living))
        return attempt_of(
            self._told,
            known=self._secrets,
            outcome=outcome,
            duration=duration,
            failures=failures,
            leaks=leaks,
            findings=findings,
        )


def _now() -> tuple[Callable[[], float], float]:
    """Return the clock by which things happen here, and what it shows."""
    if running_loop() is None:
        return monotonic, monotonic()
    clock = asking_clock()
    now = clock()
    if clock is not monotonic and abs(now - (real := monotonic())) < NEAR:  # a virtual one that is not switched on
        return monotonic, real
    return clock, now


def _is_of_test(thing: asyncio.Task[Any] | threading.Thread, birth: TaskBirth | Birth) -> bool:
    """Tell whether it is the test's: nothing that runs tests, that an import starts for good, or that we need.

    Nor what the finaliser of an object starts: that may be the object of any test before.
    """
    frames, owner = birth.frames, birth.owner
    if not frames and not isinstance(thing, threading.Thread):
        return False  # a task whose maker is not known is asyncio.Runner's own
    if (owner is not None and owner.label in _LASTING) or is_by_finaliser(birth):
        return False
    if not frames:
        return True
    files = [code.co_filename for code in frames if isinstance(code, CodeType)]
    # What asyncio starts without anybody above it ends a loop, such as the thread that waits for the loop's executor.
    return not is_ours(files[0]) and any(not comparable(file).startswith(_ASYNCIO) for file in files)


def _name_of(thread: threading.Thread) -> str:
    """Return the name that a thread was given; no code of the user's runs for it."""
    name: str = threading.Thread.name.fget(thread)  # type: ignore[attr-defined] # a property
    return name


def _end(life: Life, state: str, error: str) -> None:
    life.told.append(("ended", life, state, error, *_now()))


def _end_of_task(task: asyncio.Task[Any]) -> tuple[str, str] | None:
    """Return how a task has ended, and its error in words; None if it has not."""
    if not asyncio.Task.done(task):
        return None
    if asyncio.Task.cancelled(task):
        return "cancelled", ""
    error = error_of(task)
    if error is None:
        return "returned", ""
    args = BaseException.args.__get__(error)  # type: ignore[attr-defined] # no code of the user's runs for it
    said = args[0].partition("\n")[0] if args and type(args[0]) is str else ""
    return "raised", f"{type(error).__name__}: {said}" if said else type(error).__name__
