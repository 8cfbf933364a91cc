from __future__ import annotations

from .verdict import clean, leaks


@leaks(78, kinds="thread", owner="setup")
def test_is_watched_by_another_plugin() -> None:
    pass


@clean(78)
def test_is_left_alone_by_the_other_plugin() -> None:
    pass
