"""Keeps a test from being blamed for what a library keeps for the process, or what a wider fixture keeps.

It decides about one suspect at a time, when its time is up. A library's own task or thread that something lasting holds
is a singleton: it fails no test and is listed. A leak accumulates and a singleton does not: if the same line makes a
second one in another test while the first is alive, both are leaks.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from pytest_mockstream._base.callsite import package_of

from . import interpreter
from .births import Birth, Frames, TaskBirth, birth_of
from .holders import (
    Closer,
    Holder,
    Search,
    class_of_method,
    closer_of,
    name_of_class,
    only_instance,
    package_of_module,
    package_of_type,
)
from .owner import SINGLETON, Owner
from .scope import Scope
from .stacks import Stop, frames_of
from .values import Leak

_OURS = "pytest_mockstream"


class Suspect(NamedTuple):
    """Something that is left, as far as this needs to know it.

    Attributes:
        birth: who started it, and where.
        starts: the thing itself, and the objects whose work it does.
        frames: of the functions that it runs.
        given: the packages of the functions that it was given to call; None for the user's.
        is_alive: tells whether it is still there.
    """

    birth: Birth | TaskBirth | None
    starts: list[Any]
    frames: list[FrameType]
    given: list[str | None]
    is_alive: Callable[[], bool]


class _Kept(NamedTuple):
    thing: weakref.ref[Any]
    place: str
    leak: Leak
    test: Owner
    is_alive: Callable[[], bool]


#: The singletons that are alive, by the line that started them, and by their loop, where that keeps them.
_KEPT: dict[tuple[Any, ...], list[_Kept]] = {}


def of_task(birth: TaskBirth, task: asyncio.Task[Any]) -> Suspect:
    """Return a task as a suspect."""
    frames = list(frames_of(task.get_coro()))
    values = list(_arguments(frames[0])) if frames else []
    return Suspect(birth, [task, *_objects(values)], frames, _functions(values), lambda: not task.done())


def of_thread(thread: threading.Thread, birth: Birth | None, stops: list[Stop]) -> Suspect:
    """Return a thread as a suspect; one that works for a pool stands for the pool."""
    pool = interpreter.pool_of(thread)
    if pool is not None:
        return Suspect(birth_of(pool) or birth, [pool], [stop.frame for stop in stops], [], thread.is_alive)
    values = [getattr(thread, name, None) for name in ("_target", "function", "run")]
    values += getattr(thread, "_args", None) or ()
    starts = [thread, *_objects(values)]
    return Suspect(birth, starts, [stop.frame for stop in stops], _functions(values), thread.is_alive)


def spare(scope: Scope, suspect: Suspect, leak: Leak) -> Leak | None:
    """Return a leak with what was found out about it, or None if the scope has nothing to do with it.

    Then it is credited to the fixture that keeps it, or noted in ``scope.lasting``.
    """
    packages, fixtures = _packages(suspect), scope.policy.fixtures()
    if not packages and not fixtures:
        return leak
    search = Search(suspect.starts, packages, fixtures)
    holder = search.holder()
    makers = _makers(suspect) if packages else []
    if holder is None and makers and (maker := _made_with(suspect, makers[0])) is not None:
        # What an extension module keeps in variables of C has no referrers; its client lives as long, and has.
        holder = Search([maker], packages, fixtures).holder()
    if holder is not None and holder.owner is not None:
        _give(suspect, holder.owner)
        return None
    if holder is None:
        has_client = packages and not interpreter.is_kept_worker(suspect.starts[0])  # which is its library's to stop
        return of_client(leak, search.client(makers)) if has_client else leak
    if (first := _first_of_its_line(scope, suspect, holder, leak)) is not None:
        return _second(scope, leak, first, search.client(makers))
    _give(suspect, SINGLETON)
    if suspect.birth is not None:
        suspect.birth.report(fails=False)
    scope.lasting.append(replace(leak, owner=SINGLETON.label, kept_by=holder.place))
    return None


def still_open() -> list[str]:
    """Return what libraries keep, is alive and has a way to be closed that nobody has used: its class, and the way."""
    found: dict[str, None] = {}
    for one in (one for kept in _KEPT.values() for one in kept):
        thing = one.thing()
        if thing is None or not one.is_alive() or not package_of_type(type(thing)):
            continue
        if (closer := closer_of(type(thing))) is not None:
            found[
                f"{name_of_class(type(thing))}, kept by {one.place}: {closer.call.replace('.', 'its ', 1)} closes it"
            ] = None
    return list(found)


def let_go(owner: Owner | None) -> None:
    """Note that something of an owner is left on purpose: what that starts later is not the next test's."""
    if owner is not None and not owner.root.label.startswith("fixture:"):
        owner.root.leaked = True


def _give(suspect: Suspect, owner: Owner) -> None:
    birth = suspect.birth
    if birth is not None:
        let_go(birth.owner)
        birth.owner = owner


def _packages(suspect: Suspect) -> frozenset[str]:
    """Return the installed packages that made something and whose code it runs; none if either is the user's."""
    if None in suspect.given:
        return frozenset()
    runs = [_package_of_code(frame.f_code, frame.f_globals.get("__name__", "")) for frame in suspect.frames]
    frames = _made_by(suspect)
    made = [package_of(code.co_filename) for code in frames if isinstance(code, CodeType)]
    maker = next((package for package in made if package not in {"", _OURS}), None)
    if None in runs or (maker is None and (made or not any(runs))):
        return frozenset()
    return frozenset(package for package in (maker, *runs) if package and package != _OURS)


