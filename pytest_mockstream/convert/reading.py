"""Reads a file of another tool: tells by its content whose it is, and where its entries stand."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .result import ConversionError, Place, UnreadableFileError
from .yaml_text import read_yaml

#: What the entries of a file are listed under, and whose file it is.
_TOOLS: Mapping[str, Literal["vcrpy", "aimock"]] = {"interactions": "vcrpy", "fixtures": "aimock"}
_LARGEST = 2**26  # bytes
_HEAD = 2**16  # bytes in which a file says what it is; vcrpy sorts keys, so that its entries come first
_LISTS = rb"(?:interactions|fixtures)"
_IN_YAML = re.compile(rb"^" + _LISTS + rb"\s*:", re.MULTILINE)
_IN_JSON = re.compile(rb'"' + _LISTS + rb'"\s*:')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]|[^\s"\[\]{}:,]+', re.DOTALL)


class NotForeignError(ConversionError):
    """A file is of no tool that is known here."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of another tool.

    Attributes:
        path: of the file.
        tool: whose it is.
        data: what it says.
        lines: where each of its entries begins.
    """

    path: Path
    tool: Literal["vcrpy", "aimock"]
    data: Mapping[str, Any]
    lines: list[int]

    def place(self, number: int, kind: str) -> Place:
        """Return where the entry with this number stands, from 1."""
        line = self.lines[number - 1] if number <= len(self.lines) else 1
        return Place(self.path, line, f"{kind} {number}")


def looks_foreign(path: Path) -> bool:
    """Tell whether a file, by what it begins with, is one that can be converted."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    is_json = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
    return (_IN_JSON if is_json else _IN_YAML).search(head) is not None


def read(path: Path) -> Foreign:
    """Read a file.

    Raises:
        UnreadableFileError: there is none, or none that can be read here.
        ConversionError: it is not one that can be converted.
    """
    text = _text(path)
    if not text.strip():
        raise ConversionError(f"{path}: the file is empty")
    _refuse_ours(path, text)
    data, lines = _json(path, text) if text.lstrip()[0] in "{[" else read_yaml(path, text, _TOOLS)
    if isinstance(data, list) and data and isinstance(data[0], Mapping) and "request" in data[0]:
        raise ConversionError(
            f"{path}: this is a cassette of vcrpy before 1.0, which has no version: make one that has with"
            f" `python -m vcr.migration {path}`"
        )
    if isinstance(data, Mapping) and "http_interactions" in data:
        raise ConversionError(f"{path}: this is a cassette of VCR for Ruby; those of vcrpy are read")
    tools = [tool for key, tool in _TOOLS.items() if isinstance(data, Mapping) and isinstance(data.get(key), list)]
    if not tools:
        raise NotForeignError(
            f"{path}: this is neither a cassette of vcrpy, which has a list of `interactions`, nor a file of aimock,"
            " which has one of `fixtures`"
        )
    return Foreign(path, tools[0], data, lines)


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise UnreadableFileError(f"{path}: this is neither a file nor a directory")
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST + 1)
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > _LARGEST:
        raise ConversionError(f"{path}: has more than {_LARGEST} bytes, which is the most that is read")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise ConversionError(f"{path}:{line}: this is not UTF-8: {error.reason}") from None


def _refuse_ours(path: Path, text: str) -> None:
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError):
        if path.suffix != ".toml":
            return
        data = {"recording": {}}
    if "recording" in data or "script" in data:
        raise ConversionError(
            f"{path}: this is a recording or a script file already: play it as it is, or see what is wrong with it with"
            f" `python -m pytest_mockstream serve --check {path}`"
        )


def _json(path: Path, text: str) -> tuple[Any, list[int]]:
    try:
        return json.loads(text), list(_lines_in_json(text))
    except json.JSONDecodeError as error:
        raise ConversionError(f"{path}:{error.lineno}: this is not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets of thousands of levels
        raise ConversionError(f"{path}: this JSON cannot be read: {error}") from None


def _lines_in_json(text: str) -> Iterator[int]:
    """Yield the line of each entry in the list that the file is about."""
    depth, is_listing, key = 0, False, ""
    line, place = 1, 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        if is_listing and depth == 2 and word not in "]}":
            line += text.count("\n", place, token.start())
            place = token.start()
            yield line
        if word in "[{":
            is_listing = is_listing or (depth == 1 and word == "[" and key in _TOOLS)
            depth += 1
        elif word in "]}":
            depth -= 1
            is_listing = is_listing and depth > 1
        elif depth == 1:
            key = word.strip('"')
