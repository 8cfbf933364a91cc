from __future__ import annotations

import threading

import pytest

from .verdict import clean, leaks
from .work import until_the_end


@leaks(58, kinds="thread")
def test_thread_is_left_by_a_subtest(subtests: pytest.Subtests) -> None:
    for number in range(2):
        with subtests.test(number=number):
            if number:
                threading.Thread(target=until_the_end, daemon=True).start()


@clean(58)
def test_thread_of_a_subtest_is_joined(subtests: pytest.Subtests) -> None:
    for number in range(2):
        with subtests.test(number=number):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()


@leaks(58, kinds="thread", outcomes=("failed", "failed"), says="its own failure")
def test_thread_is_left_by_a_subtest_that_fails(subtests: pytest.Subtests) -> None:
    with subtests.test():
        threading.Thread(target=until_the_end, daemon=True).start()
        pytest.fail("its own failure")
