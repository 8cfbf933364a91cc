"""Threads that may still wake somebody: as long as there is one, there is no deadlock."""

from __future__ import annotations

import _thread
import ctypes
import sched
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest


@contextmanager
def thread_of(wait: Callable[[threading.Event], object]) -> Iterator[None]:
    """A thread in a function that waits for an event."""
    end = threading.Event()
    thread = threading.Thread(target=wait, args=(end,))
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@contextmanager
def thread_of_ours() -> Iterator[None]:
    with thread_of(lambda end: end.wait()):
        yield


@contextmanager
def thread_that_nobody_lists() -> Iterator[None]:
    begun, end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        end.wait()
        ended.set()

    _thread.start_new_thread(work, ())
    begun.wait()
    try:
        yield
    finally:
        end.set()
        ended.wait()


@contextmanager
def thread_of_the_standard_library() -> Iterator[None]:
    end = threading.Event()
    jobs = sched.scheduler(time.monotonic, end.wait)  # its callbacks are on nobody's stack
    job = jobs.enter(3600, 0, print)
    thread = threading.Thread(target=jobs.run)
    thread.start()
    try:
        yield
    finally:
        jobs.cancel(job)
        end.set()
        thread.join()


@contextmanager
def job_of_a_pool() -> Iterator[None]:
    end = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        pool.submit(end.wait)
        try:
            yield
        finally:
            end.set()


@contextmanager
def thread_of_another_plugin_for_pytest(directory: Path) -> Iterator[None]:
    package = directory / "site-packages" / "pytest_broker.py"
    package.parent.mkdir()
    package.write_text("def serve(end):\n    end.wait()\n")
    spec = spec_from_file_location("pytest_broker", package)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(module := module_from_spec(spec))
    with thread_of(module.serve):
        yield


@contextmanager
def thread_without_python() -> Iterator[None]:
    """A thread of the C library: it sleeps, and nothing tells whether it calls Python when it wakes up."""
    with _thread_in_c("sleep", ctypes.c_void_p(3600)):
        yield


@contextmanager
def idle_thread_without_python() -> Iterator[None]:
    """One that waits until another thread gives it something to do, as those of a library for linear algebra do."""
    semaphore = ctypes.create_string_buffer(32)
    assert ctypes.CDLL(None).sem_init(semaphore, 0, 0) == 0
    with _thread_in_c("sem_wait", semaphore):
        yield


@contextmanager
def _thread_in_c(function: str, argument: object) -> Iterator[None]:
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux lists the threads of a process")
    library, ident = ctypes.CDLL(None), ctypes.c_ulong()
    assert library.pthread_create(ctypes.byref(ident), None, getattr(library, function), argument) == 0
    try:
        yield
    finally:
        library.pthread_cancel(ident)
        library.pthread_join(ident, None)


@contextmanager
def handler_of_a_signal() -> Iterator[None]:
    """A handler that no event loop knows; a timer of the system's would call it."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


class LateThread(threading.Thread):
    """A thread that makes its last call, and ends, at the moment in which it is looked at."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._go = threading.Event()
        super().__init__(target=self._call, args=(call,))
        self.start()

    def _call(self, call: Callable[[], object]) -> None:
        self._go.wait()
        call()

    @property
    def name(self) -> str:
        if self.is_alive() and threading.current_thread() is not self:
            self._go.set()
            self.join()
        return super().name

    @name.setter
    def name(self, name: str) -> None:
        pass
