"""``@pytest.mark.mockstream_sweep``: a test function that is its own sweep.

The wall: loaded only where a collected test has the marker. It reads the marker and shows what was found; sweeping is
done in ``_sweep``.

Theory of operation: while the test is called, the function behind its item is replaced by one that sweeps it. Whatever
runs the test, pytest itself, pytest-asyncio or anyio, awaits that as it would have awaited the original. Fixtures are
thus set up once; only the function's body is run again and again, and the scripts are put back each time.
"""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from ._exceptions import ScriptError
from ._legal import duration, integer
from ._sweep import (
    DEFAULT_FAULTS,
    SweepResult,
    Visit,
    broken_streams,
    cancellations,
    fault_of,
    trouble_of,
    troubled_threads,
)

_DOORS = ("mock_stream_client", "mock_stream_sdk", "mock_stream_server")
_KINDS = ("cancel", "faults")
_PLAN = pytest.StashKey["_Plan"]()


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        msg = f"{name}={value!r}: give True or False"
        raise ScriptError(msg)
    return value


def _callable(value: object, name: str) -> object:
    if not callable(value):
        msg = f"{name}={value!r}: give a callable without arguments"
        raise ScriptError(msg)
    return value


def _errors(value: object, name: str) -> object:
    kinds = value if isinstance(value, tuple) else (value,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        msg = f"{name}={value!r}: give an exception class, or a tuple of them"
        raise ScriptError(msg)
    return value


def _text(value: object, name: str) -> object:
    if not isinstance(value, str):
        msg = f"{name}={value!r}: give the name of a fixture"
        raise ScriptError(msg)
    return value


def _names(value: object, name: str) -> object:
    if isinstance(value, str) or not isinstance(value, Iterable) or not all(isinstance(one, str) for one in value):
        msg = f"{name}={value!r}: give a list of names or regular expressions"
        raise ScriptError(msg)
    return tuple(value)


_COMMON: dict[str, Callable[[Any, str], object]] = {
    "allow_completion": _flag,
    "check": _callable,
    "grace": duration,
    "ignore": _names,
    "max_points": integer(at_least=1),
    "patience": duration,
    "point": integer(at_least=1),
}
_OF_CANCEL = {**_COMMON, "again": _flag, "late": _flag}
_OF_STREAMS = {**_COMMON, "client": _text, "raises": _errors}


@dataclass(frozen=True)
class _Plan:
    """What a marker asks for: the words of the sweep, and the fixture that is swept."""

    kind: str
    keywords: dict[str, Any]
    client: str | None


def prepare(items: Iterable[pytest.Item]) -> None:
    """Read the markers of the tests to be swept.

    Raises:
        pytest.UsageError: a marker says what is not legal.
    """
    for item in items:
        marker = item.get_closest_marker("mockstream_sweep")
        if marker is None:
            continue
        try:
            item.stash[_PLAN] = _parse(item, marker)
        except ScriptError as error:
            msg = f"{item.nodeid}: @pytest.mark.mockstream_sweep: {error}"
            raise pytest.UsageError(msg) from None
        if hasattr(pytest, "Subtests") and "subtests" not in item.fixturenames:  # type: ignore[attr-defined] # a Function
            item.fixturenames.append("subtests")  # type: ignore[attr-defined] # set up with the rest, for us alone


def _parse(item: pytest.Item, marker: pytest.Mark) -> _Plan:
    if len(marker.args) != 1 or marker.args[0] not in _KINDS:
        given = ", ".join(map(repr, marker.args)) or "nothing"
        msg = f"got {given}: give one of {' and '.join(map(repr, _KINDS))}"
        raise ScriptError(msg)
    _check_item(item)
    kind = marker.args[0]
    is_async = _is_async(item)
    legal = _OF_CANCEL if kind == "cancel" and is_async else _OF_STREAMS
    keywords = {name: _value(name, value, legal, kind, is_async=is_async) for name, value in marker.kwargs.items()}
    if kind == "cancel" and not is_async:
        keywords["faults"] = ("close", "cancel")
    elif kind == "faults" and not is_async:
        keywords.setdefault("faults", DEFAULT_FAULTS)
    client = None if legal is _OF_CANCEL else _client(item, keywords.pop("client", None))
    return _Plan(kind=kind, keywords=keywords, client=client)


def _value(name: str, value: object, legal: dict[str, Any], kind: str, *, is_async: bool) -> object:
    if name == "faults" and kind == "faults":
        if isinstance(value, str) or not isinstance(value, Iterable):
            msg = f"faults={value!r}: give a list of faults"
            raise ScriptError(msg)
        return tuple(fault_of(one) if is_async else trouble_of(one) for one in value)
    if name not in legal:
        listed = sorted([*legal, *(["faults"] if kind == "faults" else [])])
        where = "" if is_async else " of a test that is not async"
        msg = f"unknown keyword {name!r} for {kind!r}{where}: give some of {', '.join(listed)}"
        raise ScriptError(msg)
    return legal[name](value, name)


def _check_item(item: pytest.Item) -> None:
    if not isinstance(item, pytest.Function) or (item.cls and issubclass(item.cls, unittest.TestCase)):
        msg = "sweeps test functions and methods of plain test classes only"
        raise ScriptError(msg)
    if inspect.isgeneratorfunction(item.function) or hasattr(item.obj, "hypothesis"):
        msg = "sweeps plain functions; call sweep_cancellation or sweep_faults inside of this test instead"
        raise ScriptError(msg)


def _client(item: pytest.Item, name: object) -> str:
    names: list[str] = item.fixturenames  # type: ignore[attr-defined] # a Function
    there = [door for door in _DOORS if door in names]
    if isinstance(name, str):
        if name in names:
            return name
        asked = ", ".join(inspect.signature(item.function).parameters)  # type: ignore[attr-defined] # a Function
        msg = f"client={name!r}: the test has no such fixture; it asks for {asked or 'none'}"
        raise ScriptError(msg)
    if len(there) != 1:
        why = f"the test has {' and '.join(there)}" if there else f"the test has none of {', '.join(_DOORS)}"
        msg = f"whose stream is to break? {why}; say which fixture with client="
        raise ScriptError(msg)
    return there[0]


def _is_async(item: pytest.Item) -> bool:
    return inspect.iscoroutinefunction(getattr(item, "obj", None))


class SweepPlugin:
    """Replaces the functions of swept tests while they are called."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        plan = item.stash.get(_PLAN, None)
        if plan is None or not isinstance(item, pytest.Function):
            return (yield)
        original = item.obj
        item.obj = _swept(item, plan, original)
        try:
            return (yield)
        finally:
            item.obj = original


def _swept(item: pytest.Function, plan: _Plan, original: Callable[..., Any]) -> Callable[..., Any]:
    def client() -> Any:
        return item.funcargs[plan.client or ""]

    if not _is_async(item):

        @functools.wraps(original)
        def in_threads(**arguments: Any) -> None:
            call = functools.partial(original, **arguments)
            _show(item, troubled_threads(call, client(), title=item.name, **plan.keywords))

        return in_threads

    @functools.wraps(original)
    async def in_loop(**arguments: Any) -> None:
        call = functools.partial(original, **arguments)
        if plan.kind == "cancel":
            _show(item, await cancellations(call, title=item.name, **plan.keywords))
        else:
            _show(item, await broken_streams(call, client(), title=item.name, **plan.keywords))

    return in_loop


def _show(item: pytest.Function, result: SweepResult) -> None:
    """Show each run as a subtest, where pytest has them; otherwise everything in one table."""
    subtests: Any = item.funcargs.get("subtests")
    for visit in result.visits if subtests is not None else ():
        with subtests.test(msg=_title(visit)):
            if not visit.ok:
                pytest.fail("\n".join([str(visit), *visit.problems]), pytrace=False)
    item.add_report_section("call", "sweep", str(result))
    if subtests is None and not result.ok:
        pytest.fail(result.report(), pytrace=False)


def _title(visit: Visit) -> str:
    more = " and once more" if visit.again else ""
    return f"point {visit.point}: {visit.what.format(visit.chunk)}{more} at {visit.place}"
