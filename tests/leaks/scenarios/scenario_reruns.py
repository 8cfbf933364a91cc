from __future__ import annotations

import itertools
import threading

import pytest

from .verdict import clean, leaks
from .work import until_the_end

attempts = itertools.count(1)
clean_attempts = itertools.count(1)


@leaks(79, kinds="thread", outcomes=("passed", "rerun", "passed"))
@pytest.mark.flaky(reruns=1)
def test_first_attempt_leaks_and_the_second_is_clean() -> None:
    if next(attempts) == 1:
        threading.Thread(target=until_the_end, daemon=True).start()


@leaks(79, kinds="thread thread", outcomes=("passed", "rerun", "passed", "error"))
@pytest.mark.flaky(reruns=1)
def test_both_attempts_leak() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()


@clean(79, outcomes=("rerun", "passed"))
@pytest.mark.flaky(reruns=1)
def test_first_attempt_fails_and_neither_leaks() -> None:
    assert next(clean_attempts) == 2
