"""The optional kinds: what can be left behind besides tasks, threads and streams.

Nothing is patched before a test asks for one of them. Loops other than asyncio's own (uvloop) do not show their timers,
readers, generators and servers.

Checked against CPython 3.11 to 3.15: ``TimerHandle._scheduled``, ``Task._log_traceback``,
``BaseEventLoop._asyncgen_firstiter_hook`` and ``warnings._warn_unawaited_coroutine`` have no public counterpart.
"""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.proactor_events
import asyncio.selector_events
import multiprocessing.process
import socket
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, ModuleType
from typing import Any

from pytest_mockstream._base.callsite import is_library

from . import interpreter
from .births import BIRTHS, Birth, owner_of_thread, stack
from .blame import blame
from .holders import Search
from .lasting import of_client
from .owner import OWNER
from .scope import Scope
from .stacks import codes_of, created_at, module_of, names_of, spellings
from .values import Leak

_REMEDIES = {
    "coroutine": "Await it.",
    "asyncgen": "Close it with `async with contextlib.aclosing(...)`, or read it to its end.",
    "exception": "Await the task, or look at its exception().",
    "loop": "Close it with loop.close(), or use asyncio.Runner in a `with` statement.",
    "process": "Terminate it and wait for it.",
    "reader": "Call loop.remove_reader() with its file descriptor.",
    "server": "Use it in an `async with` statement, or close it and wait_closed().",
    "socket": "Close it.",
    "timer": "Keep the handle and cancel() it.",
}
_ONLY_NOTED = frozenset({"coroutine", "exception"})
#: Where a loop makes the pair of sockets that wakes it; told by its code only.
_SELF_PIPES = frozenset(
    getattr(getattr(loop, "_make_self_pipe", None), "__code__", None)
    for loop in (asyncio.selector_events.BaseSelectorEventLoop, asyncio.proactor_events.BaseProactorEventLoop)
)
#: Where asyncio makes a loop for a thread that asks for its own and has none; no more since Python 3.14.
_OF_THREAD = getattr(getattr(asyncio.events, "BaseDefaultEventLoopPolicy", None), "get_event_loop", None)
_CREATE_SERVER = asyncio.base_events.BaseEventLoop.create_server.__code__
_CREATE_CONNECTION = asyncio.base_events.BaseEventLoop.create_connection.__code__


class _Made:
    """One thing of an optional kind: its birth, its name, and how to find out whether it is still open.

    A connection knows its loop: on one that goes on, whoever shares the loop may keep it alive for good reason.
    """

    __slots__ = ("birth", "is_open", "kind", "loop", "name", "socket")

    def __init__(self, kind: str, name: str, birth: Birth, is_open: Callable[[], bool]) -> None:
        self.kind = kind
        self.name = name
        self.birth = birth
        self.is_open = is_open
        self.loop: asyncio.AbstractEventLoop | None = None
        self.socket: weakref.ref[socket.socket] | None = None


def can_see(kind: str) -> bool:
    """Tell whether what is patched for an optional kind is there, on this platform and in this Python."""
    return kind in _PATCHES and all(name in vars(where) for where, name, _ in _PATCHES[kind])


