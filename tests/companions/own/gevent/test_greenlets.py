"""Greenlets instead of threads."""

from __future__ import annotations

import threading

import gevent
from left import leave_thread


def test_greenlet_is_joined() -> None:
    greenlet = gevent.spawn(int, "1")
    greenlet.join()
    assert greenlet.value == 1


def test_thread_is_joined() -> None:
    thread = threading.Thread(target=gevent.sleep)
    thread.start()
    thread.join()


def test_leaves_a_thread_after_a_greenlet() -> None:
    gevent.spawn(int, "1").join()
    leave_thread()
