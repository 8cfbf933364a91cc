"""Puts what was told of single tests together: one row for each line of code, and below it one for each test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_mockstream._base.callsite import NO_LINE

#: What is not added up: the longest of each counts.
_LONGEST = ("lingered", "open", "tries")


def table(rows: Iterable[tuple[str, dict[str, Any]]], *names: str) -> list[dict[str, Any]]:
    """Return rows that are about the same as one, the most frequent first.

    Args:
        rows: each with its test.
        names: the fields that tell what a row is about. Of all others, counts and dicts of counts are added up, the
            longest time counts, and the first text.

    Returns:
        The rows; ``tests`` of each has what is known of each test, in the same fields.
    """
    whole: dict[tuple[Any, ...], dict[str, Any]] = {}
    parts: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
    for test, row in rows:
        key = tuple(row[name] for name in names)
        numbers = {name: value for name, value in row.items() if name not in names}
        _add(whole.setdefault(key, {}), numbers)
        _add(parts.setdefault(key, {}).setdefault(test, {}), numbers)
    found = [
        {
            **dict(zip(names, key, strict=True)),
            **total,
            "tests": [{"test": test, **numbers} for test, numbers in sorted(parts[key].items())],
        }
        for key, total in whole.items()
    ]
    return sorted(found, key=lambda row: (-row["count"], *(str(row[name]) for name in names)))


def _add(total: dict[str, Any], numbers: dict[str, Any]) -> None:
    for name, value in numbers.items():
        before = total.get(name)
        if isinstance(value, dict):
            total[name] = dict(Counter(before or {}) + Counter(value))
        elif isinstance(value, str):
            total.setdefault(name, value)
        elif name not in _LONGEST:
            total[name] = value + (before or 0)
        else:
            total[name] = max((one for one in (before, value) if one is not None), default=None)


def line_of(place: str, function: str) -> str:
    """Return what a place is told by: its line; of a client whose line nobody knows, who it is, whatever its port."""
    return place.rpartition(":")[0] if function == NO_LINE else place


def with_leaks(
    consumers: Iterable[tuple[str, dict[str, Any]]], leaks: Iterable[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of consumers, each with how many of its streams leaked."""
    streams = [leak for leak in leaks if leak["kind"] == "stream"]
    left = Counter((leak["test"], line_of(leak["created_at"], leak["created_in"])) for leak in streams)
    for test, row in consumers:
        yield test, {**row, "leaked": left.pop((test, row["at"]), 0)}


def by_state(consumers: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a row for each state in which streams of one line ended in a test."""
    for test, row in consumers:
        for state, count in row["states"].items():
            yield test, {"state": state, "count": count}
