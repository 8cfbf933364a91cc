"""Numbers as people say them."""

from __future__ import annotations

import pytest

from pytest_mockstream._base.wording import duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 s"),
        (0.000045, "45 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (9000.0, "2.5 h"),
    ],
)
def test_duration_has_the_unit_that_fits_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
