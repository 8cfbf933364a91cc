"""Let pytest end although a thread that failed a test would keep its process from exiting.

Python joins every thread that is not a daemon before it exits, forever if need be. This acts only where pytest is the
program that runs, and only on threads that have failed a test; the verdict and the exit status stay what they are.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from pathlib import Path

from pytest_mockstream._base.clock import monotonic
from pytest_mockstream.leaks import convicted_threads

_FAILED = 1  # pytest's status for tests that failed
_PROGRAMS = {"pytest", "pytest.exe", "py.test", "py.test.exe"}


class _End:
    """What happens at the end of the process; a later session of pytest in it has the last word."""

    def __init__(self) -> None:
        self.is_registered = False
        self.grace = 0.0
        self.status = 0

    def __call__(self) -> None:
        end = monotonic() + self.grace
        threads = convicted_threads()
        for thread in threads:
            threading.Thread.join(thread, max(0.0, end - monotonic()))
        left = [thread.name for thread in threads if thread.is_alive()]
        if not left:
            return
        names = ", ".join(map(repr, left))
        sys.stderr.write(
            f"pytest-mockstream: non-daemon threads still running after {self.grace:g} s: {names};"
            " exiting without them.\n"
        )
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(self.status or _FAILED)


_END = _End()


def end_in_time(grace: float, status: int) -> None:
    """Let the process end with a status, at most so many seconds after its last line, if it is pytest's."""
    if not _runs_pytest() or not convicted_threads():
        return
    _END.grace, _END.status = grace, status
    register = getattr(threading, "_register_atexit", None)  # CPython 3.9 to 3.15: called before threads are joined
    if register is not None and not _END.is_registered:
        register(_END)
        _END.is_registered = True


def _runs_pytest() -> bool:
    """Tell whether the program that runs is pytest, and not one that has called it."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return getattr(spec, "name", "") == "pytest.__main__" or Path(sys.argv[0]).name in _PROGRAMS
