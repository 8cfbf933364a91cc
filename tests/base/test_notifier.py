"""Notifications from many threads at once: none is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from pytest_mockstream._base.copied import copied
from pytest_mockstream._base.notifier import Notifier

THREADS, ROUNDS = 8, 300


@pytest.fixture(autouse=True)
def eager_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(*works: threading.Thread) -> None:
    for thread in works:
        thread.start()
    for thread in works:
        thread.join()


def test_no_two_notifications_have_one_number() -> None:
    notifiers, seen = [Notifier() for _ in range(THREADS)], []

    def notify(notifier: Notifier) -> None:
        for _ in range(ROUNDS):
            notifier.notify()
            seen.append(notifier.count)

    at_once(*(threading.Thread(target=notify, args=(notifier,)) for notifier in notifiers))

    assert len(set(seen)) == THREADS * ROUNDS


def test_waiter_hears_of_what_eight_threads_have_done() -> None:
    notifier, done = Notifier(), [0] * THREADS
    lost = []

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            done[number] += 1
            notifier.notify()

    def wait() -> None:
        while sum(done) < THREADS * ROUNDS:
            seen = notifier.count
            if sum(done) < THREADS * ROUNDS and not notifier.wait(seen, 30):
                lost.append(sum(done))
                return

    at_once(*(threading.Thread(target=work, args=(n,)) for n in range(THREADS)), threading.Thread(target=wait))

    assert lost == []


class Busy:
    """A collection that another thread changes, the first three times that it is copied."""

    def __init__(self) -> None:
        self.looks = 0

    def __iter__(self) -> Iterator[int]:
        self.looks += 1
        yield 1
        if self.looks <= 3:
            msg = "Set changed size during iteration"
            raise RuntimeError(msg)


def test_collection_that_changes_meanwhile_is_copied_again() -> None:
    assert copied(Busy()) == [1]
