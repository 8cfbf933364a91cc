"""Words that messages share."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 chunk``, ``2 chunks``."""
    return f"{count} {noun if count == 1 else f'{noun}s'}"


def duration(seconds: float) -> str:
    """Return a duration as people say it, such as ``"45 µs"``, ``"12 ms"``, ``"1.5 s"`` or ``"2 min"``."""
    for unit, factor in (("µs", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if seconds < 1000 * factor * (0.12 if unit == "s" else 1):
            return f"{seconds / factor:.3g} {unit}" if seconds else "0 s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def shortened(text: str, most: int = 200) -> str:
    """Return the beginning of a text that may be long, such as the path of a URL."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def in_utf8(text: str) -> str:
    """Return a text in which what UTF-8 cannot say is escaped: lone surrogates, which names of files may have."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")
