"""The guard: from the first use of a door on, a provider is reached where a test says so, or not at all.

Theory of operation: it is up as long as somebody holds it. Each open door does, and so does the session of tests in
which one was opened, to its end: what a test has left behind reaches nobody later. It stands at several places.
An audit hook sees every look-up of a name and every connection that Python makes, whoever bound which function when.
Event loops and gRPC look names up in C and are asked before; TLS says the name of the host once more, whatever address
it was connected by and through whichever proxy. Child processes get an environment that leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_mockstream._base import before_a_door
from pytest_mockstream._base.errors import MockStreamError
from pytest_mockstream._base.replace import Hook, hooked

from .children import FAKE_KEY, NOWHERE, UNTRACED
from .hooks import HOOKS, ON_TOP, listen
from .judge import GUARD, OpenDoor, let_out

__all__ = ["FAKE_KEY", "GUARD", "NOWHERE", "UNTRACED", "held", "keep", "let_out", "open_door"]


@contextmanager
def held() -> Iterator[None]:
    """Hold the guard up while the block lasts."""
    with GUARD.lock:
        if not GUARD.holders:
            listen()
            GUARD.hooks.enter_context(hooked(HOOKS))
        GUARD.holders += 1  # only now: if a hook fails, the guard is not up, and the next door tries again
    try:
        yield
    finally:
        with GUARD.lock:
            GUARD.holders -= 1
            if not GUARD.holders:
                GUARD.hooks.close()
                GUARD.forget()


def keep(hooks: dict[str, Hook]) -> None:
    """Patch libraries as long as the guard is up, which somebody must hold; once, however often it is said."""
    with GUARD.lock:
        if id(hooks) not in GUARD.kept:
            GUARD.kept.add(id(hooks))
            GUARD.hooks.enter_context(hooked(hooks))


@contextmanager
def open_door(
    name: str,
    remember: Callable[[MockStreamError], None],
    *,
    reaches: str,
    lends_keys: bool = False,
    passes: Callable[[str, object], bool] = lambda host, port: False,
) -> Iterator[None]:
    """Note that a door is open while the block lasts: what the guard refuses meanwhile fails the test.

    Args:
        name: of the door.
        remember: takes the errors that the code under test may swallow.
        reaches: what the door answers and what to do about another call; sentences.
        lends_keys: whether there are fake keys in the environment while it is open.
        passes: tells whether the door lets a host and port out to the network.
    """
    for tell in before_a_door[-1:]:
        tell()
    with held(), hooked(ON_TOP):
        door = OpenDoor(name, remember, reaches, lends_keys, passes)
        GUARD.doors.append(door)
        try:
            yield
        finally:
            GUARD.doors.remove(door)
            GUARD.left_by(door)
