"""The table of frameworks on top of the SDKs: that of the tests, for its reader."""

from __future__ import annotations

import json

from frameworks.table import FRAMEWORKS, SEEN


def table() -> str:
    """Return the table in Markdown."""
    seen = json.loads(SEEN.read_text(encoding="utf-8"))
    lines = [["framework", "what its tests use", "seen with", "to know"], ["---"] * 4]
    for framework in FRAMEWORKS:
        noted = seen[framework.name]
        versions = [f"{name} {noted[name]}" for name in framework.distributions]
        tests = f"[{framework.name}](../tests/frameworks/own/{framework.name})"
        lines.append([tests, framework.shown, ", ".join([*versions, f"Python {noted['python']}"]), framework.to_know])
    return "\n".join(f"| {' | '.join(line).rstrip()} |" for line in lines)
