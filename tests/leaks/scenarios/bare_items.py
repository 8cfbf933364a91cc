"""A pytest plugin: functions called ``bare_...`` become items that have neither ``obj`` nor fixtures."""

from __future__ import annotations

from collections.abc import Callable

import pytest


class BareItem(pytest.Item):
    """As the items of other plugins (linters, YAML files) are."""

    def __init__(self, *, action: Callable[[], None], **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type] # whatever pytest passes
        self._action = action

    def runtest(self) -> None:
        self._action()


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: Callable[[], None]) -> BareItem | None:
    if not name.startswith("bare_"):
        return None
    item: BareItem = BareItem.from_parent(collector, name=name, action=obj)
    return item
