"""One test, or one block, that is judged: what it began with, and what it leaves.

The wall: keeps the baseline and decides whose a thing is; waiting and ending are done elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from . import interpreter
from .births import BIRTHS
from .interpreter import HIDES_TASKS
from .owner import Owner

if TYPE_CHECKING:
    from .values import Counts, Leak, LeakReport

_MAIN = 1  # the main thread, which nobody started


def _nothing(leak: Leak) -> bool:
    return False


def _everything(leak: Leak) -> bool:
    return True


class Policy(NamedTuple):
    """What becomes of a leak, as far as it is not the check's to say.

    Attributes:
        ignored: tells whether something is left on purpose.
        fails: tells whether a leak fails what is on stage; whatever does not is left alone.
        contained: tells whether a leak that fails it is ended even where it could live on.
    """

    ignored: Callable[[Leak], bool] = _nothing
    fails: Callable[[Leak], bool] = _everything
    contained: Callable[[Leak], bool] = _nothing


_STRICT = Policy()


class Scope:
    """What is known of a test or block on stage. Each test makes one: what is seldom set costs nothing.

    Attributes:
        owner: its owner.
        grace: seconds to wait for what it left.
        policy: what becomes of what it leaves.
        mark: births after it are this scope's time.
        idents: the threads that there were, as far as they have objects.
        alive: how many threads there were that Python had started.
        raw: how many threads without objects there were, as far as their births were seen.
        started: how many threads had been started.
        leaks: found so far.
        lasting: threads that imports started meanwhile.
        interrupted: whether the user broke off; then nothing is judged.
        called_at: the serial number that births had reached when the setup was over.
        ending: the wider fixture that is judged right now.
        counts: how many tasks and threads there are, once something was found.
        kinds: the optional kinds that are looked for.
    """

    interrupted = False
    called_at = math.inf
    ending: Owner | None = None
    counts: Counts | None = None
    kinds: frozenset[str] = frozenset()

    def __init__(self, owner: Owner, grace: float, policy: Policy = _STRICT) -> None:
        self.owner = owner
        self.grace = grace
        self.policy = policy
        if HIDES_TASKS:
            BIRTHS.find_tasks()
        self.mark = BIRTHS.mark()
        self.idents = frozenset(interpreter.ACTIVE)
        self.alive = interpreter.count_started()
        self.raw = len(BIRTHS.raw)
        self.started = BIRTHS.threads_started
        self.leaks: list[Leak] = []
        self.lasting: list[Leak] = []

    def blame(self, owner: Owner | None, serial: int = 0) -> str | None:
        """Return the label of who is to blame for something that was born in this scope's time; None: not this one."""
        root = None if owner is None else owner.root
        if self.ending is not None:
            return self.ending.label if root is self.ending else None
        if owner is None or root is None:
            return self.owner.label
        if owner.belongs_to(self.owner):
            # A context that was copied during the setup may be used by the test itself.
            return self.owner.label if owner.label == "setup" and serial > self.called_at else owner.label
        # A context of an earlier test may be used by this one. What the leak of another test starts is not ours.
        return self.owner.label if root.over and not root.leaked and root.label == self.owner.label else None

    def blame_at_close(self, owner: Owner | None, serial: int) -> str | None:
        """Do as ``blame``, for a loop that is closed now: what a fixture left on it cannot end after the fixture."""
        if owner is not None and owner.root.label.startswith("fixture:") and owner.root.over and not owner.root.leaked:
            return owner.root.label
        return self.blame(owner, serial)

    def count(self) -> None:
        """Note how many tasks and threads there are, and how many of them there were before."""
        from .values import Counts

        pending = [birth.serial for birth in BIRTHS.pending_since(0)]
        before = sum(serial < self.mark for serial in pending)
        first = self.counts
        self.counts = Counts(
            tasks=(before, max(len(pending), first.tasks[1] if first else 0)),
            threads=(
                (self.alive if self.ending is None else self.ending.threads) + _MAIN,
                max(interpreter.count_started() + _MAIN, first.threads[1] if first else 0),
            ),
        )

    def report(self, title: str) -> LeakReport:
        """Return what was found."""
        from .values import Counts, LeakReport

        if self.leaks and self.counts is None:
            self.count()
        return LeakReport(leaks=tuple(self.leaks), counts=self.counts or Counts(), grace=self.grace, title=title)


def is_quiet(scope: Scope) -> bool:
    """Tell at a glance whether nothing runs that was not there before, and nothing that could have got new work."""
    if HIDES_TASKS:
        BIRTHS.find_tasks()
    return not BIRTHS.submitted and not _has_pending_tasks(scope) and no_thread_came(scope)


def _has_pending_tasks(scope: Scope) -> bool:
    return bool(BIRTHS.tasks) and next(BIRTHS.pending_since(scope.mark), None) is not None


def no_thread_came(scope: Scope) -> bool:
    """Tell at a glance whether all threads were there before, and none of them could have got new work."""
    return (
        BIRTHS.threads_started == scope.started
        and not BIRTHS.jobs
        and interpreter.count_started() == scope.alive
        and len(interpreter.ACTIVE) == len(scope.idents)
        and BIRTHS.count_foreign() == BIRTHS.foreign
        and not (BIRTHS.workers and BIRTHS.busy_workers())
    )
