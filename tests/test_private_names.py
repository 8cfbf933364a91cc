"""What the package takes from others' private parts is listed, and has the shape that it needs."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from private_names import PRIVATE_NAMES, Private

import pytest_mockstream

SOURCES = Path(pytest_mockstream.__file__).parent
PRIVATE = re.compile(r"_[A-Za-z]\w*")
DOTTED = re.compile(r"(\w+\.)*_[A-Za-z]\w*(\.\w+)*")
#: What a named tuple has for everybody, and what modules of the package have for each other or put on others' objects.
PUBLIC = {"_asdict", "_fields", "_replace"}
OWN = {
    "_entry",
    "_index",
    "_playbook",
    "_stream",
    "_transcript",
    "_base.errors",
    "_gives_owner",
    "_looks_on",
    "_id",  # a key of JSON
    "_InLoop._run",
    "_tool_result",  # the end of words of Anthropic
}


class Use(NamedTuple):
    """A private name in the package's sources that the module does not define itself."""

    name: str
    place: str


def uses_in(source: str, place: str) -> Iterator[Use]:
    """Yield the private names that a module uses: attributes, imports, and strings that spell one."""
    tree = ast.parse(source)
    own = set(_defined(tree)) | PUBLIC | OWN
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in parts:  # a piece of an f-string names nothing by itself
            continue
        for name in _names(node):
            if name not in own and not name.startswith(("_pytest_mockstream", "_mockstream", "pytest_mockstream.")):
                yield Use(name, f"{place}:{getattr(node, 'lineno', 0)}")


def _defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                yield node.attr
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.arg():
                yield node.arg
            case ast.ImportFrom(level=level) if level:
                yield from (alias.asname or alias.name for alias in node.names)


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(value=ast.Name(id="self" | "cls")):
            return
        case ast.Attribute() if PRIVATE.fullmatch(node.attr):
            yield node.attr
        case ast.Constant(value=str(text)) if DOTTED.fullmatch(text):
            yield text
        case ast.Import():
            yield from (alias.name for alias in node.names if DOTTED.fullmatch(alias.name))
        case ast.ImportFrom(level=0, module=str(module)) if not module.startswith("pytest_mockstream"):
            if DOTTED.fullmatch(module):
                yield module
            yield from (alias.name for alias in node.names if PRIVATE.fullmatch(alias.name))


def used() -> list[Use]:
    """Return the private names that the package uses."""
    files = sorted(SOURCES.rglob("*.py"))
    return [use for file in files for use in uses_in(file.read_text("utf-8"), str(file.relative_to(SOURCES)))]


LISTED = {name for private in PRIVATE_NAMES for name in private.names}


@pytest.mark.parametrize("private", [pytest.param(p, id=f"{p.of}-{'-'.join(p.names)}") for p in PRIVATE_NAMES])
def test_private_name_has_the_shape_that_is_needed(private: Private) -> None:
    if not private.is_here:
        pytest.skip("this Python does not have it, or the library is not installed")

    assert private.holds(), f"{private.of}: {', '.join(private.names)}, for {private.used_for}; {private.checked}"


def test_private_names_are_listed() -> None:
    missing = [f"{use.name} at {use.place}" for use in used() if use.name not in LISTED]

    assert missing == []


def test_listed_names_are_used() -> None:
    found = {use.name for use in used()}
    by_sources = {name for name in LISTED if any(f'"{name}"' in text for text in _texts())}

    assert LISTED - found - by_sources == set()


def _texts() -> list[str]:
    return [file.read_text("utf-8") for file in SOURCES.rglob("*.py")]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import asyncio\nasyncio._x", ["_x"]),
        ("def f(t): return getattr(t, '_x', None)", ["_x"]),
        ("from asyncio import _x", ["_x"]),
        ("import _x", ["_x"]),
        ("import anyio._x", ["anyio._x"]),
        ("runs('anyio', 'Kind._x')", ["Kind._x"]),
        ("class A:\n    def _x(self): self._y = self._x()", []),
        ("def f(a): a._x\nclass A:\n    def _x(self): ...", []),
    ],
)
def test_private_name_in_a_source_is_found(source: str, names: list[str]) -> None:
    assert [use.name for use in uses_in(source, "it.py")] == names


def test_list_says_of_this_python_that_it_was_checked() -> None:
    newest = {private.checked for private in PRIVATE_NAMES if private.checked.startswith("CPython")}

    assert sys.version_info < (3, 16) or newest == set(), "check the list on this Python, and say so in it"
