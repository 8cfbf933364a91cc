"""Collecting garbage while another thread does."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_mockstream._base.collector import collect


class Ring:
    """Garbage as soon as nobody else refers to it."""

    def __init__(self) -> None:
        self.itself = self


class Slow(Ring):
    """Holds up the thread that collects it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __del__(self) -> None:
        self.begun.set()
        self.go_on.wait()


@contextmanager
def another_thread_that_collects() -> Iterator[threading.Event]:
    """Yield what lets a thread go on that has begun to collect."""
    gc.disable()  # or the collector might come in this thread
    slow = Slow()
    begun, go_on = slow.begun, slow.go_on
    del slow
    thread = threading.Thread(target=gc.collect)
    thread.start()
    begun.wait()
    gc.enable()
    yield go_on
    go_on.set()
    thread.join()


def test_what_is_garbage_now_is_gone_afterwards() -> None:
    with another_thread_that_collects() as go_on:
        gone = weakref.ref(Ring())
        threading.Timer(0.05, go_on.set).start()

        collect(longest=600)

        assert gone() is None


def test_another_thread_is_waited_for_so_long_and_no_longer() -> None:
    with another_thread_that_collects():
        gone = weakref.ref(Ring())

        collect(longest=0.01)

        assert gone() is not None


def test_nothing_is_left_that_hears_of_collections() -> None:
    before = gc.callbacks[:]

    collect()

    assert gc.callbacks == before
