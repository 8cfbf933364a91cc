"""The classes of event loops, which are listened to where asyncio hides its tasks: from CPython 3.14 on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any


def loop_classes() -> Iterator[type[asyncio.AbstractEventLoop]]:
    """Yield every class of event loops that is loaded and makes tasks, the bases first."""
    classes: list[type[asyncio.AbstractEventLoop]] = [asyncio.AbstractEventLoop]  # type: ignore[type-abstract] # not made
    while classes:
        kind = classes.pop(0)
        classes += type.__subclasses__(kind)
        if kind.create_task is not asyncio.AbstractEventLoop.create_task:
            yield kind


def on_loop_class(made: Callable[[type[asyncio.AbstractEventLoop]], None]) -> Callable[[], None]:
    """Be told of each class of event loops that is defined from now on: uvloop's, imported in the middle of a test.

    Returns:
        What ends that.
    """

    def init_subclass(cls: type[asyncio.AbstractEventLoop], /, **kwargs: Any) -> None:
        super(asyncio.AbstractEventLoop, cls).__init_subclass__(**kwargs)
        made(cls)

    asyncio.AbstractEventLoop.__init_subclass__ = classmethod(init_subclass)  # type: ignore[assignment, method-assign]

    def undo() -> None:
        del asyncio.AbstractEventLoop.__init_subclass__

    return undo
