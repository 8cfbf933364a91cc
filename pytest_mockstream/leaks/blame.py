"""Decides who is blamed for what was left, counts what is alive, and makes the report of a scope."""

from __future__ import annotations

from . import interpreter
from .births import BIRTHS
from .owner import Owner
from .report import LeakReport
from .scope import Scope
from .values import Counts

_MAIN = 1  # the main thread, which nobody started


def blame(scope: Scope, owner: Owner | None, serial: int = 0) -> str | None:
    """Return the label of who is to blame for something that was born in this scope's time; None: not this one."""
    root = None if owner is None else owner.root
    if scope.ending is not None:
        return scope.ending.label if root is scope.ending else None
    if owner is None or root is None:
        return scope.owner.label
    if owner.belongs_to(scope.owner):
        # A context that was copied during the setup may be used by the test itself.
        return scope.owner.label if owner.label == "setup" and serial > scope.called_at else owner.label
    # A context of an earlier test may be used by this one. What the leak of another test starts is not ours.
    return scope.owner.label if root.over and not root.leaked and root.label == scope.owner.label else None


def blame_at_close(scope: Scope, owner: Owner | None, serial: int) -> str | None:
    """Do as ``blame``, for a loop that is closed now: what a fixture left on it cannot end after the fixture."""
    if owner is not None and owner.root.label.startswith("fixture:") and owner.root.over and not owner.root.leaked:
        return owner.root.label
    return blame(scope, owner, serial)


def count(scope: Scope) -> None:
    """Note how many tasks and threads there are, and how many of them there were before.

    That is for when a test is over: while a loop closes, threads and tasks beside it may be at work.
    """
    alive = {birth.serial for birth in BIRTHS.pending_since(0)} | scope.convicted
    first = scope.counts or Counts()
    before = scope.alive if scope.ending is None else scope.ending.threads
    scope.counts = Counts(
        tasks=(sum(serial < scope.mark for serial in alive), max(len(alive), first.tasks[1])),
        threads=(before + _MAIN, max(interpreter.count_started() + _MAIN, first.threads[1])),
    )


def report_of(scope: Scope, title: str) -> LeakReport:
    """Return what was found."""
    if scope.leaks and scope.counts is None:
        count(scope)
    return LeakReport(leaks=tuple(scope.leaks), counts=scope.counts or Counts(), grace=scope.grace, title=title)
