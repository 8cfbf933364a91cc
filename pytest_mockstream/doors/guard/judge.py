"""Judges whether a host may be reached, and says who is to blame where it may not."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import FrameType, ModuleType
from typing import Any

from pytest_mockstream._base.callsite import calling_site, is_library
from pytest_mockstream._base.errors import MockStreamError, UnexpectedRequestError
from pytest_mockstream.leaks import OWNER, Owner

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_PACKAGE = __name__.partition(".")[0]
_SINCE_FIRST_DOOR = "Once a test has used a mock_stream fixture, no provider is reached to the end of the session."
_IN_CHILD = "This is another process than the test's: of the doors, mock_stream_server alone answers it."
_NOBODY = "no provider that is known, but there are fake keys in the environment"


def wire() -> ModuleType:
    """Return the room that knows the hosts; it has the wire formats, too, which not every door needs."""
    from pytest_mockstream import wire

    return wire


def current_test() -> str | None:
    """Return the id of the test that pytest is running."""
    return os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0] or None


def current_owner() -> Owner | None:
    """Return the test, or whatever else is judged for itself, that the running task is credited to."""
    owner = OWNER.get()
    return None if owner is None else owner.root


@dataclass(eq=False)
class OpenDoor:
    """A door that is open.

    Attributes:
        name: for messages.
        remember: takes what was refused, for the test's end.
        reaches: what the door answers, and what to do about another call.
        lends_keys: whether there are fake keys in the environment.
        passes: tells whether the door lets a host and port out.
        test: the test that it was opened in, if any.
        threads: those that ran before.
        owner: whom the tasks of that test are credited to, where they are watched.
    """

    name: str
    remember: Callable[[MockStreamError], None]
    reaches: str
    lends_keys: bool
    passes: Callable[[str, object], bool]
    test: str | None = field(default_factory=current_test)
    threads: weakref.WeakSet[threading.Thread] = field(default_factory=lambda: weakref.WeakSet(threading.enumerate()))
    owner: Owner | None = field(default_factory=current_owner)


class Guard:
    """What the process knows of doors, and what of it is to be refused.

    Attributes:
        lock: held while the guard goes up or down.
        holders: how many hold it up.
        hooks: what takes the hooks off.
        kept: which of the doors' hooks are among them, by their ids.
        doors: those that are open, the innermost last.
        allowed: hosts that the running test lets out, in lower case.
        is_child: whether this process was started by one that has a guard.
        refused: what was refused where no door could tell a test of it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.holders = 0
        self.hooks = ExitStack()
        self.kept: set[int] = set()
        self.doors: list[OpenDoor] = []
        self.allowed: frozenset[str] = frozenset()
        self.is_child = False
        self.refused: list[str] = []
        self._left: weakref.WeakKeyDictionary[threading.Thread | Owner, str] = weakref.WeakKeyDictionary()
        self._busy = threading.local()

    def allow(self, hosts: Iterable[str]) -> None:
        """Let the running test reach these hosts, and no others."""
        self.allowed = frozenset(map(str.lower, hosts))

    def forget(self) -> None:
        """Forget everything, as the guard is down."""
        self.allowed = frozenset()
        self.kept.clear()
        self.refused.clear()
        self._left.clear()

    def left_by(self, door: OpenDoor) -> None:
        """Note what a test leaves behind, as far as can be told: threads that are younger than its door, and tasks."""
        if door.test is not None:
            if door.owner is not None:
                self._left.setdefault(door.owner, door.test)
            for thread in threading.enumerate():
                if thread not in door.threads:
                    self._left.setdefault(thread, door.test)

    def refusal(self, host: object, port: object = None) -> str | None:
        """Return whose host it is, if it must not be reached; it is not looked up."""
        name = _name_of(host)
        if not self.holders or name is None or self._may_pass(name, port):
            return None
        provider: str | None = wire().provider_of(name)
        return provider

    def _may_pass(self, name: str, port: object) -> bool:
        allowed = self.allowed
        if port is None:  # only the name is known here, and the port was looked at before
            allowed = allowed | {host.rpartition(":")[0] for host in allowed if ":" in host}
        return wire().is_listed(name, port, allowed) or any(door.passes(name, port) for door in self.doors)

    def check(self, host: object, entrance: str, *, port: object = None, look_up: bool = False) -> None:
        """Refuse a host that must not be reached.

        Args:
            host: the name, as any of the functions takes it.
            entrance: the module whose function was called.
            port: if it is known.
            look_up: whether to refuse a host in the public network whose provider is not known, too, as long as there
                are fake keys in the environment.

        Raises:
            UnexpectedRequestError: remembered, too, for the test's end.
        """
        if not self.holders or _is_let_out.get():
            return
        name = _name_of(host)
        if name is None or self._may_pass(name, port):
            return
        provider = wire().provider_of(name) or (_NOBODY if look_up and self._is_public(name) else None)
        if provider is not None:
            self._refuse(name, provider, sys._getframe(2), entrance)

    def _is_public(self, name: str) -> bool:
        """Tell whether a name leads out into the public network while there are fake keys in the environment."""
        if not any(door.lends_keys for door in self.doors) or wire().is_loopback(name) or wire().is_address(name):
            return False
        if getattr(self._busy, "looks_up", False):
            return False
        from _socket import getaddrinfo  # socket's own, whatever stands there

        self._busy.looks_up = True
        try:
            found = getaddrinfo(name, None)
        except (OSError, UnicodeError):
            return False  # whoever asked will be told the same
        finally:
            self._busy.looks_up = False
        return any(_is_global(address[0]) for *_, address in found)

    def _refuse(self, name: str, provider: str, frame: FrameType, entrance: str) -> None:
        caller, site = _library_called(frame, entrance), calling_site(frame)
        thread = threading.current_thread()
        owner = current_owner()
        left_by = self._left.get(owner) if owner is not None and owner.over else self._left.get(thread)
        where = "" if thread is threading.main_thread() else f", in thread {thread.name!r}"
        door = self.doors[-1] if self.doors and left_by is None else None
        if door is not None:
            told = (
                f"{caller} tried to bypass {door.name} and reach {name} ({provider}) at {site}{where};"
                " it was refused, and nothing was sent.\n"
                f'  {door.reaches.format(caller=caller)}, or let the host out with passthrough=["{name}"].'
            )
        else:
            test = left_by or current_test()
            started = f", which {left_by} had left behind" if left_by else f", in {test}" if test else ""
            told = (
                f"{caller} tried to reach {name} ({provider}) at {site}{where}{started}, where no door is open;"
                f" it was refused, and nothing was sent.\n"
                f"  {_IN_CHILD if self.is_child else _SINCE_FIRST_DOOR}"
                f' A test that means to says so: @pytest.mark.mockstream(passthrough=["{name}"]).'
            )
        error = UnexpectedRequestError(told)
        if door is not None:
            door.remember(error)
        else:
            self.refused.append(told)
        raise error


