"""The private names of others that the package uses: whose each is, what for, and which versions were checked.

This is the one list of them. ``test_private_names`` fails where one has changed its shape on the interpreter and the
libraries that it runs with, and where the package uses one that is not here.
"""

from __future__ import annotations

import _thread
import asyncio
import asyncio.streams
import asyncio.tasks
import atexit
import concurrent.futures.thread
import contextvars
import gc
import http.client
import importlib
import inspect
import io
import multiprocessing.connection
import os
import signal
import socket
import sys
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pytest_mockstream.sweep.arrival_loop import beside_running_loop

CPYTHON = "CPython 3.11 to 3.15"
ANYIO = "anyio 4.9 to 4.16"
TRIO = "trio 0.30 to 0.35"
UVLOOP = "uvloop 0.21 to 0.23"


class Private(NamedTuple):
    """A private name of somebody else's.

    Attributes:
        names: as the package spells them; several, where one means nothing without the other.
        of: whose they are.
        used_for: what the package does with them.
        checked: with which versions they have the shape that they need.
        holds: tells whether they have it here.
        module: of the library that must be installed; empty for the interpreter's own.
        since: the first Python that has them.
        until: the first one that has them no more.
    """

    names: tuple[str, ...]
    of: str
    used_for: str
    checked: str
    holds: Callable[[], bool]
    module: str = ""
    since: tuple[int, int] = (3, 11)
    until: tuple[int, int] = (4, 0)

    @property
    def is_here(self) -> bool:
        """Whether the interpreter has them, and the library is installed."""
        return self.since <= sys.version_info[:2] < self.until and (not self.module or _is_installed(self.module))


def _is_installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _on_loop(look: Callable[[asyncio.AbstractEventLoop], bool]) -> Callable[[], bool]:
    """Return a check that looks at a loop at work."""

    async def main() -> bool:
        return look(asyncio.get_running_loop())

    def check() -> bool:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(main())

    return check


def _on_task(look: Callable[[asyncio.Task[Any]], bool]) -> Callable[[], bool]:
    """Return a check that looks at a task that waits."""

    async def main() -> bool:
        task = asyncio.ensure_future(asyncio.sleep(60))
        await asyncio.sleep(0)
        try:
            return look(task)
        finally:
            task.cancel()

    return lambda: asyncio.run(main())


def _awaiting_is_noted() -> bool:
    async def main() -> bool:
        task = asyncio.ensure_future(asyncio.sleep(60))
        awaiter = asyncio.ensure_future(asyncio.wait_for(task, 60))
        await asyncio.sleep(0)
        try:
            return bool(task._asyncio_awaited_by == {awaiter})  # type: ignore[attr-defined] # from 3.14 on
        finally:
            task.cancel()
            await asyncio.wait([awaiter])

    return asyncio.run(main())


def _in_pool(look: Callable[[ThreadPoolExecutor], bool]) -> Callable[[], bool]:
    """Return a check that looks at a pool that waits for work."""

    def check() -> bool:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()
            return look(pool)

    return check


def _in_thread(look: Callable[[threading.Thread], bool]) -> Callable[[], bool]:
    """Return a check that looks at a thread that runs."""

    def check() -> bool:
        over = threading.Event()
        thread = threading.Thread(target=over.wait, args=(60,))
        thread.start()
        try:
            return look(thread)
        finally:
            over.set()
            thread.join()

    return check


def _are_of_connection(library: str) -> bool:
    """Tell whether a connection of httpcore keeps its network stream and its parser where they are looked for."""
    module = importlib.import_module(library)
    network = module.NetworkStream()
    connection = module.HTTP11Connection(module.Origin(b"http", b"localhost", 80), network)
    return connection._network_stream is network and hasattr(connection._h11_state, "next_event")


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def _registry() -> Any:
    return getattr(asyncio.tasks, "_scheduled_tasks" if hasattr(asyncio.tasks, "_scheduled_tasks") else "_all_tasks")


def _thread_local_is_told() -> bool:
    local = threading.local()
    local.value = object()
    parts = [part for part in gc.get_referrers(vars(local)) if type(part) is dict]
    keys = [key() if isinstance(key, weakref.ref) else key for part in parts for key in part]
    return any(type(key).__name__ == "_localdummy" for key in keys)


