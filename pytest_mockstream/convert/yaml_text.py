"""Reads YAML safely: no objects but plain ones, and nothing that is much larger than its text.

PyYAML is looked up when it is needed: vcrpy brings it, and this package does without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from .result import ConversionError, UnreadableFileError

_DEEPEST = 100
_MOST_TIMES = 10  # as large as its text that a file may be once its aliases are replaced
_PYTHON = "tag:yaml.org,2002:python/"


def read_yaml(path: Path, text: str, lists: Collection[str]) -> tuple[Any, list[int]]:
    """Return what a text says, and the line of each entry in the first of the top-level lists of these names.

    Raises:
        UnreadableFileError: PyYAML is not installed.
        ConversionError: it is not YAML, or would be too large.
    """
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise UnreadableFileError(f"{path}: reading YAML needs PyYAML: pip install pyyaml") from None
    loader = _loader(yaml)
    try:
        lines = _Look(path, len(text), lists).over(yaml.parse(text, Loader=loader))
        return yaml.load(text, Loader=loader), lines
    except ConversionError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConversionError(f"{where}: this is not YAML, or not what a cassette is written in: {problem}") from None
    except (ValueError, TypeError, RecursionError) as error:  # a date that there is not, a list as a key
        raise ConversionError(f"{path}: this YAML cannot be read: {error}") from None


def _loader(yaml: Any) -> Any:
    """Return PyYAML's safe loader, which knows besides what vcrpy writes: the bytes of a file, or of an iterator."""
    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(safe):  # type: ignore[misc] # it is looked up at run time
        """Of cassettes."""

    def sent(loader: Any, node: Any) -> Any:
        said = loader.construct_mapping(node, deep=True)
        parts = said.get("state") or said.get("args") or [b""]
        return parts[0]

    Loader.add_constructor(f"{_PYTHON}str", lambda loader, node: loader.construct_scalar(node))
    Loader.add_constructor(f"{_PYTHON}unicode", lambda loader, node: loader.construct_scalar(node))
    Loader.add_constructor(f"{_PYTHON}tuple", lambda loader, node: loader.construct_sequence(node, deep=True))
    Loader.add_constructor(f"{_PYTHON}object/new:_io.BytesIO", sent)
    Loader.add_constructor(f"{_PYTHON}object/apply:builtins.iter", sent)
    return Loader


class _Look:
    """Looks through the events of a text before anything is made of it."""

    def __init__(self, path: Path, length: int, lists: Collection[str]) -> None:
        self._path = path
        self._most = _MOST_TIMES * length + 1000
        self._lists = lists
        self._open: list[tuple[str | None, int]] = []  # the anchor of each open node, and the size before it
        self._sizes: dict[str, int] = {}
        self._size = 0
        self._key = ""
        self._listing: bool | None = None
        self._lines: list[int] = []

    def over(self, events: Iterable[Any]) -> list[int]:
        """Return the lines of the entries.

        Raises:
            ConversionError: it is nested too deeply, or too large once its aliases are replaced.
        """
        for event in events:
            kind = type(event).__name__
            if kind in {"ScalarEvent", "AliasEvent", "MappingStartEvent", "SequenceStartEvent"}:
                self._node(event, kind)
            elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
                self._end()
            if self._size > self._most:
                self._refuse(event, f"its aliases make it more than {_MOST_TIMES} times as large as its text")
        return self._lines

    def _node(self, event: Any, kind: str) -> None:
        if self._listing and len(self._open) == 2:
            self._lines.append(event.start_mark.line + 1)
        if kind == "AliasEvent":
            if any(anchor == event.anchor for anchor, _ in self._open):
                self._refuse(event, f"*{event.anchor} is inside of itself")
            self._size += self._sizes.get(event.anchor, 0)
        elif kind == "ScalarEvent":
            if len(self._open) == 1:
                self._key = event.value
            self._size += 1 + len(event.value)
            if event.anchor:
                self._sizes[event.anchor] = 1 + len(event.value)
        else:
            if len(self._open) == 1 and self._listing is None and self._key in self._lists:
                self._listing = kind == "SequenceStartEvent"
            self._open.append((event.anchor, self._size))
            self._size += 1
            if len(self._open) > _DEEPEST:
                self._refuse(event, f"it is nested more than {_DEEPEST} levels deep")

    def _end(self) -> None:
        anchor, before = self._open.pop()
        if anchor:
            self._sizes[anchor] = self._size - before
        if len(self._open) == 1 and self._listing:
            self._listing = False

    def _refuse(self, event: Any, why: str) -> None:
        raise ConversionError(f"{self._path}:{event.start_mark.line + 1}: no cassette is like this: {why}")
