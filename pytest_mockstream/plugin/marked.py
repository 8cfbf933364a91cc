"""Which tests bear which markers, found at collection in next to no time.

The wall: looks at names only; what a marker says is read elsewhere, and only of the few tests that bear it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import pytest


def marked(items: Iterable[pytest.Item], names: Collection[str]) -> Iterator[pytest.Item]:
    """Return the tests that bear one of these markers, by themselves or by their class, module or package.

    Asks each of these once for the tests in a row that it has, and not anew for each test, as ``iter_markers`` does.
    """
    parent: Any = None
    inherited = False
    for item in items:
        if item.parent is not parent:
            parent = item.parent
            inherited = any(mark.name in names for mark in parent.iter_markers())
        if inherited:
            yield item
            continue
        for mark in item.own_markers:
            if mark.name in names:
                yield item
                break
