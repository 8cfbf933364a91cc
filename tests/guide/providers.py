"""The tables of providers and their SDKs: those of the tests, cell by cell, for their reader."""

from __future__ import annotations

import json
from collections.abc import Callable

from providers.table import FACTS, FAULTS, ROWS, SEEN, Row


def table() -> str:
    """Return what an answer says, and what leaving early does, in Markdown."""
    return _table([*FACTS, "early close", "cancelled"], _cell)


def faults() -> str:
    """Return what becomes of each fault, in Markdown."""
    return _table(list(FAULTS), _outcome)


def _table(columns: list[str], cell: Callable[[Row, str], str]) -> str:
    seen = json.loads(SEEN.read_text(encoding="utf-8"))
    lines = [["provider", "SDK", *columns], ["---"] * (2 + len(columns))]
    lines += (
        [row.provider, f"{row.sdk} {seen[row.sdk]}, {row.api}", *(cell(row, column) for column in columns)]
        for row in ROWS
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: Row, column: str) -> str:
    if column in row.lacks:
        return "the format has none"
    return "yes" if row.awaited or column != "cancelled" else "is not awaited"


def _outcome(row: Row, fault: str) -> str:
    said = row.faults[fault]
    return f"`{said.removeprefix('builtins.')}`" if "." in said else said
