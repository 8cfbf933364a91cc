from __future__ import annotations

import pytest

from pytest_mockstream import Gate


def test_gate_that_nobody_reaches_says_how_long_it_waited_however_that_was_spelled() -> None:
    with pytest.raises(TimeoutError, match=r"^no consumer reached the gate within 0\.001 s$"):
        Gate().wait_reached(timeout="1ms")
