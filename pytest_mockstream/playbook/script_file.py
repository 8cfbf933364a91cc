"""Reads scripts from TOML, in the vocabulary of ``respond`` and ``when``.

It takes text and returns scripts; it neither opens the file nor plays them. All mistakes in a file are reported at
once, each with its line and its key.

Theory of operation: tomllib does not say on which line a value stands. So the line is looked for only where something
is wrong: it is the first line at which the file, cut off after it, already has the value.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, TypeVar

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import did_you_mean
from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.options import PACING_OPTIONS, SCRIPT_OPTIONS
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Stall,
    Step,
    Text,
    ToolCall,
    Truncate,
    Wait,
)

from .queued import Condition

T = TypeVar("T")
Place: TypeAlias = "tuple[str | int, ...]"

_STEPS: dict[str, Callable[..., Step]] = {
    "text": Text,
    "reasoning": Reasoning,
    "refusal": Refusal,
    "tool_call": ToolCall,
    "wait": Wait,
    "keep_alive": KeepAlive,
    "truncate": Truncate,
    "disconnect": Disconnect,
    "stall": Stall,
    "malformed": Malformed,
    "error_event": ErrorEvent,
    "http_error": HTTPError,
}
_CONDITIONS = tuple(field.name for field in fields(Condition) if field.name != "predicate")


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """What a script file says.

    Attributes:
        scripts: the scripts in the order of the file, each with the condition that requests for it must meet.
        pacing: for scripts that leave it open.
        default_text: the answer where the file has no scripts at all, or None.
    """

    scripts: tuple[tuple[Script, Condition], ...]
    pacing: Pacing
    default_text: str | None


class ScriptFileError(ScriptError):
    """A script file that cannot be played.

    Attributes:
        problems: one line for each mistake: file, line, key, and what is wrong.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def parse_script_file(text: str, *, name: str, providers: Collection[str] | None = None) -> ScriptFile:
    """Parse a script file.

    Args:
        text: the content of the file.
        name: the file's name, for messages.
        providers: every provider that a request can come for; None checks none.

    Raises:
        ScriptFileError: something in it cannot be played; it lists everything that is wrong.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScriptFileError([f"{name}: this is not TOML: {error}"]) from None
    reader = _Reader(providers)
    found = reader.file(data)
    if reader.problems:
        lines = _lines(text, [place for place, _ in reader.problems])
        told = sorted(zip(lines, reader.problems, strict=True), key=lambda problem: problem[0])
        raise ScriptFileError([f"{name}:{line}: {_spelled(place)}{problem}" for line, (place, problem) in told])
    return found


class _Reader:
    """Makes scripts of TOML values; after a mistake it goes on, to find the others."""

    def __init__(self, providers: Collection[str] | None) -> None:
        self.problems: list[tuple[Place, str]] = []
        self._providers = providers

    def file(self, data: Mapping[str, Any]) -> ScriptFile:
        self._known(data, ("script", "default_text", *PACING_OPTIONS), ())
        pacing = self._make(Pacing, {key: data[key] for key in PACING_OPTIONS if key in data}, ()) or Pacing()
        default_text = data.get("default_text")
        if default_text is not None and not isinstance(default_text, str):
            self._complain(("default_text",), f"{default_text!r} is not text")
        tables = data.get("script", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._complain(("script",), "write each script as a table of its own, under [[script]]")
            tables = []
        scripts = tuple(self._script(table, ("script", index)) for index, table in enumerate(tables))
        return ScriptFile(scripts, pacing, default_text)

    def _script(self, table: Mapping[str, Any], place: Place) -> tuple[Script, Condition]:
        self._known(table, ("steps", "when", *SCRIPT_OPTIONS), place)
        steps = self._steps(table.get("steps", []), (*place, "steps"))
        options = {key: table[key] for key in SCRIPT_OPTIONS if key in table}
        if isinstance(usage := options.get("usage"), dict):
            is_known = self._known(usage, tuple(inspect.signature(Usage).parameters), (*place, "usage"))
            options["usage"] = self._make(Usage, usage, (*place, "usage")) if is_known else None
        # Outside of a test nobody counts requests: unless it says otherwise, a script answers all that it is meant for.
        options.setdefault("times", None)
        script = self._make(Script, options, place, *steps) or Script()
        when = table.get("when", {})
        if not isinstance(when, dict):
            self._complain((*place, "when"), f"{when!r} is not a table such as {{ contains = 'weather' }}")
            when = {}
        self._known(when, _CONDITIONS, (*place, "when"))
        provider = when.get("provider")
        if self._providers is not None and isinstance(provider, str) and provider not in self._providers:
            near = did_you_mean(provider.lower(), self._providers)
            problem = f"{provider!r} fits no request: give one of {_listed(tuple(self._providers))}.{near}"
            self._complain((*place, "when", "provider"), problem)
        condition = {key: when[key] for key in _CONDITIONS if key in when}
        return script, self._make(Condition, condition, (*place, "when")) or Condition()

    def _steps(self, steps: object, place: Place) -> list[Step]:
        if not isinstance(steps, list):
            self._complain(place, f"{steps!r} is not a list of steps")
            return []
        made = (self._step(step, (*place, index)) for index, step in enumerate(steps))
        return [step for step in made if step is not None]

    def _step(self, step: object, place: Place) -> Step | None:
        if isinstance(step, str):
            return Text(step)
        if not isinstance(step, dict) or len(step) != 1:
            self._complain(place, f"{step!r} is not a step: write text, or a table with one key: {_listed(_STEPS)}")
            return None
        ((name, value),) = step.items()
        kind = _STEPS.get(name)
        if kind is None:
            self._complain(place, f"{name!r} is not a step: it is one of {_listed(_STEPS)}")
            return None
        place = (*place, name)
        if value is True:
            return self._make(kind, {}, place)
        if isinstance(value, dict):
            is_known = self._known(value, tuple(inspect.signature(kind).parameters), place)
            return self._make(kind, value, place) if is_known else None
        return self._make(kind, {}, place, value)

    def _known(self, table: Mapping[str, Any], legal: Sequence[str], place: Place) -> bool:
        unknown = [key for key in table if key not in legal]
        for key in unknown:
            near = did_you_mean(key, legal)
            self._complain((*place, key), f"this key is not known: it is one of {_listed(legal)}.{near}")
        return not unknown

    def _make(self, kind: Callable[..., T], options: Mapping[str, Any], place: Place, *values: object) -> T | None:
        """Return what ``kind`` makes of the options, or None; if one option alone is wrong, the problem names it."""
        try:
            return kind(*values, **options)
        except (ScriptError, TypeError) as error:
            problem: Exception = error
        for key, value in options.items():
            try:
                kind(*values, **{key: value})
            except ScriptError as error:
                if _names(error, key):
                    place, problem = (*place, key), error
                    break
            except TypeError:
                continue
        self._complain(place, str(problem))
        return None

    def _complain(self, place: Place, problem: str) -> None:
        # What follows from a mistake that was reported already is not reported again.
        if not any(place[: len(told)] == told for told, _ in self.problems):
            self.problems.append((place, problem))


def _names(error: ScriptError, key: str) -> bool:
    return key in str(error)


def _listed(words: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(words)


def _spelled(place: Place) -> str:
    """Spell a place as its reader counts: the first script is script 1."""
    words: list[str] = []
    for part in place:
        if isinstance(part, int):
            words[-1] += f" {part + 1}"
        else:
            words.append("step" if part == "steps" and part != place[-1] else str(part))
    return f"{', '.join(words)}: " if words else ""


def _lines(text: str, places: Sequence[Place]) -> list[int]:
    """Return the line of each place, from 1."""
    lines = text.splitlines()
    found: dict[Place, int] = {}
    for number in range(1, len(lines) + 1):
        for closing in ("", "\n]"):  # the list that the cut may have left open
            try:
                data = tomllib.loads("\n".join(lines[:number]) + closing)
            except tomllib.TOMLDecodeError:
                continue
            for place in places:
                if place not in found and _is_in(data, place):
                    found[place] = number
    return [found.get(place, len(lines)) for place in places]


def _is_in(data: Any, place: Place) -> bool:
    for part in place:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True