class Census:
    """Births of the optional kinds, from the moment that a kind was asked for."""

    def __init__(self) -> None:
        self._kinds: set[str] = set()
        self._undo: list[Callable[[], None]] = []
        self._made: list[_Made] = []
        self._readers: dict[tuple[int, object], _Made] = {}

    def look_for(self, kinds: Iterable[str]) -> None:
        """Begin to note kinds."""
        for kind in sorted(kind for kind in set(kinds) - self._kinds if can_see(kind)):
            self._kinds.add(kind)
            self._undo += [interpreter.patch(where, name, wrap(self)) for where, name, wrap in _PATCHES[kind]]

    def looks_for(self, kind: str) -> bool:
        """Tell whether a kind is noted."""
        return kind in self._kinds

    def stop(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()

    def judge(self, scope: Scope, kinds: Iterable[str]) -> None:
        """Add what is still open, and was born in the scope's time, to its leaks."""
        wanted = set(kinds) & self._kinds
        if not wanted:
            return
        if "exception" in wanted:
            self._failed_tasks()
        for made in [*self._made, *self._readers.values()]:
            label = blame(scope, made.birth.owner, made.birth.serial)
            if made.kind not in wanted or made.birth.reported or label is None or made.birth.serial < scope.mark:
                continue
            if made.is_open():
                made.birth.reported = True
                leak = _leak(made, label)
                if not scope.policy.ignored(leak):
                    scope.leaks.append(leak)
        self._made = [made for made in self._made if not made.birth.reported and made.is_open()]

    def note(self, kind: str, name: str, is_open: Callable[[], bool], birth: Birth | None = None) -> _Made:
        """Note that something was made."""
        made = _Made(kind, name, birth or _birth(), is_open)
        self._made.append(made)
        return made

    def note_reader(self, loop: asyncio.AbstractEventLoop, fd: object) -> None:
        """Note that a loop watches a file descriptor."""
        made = _Made("reader", f"fd {fd}", _birth(), lambda: True)
        self._readers[id(loop), fd] = made

    def forget_reader(self, loop: asyncio.AbstractEventLoop, fd: object) -> None:
        """Note that it does so no more."""
        self._readers.pop((id(loop), fd), None)

    def _failed_tasks(self) -> None:
        for birth in list(BIRTHS.tasks.values()):
            task = birth()
            if task is not None and task.done() and getattr(task, "_log_traceback", False) and not birth.reported:
                birth.reported = True
                name = f"{task.get_name()}: {task._exception!r}"  # exception() would retrieve it
                self.note("exception", name, lambda: True, Birth(birth.owner, birth.frames, birth.serial))


def _birth() -> Birth:
    return Birth(OWNER.get() or owner_of_thread(), stack(sys._getframe(3), frozenset())[0], BIRTHS.mark())


def _leak(made: _Made, label: str) -> Leak:
    site = created_at(made.birth.frames)
    leak = Leak(
        kind=made.kind,
        name=made.name,
        owner=label,
        created_at=site,
        names=frozenset({made.name, *(spellings(module_of(site.filename), site.function) if site else ())}),
        remedy=_REMEDIES[made.kind],
        is_note=made.kind in _ONLY_NOTED or (made.loop is not None and not made.loop.is_closed()),
        functions=names_of(codes_of(made.birth.frames)),
    )
    connection = None if made.socket is None else made.socket()
    return leak if connection is None else of_client(leak, _client_of(connection))


def _client_of(connection: socket.socket) -> type | None:
    """Return the class of the client whose connection a socket is."""
    search = Search([connection], frozenset(), ())
    search.holder()
    return search.client()


def _still(thing: Any, is_open: Callable[[Any], bool]) -> Callable[[], bool]:
    reference = weakref.ref(thing)

    def tell() -> bool:
        here = reference()
        return here is not None and is_open(here)

    return tell


Wrap = Callable[["Census"], Callable[[Callable[..., Any]], Callable[..., Any]]]


def _after(kind: str, name: Callable[[Any], str], is_open: Callable[[Any], bool]) -> Wrap:
    """Note ``self`` once a method of it was called."""

    def wrap(census: Census) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def around(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
                result = original(self, *args, **kwargs)
                codes = codes_of(stack(sys._getframe(1))[0]) if kind in {"loop", "socket"} else []
                of_server = census.looks_for("server") and _CREATE_SERVER in codes
                if _SELF_PIPES.isdisjoint(codes) and not of_server and not _is_asked_for_by_runner(codes):
                    made = census.note(kind, name(self), _still(self, is_open))
                    made.socket = weakref.ref(self) if kind == "socket" else None
                    made.loop = _connecting(sys._getframe(1)) if _CREATE_CONNECTION in codes else None
                return result

            return wrapper

        return around

    return wrap


def _is_asked_for_by_runner(codes: list[CodeType]) -> bool:
    """Tell whether nobody but a plugin asked for a thread's loop: pytest-asyncio before 1.4, and looptime's plugin.

    They never close it.
    """
    code = getattr(_OF_THREAD, "__code__", None)
    return code in codes and all(is_library(outer.co_filename) for outer in codes[codes.index(code) :])


def _connecting(frame: FrameType | None) -> asyncio.AbstractEventLoop | None:
    """Return the loop that makes a connection in one of these frames."""
    while frame is not None and frame.f_code is not _CREATE_CONNECTION:
        frame = frame.f_back
    loop = None if frame is None else frame.f_locals.get("self")
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def _timer(census: Census) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, when: float, callback: Any, *args: Any, **kwargs: Any) -> Any:
            handle = original(self, when, callback, *args, **kwargs)
            name = getattr(callback, "__qualname__", repr(callback))
            census.note("timer", name, _still(handle, _is_due))
            return handle

        return wrapper

    return around


def _is_due(handle: Any) -> bool:
    return bool(handle._scheduled and not handle.cancelled() and handle.when() > handle._loop.time())


def _asyncgen(census: Census) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, agen: Any) -> Any:
            census.note("asyncgen", agen.__qualname__, _still(agen, lambda it: it.ag_frame is not None))
            return original(self, agen)

        return wrapper

    return around