def _failed_task_is_told() -> bool:
    async def main() -> bool:
        error = ValueError()

        async def fail() -> None:
            raise error

        task: Any = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        told = task._log_traceback is True and task._exception is error
        task.exception()
        return told

    return asyncio.run(main())


def _pool_of_worker_is_told(pool: ThreadPoolExecutor) -> bool:
    (worker,) = pool._threads
    target, args = worker._target, worker._args  # type: ignore[attr-defined] # what is checked
    return target.__code__ is concurrent.futures.thread._worker.__code__ and args[0]() is pool


def _items_know_their_future() -> bool:
    item: Any = concurrent.futures.thread._WorkItem
    names = item.run.__code__.co_names
    return "future" in names and inspect.isfunction(item.run)


def _handle(loop: asyncio.AbstractEventLoop) -> Any:
    return loop.call_later(60, int)


def _forgets(loop: asyncio.AbstractEventLoop) -> bool:
    task: Any = asyncio.current_task()
    asyncio.tasks._unregister_task(task)
    forgotten = task not in asyncio.all_tasks()
    asyncio.tasks._register_task(task)
    return forgotten and task._log_destroy_pending is True


def _runs_beside() -> bool:
    """Tell whether another loop can run in the thread of one that runs."""

    async def main() -> bool:
        with beside_running_loop(), asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            other = runner.run(asyncio.sleep(0, "done"))
        return other == "done" and asyncio.current_task() is not None

    return asyncio.run(main())


def _group_has_tasks() -> bool:
    async def main() -> bool:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(0))
            return task in vars(group)["_tasks"]

    return asyncio.run(main())


def _gather_has_children() -> bool:
    async def main() -> bool:
        gathering: Any = asyncio.gather(asyncio.sleep(0))
        return [child.done() for child in gathering._children] == [False] and (await gathering) == [None]

    return asyncio.run(main())


def _of_anyio(look: Callable[[Any], bool]) -> Callable[[], bool]:
    return lambda: look(importlib.import_module("anyio._backends._asyncio"))


def _of_trio(look: Callable[[Any], bool]) -> Callable[[], bool]:
    return lambda: look(importlib.import_module("trio._core._thread_cache"))


def _uvloop_shows_calls() -> bool:
    loop = importlib.import_module("uvloop").new_event_loop()
    try:
        handles = [loop.call_later(60, int), loop.call_soon(int)]
        inside = [part for part in gc.get_referents(loop) if type(part) in {deque, set}]
        found = all(any(handle in part for part in inside) for handle in handles)
        contexts = [any(type(x) is contextvars.Context for x in gc.get_referents(handle)) for handle in handles]
        names = {type(handle).__name__ for handle in handles}
        return found and all(contexts) and names == {"Handle", "TimerHandle"}
    finally:
        loop.close()


def _tunnel_is_told() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1")
    connection.set_tunnel("api.example.com", 80)
    told = vars(connection)
    return bool(told["_tunnel_host"] == "api.example.com" and told["_tunnel_port"] == 80)


def _finaliser_is_told() -> bool:
    told = []

    class File(io.RawIOBase):
        def close(self) -> None:
            told.append(getattr(self, "_finalizing", False))
            super().close()

    file = File()
    file.close()
    File()
    return told == [False, True]


def _interrupts_of_trio() -> bool:
    trio: Any = importlib.import_module("trio")

    async def main() -> str:
        return str(getattr(signal.getsignal(signal.SIGINT), "__qualname__", ""))

    return str(trio.run(main)).startswith("KIManager.install.")


def _scopes_of_trio() -> bool:
    trio: Any = importlib.import_module("trio")

    async def main() -> bool:
        with trio.CancelScope() as scope:
            status: Any = trio.lowlevel.current_task()._cancel_status
            return bool(status._scope is scope and hasattr(status, "_parent"))

    return bool(trio.run(main))


