"""What is wrong with a recording whose file is not: told when a test plays it, and by ``serve --check``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pytest_mockstream.playbook.computed import ComputedScript
from pytest_mockstream.playbook.script_file import ScriptFile

from .canonical import key_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def mistakes_in(content: ScriptFile, path: Path, providers: Collection[str]) -> list[str]:
    """Return a line for each script that no test could play as a recording: file, line, and what is wrong.

    Args:
        content: what the file says. It may be no recording: scripts without a request have no mistakes.
        path: of the file.
        providers: every provider that a request can come for.
    """
    found: list[str] = []
    for (script, _), notes, line in zip(content.scripts, content.notes, content.lines, strict=True):
        computes = content.recording is not None and isinstance(script, ComputedScript)
        told = (
            computed(script) if computes else None,
            unknown_provider(notes.request, providers),
            wrong_key(notes.key, notes.request),
        )
        found += [f"{path}:{line}: {problem}" for problem in told if problem is not None]
    return found


def computed(script: object) -> str:
    """Say that a script computes what it answers."""
    return f"a recording says what came, and computes nothing, as {script} does"


def unknown_provider(request: Mapping[str, Any] | None, known: Collection[str]) -> str | None:
    """Say that nobody speaks as the provider does whose request was recorded; None if somebody does."""
    provider = (request or {}).get("provider")
    if provider is None or provider in known:
        return None
    return f"nothing here speaks as {provider!r:.80} does, who said this: known are {', '.join(known)}"


def wrong_key(key: str | None, request: Mapping[str, Any] | None) -> str | None:
    """Say that a key is not that of the request beside it, and which is; None if it is, or one of them is not there."""
    if key is None or request is None or key == (right := key_of(request)):
        return None
    return (
        f"key = {key!r} is not that of the `request` below it, which is {right!r}: write that, or take `key` and"
        " `request` out for a script that answers what meets `when`"
    )
