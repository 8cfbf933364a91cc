from __future__ import annotations

import threading

import pytest

from .verdict import clean, leaks
from .work import until_the_end


@leaks(89, kinds="thread", reported="warn", outcomes=("passed",))
def test_thread_is_left_while_debugging() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()


@clean(89, outcomes=("failed",), says="its own failure")
def test_thread_is_left_by_a_failure_that_is_debugged() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    pytest.fail("its own failure")


@clean(89)
def test_thread_is_left_after_a_breakpoint() -> None:
    breakpoint()
    threading.Thread(target=until_the_end, daemon=True).start()