#: All of them.
PRIVATE_NAMES = (
    # CPython itself.
    Private(
        ("_getframe",),
        "sys",
        "the frames of whoever starts something",
        CPYTHON,
        lambda: sys._getframe(0).f_code is not None,
    ),
    Private(
        ("_getframemodulename",),
        "sys",
        "the module of a frame, without making the frame",
        "CPython 3.12 to 3.15",
        lambda: vars(sys)["_getframemodulename"](0) == __name__,
        since=(3, 12),
    ),
    Private(
        ("_current_frames",),
        "sys",
        "where each thread stands",
        CPYTHON,
        lambda: sys._current_frames()[threading.get_ident()] is not None,
    ),
    Private(
        ("_thread", "_count"),
        "the interpreter",
        "how many threads Python has started",
        CPYTHON,
        _in_thread(lambda thread: _thread._count() >= 1),
    ),
    Private(
        ("_ctypes",),
        "ctypes",
        "whether code is loaded that may start threads",
        CPYTHON,
        lambda: _is_installed("_ctypes"),
    ),
    Private(
        ("_exit", "_run_exitfuncs"),
        "os, atexit",
        "to leave a process that a thread would keep from exiting",
        CPYTHON,
        lambda: callable(os._exit) and callable(atexit._run_exitfuncs),
    ),
    Private(
        ("_register_atexit",),
        "threading",
        "to be called before threads are joined",
        CPYTHON,
        lambda: _parameters(threading._register_atexit)[:1] == ["func"],  # type: ignore[attr-defined] # what is checked
    ),
    Private(
        ("_warn_unawaited_coroutine",),
        "warnings",
        "the optional kind coroutine",
        CPYTHON,
        lambda: _parameters(warnings._warn_unawaited_coroutine) == ["coro"],  # type: ignore[attr-defined] # as above
    ),
    # threading.
    Private(
        ("_active",),
        "threading",
        "all threads by identifier, foreign ones included",
        CPYTHON,
        _in_thread(lambda thread: threading._active.get(thread.ident) is thread),  # type: ignore[attr-defined] # as above
    ),
    Private(
        ("_DummyThread",),
        "threading",
        "to tell what only looks like a thread",
        CPYTHON,
        lambda: issubclass(threading._DummyThread, threading.Thread),
    ),
    Private(
        ("_target", "_args"),
        "threading.Thread",
        "what a thread was given to run",
        CPYTHON,
        _in_thread(lambda thread: callable(vars(thread)["_target"]) and vars(thread)["_args"] == (60,)),
    ),
    Private(
        ("_localdummy",),
        "_thread",
        "to tell that a thread-local variable holds something",
        CPYTHON,
        _thread_local_is_told,
    ),
    Private(
        ("_socket",),
        "socket",
        "to look a name up, whatever stands in the place of socket.getaddrinfo",
        CPYTHON,
        lambda: callable(importlib.import_module("_socket").getaddrinfo),
    ),
    Private(
        ("_tunnel_host", "_tunnel_port"),
        "http.client",
        "the host and the port behind a proxy",
        CPYTHON,
        _tunnel_is_told,
    ),
    Private(
        ("_finalizing",),
        "io.IOBase",
        "to tell a file that is closed by its finaliser",
        CPYTHON,
        _finaliser_is_told,
    ),
    # asyncio.
    Private(
        ("_get_running_loop",),
        "asyncio",
        "the running loop or None, without an exception",
        CPYTHON,
        _on_loop(lambda loop: asyncio._get_running_loop() is loop),
    ),
    Private(
        ("_all_tasks", "_scheduled_tasks", "_remove"),
        "asyncio.tasks",
        "to be told of each task that is made; from 3.14 on of the pure-Python ones only",
        CPYTHON,
        lambda: (
            isinstance(_registry(), weakref.WeakSet)
            and isinstance(_registry().data, set)
            and callable(_registry()._remove)
        ),
    ),
    Private(
        ("_unregister_task", "_log_destroy_pending"),
        "asyncio",
        "to let a loop close without a task that swallows its cancellation",
        CPYTHON,
        _on_loop(_forgets),
    ),
    Private(
        ("_fut_waiter",),
        "asyncio.Task",
        "which future a task waits for",
        CPYTHON,
        _on_task(lambda task: isinstance(task._fut_waiter, asyncio.Future)),  # type: ignore[attr-defined] # as above
    ),
    Private(
        ("_asyncio_awaited_by",),
        "asyncio.Task",
        "which task awaits one that leaks",
        "CPython 3.14 and 3.15",
        _awaiting_is_noted,
        since=(3, 14),
    ),
    Private(
        ("_GatheringFuture",),
        "asyncio.tasks",
        "whether a task ends with the one that awaits it",
        CPYTHON,
        lambda: asyncio.tasks._GatheringFuture.__name__ == "_GatheringFuture",  # type: ignore[attr-defined] # as above
    ),
    Private(
        ("_exception", "_log_traceback"),
        "asyncio.Task",
        "the optional kind exception, and how a task ended in a trace",
        CPYTHON,
        _failed_task_is_told,
    ),
    Private(
        ("_run",),
        "asyncio.Handle",
        "below this frame is the loop, and not whoever made something",
        CPYTHON,
        lambda: inspect.isfunction(asyncio.Handle._run),
    ),
    Private(
        ("_ready", "_scheduled"),
        "asyncio.BaseEventLoop",
        "the calls that a loop has still to make",
        CPYTHON,
        _on_loop(
            lambda loop: (
                isinstance(vars(loop)["_ready"], deque)
                and (handle := _handle(loop)) in vars(loop)["_scheduled"]
                and isinstance(vars(loop)["_scheduled"], list)
                and handle._scheduled is True
            )
        ),
    ),
    Private(
        ("_context", "_loop"),
        "asyncio.Handle",
        "for whom a call is made, and by which clock",
        CPYTHON,
        _on_loop(
            lambda loop: isinstance((handle := _handle(loop))._context, contextvars.Context) and handle._loop is loop
        ),
    ),
    Private(
        ("_loop",),
        "asyncio.Runner",
        "the loop of a runner, without making one",
        CPYTHON,
        lambda: asyncio.Runner()._loop is None,  # type: ignore[attr-defined] # as above
    ),
    Private(
        ("_set_running_loop", "_leave_task", "_enter_task"),
        "asyncio",
        "to run the loop of a sweep beside the one that runs already; for implementers of loops",
        CPYTHON,
        _runs_beside,
    ),
    Private(
        ("_selector",),
        "asyncio.BaseSelectorEventLoop",
        "whether a loop listens to anything, and when it is idle",
        CPYTHON,
        _on_loop(lambda loop: len(vars(loop)["_selector"].get_map()) == 1),
    ),
    Private(
        ("_signal_handlers",),
        "asyncio.unix_events",
        "whether a signal can wake a loop",
        CPYTHON,
        _on_loop(lambda loop: sys.platform == "win32" or isinstance(vars(loop)["_signal_handlers"], dict)),
    ),
    Private(("_children",), "asyncio.gather()", "which tasks a task waits for", CPYTHON, _gather_has_children),
    Private(("_tasks",), "asyncio.TaskGroup", "which tasks a task waits for", CPYTHON, _group_has_tasks),
    Private(
        ("_default_executor",),
        "asyncio.BaseEventLoop",
        "the pool of a loop",
        CPYTHON,
        _on_loop(lambda loop: "_default_executor" in vars(loop)),
    ),
    Private(
        ("_asyncgen_firstiter_hook",),
        "asyncio.BaseEventLoop",
        "the optional kind asyncgen",
        CPYTHON,
        lambda: _parameters(asyncio.BaseEventLoop._asyncgen_firstiter_hook) == ["self", "agen"],  # type: ignore[attr-defined]
    ),
    Private(
        ("_make_self_pipe",),
        "asyncio.BaseSelectorEventLoop",
        "to tell the sockets that a loop makes for itself",
        CPYTHON,
        lambda: inspect.isfunction(asyncio.SelectorEventLoop._make_self_pipe),  # type: ignore[attr-defined] # as above
    ),
    Private(
        ("_wait_for_data",),
        "asyncio.StreamReader",
        "to say that a task waits for a connection",
        CPYTHON,
        lambda: inspect.iscoroutinefunction(asyncio.StreamReader._wait_for_data),  # type: ignore[attr-defined] # as above
    ),
    Private(
        ("_do_waitpid",),
        "asyncio.unix_events",
        "to tell the thread that waits for a child process",
        CPYTHON,
        lambda: any(
            inspect.isfunction(vars(kind).get("_do_waitpid"))
            for kind in vars(importlib.import_module("asyncio.unix_events")).values()
            if isinstance(kind, type)
        ),
        module="fcntl",
    ),
    # concurrent.futures, and other modules.
    Private(
        ("_worker", "_threads"),
        "concurrent.futures.thread",
        "the threads of a pool, and which pool a thread is of",
        CPYTHON,
        _in_pool(_pool_of_worker_is_told),
    ),
    Private(
        ("_WorkItem",),
        "concurrent.futures.thread",
        "whether a worker is at work on a job, and on which",
        CPYTHON,
        _items_know_their_future,
    ),
    Private(
        ("_work_queue", "_idle_semaphore", "_value"),
        "concurrent.futures.ThreadPoolExecutor",
        "whether all workers of a pool are idle",
        CPYTHON,
        _in_pool(lambda pool: pool._work_queue.empty() and isinstance(pool._idle_semaphore._value, int)),
    ),
    Private(
        ("concurrent.futures._base",),
        "concurrent.futures",
        "to say that a thread waits for the result of a future",
        CPYTHON,
        lambda: concurrent.futures.Future.result.__globals__["__name__"] == "concurrent.futures._base",
    ),
    Private(
        ("_ConnectionBase.poll", "_ConnectionBase.recv", "_ConnectionBase.recv_bytes"),
        "multiprocessing.connection",
        "to say that a thread reads from a pipe",
        CPYTHON,
        lambda: multiprocessing.connection.Connection.recv.__qualname__ == "_ConnectionBase.recv",
    ),
    Private(
        ("_sock",),
        "socket.SocketIO",
        "whether a thread reads from a socket with no time-out",
        CPYTHON,
        lambda: "_sock" in socket.SocketIO.readinto.__code__.co_names,
    ),
    # Test runners.
    Private(
        ("_pytest",),
        "pytest",
        "to tell pytest's objects and files",
        "pytest 8.4 to 9.2",
        lambda: _is_installed("_pytest"),
    ),
    # Libraries.
    Private(
        ("_call_in_runner_task", "TestRunner._run_tests_and_fixtures"),
        "anyio's plugin for pytest",
        "the one task that runs all tests, and whom it works for",
        ANYIO,
        _of_anyio(
            lambda module: (
                _parameters(module.TestRunner._call_in_runner_task)[:2] == ["self", "func"]
                and inspect.iscoroutinefunction(module.TestRunner._run_tests_and_fixtures)
            )
        ),
        module="anyio",
    ),
    Private(
        ("_shutdown_process_pool_on_exit", "anyio._backends._asyncio", "anyio._backends._trio"),
        "anyio",
        "the task that anyio keeps for each loop, and its worker threads",
        ANYIO,
        _of_anyio(
            lambda module: (
                inspect.iscoroutinefunction(module._shutdown_process_pool_on_exit)
                and "idle_workers" in _parameters(module.WorkerThread.__init__)
            )
        ),
        module="anyio",
    ),
    Private(
        ("_thread_cache", "_idle_workers", "_job", "_work", "_handle_job", "trio._core._thread_cache"),
        "trio",
        "whether a thread that trio keeps is idle",
        TRIO,
        _of_trio(
            lambda module: (
                hasattr(module.ThreadCache(), "_idle_workers")
                and {"_job", "_thread_cache"} <= set(module.WorkerThread.__slots__)
                and inspect.isfunction(module.WorkerThread._work)
                and inspect.isfunction(module.WorkerThread._handle_job)
            )
        ),
        module="trio",
    ),
    Private(
        ("_cancel_status", "_scope", "_parent"),
        "trio",
        "to lift the shields of code that a sweep ends, and to tell its own time-outs from the sweep's cancellation",
        TRIO,
        _scopes_of_trio,
        module="trio",
    ),
    Private(
        ("KIManager.install",),
        "trio",
        "to tell the signal handler that only raises KeyboardInterrupt from those that wake a task",
        TRIO,
        _interrupts_of_trio,
        module="trio",
    ),
    Private(
        ("trio._core._asyncgens",),
        "trio",
        "to look on while a run closes the async generators that are left",
        TRIO,
        lambda: inspect.iscoroutinefunction(
            importlib.import_module("trio._core._asyncgens").AsyncGenerators.finalize_remaining
        ),
        module="trio",
    ),
    Private(
        ("trio._socket", "_SocketType"),
        "trio",
        "the line of a client of the server",
        TRIO,
        lambda: inspect.isclass(importlib.import_module("trio._socket")._SocketType),
        module="trio",
    ),
    Private(
        ("Handle", "TimerHandle"),
        "uvloop.Loop",
        "the calls that a loop has still to make, where only the collector sees them",
        UVLOOP,
        _uvloop_shows_calls,
        module="uvloop",
    ),
    Private(
        ("_acquired",),
        "aiohttp.BaseConnector",
        "so that closing a connector closes what our door gave it",
        "aiohttp 3.12 to 3.14",
        lambda: (
            "_acquired" in importlib.import_module("aiohttp").BaseConnector.close.__code__.co_names
            or "self._acquired" in inspect.getsource(importlib.import_module("aiohttp").BaseConnector)
        ),
        module="aiohttp",
    ),
    *(
        Private(
            ("_network_stream", "_h11_state"),
            f"{library}.HTTP11Connection",
            "to read what still comes of a recorded answer whose client has left",
            checked,
            lambda library=library: _are_of_connection(library),  # type: ignore[misc] # bound here, as it is a loop
            module=library,
        )
        for library, checked in (("httpcore", "httpcore 1.0.9"), ("httpcore2", "httpcore2 2.16"))
    ),
    Private(
        ("_request",),
        "aiohttp.ClientSession",
        "to pass by the cassette of vcrpy, which replaces it",
        "aiohttp 3.12 to 3.14",
        lambda: (
            list(inspect.signature(importlib.import_module("aiohttp").ClientSession._request).parameters)[1] == "method"
        ),
        module="aiohttp",
    ),
    Private(
        ("_stopped",),
        "pymongo.periodic_executor",
        "whether the client of a thread was closed",
        "pymongo 4.6 to 4.20",
        lambda: "_stopped" in inspect.getsource(importlib.import_module("pymongo.periodic_executor")),
        module="pymongo",
    ),
    Private(
        ("grpc._channel", "grpc.aio._channel"),
        "grpc",
        "to refuse a channel to a provider, whichever function makes it",
        "grpcio 1.7x and 1.8x",
        lambda: all(
            "target" in _parameters(importlib.import_module(name).Channel.__init__)
            for name in ("grpc._channel", "grpc.aio._channel")
        ),
        module="grpc",
    ),
    Private(
        ("grpc._cython.cygrpc",),
        "grpc.aio",
        "to tell its poller's thread",
        "grpcio 1.70 to 1.85",
        lambda: _is_installed("grpc._cython.cygrpc"),
        module="grpc",
    ),
    Private(
        ("LoggingWorker._worker_loop",),
        "litellm",
        "the task that it keeps for each loop",
        "litellm 1.80 to 1.110",
        lambda: inspect.iscoroutinefunction(
            importlib.import_module("litellm.litellm_core_utils.logging_worker").LoggingWorker._worker_loop
        ),
        module="litellm",
    ),
    Private(
        ("_shutdown_watcher",),
        "sse-starlette",
        "the task that it keeps for each loop",
        "sse-starlette 3.1 to 3.7",
        lambda: inspect.iscoroutinefunction(importlib.import_module("sse_starlette.sse")._shutdown_watcher),
        module="sse_starlette",
    ),
    Private(
        ("_pydevd",),
        "pydevd",
        "to tell a debugger's threads",
        "debugpy 1.8",
        lambda: _is_installed("_pydevd_bundle"),
        module="_pydevd_bundle",
    ),
)