def _add_reader(census: Census) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, fd: Any, *args: Any, **kwargs: Any) -> Any:
            census.note_reader(self, fd)
            return original(self, fd, *args, **kwargs)

        return wrapper

    return around


def _remove_reader(census: Census) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, fd: Any) -> Any:
            census.forget_reader(self, fd)
            return original(self, fd)

        return wrapper

    return around


def _unawaited(census: Census) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(coro: Any) -> Any:
            census.note("coroutine", coro.__qualname__, lambda: True)
            return original(coro)

        return wrapper

    return around


def _unretrieved(census: Census) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(self: Any, context: dict[str, Any]) -> Any:
            if str(context.get("message", "")).startswith("Task exception was never retrieved"):
                task = context.get("task") or context.get("future")
                name = f"{task.get_name() if isinstance(task, asyncio.Task) else 'task'}: {context.get('exception')!r}"
                births = [birth for birth in list(BIRTHS.tasks.values()) if task is not None and birth() is task]
                made = [Birth(birth.owner, birth.frames, BIRTHS.mark()) for birth in births]
                census.note("exception", name, lambda: True, *made)
            return original(self, context)

        return wrapper

    return around


_Loop = asyncio.base_events.BaseEventLoop
_SelectorLoop = asyncio.selector_events.BaseSelectorEventLoop
_PATCHES: dict[str, tuple[tuple[type | ModuleType, str, Wrap], ...]] = {
    "asyncgen": ((_Loop, "_asyncgen_firstiter_hook", _asyncgen),),
    "coroutine": ((warnings, "_warn_unawaited_coroutine", _unawaited),),
    "exception": ((_Loop, "call_exception_handler", _unretrieved),),
    "loop": ((_Loop, "__init__", _after("loop", lambda it: type(it).__name__, lambda it: not it.is_closed())),),
    "process": (
        (subprocess.Popen, "__init__", _after("process", lambda it: f"pid {it.pid}", lambda it: it.poll() is None)),
        (
            multiprocessing.process.BaseProcess,
            "start",
            _after("process", lambda it: str(it.name), lambda it: bool(it.is_alive())),
        ),
    ),
    "reader": ((_SelectorLoop, "add_reader", _add_reader), (_SelectorLoop, "remove_reader", _remove_reader)),
    "server": ((asyncio.base_events.Server, "__init__", _after("server", repr, lambda it: bool(it.is_serving()))),),
    "socket": (
        (socket.socket, "__init__", _after("socket", lambda it: f"fd {it.fileno()}", lambda it: it.fileno() >= 0)),
    ),
    "timer": ((_Loop, "call_at", _timer),),
}
