"""One test, or one block, that is being judged: what was there before, and what it has left.

Decides whether anything is left at all, in a few comparisons. Waiting, blaming and ending are done elsewhere.

PYTEST_DONT_REWRITE: it has no asserts, and every run loads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import interpreter
from .births import BIRTHS
from .owner import Owner

if TYPE_CHECKING:
    from .values import Counts, Leak


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
        fixtures: returns the values of the wider fixtures that are in use, with their owners.
    """

    ignored: Callable[[Leak], bool] = _nothing
    fails: Callable[[Leak], bool] = _everything
    contained: Callable[[Leak], bool] = _nothing
    fixtures: Callable[[], Sequence[tuple[Any, Owner]]] = tuple


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
        lasting: what imports started meanwhile, and libraries keep.
        interrupted: whether the user broke off; then nothing is judged.
        called_at: the serial number that births had reached when the setup was over.
        ending: the wider fixture that is judged right now.
        counts: how many tasks and threads there are, once something was found.
        convicted: the serial numbers of the tasks among the leaks, which may end with their loops meanwhile.
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
        if BIRTHS.hidden is not None:
            BIRTHS.hidden.find()
        self.mark = BIRTHS.mark()
        self.idents = frozenset(interpreter.ACTIVE)
        self.alive = interpreter.count_started()
        self.raw = len(BIRTHS.raw)
        self.started = BIRTHS.threads_started
        self.convicted: set[int] = set()
        self.leaks: list[Leak] = []
        self.lasting: list[Leak] = []


def is_quiet(scope: Scope) -> bool:
    """Tell at a glance whether nothing runs that was not there before, and nothing that could have got new work."""
    if BIRTHS.hidden is not None:
        BIRTHS.hidden.find()
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
        and not (BIRTHS.workers and _has_busy_workers())
    )


def _has_busy_workers() -> bool:
    from .internals import busy_workers

    return bool(busy_workers(BIRTHS.workers))
