from __future__ import annotations

import threading

import pytest

from .verdict import clean, leaks
from .work import until_the_end

pytestmark = pytest.mark.assert_no_leaks(grace=0.05)


def start() -> None:
    threading.Thread(target=until_the_end, name="pump", daemon=True).start()


@leaks(96, kinds="thread", reported="expected", outcomes=("passed",))
@pytest.mark.expect_leak(kind="thread", match="pump")
def test_leak_that_is_expected() -> None:
    start()


@clean(96, outcomes=("passed", "error"), says="expected to leak", stale=True)
@pytest.mark.expect_leak(kind="thread", match="pump")
def test_leak_that_is_expected_and_gone() -> None:
    pass


@leaks(96, kinds="thread", outcomes=("passed", "error"), says="expected to leak", stale=True)
@pytest.mark.expect_leak(kind="task", match="pump")
def test_leak_that_is_not_the_expected_one() -> None:
    start()


@leaks(96, kinds="thread", reported="allowed", outcomes=("passed",))
@pytest.mark.allow_leaks(reason="shutdown is not ours")
def test_leak_that_is_allowed() -> None:
    start()


@clean(96, stale=True)
@pytest.mark.allow_leaks(reason="shutdown is not ours")
def test_leak_that_is_allowed_and_gone() -> None:
    pass
