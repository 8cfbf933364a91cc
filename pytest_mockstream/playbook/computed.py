"""Scripts whose steps are computed for each request, by functions of the user's.

It calls and collects; which request gets the script, and what an error means for the test, is decided elsewhere.

Theory of operation: what a function returns is collected whole, and made a ``Script`` that is checked like any other,
before the first chunk is sent. So a mistake is an error in the provider's own shape, a stream is as safe to cancel as
any, and a sweep can break it at each of its chunks. Collecting is written once, as a generator: it yields what has to
be awaited. ``driven`` has that done in a thread with an event loop of its own, ``adriven`` in the running loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Iterator
from types import FrameType
from typing import Any, TypeAlias, TypeVar, Unpack

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.paths import is_ours
from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.options import DEFAULTS, ScriptOptions
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Step, Text

from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

R = TypeVar("R")

Part: TypeAlias = Step | Script | str
#: What a function may return for a request.
Answered: TypeAlias = Part | Iterable[Part] | AsyncIterable[Part]
#: A function that answers a request.
Responder: TypeAlias = Callable[[Request], Answered | Awaitable[Answered]]
#: A computation that yields what has to be awaited, and is sent what came of it.
Computation: TypeAlias = Generator[Awaitable[Any], Any, R]

#: More steps than these are an iterator that never ends.
MOST_STEPS = 100_000
#: How long a computation may take, in seconds, where it runs in a thread of ours.
LONGEST = 30.0
_MOST_NESTED = 10  # functions that return functions
_MOST_FRAMES = 12
_TO_END = 1.0  # seconds that a cancelled computation has


def computes(step: object) -> bool:
    """Tell whether a step is a function that computes steps; a class is no such function, but a mistake."""
    return callable(step) and not isinstance(step, type)


def name_of(function: object) -> str:
    """Return a function's name and place, for a message; for an object that can be called, how it shows itself."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = inspect.unwrap(inner) if callable(inner) else inner
    code = getattr(inner, "__code__", None)
    name = getattr(inner, "__name__", None)
    if name is None:
        if _is_ours(inner):
            return brief(inner)
        name, code = f"a {type(inner).__name__}", getattr(type(inner).__call__, "__code__", None)
    return name if code is None else f"{name} ({CallSite(code.co_filename, code.co_firstlineno, name)})"


def _is_ours(function: object) -> bool:
    return type(function).__module__.partition(".")[0] == __name__.partition(".")[0]


class _Computed(Text):
    """Stands for what a function will return, while all else in a script is checked."""

    __slots__ = ("_name",)

    def __init__(self, function: Responder) -> None:
        super().__init__(())
        object.__setattr__(self, "_name", name_of(function))

    def __repr__(self) -> str:
        return self._name  # type: ignore[attr-defined,no-any-return] # a slot


class ComputedScript:
    """A script of which some steps are functions that get the request.

    Args:
        *steps: steps, and functions.
        **options: as for ``Script``.

    Attributes:
        times: how many requests it answers.

    Raises:
        ScriptError: something in it cannot be played, whatever the functions return.
    """

    __slots__ = ("_options", "_steps", "times")

    def __init__(self, *steps: Part | Responder, **options: Unpack[ScriptOptions]) -> None:
        if "times" not in options and any(getattr(step, "answers_all_turns", False) for step in steps):
            options["times"] = None
        self._steps = steps
        self._options = options
        self.times = Script(*(_Computed(step) if computes(step) else step for step in steps), **options).times  # type: ignore[arg-type] # what computes is callable

    def __repr__(self) -> str:
        return f"Script({', '.join(name_of(step) if computes(step) else repr(step) for step in self._steps)})"

    def parts(self, request: Request) -> Computation[list[Any]]:
        """Call the functions and collect what they give; it may be anything. Only this runs code of the user's."""
        return (yield from _parts(self._steps, request, 0))

    def made_of(self, parts: list[Any]) -> Script:
        """Return the script that plays these parts.

        Raises:
            ScriptError: they cannot be played.
        """
        for part in parts:
            if isinstance(part, _Unplayable):
                raise ScriptError(str(part))
        return script_of(tuple(parts), self._options)


class _Unplayable(str):
    """Stands among the parts for what a function should not have given, and says what that was."""

    __slots__ = ()


def script_of(steps: tuple[Part, ...], options: ScriptOptions) -> Script:
    """Return the script of these steps: one script alone keeps its settings, except for those given here."""
    first = steps[0] if len(steps) == 1 else None
    if isinstance(first, Script):
        said = {name: value for name, value in options.items() if value is not None or DEFAULTS[name] is not None}
        return Script(*first.steps, **{**first.options, **said})
    return Script(*steps, **options)