def _made_by(suspect: Suspect) -> Frames:
    """Return the frames that made something, without those of its own loop: that makes tasks for whoever asks it."""
    frames: Frames = suspect.birth.frames if suspect.birth is not None else ()
    if isinstance(suspect.starts[0], asyncio.Task):
        own = type(suspect.starts[0].get_loop())
        while frames and isinstance(frames[0], CodeType) and class_of_method(frames[0]) is own:
            frames = frames[2:]
    return frames


def _first_of_its_line(scope: Scope, suspect: Suspect, holder: Holder, leak: Leak) -> _Kept | None:
    """Return what the same line started in another test, for another holder that is alive; note this one if none."""
    loop = id(suspect.starts[0].get_loop()) if holder.kind == "loop" else 0
    kept = _KEPT.setdefault((_line(suspect), loop), [])
    kept[:] = [one for one in kept if one.is_alive() and one.thing() is not None]
    thing = _referable(holder.thing, suspect)
    other = next((one for one in kept if one.thing() is not thing and one.test is not scope.owner.root), None)
    if other is None:
        kept.append(_Kept(weakref.ref(thing), holder.place, leak, scope.owner.root, suspect.is_alive))
    return other


def _referable(thing: Any, suspect: Suspect) -> Any:
    try:
        weakref.ref(thing)
    except TypeError:
        return suspect.starts[0]
    return thing


def _line(suspect: Suspect) -> tuple[Any, ...]:
    """Return the innermost line of a library that started something."""
    frames: Frames = suspect.birth.frames if suspect.birth is not None else ()
    for code, lasti in zip(frames[::2], frames[1::2], strict=True):
        if isinstance(code, CodeType) and package_of(code.co_filename) not in {"", _OURS}:
            return code.co_filename, code.co_qualname, lasti
    return tuple(frame.f_code for frame in suspect.frames[-1:])


def _makers(suspect: Suspect) -> list[type]:
    """Return the classes whose methods started something for the user's code, as far as their objects can be closed.

    The outermost comes first: the user has called that. What a loop has called tells nothing about who is above it.
    """
    frames = _made_by(suspect)
    packages = [(code, package_of(code.co_filename)) for code in frames if isinstance(code, CodeType)]
    if all(package is not None for _, package in packages):
        return []
    classes = [kind for code, package in reversed(packages) if package and (kind := class_of_method(code)) is not None]
    return [kind for kind in dict.fromkeys(classes) if closer_of(kind) is not None]


def _made_with(suspect: Suspect, maker: type) -> Any:
    """Return the object of a class that something was started with, as that was made; None if it could be another."""
    frames: Frames = suspect.birth.frames if suspect.birth is not None else ()
    made = [code for code in frames if isinstance(code, CodeType) and code.co_name == "__init__"]
    return only_instance(maker) if any(class_of_method(code) is maker for code in made) else None


def _second(scope: Scope, leak: Leak, first: _Kept, client: type | None) -> Leak:
    """Return the leak of a second holder; the first is one by now, too."""
    name, closer = ("", None) if client is None else (f" {name_of_class(client)}", closer_of(client))
    remedy = "Close each, or share one." if closer is None else f"Share one, or close each. {_remedy(closer)}"
    said = f"The same line made another{name or ' one'} in an earlier test, which is still alive: nobody closes them."
    before = f"It is the{name or ' one'} of an earlier test."
    scope.leaks.append(replace(first.leak, diagnosis=before, remedy=remedy))
    return replace(leak, diagnosis=said, remedy=remedy)


def of_client(leak: Leak, client: type | None) -> Leak:
    """Return a leak that names the object whose it is, and how that is closed."""
    if client is None or (closer := closer_of(client)) is None:
        return leak
    return replace(leak, diagnosis=f"It is part of {name_of_class(client)}.", remedy=_remedy(closer))


def _remedy(closer: Closer) -> str:
    awaits, method = closer.call.startswith("await "), closer.call.removeprefix("await ")
    call = f"{'await ' if awaits else 'call '}its {method.removeprefix('.')}"
    return f"Use it in `{closer.statement}`, or {call}." if closer.statement else f"{call[0].upper()}{call[1:]}."


def _arguments(frame: FrameType) -> Iterator[Any]:
    """Yield what a function was called with, and what its closure holds."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    values = frame.f_locals
    for name in (*code.co_varnames[:count], *code.co_freevars):
        if name in values:
            yield values[name]


def _objects(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the objects of libraries behind values: those of bound methods, and those that weak references mean."""
    for value in values:
        thing = _unwrapped(value)
        if thing is not None and not issubclass(type(thing), type) and package_of_type(type(thing)):
            yield thing


def _functions(values: Iterable[Any]) -> list[str | None]:
    """Return the packages of the functions among values."""
    functions = [value.func if issubclass(type(value), functools.partial) else value for value in values]
    codes = [(function, _code(function)) for function in functions]
    return [_package_of_code(code, getattr(function, "__module__", "")) for function, code in codes if code is not None]


def _package_of_code(code: CodeType, module: str | None) -> str | None:
    """Return the installed package that a function is of.

    What Cython has compiled names a source file that is not there. Its module, where that is known, tells its package;
    else it counts as no more than a part of what runs it.
    """
    package = package_of(code.co_filename)
    if package is not None or Path(code.co_filename).exists():
        return package
    return package_of_module(module) if module else ""


def _unwrapped(value: Any) -> Any:
    """Return the object that a value stands for: that of a bound method, or what a weak reference means."""
    if issubclass(type(value), functools.partial):
        value = value.func
    if issubclass(type(value), weakref.ref):
        value = value()
    return value.__self__ if issubclass(type(value), types.MethodType) else value


def _code(value: Any) -> CodeType | None:
    kind = type(value)
    if issubclass(kind, types.FunctionType | types.MethodType):
        code: CodeType = value.__code__
        return code
    if issubclass(kind, types.CoroutineType):
        awaited: CodeType = value.cr_code
        return awaited
    return None
