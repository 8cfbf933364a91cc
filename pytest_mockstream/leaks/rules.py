"""What keeps running and is no leak: a few named rules, each with its reason and the versions it was checked with."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import CodeType
from typing import Any, Generic, NamedTuple, TypeVar

from pytest_mockstream._base.callsite import package_of
from pytest_mockstream._base.paths import comparable

from . import internals, interpreter
from .births import Birth, Frames, TaskBirth, birth_of, stack
from .settle import Deadline, closes_generator, settle_threads, watch
from .stacks import Snapshot, Stop, codes_of

T = TypeVar("T")
_MOMENT = 0.005


class Rule(NamedTuple, Generic[T]):
    """One exception.

    Attributes:
        name: for the report of what was let go.
        reason: why it is no leak.
        holds: tells whether something is meant.
    """

    name: str
    reason: str
    holds: Callable[[T], bool]


def _code_of(task: asyncio.Task[Any]) -> Any:
    coro = task.get_coro()
    return getattr(coro, "cr_code", None) or getattr(coro, "gi_code", None)


def _runs(package: str, *functions: str) -> Callable[[TaskBirth], bool]:
    """Tell whether a task runs one of these functions of a package."""

    def tell(birth: TaskBirth) -> bool:
        task = birth()
        code = None if task is None else _code_of(task)
        return code is not None and code.co_qualname in functions and package_of(code.co_filename) == package

    return tell


def _accepts_for_proactor(birth: TaskBirth) -> bool:
    task = birth()
    code = None if task is None else _code_of(task)
    if code is None or code.co_qualname != "IocpProactor.accept.<locals>.accept_coro":
        return False
    return comparable(code.co_filename).endswith("/asyncio/windows_events.py")


def _is_by_collector(birth: TaskBirth) -> bool:
    task = birth()
    return (task is not None and closes_generator(task)) or is_by_finaliser(birth)


def is_by_finaliser(birth: Birth | TaskBirth) -> bool:
    """Tell whether the finaliser of an object started something: that runs whenever the collector comes."""
    return _has_finaliser(birth.frames)


def is_in_finaliser() -> bool:
    """Tell whether the finaliser of an object runs here: the caller, or who has called it."""
    return _has_finaliser(stack(sys._getframe(1))[0])


def _has_finaliser(frames: Frames) -> bool:
    return any(_is_finaliser(code) for code in codes_of(frames))


def _is_finaliser(code: CodeType) -> bool:
    """Tell whether code is a method ``__del__``, and not a function that is called so."""
    owner, _, name = code.co_qualname.rpartition(".")
    return name == "__del__" and owner.rpartition(".")[2] not in {"", "<locals>"}


#: What no search for holders can see: tasks that nothing but their own loop knows, and that end with it.
TASK_RULES = (
    Rule(
        "anyio-runner",
        "anyio's plugin runs tests and fixtures in this task and ends it itself (anyio 4.9 to 4.16)",
        _runs("anyio", "TestRunner._run_tests_and_fixtures"),
    ),
    Rule(
        "anyio-process-pool",
        "anyio keeps it for each loop, to end its worker processes with that (anyio 4.9 to 4.16)",
        _runs("anyio", "_shutdown_process_pool_on_exit"),
    ),
    Rule(
        "proactor-accept",
        "on Windows asyncio waits in it for a server's next connection; the server is what is left (3.11 to 3.15)",
        _accepts_for_proactor,
    ),
    Rule(
        "sse-starlette",
        "sse-starlette watches for the server's shutdown in each loop, in a task that nobody can reach (3.0 to 3.7)",
        _runs("sse_starlette", "_shutdown_watcher"),
    ),
    Rule(
        "litellm-logging",
        "litellm keeps one such task in every loop, for its callbacks (1.80 to 1.110)",
        _runs("litellm", "LoggingWorker._worker_loop"),
    ),
    Rule(
        "recording",
        "reads the rest of an answer for the test's recording, for a bounded time that the door waits for",
        _runs("pytest_mockstream", "InLoop.run"),
    ),
    Rule(
        "garbage-collection",
        "a finaliser started it, whenever the collector came; the test that runs now has nothing to do with it",
        _is_by_collector,
    ),
)


class SeenThread:
    """A thread and who is behind it; where it stands is looked at only once a rule asks for it.

    Attributes:
        thread: the thread.
        birth: its own, or that of the job that it does; None where nobody saw it.
    """

    __slots__ = ("_snapshot", "_stops", "birth", "thread")

    def __init__(self, thread: threading.Thread, snapshot: Snapshot, birth: Birth | None) -> None:
        self.thread = thread
        self.birth = birth
        self._snapshot = snapshot
        self._stops: list[Stop] | None = None

    @property
    def stops(self) -> list[Stop]:
        """Its frames, the innermost first; none if it ends in the moment that it is given before anybody looks."""
        if self._stops is None:
            if not self._snapshot.is_taken:
                settle_threads([self.thread], Deadline(_MOMENT))
            self._stops = self._snapshot.stops(self.thread) if self.thread.is_alive() else []
        return self._stops


_DEBUGGERS = ("pydevd", "_pydevd", "ptvsd", "debugpy")


def _works_for(*modules: str) -> Callable[[SeenThread], bool]:
    """Tell whether the function of a thread is of one of these modules; a name proves nothing."""
    return lambda seen: (internals.module_of_thread(seen.thread) or "").startswith(modules)


def _is_idle_in_default_pool(seen: SeenThread) -> bool:
    pool = interpreter.pool_of(seen.thread)
    return pool is not None and is_idle_worker(seen) and _is_default(pool)


def _is_default(pool: ThreadPoolExecutor) -> bool:
    birth = birth_of(pool)
    made_in = birth.frames[0] if birth is not None and birth.frames else None
    return made_in is internals.MAKES_DEFAULT_POOL or internals.is_default_pool(pool)


def is_idle_worker(seen: SeenThread) -> bool:
    """Tell whether a thread is a pool's and waits for work: by the pool's own records, or else by its frames."""
    pool = interpreter.pool_of(seen.thread)
    if pool is not None:
        watch(lambda: internals.is_idle(pool), Deadline(_MOMENT))  # a worker still puts its last result away
        if internals.is_idle(pool):
            return True
    return internals.waits_for_job({stop.code for stop in seen.stops})


def _is_idle_anyio_worker(seen: SeenThread) -> bool:
    """Tell by anyio's record, or by where it stands.

    There it waits in ``queue.get`` called straight from anyio's own loop, and no job is on its way to it.
    """
    if not interpreter.is_kept_worker(seen.thread):
        return False
    if internals.is_kept_idle(seen.thread):
        return True
    for stop, caller in pairwise(seen.stops):
        if caller.code.co_qualname == "WorkerThread.run" and "/anyio/" in comparable(caller.code.co_filename):
            return stop.code is queue.Queue.get.__code__ and stop.frame.f_locals["self"].empty()
    return False


def _is_idle_trio_worker(seen: SeenThread) -> bool:
    if not interpreter.is_kept_worker(seen.thread):
        return False
    if internals.is_kept_idle(seen.thread):
        return True
    own = [stop for stop in seen.stops if comparable(stop.code.co_filename).endswith("/trio/_core/_thread_cache.py")]
    if not own or any(stop.code.co_name == "_handle_job" for stop in own):
        return False
    return own[0].code.co_name == "_work" and not internals.has_job(own[0].frame.f_locals.get("self"))


def _waits_for_child(seen: SeenThread) -> bool:
    function = getattr(seen.thread, "_target", None)
    return getattr(function, "__name__", "") == "_do_waitpid" and _works_for("asyncio.")(seen)


def _is_debugger(seen: SeenThread) -> bool:
    """Tell by the mark that pydevd, and so debugpy and PyCharm, put on their threads, or by the function."""
    return getattr(seen.thread, "is_pydev_daemon_thread", False) or _works_for(*_DEBUGGERS)(seen)


def _is_closed_executor(seen: SeenThread) -> bool:
    """Tell by the mark that pymongo puts on an executor that is closed, or whose client was collected."""
    executor = getattr(getattr(seen.thread, "_target", None), "__self__", None)
    is_pymongos = type(executor).__module__ == "pymongo.periodic_executor"
    return is_pymongos and getattr(executor, "_stopped", None) is True


def _is_grpc_poller(seen: SeenThread) -> bool:
    queue = getattr(getattr(seen.thread, "_target", None), "__self__", None)
    return (type(queue).__module__, type(queue).__name__) == ("grpc._cython.cygrpc", "PollerCompletionQueue")


def _is_execnet(seen: SeenThread) -> bool:
    return any("/execnet/" in comparable(stop.code.co_filename) for stop in seen.stops[-4:])


#: Those that look at where a thread stands come last: for all that a rule before them lets go nobody looks there.
THREAD_RULES = (
    Rule("child-watcher", "asyncio waits in it for a child process, which is what is left", _waits_for_child),
    Rule(
        "recording",
        "reads the rest of an answer for the test's recording, for a bounded time that the door waits for",
        _works_for("pytest_mockstream.doors.in_process.drains"),
    ),
    Rule("pytest-timeout", "the timer of the test's own timeout; it ends with it", _works_for("pytest_timeout")),
    Rule(
        "pymongo-closed",
        "a client that was closed leaves threads that see it up to half a second later (pymongo 4.6 to 4.20)",
        _is_closed_executor,
    ),
    Rule(
        "grpc-poller",
        "grpc.aio has one for the process, counted in C: it ends with the last channel or server (1.85)",
        _is_grpc_poller,
    ),
    Rule("debugger", "a debugger's own threads live as long as the session", _is_debugger),
    Rule(
        "default-pool", "a loop keeps the idle workers of its own pool and ends them itself", _is_idle_in_default_pool
    ),
    Rule("anyio-worker", "anyio keeps idle workers and ends them with their loop", _is_idle_anyio_worker),
    Rule("trio-worker", "trio keeps idle workers, which end after ten seconds", _is_idle_trio_worker),
    Rule("pytest-xdist", "execnet's own threads carry the results to the controller", _is_execnet),
)


def exception_for(rules: tuple[Rule[T], ...], thing: T) -> Rule[T] | None:
    """Return the rule that lets something go, or None."""
    return next((rule for rule in rules if rule.holds(thing)), None)
