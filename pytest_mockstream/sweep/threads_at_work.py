"""Whether another thread may still do something that an event loop waits for.

It looks at where threads stand, and at whose code that is; it knows no event loop.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from pytest_mockstream._base.callsite import package_of
from pytest_mockstream._base.clock import monotonic, pause
from pytest_mockstream.leaks import (
    frames_of_threads,
    has_work,
    is_kept_idle,
    thread_is_about_to_run,
    waits_for_job,
)
from pytest_mockstream.playbook.playbook import playbooks

_SERVER = "mockstream server"
#: Packages whose threads run tests or time them; what they call wakes nobody. Those of other plugins may.
_RUN_TESTS = frozenset({"pytest", "_pytest", "pytest_timeout", "pytest_rerunfailures", "xdist", "execnet"})
_DEBUG = ("pydevd", "_pydevd", "debugpy")  # how the names of a debugger's packages begin
_THREADS = "/proc/self/task"  # lists all threads of the process; on Linux only
_GONE = 0.5  # seconds within which a thread that has ended is gone, on a busy machine


def threads_may_act() -> bool:
    """Tell whether another thread may wake anybody.

    A thread has its callbacks nowhere on its stack. So all may, but for the idle workers of pools, those that run tests
    and the thread of a server of ours. One in which no Python runs (that of a library in C) may call some at any time;
    only Linux tells of those.
    """
    if thread_is_about_to_run():
        return True
    here = threading.current_thread()
    threads = [thread for thread in threading.enumerate() if thread is not here]
    stacks = dict(frames_of_threads())
    stacks.pop(here.ident or 0, None)
    if any(_may_act(thread, stacks.pop(thread.ident or 0, ())) for thread in threads):
        return True
    return any(map(_act, stacks.values())) or _runs_without_python()


def _runs_without_python() -> bool:
    """Tell whether the process has a thread that runs no Python, but for one that watches for time-outs."""
    end = monotonic() + _GONE
    while monotonic() < end:
        try:
            threads = os.listdir(_THREADS)
        except OSError:
            return False
        others = len(threads) - len(dict(frames_of_threads()))
        if others <= 0 or (others == 1 and any(map(_is_watchdog, threads))):
            return False
        pause(_GONE)
    return True


def _is_watchdog(thread: str) -> bool:
    """Tell whether a thread is that of ``faulthandler.dump_traceback_later``, as ``faulthandler_timeout`` starts it.

    It sleeps, takes no signal, and goes by the name of the process. A thread that has just been created takes none yet,
    either, but does not sleep.
    """
    try:
        status = Path(_THREADS, thread, "status").read_text(encoding="utf-8", errors="replace")
        process = Path("/proc/self/comm").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has just ended
        return False
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    blocked = int(told["SigBlk"], 16)
    takes = {getattr(number, "name", "") for number in signal.valid_signals() if not blocked >> (number - 1) & 1}
    return told["State"].startswith("S") and takes == {"SIGKILL", "SIGSTOP"} and told["Name"] == process.strip()


def server_runs() -> bool:
    """Tell whether there is a server of ours, whose thread wakes who waits for what its streams come to."""
    return any(thread.name.startswith(_SERVER) for thread in threading.enumerate())


def is_of_pytest(function: object) -> bool:
    """Tell whether a function is one of a plugin for pytest, such as a time-out, which wakes nobody."""
    code = getattr(function, "__code__", None)
    return code is not None and _runs_tests([package_of(code.co_filename)])


def _may_act(thread: threading.Thread, frames: Iterable[FrameType]) -> bool:
    if thread.name.startswith(_SERVER):  # it wakes who waits for its streams, and whom functions of the user's wake
        return any(playbook.may_yet_ask_user_code for playbook in playbooks())
    if is_kept_idle(thread):
        return False
    if has_work(thread):  # also before it stands in the job
        return True
    if isinstance(thread, threading.Timer):
        return not is_of_pytest(thread.function)
    return _act(frames)


def _act(frames: Iterable[FrameType]) -> bool:
    codes = [frame.f_code for frame in frames]
    packages = {package_of(code.co_filename) for code in codes}
    return None in packages or not (waits_for_job(codes) or _runs_tests(packages))


def _runs_tests(packages: Iterable[str | None]) -> bool:
    others = {package for package in packages if package != ""}  # than the standard library
    return bool(others) and all(name and (name in _RUN_TESTS or name.startswith(_DEBUG)) for name in others)