def _parts(steps: Iterable[Any], request: Request, depth: int) -> Computation[list[Any]]:
    parts: list[Any] = []
    for step in steps:
        if not computes(step):
            parts.append(step)
        elif depth == _MOST_NESTED:
            parts.append(_Unplayable(f"{name_of(step)} is returned by functions that return functions without end"))
        else:
            given = yield from _given_by(step, request)
            parts += yield from _parts(given, request, depth + 1)
    return parts


def _given_by(function: Responder, request: Request) -> Computation[list[Any]]:
    """Return all that a function gives."""
    try:
        result: Any = function(request)
    except ScriptError as error:
        if not _is_ours(function):
            raise
        return [_Unplayable(error)]
    for _ in range(_MOST_NESTED):
        if not inspect.isawaitable(result):
            break
        result = yield result
    if isinstance(result, AsyncIterable):
        result = yield _listed(result)
    elif isinstance(result, Iterator | list | tuple):
        result = _first(result)
    else:
        given = "None, as a function without `return` does" if result is None else None
        return [_Unplayable(f"{name_of(function)} returned {given}; {_LEGAL}") if given else result]
    if len(result) > MOST_STEPS:
        return [_Unplayable(f"{name_of(function)} gave more than {MOST_STEPS} steps, and no end")]
    return result or [_Unplayable(f"{name_of(function)} gave no steps; {_LEGAL}")]


_LEGAL = "return text, a step, a list of them or an iterator that yields them, and '' for an empty answer"


def _first(steps: Iterable[Any]) -> list[Any]:
    """Return the steps, of too many the first ones."""
    listed = []
    for step in steps:
        listed.append(step)
        if len(listed) > MOST_STEPS:
            getattr(steps, "close", lambda: None)()
            break
    return listed


async def _listed(steps: AsyncIterable[Any]) -> list[Any]:
    """Return the steps, of too many the first ones; an async generator is closed in the loop that ran it."""
    listed = []
    try:
        async for step in steps:
            listed.append(step)
            if len(listed) > MOST_STEPS:
                break
    finally:
        if (aclose := getattr(steps, "aclose", None)) is not None:
            await aclose()
    return listed


# Driving a computation.


def driven(computation: Computation[R]) -> R:
    """Return what a computation returns; what it awaits is awaited in another thread, with a loop of its own."""
    try:
        awaited = next(computation)
        while True:
            try:
                value = _in_own_thread(awaited)
            except BaseException as error:
                awaited = computation.throw(error)
            else:
                awaited = computation.send(value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # what the computation returns


async def adriven(computation: Computation[R]) -> R:
    """Do as ``driven``, in the running loop; the user's code is awaited there, and cancelled with the caller."""
    try:
        awaited = next(computation)
        while True:
            try:
                value = await awaited
            except BaseException as error:
                awaited = computation.throw(error)
            else:
                awaited = computation.send(value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # what the computation returns


def _in_own_thread(awaited: Awaitable[R]) -> R:
    outcome: list[Any] = []
    raised: list[BaseException] = []

    async def main() -> R:
        async with asyncio.timeout(LONGEST):
            return await awaited

    def run() -> None:
        try:
            # With a factory, as without one it would set the loop of the thread, which is no business of ours.
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                outcome.append(runner.run(main()))
        except BaseException as error:
            raised.append(error)

    name = "mockstream: an answer that is awaited"
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=name, daemon=True)
    thread.start()
    thread.join(LONGEST + _TO_END)
    if raised:
        raise raised[0]
    if not outcome:  # it blocks its loop
        raise TimeoutError(f"it has not returned after {LONGEST + _TO_END:g} s.{stack_of(thread.ident)}")
    return outcome[0]  # type: ignore[no-any-return] # what was awaited


def stack_of(thread: int | None) -> str:
    """Return where a thread stands, for a message: its innermost frames, without ours."""
    frame: FrameType | None = sys._current_frames().get(thread or 0)
    lines: list[str] = []
    while frame is not None and len(lines) < _MOST_FRAMES:
        code = frame.f_code
        if not is_ours(code.co_filename):
            lines.append(f"\n    {CallSite(code.co_filename, frame.f_lineno, code.co_qualname)} in {code.co_qualname}")
        frame = frame.f_back
    return "\n  Its thread stands, innermost first, at:" + "".join(lines) if lines else ""
