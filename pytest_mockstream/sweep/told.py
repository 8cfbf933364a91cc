"""Tells whoever watches which runs a sweep does, and what came of each; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from pytest_mockstream._base.callsite import CallSite, calling_site, is_library
from pytest_mockstream._base.errors import SweepError
from pytest_mockstream._base.watching import Verdict, watcher
from pytest_mockstream.playbook.ledger import entry_of
from pytest_mockstream.playbook.request import Request

from .problem import Problem


@contextmanager
def sweep_told(kind: Literal["cancel", "faults", "orders", "threads"], title: str) -> Iterator[None]:
    """Tell of a sweep that is done in a block."""
    note = watcher()
    if note is None:
        yield
        return
    site = calling_site(sys._getframe(2))
    note(("sweep", 0, 0.0, kind, title, None if is_library(site.filename) else site))
    report = ""
    try:
        yield
    except SweepError as error:
        report = str(error)
        raise
    finally:
        note(("swept", 0, 0.0, report))


def tell_run() -> None:
    """Tell that a run begins."""
    if (note := watcher()) is not None:
        note(("run", 0, 0.0))


def tell_verdict(name: str, problems: Iterable[Problem] = (), alone: str = "", site: CallSite | None = None) -> None:
    """Tell what came of the run that has ended.

    Args:
        name: what was done in it.
        problems: what was wrong with it.
        alone: the keyword that runs it alone, or "".
        site: the user's line where something was done to it, or None.
    """
    if (note := watcher()) is None:
        return
    found = list(problems)
    hints = [hint for hint in dict.fromkeys(problem.hint for problem in found) if hint]
    text = "\n".join([*map(str, found), *hints])
    leaks = tuple(leak for problem in found for leak in problem.leaks)
    note(("verdict", 0, 0.0, Verdict(name, text, alone, site, leaks)))


def tell_left(request: Request) -> None:
    """Tell that a run has left a stream open."""
    entry = entry_of(request)
    if entry.note is not None:
        entry.note(("left", entry.asked_as, 0.0 if entry.progress is None else entry.progress.now()))
