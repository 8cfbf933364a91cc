"""Changes texts in some places, also where they come in fragments or are JSON.

It knows nothing of secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_DEEPEST = 100
#: What JSON consists of, but for white space and punctuation: RFC 8259.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[^\s"\[\]{}:,]+', re.DOTALL)
#: One character in a string of JSON; those beyond the first 65,536 are two escapes.
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)


class Change(NamedTuple):
    """A part of a text, and what comes in its place."""

    start: int
    stop: int
    text: str


class Leaf(NamedTuple):
    """A key or a value in a text that is JSON.

    Attributes:
        start: where its token begins.
        stop: where it ends.
        raw: the token.
    """

    start: int
    stop: int
    raw: str

    def inside(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Yield changes of the string that it says as changes of the whole text."""
        changes = list(changes)
        if not changes:
            return
        ends = [self.start + 1]  # where each character begins, and the last one ends
        ends += (self.start + found.end() for found in _CHARACTER.finditer(self.raw, 1, len(self.raw) - 1))
        for change in changes:
            yield Change(ends[change.start], ends[change.stop], json.dumps(change.text)[1:-1])

    def whole(self, value: str) -> Change:
        """Return the change that puts a string in its place."""
        return Change(self.start, self.stop, json.dumps(value))


def json_in(text: str) -> Any:
    """Return the value of a text that is a JSON object or list.

    None is returned for any other text, where a key comes twice, and where it is nested deeper than requests may be.
    """
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None
    return value if _is_shallow(value) else None


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inside = (item for one in level for item in (one.values() if isinstance(one, dict) else one))
        level = [item for item in inside if isinstance(item, dict | list)]
        if not level:
            return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key comes twice")
    return made


def leaves_of(text: str, value: Any) -> Iterator[tuple[Leaf, Any]]:
    """Yield the keys and the values of a text that is JSON, in their order, each with its place.

    Args:
        text: the text.
        value: what ``json_in`` returned for it, or a copy with other leaves.
    """
    tokens = (Leaf(found.start(), found.end(), found[0]) for found in _TOKEN.finditer(text))
    yield from zip(tokens, _leaves(value), strict=True)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def merged(changes: Iterable[Change]) -> list[Change]:
    """Return changes in their order; of those that touch, one of the whole part with the text of the longest."""
    made: list[Change] = []
    for change in sorted(changes):
        if made and change.start <= made[-1].stop:
            last = made[-1]
            text = max(last, change, key=lambda one: one.stop - one.start).text
            made[-1] = Change(last.start, max(last.stop, change.stop), text)
        else:
            made.append(change)
    return made


def changed(text: str, changes: Sequence[Change]) -> str:
    """Return a text with the changes made, which are in their order and do not overlap."""
    return "".join(spread([text], changes))


def spread(fragments: Sequence[str], changes: Sequence[Change]) -> list[str]:
    """Return fragments of a text with the changes made: as many, and what is new in the one where its part begins."""
    made: list[str] = []
    position, number = 0, 0
    for fragment in fragments:
        end, parts = position + len(fragment), []
        place = position
        while place < end and number < len(changes):
            change = changes[number]
            if change.start >= end:
                break
            if change.start >= place:
                parts += [fragment[place - position : change.start - position], change.text]
            place = min(change.stop, end)
            if change.stop > end:
                break
            number += 1
        parts.append(fragment[place - position :])
        made.append("".join(parts))
        position = end
    return made


def moved(place: int, changes: Sequence[Change]) -> int:
    """Return where a place in a text is after the changes; inside of one, the end of what is new."""
    shift = 0
    for change in changes:
        if change.start >= place:
            break
        shift += len(change.text) - (min(change.stop, place) - change.start)
    return place + shift