GUARD = Guard()
_is_let_out: ContextVar[bool] = ContextVar("mockstream_is_let_out", default=False)


@contextmanager
def let_out() -> Iterator[None]:
    """Let what a door itself does in the block, and the tasks that it starts there, reach any host."""
    token = _is_let_out.set(True)
    try:
        yield
    finally:
        _is_let_out.reset(token)


def _name_of(host: object) -> str | None:
    name = host.decode("ascii", errors="replace") if isinstance(host, bytes | bytearray) else host
    return name.lower() if isinstance(name, str) and name else None


def _is_global(address: Any) -> bool:
    return ip_address(str(address).partition("%")[0]).is_global


_RUNS_TASKS = ("asyncio.events", "_run")
_RUNS_TESTS = ("_pytest", "pluggy")


def _library_called(frame: FrameType | None, entrance: str) -> str:
    """Return the library that the user's own code called: the outermost one below it.

    Modules of Python itself count where there is nothing else: a call comes through contextlib, or from a thread.
    What runs the loop in which a task makes the call, or the test, has not called.
    """
    library, module = "", entrance
    while frame is not None and is_library(frame.f_code.co_filename):
        name = frame.f_globals.get("__name__", "")
        package = name.partition(".")[0]
        if (name, frame.f_code.co_name) == _RUNS_TASKS or package in _RUNS_TESTS:
            break
        if package in sys.stdlib_module_names:
            module = name
        elif package != _PACKAGE:
            library = package
        frame = frame.f_back
    return library or module
