"""What a test says about its leaks: three markers and one ini list, parsed and checked.

It reads markers, and gives one ``Plan`` for each test; it judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration, unknown
from pytest_mockstream.leaks import KINDS, Leak, compile_ignores

from .leak_plan import DEFAULT_KINDS, Plan

MARKERS = {
    "assert_no_leaks": ("grace", "ignore", "kinds", "contain"),
    "allow_leaks": ("reason",),
    "expect_leak": ("kind", "match"),
}


_EXIT_GRACE = 5.0  # seconds


SKIPPED = pytest.StashKey[bool]()


class SkipNotes:
    """Notes which tests were skipped, before or while they ran."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and isinstance(call.excinfo.value, pytest.skip.Exception):
            item.stash[SKIPPED] = True


def plan_of_run(config: pytest.Config, plan: Plan) -> Plan:
    """Return how a test without markers is judged, with what the ini file says.

    Raises:
        pytest.UsageError: the ini file says what is not legal.
    """
    try:
        exit_grace(config)
        return plan._replace(
            ignore=compile_ignores(config.getini("mockstream_leak_ignore"), "mockstream_leak_ignore"),
            kinds=check_kinds(config.getini("mockstream_leak_kinds"), "mockstream_leak_kinds") | DEFAULT_KINDS,
        )
    except ScriptError as error:
        raise pytest.UsageError(str(error)) from None


def exit_grace(config: pytest.Config) -> float:
    """Return how long the process may take to end, in seconds.

    Raises:
        ScriptError: the ini file has something else.
    """
    return duration(config.getini("mockstream_exit_grace") or _EXIT_GRACE, "mockstream_exit_grace")


def expects(plan: Plan, leak: Leak) -> bool:
    """Tell whether a leak is what ``expect_leak`` means."""
    if plan.expected is None:
        return False
    kind, match = plan.expected
    texts = (leak.name, leak.created_at.function if leak.created_at else "", leak.diagnosis or "")
    return kind in {None, leak.kind} and (match is None or any(match.search(text) for text in texts))


def said(plan: Plan) -> str:
    """Return what is expected, for a message."""
    kind, match = plan.expected or (None, None)
    what = " ".join(part for part in (kind or "", f"matching {match.pattern!r}" if match else "") if part)
    return f" a {what}" if what else ""


def mistakes_in(item: pytest.Item, default: Plan) -> list[str]:
    """Return everything that is wrong with the markers of a test."""
    found = [mistake for marker in _markers(item) for mistake in _mistakes_of(marker, default)]
    if not found:
        try:
            plan_for(item, default)
        except ScriptError as error:
            found.append(str(error))
    return found


def _markers(item: pytest.Item) -> Iterator[pytest.Mark]:
    return (marker for marker in item.iter_markers() if marker.name in MARKERS)


def _mistakes_of(marker: pytest.Mark, default: Plan) -> Iterator[str]:
    legal = MARKERS[marker.name]
    head = f"@pytest.mark.{marker.name}"
    keywords = _keywords(marker)
    if marker.args and keywords is marker.kwargs:
        yield f"{head} takes keywords only, got {marker.args[0]!r}: give some of {', '.join(legal)}"
    for name in keywords:
        if name not in legal:
            yield f"{head}: {unknown(name, legal)}"
    for name in legal:
        if name in keywords or name == "reason":  # which has to be there
            try:
                _PARSERS[marker.name](default, {name: keywords[name]} if name in keywords else {})
            except ScriptError as error:
                yield f"{head}: {error}"


def _keywords(marker: pytest.Mark) -> Mapping[str, Any]:
    """Return the keywords of a marker; the one that ``allow_leaks`` has need not be written."""
    if marker.name == "allow_leaks" and len(marker.args) == 1 and "reason" not in marker.kwargs:
        return {"reason": marker.args[0], **marker.kwargs}
    return marker.kwargs


