"""Finds what holds a thing that is left: something that lasts, a wider fixture, or nothing but a test's own objects.

It knows no library by name, and changes nothing. It searches the heap, which is slow, so it is only asked about what is
still there when its time is up.

Theory of operation: the search begins with the thing itself and with its client, the object whose method it runs. It
goes on to whatever refers to these, one level at a time, until it meets a root: the globals of a module, a class, the
cache of a function, a thread-local or context variable, an attribute that somebody put on the event loop, or the value
of a fixture that is still in use. What asyncio and threading keep of everything that runs (timers, registers, futures,
other frames) does not count, and neither does a weak dictionary, except for its entry for an event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import inspect
import sys
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from pytest_mockstream._base.callsite import package_of

from .owner import Owner

_DEPTH = 10
_MOST = 4000  # objects in one search; whatever more of the heap hangs on is no client
_CONTAINERS = (dict, list, tuple, set, frozenset, deque, OrderedDict, defaultdict, types.CellType)
_CALLABLES = (types.FunctionType, types.MethodType, functools.partial)
_NO_WAY = (
    types.FrameType,
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
    types.TracebackType,
    types.ModuleType,
    types.CodeType,
    asyncio.Future,
    asyncio.Handle,
    Future,
    weakref.ref,
    contextvars.Context,
    BaseException,
)
#: Packages whose objects know everything that runs, or every test.
_BYSTANDERS = frozenset(
    {"_pytest", "pytest", "pluggy", "pytest_asyncio", "pytest_mockstream", "unittest", "asyncio", "weakref"}
)
#: What asyncio has for one connection only.
_CONNECTIONS = (asyncio.BaseTransport, asyncio.BaseProtocol, asyncio.StreamReader, asyncio.StreamWriter)
_REGISTERS = frozenset({"threading", "concurrent", "asyncio", "weakref", "gc", "sys", "contextvars"}) | _BYSTANDERS
_CACHE = type(functools.cache(len))
_LOOP_ATTRIBUTES: set[str] = set()


class Holder(NamedTuple):
    """What holds something.

    Attributes:
        kind: ``"global"``, ``"class"``, ``"cache"``, ``"thread-local"``, ``"context"``, ``"loop"`` or ``"fixture"``.
        place: its name, for people.
        thing: the outermost object that is held: the client, the pool, or what is left itself.
        owner: of a fixture, its owner.
    """

    kind: str
    place: str
    thing: Any
    owner: Owner | None = None


class Search:
    """A search for who holds something.

    Args:
        starts: the thing and its clients.
        packages: the installed packages that made it and whose code it runs; empty for the user's own.
        fixtures: the values of wider fixtures that are still in use, with their owners.
    """

    def __init__(self, starts: Iterable[Any], packages: frozenset[str], fixtures: Sequence[tuple[Any, Owner]]) -> None:
        self._levels = [_unique(starts)]
        self._packages = packages
        self._fixtures = {id(value): owner for value, owner in fixtures}
        self._below: dict[int, Any] = {}
        self._seen = {id(thing) for thing in self._levels[0]}

    def holder(self) -> Holder | None:
        """Return what holds it, None where that is nothing but itself, a local variable or a test's own object."""
        modules = _modules()
        context = {id(value): var.name for var, value in contextvars.copy_context().items()} if self._packages else {}
        for _ in range(_DEPTH):
            level = self._levels[-1]
            for thing in level:
                if (owner := self._fixtures.get(id(thing))) is not None:
                    return Holder("fixture", owner.label, thing, owner)
                if (name := context.get(id(thing))) is not None and (found := self._held("context", name, thing)):
                    return found
            if not level or len(self._seen) > _MOST:
                return None
            following: list[Any] = []
            for referrer, thing in self._referrers(level):
                if (found := self._root(referrer, thing, modules)) is not None:
                    return found
                if id(referrer) not in modules and self._is_passable(referrer, thing):
                    self._seen.add(id(referrer))
                    self._below[id(referrer)] = thing
                    following.append(referrer)
            self._levels.append(following)
        return None

    def client(self, makers: Sequence[type] = ()) -> type | None:
        """Return the class of the object of the library that it belongs to and that can be closed, or None.

        That is the outermost of those that were met, unless the object that started it is among them: others may hold
        that for other reasons. Where that is gone, dropped without being closed, it counts more than its parts.

        Args:
            makers: the classes whose methods started it, the outermost first.
        """
        levels = reversed(self._levels)
        met = [type(thing) for level in levels for thing in level if _is_instance_of_library(thing)]
        met = [kind for kind in met if closer_of(kind) is not None]
        first = next(iter(makers), None)
        if first is None or any(first in kind.__mro__ for kind in met):
            return next((kind for kind in met if first is None or first in kind.__mro__), None)
        return first if not met or set(makers) & {*met[0].__mro__} else met[0]

    def _referrers(self, level: list[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield what refers to the things of a level, each with the one that it refers to."""
        ours = {id(level), id(self._levels), id(self._below), *map(id, self._levels), id(self.__dict__)}
        within = {id(thing): thing for thing in level}
        ours.add(id(within))
        found = gc.get_referrers(*level)
        ours.add(id(found))
        for referrer in found:
            if id(referrer) in ours or id(referrer) in self._seen or issubclass(type(referrer), _NO_WAY):
                continue
            for thing in gc.get_referents(referrer):
                if id(thing) in within:
                    yield referrer, thing
                    break

    def _root(self, referrer: Any, thing: Any, modules: dict[int, types.ModuleType]) -> Holder | None:
        if not self._packages:
            return None
        kind = type(referrer)
        if kind is dict:
            if (module := modules.get(id(referrer))) is not None:
                return self._held("global", f"{module.__name__}.{_key(referrer, thing)}", thing, module.__name__)
            if (key := _weak_key(referrer, thing)) is not None:
                return self._held_by_weak_key(key, thing)
        elif issubclass(kind, asyncio.AbstractEventLoop):
            # Its attributes may be in a dictionary of their own, which is what refers to the thing then.
            held = self._below.get(id(thing), thing) if thing is getattr(referrer, "__dict__", None) else thing
            names = _names_in(referrer, held) - _loop_attributes()
            return self._held("loop", f"the event loop's {min(names)}", thing) if names else None
        elif issubclass(kind, type):
            return self._held("class", f"{referrer.__module__}.{referrer.__qualname__}", thing, referrer.__module__)
        elif kind is _CACHE and not self._is_argument(referrer, thing):
            function = getattr(referrer, "__wrapped__", None)
            name = getattr(function, "__qualname__", "")
            if "<locals>" not in name and type(function) is types.FunctionType:  # a method's is its object's
                module_name = getattr(function, "__module__", None) or ""
                return self._held("cache", f"{module_name}.{name}", thing, module_name)
        return None

    def _is_argument(self, cache: Any, thing: Any) -> bool:
        """Tell whether a cache has something as an argument (the ``self`` of a cached method), and not as a result."""
        keys = {id(key) for part in gc.get_referents(cache) if type(part) is dict for key in part}
        way = [thing]
        while (thing := self._below.get(id(thing))) is not None:
            way.append(thing)
        return any(id(step) in keys for step in way)

    def _held_by_weak_key(self, key: Any, thing: Any) -> Holder | None:
        if issubclass(type(key), asyncio.AbstractEventLoop):
            return self._held("loop", "what is kept for the event loop", thing)
        return self._held("thread-local", "a thread-local", thing) if _is_of_thread_local(key) else None

    def _held(self, kind: str, place: str, thing: Any, module: str = "") -> Holder | None:
        """Return a holder, unless what is met first on the way to it is a stranger's."""
        way = [thing]
        while (thing := self._below.get(id(thing))) is not None:
            way.append(thing)
        objects = [step for step in reversed(way) if not _is_transparent(step)]
        first = package_of_type(type(objects[0])) if objects else package_of_module(module)
        if module.partition(".")[0] in _REGISTERS or (first is not None and first not in self._packages):
            return None
        return Holder(kind, place, objects[-1] if objects else way[-1])

    def _is_passable(self, referrer: Any, thing: Any) -> bool:
        kind = type(referrer)
        if issubclass(kind, (type, asyncio.AbstractEventLoop)):
            return False
        if kind is _CACHE and self._is_argument(referrer, thing):
            return False
        if kind is dict and _has_weak_keys(referrer):
            return False
        return issubclass(kind, _CONNECTIONS) or kind.__module__.partition(".")[0] not in _BYSTANDERS


def package_of_type(kind: type) -> str | None:
    """Return the installed package that defines a class, None for one of the user's."""
    return package_of_module(kind.__module__)


def package_of_module(name: str) -> str | None:
    """Return the installed package that a module is of, or ``""`` for the standard library; None for the user's own."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return "" if name.partition(".")[0] in sys.stdlib_module_names else None
    return package_of(file)


class Closer(NamedTuple):
    """How objects of a class are closed.

    Attributes:
        call: the method, as it would be written.
        statement: ``"with"``, ``"async with"`` or empty.
    """

    call: str
    statement: str


_CLOSERS = ("aclose", "close", "cleanup", "shutdown", "stop", "dispose", "disconnect", "terminate", "cancel")


def closer_of(kind: type) -> Closer | None:
    """Return how objects of a class are closed, or None."""
    name = next((name for name in _CLOSERS if callable(getattr(kind, name, None))), None)
    if name is None:
        return None
    waits = "await " if inspect.iscoroutinefunction(getattr(kind, name)) else ""
    ways = {"async with": "__aenter__", "with": "__enter__"}
    if not waits:  # the one that fits the method comes first, where there are both
        ways = dict(reversed(ways.items()))
    statement = next((statement for statement, method in ways.items() if hasattr(kind, method)), "")
    if any((base.__module__, base.__name__) == ("socketserver", "BaseServer") for base in kind.__mro__):
        statement = ""  # its `with` closes the socket, and ends no serve_forever()
    return Closer(f"{waits}.{name}()", statement)


def class_of_method(code: types.CodeType) -> type | None:
    """Return the class that has code as a method, as far as it can be reached by its name."""
    path = code.co_qualname.split(".")[:-1]
    for module in sys.modules.copy().values() if path else ():
        names = types.ModuleType.__getattribute__(module, "__dict__") if type(module) is types.ModuleType else {}
        if names.get("__file__") == code.co_filename:
            thing: Any = names.get(path[0])
            for name in path[1:]:
                thing = vars(thing).get(name) if _is_class(thing) else None
            return thing if _is_class(thing) else None
    return None


def only_instance(kind: type) -> Any:
    """Return the only object of a class that there is, None if there are several; goes through the whole heap."""
    found = [thing for thing in gc.get_objects() if kind in type(thing).__mro__]
    return found[0] if len(found) == 1 else None


def name_of_class(kind: type) -> str:
    """Return the name of a class of a library, for people: that by which it is exported, if it has one of its own.

    A class that a function made has that of its base.
    """
    named = next((base for base in kind.__mro__[:-1] if "<locals>" not in base.__qualname__), kind)
    package, name = kind.__module__.partition(".")[0], named.__qualname__.rpartition("<locals>.")[2]
    if name.startswith("_"):
        exports = vars(sys.modules.get(package, types.ModuleType(package)))
        name = next((alias for alias, value in exports.items() if value is named and alias[0] != "_"), name)
    return f"{package}.{name}"


def _unique(things: Iterable[Any]) -> list[Any]:
    return list({id(thing): thing for thing in things if thing is not None}.values())


def _is_transparent(thing: Any) -> bool:
    """Tell whether something is no more than a part of what holds it: a container, or of the standard library."""
    return issubclass(type(thing), (*_CONTAINERS, *_CALLABLES)) or package_of_type(type(thing)) == ""


def _is_class(thing: Any) -> bool:
    return issubclass(type(thing), type)


def _is_instance_of_library(thing: Any) -> bool:
    return not _is_class(thing) and bool(package_of_type(type(thing)))


def _modules() -> dict[int, types.ModuleType]:
    modules = [module for module in sys.modules.copy().values() if issubclass(type(module), types.ModuleType)]
    return {id(types.ModuleType.__getattribute__(module, "__dict__")): module for module in modules}


def _key(names: dict[Any, Any], thing: Any) -> str:
    return next((str(name) for name, value in dict.copy(names).items() if value is thing), "?")


def _has_weak_keys(entries: dict[Any, Any]) -> bool:
    first = next(iter(entries), None)
    return isinstance(first, weakref.ref) or _is_of_thread_local(first)


def _is_of_thread_local(key: Any) -> bool:
    """Tell whether a key stands for a thread in a thread-local's own dictionary, which has weak ones up to 3.12."""
    return type(key).__name__ == "_localdummy"


def _weak_key(entries: dict[Any, Any], thing: Any) -> Any:
    """Return what a dictionary of weak keys has something for."""
    if not _has_weak_keys(entries):
        return None
    for key, value in dict.copy(entries).items():
        if value is thing:
            return key() if isinstance(key, weakref.ref) else key
    return None


def _names_in(loop: asyncio.AbstractEventLoop, thing: Any) -> set[str]:
    return {name for name, value in getattr(loop, "__dict__", {}).items() if value is thing}


def _loop_attributes() -> set[str]:
    """Return the attributes that an event loop has by itself."""
    if not _LOOP_ATTRIBUTES:
        loop = asyncio.SelectorEventLoop()
        try:
            _LOOP_ATTRIBUTES.update(vars(loop))
        finally:
            loop.close()
    return _LOOP_ATTRIBUTES
