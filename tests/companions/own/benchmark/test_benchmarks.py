"""What a measured function leaves in its first round is the test's."""

from __future__ import annotations

import itertools
import threading
from typing import Any

from left import leave_thread


def _join_one() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def test_measured(benchmark: Any) -> None:
    benchmark.pedantic(_join_one, rounds=3, iterations=2)


def test_measured_by_its_own_judgement(benchmark: Any) -> None:
    assert benchmark(int, "1") == 1


def test_leaves_a_thread_in_one_round(benchmark: Any) -> None:
    rounds = itertools.count()
    benchmark.pedantic(lambda: leave_thread() if next(rounds) == 0 else None, rounds=3)
