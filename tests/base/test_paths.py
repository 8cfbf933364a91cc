"""Files are told apart by their names, whatever the separator of the platform, and on Windows the case of letters."""

from __future__ import annotations

import ast
import ntpath
import posixpath
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import pytest_mockstream
from pytest_mockstream._base.callsite import CallSite, is_library, package_of
from pytest_mockstream._base.paths import comparable, is_ours, relative, start_of
from pytest_mockstream.leaks import interpreter

PACKAGE = Path(pytest_mockstream.__file__).parent
SITE = r"C:\Users\x\venv\Lib\site-packages"


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("/home/X/a.py", "/home/X/a.py"),
        (r"C:\Users\x\a.py", "c:/users/x/a.py"),
        ("c:/users/X/A.py", "c:/users/x/a.py"),
        (r"\\?\C:\Users\x\a.py", "c:/users/x/a.py"),
        (r"\\Server\Share\a.py", "//server/share/a.py"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
    ],
)
def test_one_file_has_one_spelling(filename: str, expected: str) -> None:
    assert comparable(filename) == expected


@pytest.mark.parametrize("folder", ["/usr/lib/python3.13", "/usr/lib/python3.13/"])
def test_files_in_a_folder_begin_with_its_name_and_a_separator(folder: str) -> None:
    assert start_of(folder) == "/usr/lib/python3.13/"


@pytest.mark.parametrize(
    ("filename", "package"),
    [
        (rf"{SITE}\anyio\_core\_tasks.py", "anyio"),
        (rf"{SITE}\PIL\Image.py", "PIL"),
        (rf"{SITE}\typing_extensions.py", "typing_extensions"),
        (r"c:\users\x\venv\LIB\Site-Packages\anyio\abc.py", "anyio"),
        (r"\\server\share\venv\Lib\site-packages\anyio\abc.py", "anyio"),
        ("/opt/homebrew/lib/python3.13/site-packages/anyio/abc.py", "anyio"),
        (rf"{SITE}\a\site-packages\b\c.py", "b"),
        (r"C:\Users\x\project\tests\test_bot.py", None),
        (r"C:\Users\x\site-packages.py", None),
    ],
)
def test_package_of_an_installed_file_of_any_platform(filename: str, package: str | None) -> None:
    assert package_of(filename) == package
    assert is_library(filename) == (package is not None)


def test_installed_file_of_windows_is_shown_from_its_package_on() -> None:
    assert str(CallSite(rf"{SITE}\anyio\_core\_tasks.py", 7, "f")) == "anyio/_core/_tasks.py:7"


def test_standard_library_is_a_library_and_a_test_is_none() -> None:
    assert is_library(str(Path(sysconfig.get_path("stdlib")) / "asyncio" / "tasks.py"))
    assert package_of(ast.__file__) == ""
    assert not is_library(__file__)


def test_files_of_this_package_are_ours_and_those_beside_it_are_not() -> None:
    assert is_ours(str(PACKAGE / "script" / "gate.py"))
    assert not is_ours(str(PACKAGE) + "_extras.py")
    assert not is_ours(str(PACKAGE.with_name("pytest_mockstream_extras") / "a.py"))


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        (rf"{SITE}\pluggy\_callers.py", True),
        (rf"{SITE}\_pytest\runner.py", True),
        (rf"{SITE}\pytest_asyncio\plugin.py", True),
        ("/venv/lib/python3.13/site-packages/_pytest/runner.py", True),
        (r"C:\Users\x\my_pytest\runner.py", False),
    ],
)
def test_test_runner_is_known_on_any_platform(filename: str, *, expected: bool) -> None:
    assert interpreter.is_harness(filename) is expected


@pytest.mark.parametrize(
    ("filename", "folder", "system", "expected"),
    [
        (r"C:\work\pytest.ini", r"C:\work\tests", ntpath, r"..\pytest.ini"),
        (r"D:\work\pytest.ini", r"C:\work", ntpath, r"D:\work\pytest.ini"),
        (r"\\server\share\pytest.ini", r"C:\work", ntpath, r"\\server\share\pytest.ini"),
        ("/project/pytest.ini", "/project", posixpath, "pytest.ini"),
    ],
)
def test_no_path_leads_to_another_drive(filename: str, folder: str, system: Any, expected: str) -> None:
    assert relative(filename, folder, system=system) == expected


_NAMES = frozenset({"co_filename", "__file__", "filename"})
_METHODS = frozenset({"startswith", "endswith", "split", "rsplit", "partition", "rpartition", "find", "index"})


def _mentions_a_file(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr in _NAMES) or (
        isinstance(node, ast.Name) and node.id in _NAMES
    )


def _is_text_with_a_path(node: ast.AST) -> bool:
    return not (isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("<"))


def bare_comparisons(source: str) -> list[int]:
    """Return the lines that look for a piece of path in a file's name as the interpreter has it."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare(left=piece, ops=[ast.In() | ast.NotIn()], comparators=[name]) if _mentions_a_file(name):
                lines += [node.lineno] if _is_text_with_a_path(piece) else []
            case ast.Call(func=ast.Attribute(value=name, attr=method), args=[piece, *_]) if method in _METHODS:
                lines += [node.lineno] if _mentions_a_file(name) and _is_text_with_a_path(piece) else []
    return lines


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("'/anyio/' in code.co_filename", [1]),
        ("'/anyio/' not in filename", [1]),
        ("module.__file__.startswith(folder)", [1]),
        ("frame.f_code.co_filename.endswith(('/a.py', '/b.py'))", [1]),
        ("code.co_filename.startswith('<frozen importlib')", []),
        ("'/anyio/' in comparable(code.co_filename)", []),
    ],
)
def test_bare_comparisons_are_found(source: str, lines: list[int]) -> None:
    assert bare_comparisons(source) == lines


def test_package_compares_files_by_their_comparable_names() -> None:
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    found = {name: bare_comparisons(source) for name, source in sources.items()}

    assert "leaks/interpreter.py" in found
    assert {name: lines for name, lines in found.items() if lines and name != "_base/paths.py"} == {}
