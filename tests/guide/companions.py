"""The table of plugins and ways to run tests that the leak check is run beside: that of the tests, for its reader."""

from __future__ import annotations

import json

from companions.table import COMPANIONS, SEEN, Companion


def table() -> str:
    """Return the table in Markdown."""
    seen = json.loads(SEEN.read_text(encoding="utf-8"))
    lines = [["what", "used as", "seen with", "to know"], ["---"] * 4]
    for companion in COMPANIONS:
        said = [companion.because and f"{companion.because[0].upper()}{companion.because[1:]}.", companion.to_know]
        lines.append(
            [
                companion.distributions[0] if companion.requires else "no plugin",
                f"`{companion.shown}`",
                _versions(companion, seen[companion.name]),
                " ".join(filter(None, said)),
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _versions(companion: Companion, seen: dict[str, str]) -> str:
    own, *others = [*companion.distributions, ""]
    named = [seen[own]] if own else []
    named += [f"{name} {seen[name]}" for name in others if name]
    return ", ".join([*named, f"Python {seen['python']}"])