def plan_for(item: pytest.Item | pytest.Collector, default: Plan) -> Plan:
    """Return how a test, or a wider node, is judged; of markers on function, class and module the closest counts.

    Raises:
        ScriptError: a marker cannot mean anything, or two on one place contradict each other.
    """
    if not any(mark.name in MARKERS for node in item.listchain() for mark in getattr(node, "own_markers", ())):
        return default
    by_node: dict[Any, list[pytest.Mark]] = {}
    for node, marker in item.iter_markers_with_node():
        if marker.name in MARKERS:
            by_node.setdefault(node, []).append(marker)
    plan = default
    for node, markers in reversed(by_node.items()):
        plan = _apply(markers, plan._replace(allowed=None, expected=None, strict=False, place="", marker=""))
        if plan.allowed is not None or plan.expected is not None:
            plan = plan._replace(place=node.nodeid.partition("[")[0], marker=markers[0].name)
    return plan


def plan_of_node(node: pytest.Item | pytest.Collector, default: Plan) -> Plan:
    """Do as ``plan_for``, for what a wider fixture belongs to; whose markers are wrong, that fails its tests."""
    try:
        return plan_for(node, default)
    except ScriptError:
        return default


def _apply(markers: list[pytest.Mark], plan: Plan) -> Plan:
    names = sorted({marker.name for marker in markers})
    if len(names) > 1:
        msg = f"the markers {' and '.join(names)} contradict each other: keep one of them"
        raise ScriptError(msg)
    for marker in markers:
        plan = _PARSERS[marker.name](plan, _keywords(marker))
    return plan


def _assert_no_leaks(plan: Plan, keywords: Mapping[str, Any]) -> Plan:
    plan = plan._replace(strict=True)
    if "grace" in keywords:
        plan = plan._replace(grace=duration(keywords["grace"], "grace"))
    if "ignore" in keywords:
        plan = plan._replace(ignore=(*plan.ignore, *compile_ignores(keywords["ignore"], "ignore")))
    if "kinds" in keywords:
        plan = plan._replace(kinds=check_kinds(keywords["kinds"], "kinds"))
    if "contain" in keywords:
        if not isinstance(contain := keywords["contain"], bool):
            msg = f"contain={contain!r}: give True or False"
            raise ScriptError(msg)
        plan = plan._replace(contain=contain)
    return plan


def _allow_leaks(plan: Plan, keywords: Mapping[str, Any]) -> Plan:
    reason = keywords.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        msg = f"reason={reason!r}: give a text that says why, such as reason='#123: shutdown is not ours'"
        raise ScriptError(msg)
    return plan._replace(allowed=reason)


def _expect_leak(plan: Plan, keywords: Mapping[str, Any]) -> Plan:
    kind, match = keywords.get("kind"), keywords.get("match")
    if kind is not None and kind not in KINDS:
        msg = f"kind={kind!r} is not known: give one of {', '.join(KINDS)}"
        raise ScriptError(msg)
    pattern = None
    if match is not None:
        try:
            pattern = re.compile(match)
        except (re.error, TypeError) as error:
            msg = f"match={match!r} is not a regular expression: {error}"
            raise ScriptError(msg) from None
    if kind is not None and kind not in plan.kinds:
        plan = plan._replace(kinds=plan.kinds | {kind})
    return plan._replace(expected=(kind, pattern))


_PARSERS: dict[str, Callable[[Plan, Mapping[str, Any]], Plan]] = {
    "assert_no_leaks": _assert_no_leaks,
    "allow_leaks": _allow_leaks,
    "expect_leak": _expect_leak,
}


def check_kinds(kinds: object, name: str) -> frozenset[str]:
    """Return kinds as a set.

    Raises:
        ScriptError: one is not known; it lists those that are.
    """
    given = [kinds] if isinstance(kinds, str) else list(kinds) if isinstance(kinds, Iterable) else [kinds]
    if wrong := [kind for kind in given if kind not in KINDS]:
        msg = f"{name}: {wrong[0]!r} is not known: give some of {', '.join(KINDS)}"
        raise ScriptError(msg)
    return frozenset(given)
