"""Which tests bear which markers, found at collection in next to no time.

The wall: looks at names only; what a marker says is read elsewhere, and only of the few tests that bear it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pytest


def marked(items: Iterable[pytest.Item], names: Collection[str]) -> Iterator[pytest.Item]:
    """Return the tests that bear one of these markers, by themselves or by their class, module or package.

    Asks each of these once, and not anew for each test in it, as ``iter_markers`` does.
    """
    parents: dict[Any, bool] = {}
    for item in items:
        parent: Any = item.parent
        if (inherited := parents.get(parent)) is None:
            inherited = parents[parent] = any(mark.name in names for mark in parent.iter_markers())
        if inherited or any(mark.name in names for mark in item.own_markers):
            yield item
