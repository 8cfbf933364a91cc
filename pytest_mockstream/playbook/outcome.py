"""What the code under test made of its streams, as texts: what it returned, yielded or wrote.

It takes values apart and compares texts; it knows no requests.

Theory of operation: a value is taken apart into its leaves, the texts, numbers and flags in it. A list is a sequence of
items, which are parts of one text, states of it, or messages. White space is left out before texts are compared: who
prints a stream may break lines.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import Any

_DEEPEST = 8  # levels of a value that are looked at
_MOST = 20_000  # parts


@dataclass(frozen=True, slots=True)
class Nothing:
    """No outcome: nobody has said what the code made of its streams."""


NOTHING = Nothing()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a piece of code; of what is changed later, it has what was there when this was made.

    Attributes:
        value: what it returned, or a list of what it yielded.
        wrote: what it printed.
        error: what it raised, or None.
    """

    value: Any = NOTHING
    wrote: str = ""
    error: BaseException | None = None
    _tree: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", _tree_of(self.value))

    @property
    def has_value(self) -> bool:
        """Whether it returned, or yielded, something, be it nothing but None."""
        return self.error is None and self.value is not NOTHING

    def leaves(self) -> list[Any]:
        """Return the texts, numbers and flags in what it returned, and what it wrote."""
        return [*_leaves(self._tree), *([self.wrote] if self.wrote else [])]

    def texts(self) -> list[str]:
        """Return each text in it, and of each list the text that its items make, all without white space."""
        alone = [squeezed(leaf) for leaf in self.leaves() if isinstance(leaf, str)]
        return [text for text in (*alone, *map("".join, map(_item_texts, self._sequences()))) if text]

    def shows(self, text: str) -> bool:
        """Tell whether a text is in it."""
        return any(squeezed(text) in shown for shown in self.texts())

    def repeats(self, first: Sequence[str], again: Sequence[str]) -> bool:
        """Tell whether it holds what came of a first try, and right after that what came of the next one.

        Args:
            first: the text of each chunk of the first try.
            again: those of the next one.
        """
        head, tail = squeezed("".join(first)), squeezed("".join(again))
        if not head or not tail:
            return False
        if any(head + tail in squeezed(leaf) for leaf in self.leaves() if isinstance(leaf, str)):
            return True
        parts = {squeezed(part) for part in (*first, *again)}
        return any(
            _splices(_item_texts(items, parts), head, tail, max(len(first), len(again))) for items in self._sequences()
        )

    def _sequences(self) -> Iterator[list[Any]]:
        """Yield each list in the value, the value itself included."""
        return (part for part in _parts(self._tree) if isinstance(part, list))


def squeezed(text: str) -> str:
    """Return a text without its white space."""
    return "".join(text.split())


def _splices(items: list[str], head: str, tail: str, most: int) -> bool:
    if head + tail not in "".join(items):
        return False
    # Two messages, of which one has what the first try said and the other what the second said, repeat nothing. Nor do
    # two states of one text.
    are_messages = most > 1 and any(one == head and other == tail for one, other in pairwise(items))
    return not are_messages


def _item_texts(items: Iterable[Any], parts: Iterable[str] = ()) -> list[str]:
    """Return the text of each item that has one: the leaf that is a known part, else all of them."""
    known = set(parts)
    found = []
    for item in items:
        texts = [squeezed(leaf) for leaf in _leaves(item) if isinstance(leaf, str)]
        said = next((text for text in texts if text in known), None) or "".join(texts)
        if said:
            found.append(said)
    return found


def _decoded(text: str | bytes) -> Any:
    """Return what is in frames of server-sent events, or in lines of JSON objects; of anything else, the text."""
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    if not text.startswith(("data:", "event:", "{")):
        return text
    lines = [line.removeprefix("data:").strip() for line in text.splitlines() if line.startswith(("data:", "{"))]
    lines += [line.removeprefix("event:").strip() for line in text.splitlines() if line.startswith("event:")]
    return {number: _json(line) for number, line in enumerate(lines)} or text


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line.lstrip("{")  # not to be decoded again


def _leaves(tree: Any) -> list[Any]:
    return [part for part in _parts(tree) if not isinstance(part, list | _Parts)]


def _parts(tree: Any) -> Iterator[Any]:
    """Yield the leaves of a tree, and each list in it before its items."""
    yield tree
    if isinstance(tree, list | _Parts):
        for part in tree:
            yield from _parts(part)


class _Parts(tuple[Any, ...]):
    """What a value consists of that is no list."""

    __slots__ = ()


def _tree_of(value: Any) -> Any:
    """Take a value apart into lists, other parts, and leaves; what is too deep, or too much, is left out."""
    left = _MOST

    def taken(part: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if isinstance(part, Enum):
            part = part.value
        if isinstance(part, str | bytes):
            part = _decoded(part)
        if part is None or isinstance(part, str | bool | int | float | BaseException):
            return part
        inner = _inside(part) if depth < _DEEPEST else ()
        found = [taken(one, depth + 1) for one in inner if left > 0]
        return found if isinstance(part, list | tuple) else _Parts(found)

    return taken(value, 0)


def _inside(value: Any) -> Iterable[Any]:
    """Return what a value consists of; no code of its class runs for it."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, type) or callable(value):
        return ()
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value) if field.name[0] != "_"]
    attributes = getattr(value, "__dict__", None)
    return [one for name, one in attributes.items() if name[0] != "_"] if isinstance(attributes, dict) else ()
