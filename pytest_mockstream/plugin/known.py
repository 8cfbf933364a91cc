"""The leaks that a suite has today, in a file that only shrinks: only what is new fails.

An entry stands for one line that leaks, and is found again by what the line says and what it starts, not by its number
or by the test that runs it. Reads and writes the file; which leak is what, and when, is decided elsewhere.
"""

from __future__ import annotations

import json
import linecache
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.leaks import Leak

_VERSION = 1
_HEAD = """\
# Leaks that were here when this file was written. They are reported and fail no test; new ones do.
# Say in `reason` why an entry may stay. `--mockstream-known-update` takes out what is gone, and adds nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One line that leaks.

    Attributes:
        fingerprint: what it is found by.
        kind: of what it leaves: ``"task"``, ``"thread"``, ``"stream"`` or an optional kind.
        where: file, line and function, as they were when the file was written; for people.
        count: how often it leaked in the run that wrote the entry.
        tests: the test files in which it leaked.
        reason: why it may stay, for people.
    """

    fingerprint: str
    kind: str
    where: str
    count: int
    tests: tuple[str, ...]
    reason: str = ""


def fingerprint(leak: Leak, root: Path) -> str:
    """Return what tells the line that made a leak from others, wherever in its file that stands.

    Args:
        leak: the leak.
        root: where the paths of the user's own files begin.
    """
    site = leak.through or leak.created_at
    if site is None:
        return _digest(leak.kind, leak.name)
    path = Path(site.filename)
    shown = path.relative_to(root) if path.is_relative_to(root) else Path(str(site).rpartition(":")[0])
    source = " ".join(linecache.getline(site.filename, site.lineno).split())
    function = "" if "test" in site.function else site.function
    return _digest(leak.kind, shown.as_posix(), function, source)


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:16]


def load(path: Path) -> dict[str, Known]:
    """Return what a file knows, by fingerprint.

    Raises:
        ScriptError: it cannot be read, or is no such file; all its mistakes are named.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        msg = f"{path} is not there: write it with --mockstream-known-update"
        raise ScriptError(msg) from None
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read: {error}"
        raise ScriptError(msg) from None
    entries = content.get("leak", [])
    if content.get("version") != _VERSION or not isinstance(entries, list):
        msg = f"{path}: version={content.get('version')!r} of a list of known leaks is not {_VERSION}"
        raise ScriptError(msg)
    wrong = [f"{path}: entry {number}: {why}" for number, entry in enumerate(entries, 1) if (why := _mistake(entry))]
    if wrong:
        raise ScriptError("\n".join(wrong))
    return {entry["fingerprint"]: _known(entry) for entry in entries}


_TYPES: Mapping[str, type] = {
    "fingerprint": str,
    "kind": str,
    "where": str,
    "count": int,
    "tests": list,
    "reason": str,
}


def _mistake(entry: Any) -> str:
    if not isinstance(entry, dict):
        return f"{entry!r} is no table"
    if missing := _TYPES.keys() - entry.keys():
        return f"{min(missing)} is missing"
    if strange := entry.keys() - _TYPES.keys():
        return f"{min(strange)!r} is not known: give {', '.join(_TYPES)}"
    wrong = [name for name, kind in _TYPES.items() if not isinstance(entry[name], kind)]
    return f"{wrong[0]}={entry[wrong[0]]!r} is no {_TYPES[wrong[0]].__name__}" if wrong else ""


def _known(entry: Mapping[str, Any]) -> Known:
    return Known(**{**entry, "tests": tuple(map(str, entry["tests"]))})


def save(path: Path, entries: Iterable[Known]) -> None:
    """Write a file; it is there whole or not at all."""
    tables = "\n".join(
        "\n[[leak]]\n" + "\n".join(f"{name} = {_toml(getattr(entry, name))}" for name in _TYPES)
        for entry in sorted(entries, key=_order)
    )
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(f"{_HEAD}version = {_VERSION}\n{tables}\n", encoding="utf-8")
    draft.replace(path)


def _order(entry: Known) -> tuple[str, int, str, str]:
    file, _, line = entry.where.partition(" in ")[0].rpartition(":")
    return file, int(line) if line.isdigit() else 0, entry.kind, entry.fingerprint


def _toml(value: str | int | Iterable[str]) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(map(_toml, value))}]"


def noted(leaks: Iterable[Mapping[str, Any]]) -> dict[str, Known]:
    """Return the entries for leaks, as the JSON report has them."""
    found: dict[str, Known] = {}
    for leak in leaks:
        file = leak["test"].partition("::")[0]
        place = leak["through"] or leak["created_at"]
        where = f"{place} in {leak['created_in']}" if place and leak["created_in"] else place or leak["name"]
        entry = found.get(leak["fingerprint"]) or Known(
            fingerprint=leak["fingerprint"], kind=leak["kind"], where=where, count=0, tests=()
        )
        tests = entry.tests if file in entry.tests else tuple(sorted((*entry.tests, file)))
        found[entry.fingerprint] = replace(entry, count=entry.count + 1, tests=tests)
    return found


def gone(known: Iterable[Known], seen: Collection[str], ran: Collection[str], root: Path) -> list[Known]:
    """Return the entries that no longer leak.

    Args:
        known: the entries.
        seen: the fingerprints that leaked in this run.
        ran: the test files of which all tests were run.
        root: where their paths begin.
    """
    return [
        entry
        for entry in known
        if entry.fingerprint not in seen and all(file in ran or not (root / file).exists() for file in entry.tests)
    ]
