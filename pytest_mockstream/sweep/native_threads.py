"""Whether a thread in which no Python runs, such as one of a library in C, may still wake somebody.

Theory of operation: such a thread may call Python whenever it runs. Linux tells in which system call each thread of a
process is. One that waits at a futex of this process, without a time-out, goes on only when another thread lets it
(``futex(2)``): so do the idle workers of numpy's BLAS. One that sleeps, polls or runs goes on by itself. On macOS and
Windows, which tell nothing of that, such threads are overlooked.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from pathlib import Path

from pytest_mockstream._base.clock import monotonic, pause
from pytest_mockstream.leaks import frames_of_threads

_THREADS = "/proc/self/task"  # lists all threads of the process
_GONE = 0.5  # seconds within which a thread that has ended is gone, on a busy machine
#: The number of the system call ``futex`` on 64-bit machines; on others no thread is known to wait for another.
_FUTEX = {"x86_64": "202", "aarch64": "98", "riscv64": "98"}.get(platform.machine()) if sys.maxsize > 2**32 else None
_WAITS = frozenset({0, 6, 9, 13})  # FUTEX_WAIT, FUTEX_LOCK_PI, FUTEX_WAIT_BITSET, FUTEX_LOCK_PI2
_OPERATION, _PRIVATE = 0x7F, 0x80

#: Threads that went on by themselves as long as they were looked at; another look at them takes no time.
_BUSY: set[str] = set()


def native_threads_may_act() -> bool:
    """Tell whether a thread that runs no Python may wake anybody; it takes half a second at most to be sure."""
    end = monotonic() + _GONE
    before = None
    while True:
        listed = _listed()
        try:
            threads = {thread: _rest(thread) for thread in os.listdir(_THREADS) if thread not in listed}
        except OSError:  # this is no Linux
            return False
        awake = {thread for thread, rest in threads.items() if rest is None}
        with_python = _unlisted()  # among them, and nobody knows which
        if len(awake) <= with_python and (not threads or threads == before):  # none has run in between
            return False
        if monotonic() >= end or len(awake & _BUSY) > with_python:
            _BUSY.update(awake)
            return True
        before = threads
        pause(_GONE)


def waits_for_another(call: str) -> bool:
    """Tell whether a thread goes on only when another one of the process lets it.

    Args:
        call: what ``/proc/self/task/ID/syscall`` says of it: a number and six arguments, or that it runs (``proc(5)``).
    """
    number, *arguments = call.split() or [""]
    if number != _FUTEX:
        return False
    _, operation, _, timeout, *_ = (int(argument, 16) for argument in arguments)
    return bool(operation & _PRIVATE) and operation & _OPERATION in _WAITS and timeout == 0


def _listed() -> set[str]:
    """Return the identifiers of the threads that ``threading`` knows; those that it noted before a fork are wrong."""
    right = {os.getpid(), threading.get_native_id()}  # the main thread's, on Linux, and this one's
    return set(map(str, right | {thread.native_id for thread in threading.enumerate()}))


def _unlisted() -> int:
    """Return how many threads run Python that ``threading`` does not know."""
    return len(dict(frames_of_threads()).keys() - {thread.ident for thread in threading.enumerate()})


def _rest(thread: str) -> int | None:
    """Return how often a thread that wakes nobody has waited by now; None for one that may wake somebody."""
    status = _read(Path(_THREADS, thread, "status"))
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if not told:  # it has just ended
        return None
    at_rest = waits_for_another(_read(Path(_THREADS, thread, "syscall"))) or _is_watchdog(told)
    return int(told["voluntary_ctxt_switches"]) if at_rest else None


def _read(file: Path) -> str:
    """Return what a file of the system's says; nothing where the thread has ended, or the system does not tell."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _is_watchdog(told: dict[str, str]) -> bool:
    """Tell whether a thread is that of ``faulthandler.dump_traceback_later``, as ``faulthandler_timeout`` starts it.

    It sleeps, takes no signal, and goes by the name of the process. A thread that has just been created takes none yet,
    either, but does not sleep.
    """
    blocked = int(told["SigBlk"], 16)
    takes = {getattr(number, "name", "") for number in signal.valid_signals() if not blocked >> (number - 1) & 1}
    sleeps = told["State"].startswith("S") and takes == {"SIGKILL", "SIGSTOP"}
    return sleeps and told["Name"] == _read(Path("/proc/self/comm")).strip()
