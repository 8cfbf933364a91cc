"""What the doctor has to say, entry by entry, as aligned text and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["ok", "note", "problem"]

#: Of the JSON; it rises when a key goes away or changes its meaning.
SCHEMA_VERSION = 1
_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        says: what was found, for people.
        status: ``"problem"`` if something does not work, ``"note"`` if the user had better know.
        remedy: what to do about it.
        data: what was found, for programs.
        brief: the head of a line on which the text tells it together with others; empty for a line of its own.
    """

    name: str
    says: str
    status: Status = "ok"
    remedy: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    brief: str = ""


#: Entries by what they are about.
Report: TypeAlias = "Mapping[str, Iterable[Entry]]"


def problems(report: Report) -> int:
    """Count what does not work."""
    return sum(entry.status == "problem" for entries in report.values() for entry in entries)


def as_dict(report: Report) -> dict[str, Any]:
    """Return the report as JSON has it."""
    sections = {
        name.replace(" ", "_"): [
            {"name": e.name, "status": e.status, "says": e.says, "remedy": e.remedy or None, **e.data} for e in entries
        ]
        for name, entries in report.items()
    }
    return {"version": SCHEMA_VERSION, "problems": problems(report), **sections}


def as_text(report: Report) -> str:
    """Return the report as people read it."""
    lines: list[str] = []
    for name, entries in report.items():
        lines += [name, *_lines(list(entries)), ""]
    count = problems(report)
    lines.append("no problems" if not count else f"{count} problem{'s' if count > 1 else ''}, marked with !")
    return "\n".join(lines)


def _lines(entries: list[Entry]) -> Iterator[str]:
    told = [entry for entry in entries if not entry.brief]
    width = max((len(entry.name) for entry in told), default=0)
    for entry in told:
        first, *more = entry.says.splitlines() or [""]
        mark = "!" if entry.status == "problem" else " "
        yield from _wrapped(f"{mark} {entry.name:<{width}}  {first}", width + 4)
        for line in more:
            yield from _wrapped(" " * (width + 4) + line, width + 6)
        if entry.remedy:
            yield from _wrapped(" " * (width + 4) + f"-> {entry.remedy}", width + 7)
    for head in dict.fromkeys(entry.brief for entry in entries if entry.brief):
        those = ", ".join(f"{entry.name} {entry.says}".rstrip() for entry in entries if entry.brief == head)
        yield from _wrapped(f"  {head}: {those}", 4)
    if not entries:
        yield "  none"


def _wrapped(line: str, indent: int) -> list[str]:
    return textwrap.wrap(line, _WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
