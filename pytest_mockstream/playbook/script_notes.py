"""What a recording says beside its scripts, in a script file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Disconnect, Stall, Step, Truncate, Wait

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: The newest version of recordings that is known.
VERSION = 1


def _is_object(text: object) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_milliseconds(value: object) -> bool:
    return type(value) in (int, float) and value >= 0  # type: ignore[operator] # it is a number


def _are_milliseconds(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_milliseconds, value))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _seconds(milliseconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(gap / 1000 for gap in milliseconds)


#: What a recording says beside a script: what is legal, a test for it, and what is made of it.
NOTES: dict[str, tuple[str, Callable[[Any], bool], Callable[[Any], Any]]] = {
    "key": ("text", lambda value: isinstance(value, str) and bool(value), str),
    "request": ("the text of a JSON object", _is_object, json.loads),
    "gaps_ms": ("a list of milliseconds", _are_milliseconds, _seconds),
    "ended_ms": ("milliseconds", _is_milliseconds, lambda value: value / 1000),
    "left_after": ("a number of chunks", _is_count, int),
    "lost": ("a list of texts", _is_texts, tuple),
    "frames": ("a list of texts", _is_texts, tuple),
}
_NAMES = {"gaps_ms": "gaps", "ended_ms": "ended"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a recording says beside a script.

    Attributes:
        key: of the request that it answered; None in a file that somebody wrote.
        request: what was asked, in the form that the key was made of; None if the file does not say.
        gaps: seconds before each chunk, as it came.
        ended: seconds from the last chunk to what broke the stream.
        left_after: how many chunks had come when the client left; None if it stayed.
        lost: what the script does not say of what came.
        frames: the frames as they came, if they were to be kept.
    """

    key: str | None = None
    request: Mapping[str, Any] | None = None
    gaps: tuple[float, ...] = ()
    ended: float = 0.0
    left_after: int | None = None
    lost: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()


def at_speed(script: Script, speed: float, *, gaps: Sequence[float], ended: float = 0.0) -> Script:
    """Return a recorded script with the gaps that were recorded.

    Args:
        script: what came.
        speed: how many times as fast; 0 leaves the gaps out.
        gaps: seconds before each chunk.
        ended: seconds from the last chunk to what broke the stream.
    """
    if not speed or not (gaps or ended):
        return script
    steps: list[Step] = list(script.steps)
    if ended and steps and isinstance(steps[-1], Truncate | Disconnect | Stall):
        steps.insert(len(steps) - 1, Wait(ended / speed))
    options: dict[str, Any] = script.options
    return Script(*steps, **{**options, "gaps": [gap / speed for gap in gaps]})


def notes_of(table: Mapping[str, Any], complain: Callable[[str, str], None]) -> Notes:
    """Return what the table of a script says beside it.

    Args:
        table: as TOML has it.
        complain: gets the key of what is not legal, and what is wrong with it.
    """
    found: dict[str, Any] = {}
    for name, (legal, is_legal, made) in NOTES.items():
        if name in table:
            value = table[name]
            if is_legal(value):
                found[_NAMES.get(name, name)] = made(value)
            else:
                complain(name, f"{value!r:.80} is not {legal}")
    return Notes(**found)
