from __future__ import annotations

import threading

import pytest

from .verdict import clean, leaks
from .work import until_the_end


@clean(57)
@pytest.mark.timeout(600, method="thread", func_only=True)
def test_timer_of_the_body_is_not_blamed() -> None:
    pass


@clean(57)
@pytest.mark.timeout(600, method="thread")
def test_timer_of_the_whole_test_is_not_blamed() -> None:
    pass


@leaks(57, kinds="thread")
@pytest.mark.timeout(600, method="thread")
def test_thread_is_left_beside_the_timer() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
