"""Which files belong to libraries is told by their paths, whatever the platform's separator is."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest

import pytest_mockstream
from pytest_mockstream._base.callsite import _start_of, is_library, is_ours


@pytest.mark.parametrize(
    ("folder", "start"),
    [
        (PurePosixPath("/usr/lib/python3.13"), "/usr/lib/python3.13/"),
        (PureWindowsPath(r"C:\Python313\Lib"), "C:\\Python313\\Lib\\"),
        (PureWindowsPath("C:/Python313/Lib"), "C:\\Python313\\Lib\\"),
    ],
)
def test_files_of_a_folder_begin_with_the_separator_of_their_platform(
    folder: PurePosixPath | PureWindowsPath, start: str
) -> None:
    assert _start_of(folder) == start


def test_files_of_this_package_are_ours_and_those_beside_it_are_not() -> None:
    package = Path(pytest_mockstream.__file__).parent

    assert is_ours(str(package / "script" / "gate.py"))
    assert not is_ours(str(package) + "_extras.py")


def test_standard_library_is_a_library_and_a_test_is_none() -> None:
    assert is_library(asyncio.__file__)
    assert not is_library(__file__)
