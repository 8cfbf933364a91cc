"""``@pytest.mark.mockstream_sweep``: a test function that is its own sweep.

Loaded only where a collected test has the marker. It reads the marker and shows what was found; the sweeping itself is
done in ``sweep``.

Theory of operation: while the test is called, the function behind its item is replaced by one that sweeps it. Whatever
runs the test, pytest itself, pytest-asyncio or anyio, awaits that as it would have awaited the original. Fixtures are
thus set up once; only the function's body is run again and again, and the scripts are put back each time.
"""

from __future__ import annotations

import functools
import inspect
import unittest
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_mockstream._base.errors import ScriptError, SweepError
from pytest_mockstream._base.legal import unknown
from pytest_mockstream.sweep import (
    DEFAULT_FAULTS,
    ORDER_KEYWORDS,
    FailedOrder,
    OrderSettings,
    OrdersResult,
    Settings,
    SweepKeywords,
    SweepResult,
    Visit,
    fault_of,
    faults_of,
    flag,
    raises_of,
    sweep_cancellation,
    sweep_faults,
    sweep_orders,
    sweep_threads,
    thread_fault_of,
)

_DOORS = ("mock_stream_client", "mock_stream_sdk", "mock_stream_server")
_KINDS = ("cancel", "faults", "orders")
_PLAN = pytest.StashKey["_Plan"]()
_OF_ALL = SweepKeywords.__optional_keys__


@dataclass(frozen=True)
class _Plan:
    """What a marker asks for: the words of the sweep, and the fixture whose scripts break, if any."""

    kind: str
    keywords: dict[str, Any]
    client: str | None


def prepare(item: pytest.Item) -> None:
    """Read the marker of a test to be swept.

    Raises:
        ScriptError: it says what is not legal.
    """
    marker = item.get_closest_marker("mockstream_sweep")
    if marker is None:
        return
    item.stash[_PLAN] = _parse(item, marker)
    if hasattr(pytest, "Subtests") and "subtests" not in item.fixturenames:  # type: ignore[attr-defined] # a Function
        item.fixturenames.append("subtests")  # type: ignore[attr-defined] # set up with the rest, for us alone


def _parse(item: pytest.Item, marker: pytest.Mark) -> _Plan:
    if len(marker.args) != 1 or marker.args[0] not in _KINDS:
        given = ", ".join(map(repr, marker.args)) or "nothing"
        msg = f"got {given}: give one of {', '.join(map(repr, _KINDS[:-1]))} and {_KINDS[-1]!r}"
        raise ScriptError(msg)
    _check_item(item)
    kind = marker.args[0]
    is_async = _is_async(item)
    keywords = dict(marker.kwargs)
    if kind == "orders":
        return _parse_orders(keywords, is_async=is_async)
    in_streams = kind == "faults" or not is_async
    legal = {*_OF_ALL, *(("client", "raises") if in_streams else ("again", "late"))}
    if kind == "faults":
        legal.add("faults")
    for name in keywords:
        if name not in legal:
            where = "" if is_async else " of a test that is not async"
            msg = unknown(name, sorted(legal), f" for {kind!r}{where}")
            raise ScriptError(msg)
    client = _client(item, keywords.pop("client", None)) if in_streams else None
    _check_values(keywords, is_async=is_async)
    if not is_async:
        keywords.setdefault("faults", ("close", "cancel") if kind == "cancel" else DEFAULT_FAULTS)
    return _Plan(kind=kind, keywords=keywords, client=client)


def _parse_orders(keywords: dict[str, Any], *, is_async: bool) -> _Plan:
    if not is_async:
        msg = "'orders' is for async tests: it orders what arrives in an event loop"
        raise ScriptError(msg)
    for name in keywords:
        if name not in ORDER_KEYWORDS:
            raise ScriptError(unknown(name, sorted(ORDER_KEYWORDS), " for 'orders'"))
    OrderSettings.of(keywords)
    return _Plan(kind="orders", keywords=keywords, client=None)


def _check_values(keywords: dict[str, Any], *, is_async: bool) -> None:
    Settings.of({name: value for name, value in keywords.items() if name in _OF_ALL})
    for name in ("again", "late"):
        if name in keywords:
            flag(keywords[name], name)
    if "raises" in keywords:
        raises_of(keywords["raises"])
    if "faults" in keywords:
        faults_of(keywords["faults"], fault_of if is_async else thread_fault_of)


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
    if name is not None:
        if name in names:
            return str(name)
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
            result: SweepResult | OrdersResult
            try:
                result = sweep_threads(functools.partial(original, **arguments), client(), **plan.keywords)
            except SweepError as error:
                result = _found(error)
            _show(item, result)

        return in_threads

    def sweep(call: Callable[[], Any]) -> Awaitable[SweepResult | OrdersResult]:
        if plan.kind == "orders":
            return sweep_orders(call, **plan.keywords)
        if plan.kind == "cancel":
            return sweep_cancellation(call, **plan.keywords)
        return sweep_faults(call, client(), **plan.keywords)

    @functools.wraps(original)
    async def in_loop(**arguments: Any) -> None:
        try:
            result = await sweep(functools.partial(original, **arguments))
        except SweepError as error:
            result = _found(error)
        _show(item, result)

    return in_loop


def _found(error: SweepError) -> SweepResult | OrdersResult:
    if not isinstance(error.result, SweepResult | OrdersResult):
        raise error
    return error.result


def _show(item: pytest.Function, result: SweepResult | OrdersResult) -> None:
    """Show each run, or each order that fails, as a subtest, where pytest has them; otherwise everything in one table.

    Orders that pass are too many for that.
    """
    subtests: Any = item.funcargs.get("subtests")
    visits = result.visits if isinstance(result, SweepResult) else result.bad
    for visit in visits if subtests is not None else ():
        with subtests.test(msg=_title(visit)):
            if not visit.ok:
                pytest.fail("\n".join([str(visit), *(f"  {hint}" for hint in visit.hints)]), pytrace=False)
    item.add_report_section("call", "sweep", str(result))
    if subtests is None and not result.ok:
        pytest.fail(result.report(), pytrace=False)


def _title(visit: Visit | FailedOrder) -> str:
    if isinstance(visit, FailedOrder):
        return f'order="{visit.order}"'
    if not visit.point:
        return visit.what
    more = " and once more" if visit.again else ""
    return f"point {visit.point}: {visit.what.format(visit.chunk)}{more} at {visit.place}"
