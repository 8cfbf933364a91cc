"""Whether another thread may still do something that an event loop waits for.

It looks at where threads stand, and at whose code that is; it knows no event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import FrameType

from pytest_mockstream._base.callsite import package_of
from pytest_mockstream.leaks import (
    frames_of_threads,
    has_work,
    is_kept_idle,
    thread_is_about_to_run,
    waits_for_job,
)
from pytest_mockstream.playbook.playbook import playbooks

from .native_threads import native_threads_may_act

_SERVER = "mockstream server"
#: Packages whose threads run tests or time them; what they call wakes nobody. Those of other plugins may.
_RUN_TESTS = frozenset({"pytest", "_pytest", "pytest_timeout", "pytest_rerunfailures", "xdist", "execnet"})
_DEBUG = ("pydevd", "_pydevd", "debugpy")  # how the names of a debugger's packages begin


def threads_may_act() -> bool:
    """Tell whether another thread may wake anybody.

    A thread has its callbacks nowhere on its stack. So all may, but for the idle workers of pools, those that run tests
    and the thread of a server of ours, and those in which no Python runs and that wait for another.
    """
    if thread_is_about_to_run():
        return True
    here = threading.current_thread()
    threads = [thread for thread in threading.enumerate() if thread is not here]
    stacks = dict(frames_of_threads())
    stacks.pop(here.ident or 0, None)
    if any(_may_act(thread, stacks.pop(thread.ident or 0, ())) for thread in threads):
        return True
    return any(map(_act, stacks.values())) or native_threads_may_act()


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
