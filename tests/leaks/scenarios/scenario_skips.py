from __future__ import annotations

import threading
import unittest

import pytest

from .verdict import clean, leaks
from .work import until_the_end


@clean(32, outcomes=("skipped",))
@pytest.mark.skip
def test_is_skipped_by_a_marker() -> None:
    pass


@clean(32, outcomes=("skipped",))
@pytest.mark.skipif("True")
def test_is_skipped_by_a_condition() -> None:
    pass


@clean(34, outcomes=("xfailed",))
@pytest.mark.xfail(run=False)
def test_is_expected_to_fail_and_not_run() -> None:
    pass


@clean(78, outcomes=("error",), says="^(?!.*AssertionError).*refused")
def test_is_refused() -> None:
    pass


@clean(78, outcomes=("skipped",))
def test_is_unwanted() -> None:
    pass


@pytest.fixture
def picky() -> None:
    pytest.skip("not today")


@clean(32, outcomes=("skipped",))
@pytest.mark.usefixtures("picky")
def test_is_skipped_by_its_fixture() -> None:
    pass


@pytest.fixture
def picky_and_forgetful() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    pytest.skip("not today")


@leaks(32, kinds="thread", owner="fixture:picky_and_forgetful:function", outcomes=("skipped", "error"))
@pytest.mark.usefixtures("picky_and_forgetful")
def test_thread_is_left_by_a_fixture_that_skips() -> None:
    pass


class TestCase(unittest.TestCase):
    @clean(92, outcomes=("skipped",))
    @unittest.skip("not today")
    def test_is_skipped_by_unittest(self) -> None:
        pass

    @clean(92, outcomes=("skipped",))
    def test_skips_itself(self) -> None:
        self.skipTest("not today")


@leaks(32, kinds="thread", outcomes=("skipped", "error"))
def test_thread_is_left_by_a_skip() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()
    pytest.skip("halfway")
