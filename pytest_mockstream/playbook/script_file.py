"""Reads scripts from TOML, in the vocabulary of ``respond`` and ``when``.

It takes text and returns scripts; it neither opens the file nor plays them. All mistakes in a file are reported at
once, each with its line and its key, up to a number that a reader can take in.
"""

from __future__ import annotations

import contextlib
import inspect
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeVar

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import did_you_mean
from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.options import PACING_OPTIONS, SCRIPT_OPTIONS
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    Citation,
    Disconnect,
    End,
    ErrorEvent,
    Failed,
    Frame,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    ServerTool,
    Stall,
    Step,
    Text,
    Together,
    ToolCall,
    Truncate,
    Wait,
)

from .answers import CallTools, Echo, FromSchema, Json, Template
from .computed import ComputedScript, Responder, computes
from .queued import Condition
from .script_notes import NOTES, VERSION, Notes, notes_of
from .toml_places import ExcessError, Place, lines_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")

_MOST_PROBLEMS = 20
_MOST_PARTS = 10  # of a place
_MOST_SHOWN = 500  # characters of a problem

_STEPS: dict[str, Callable[..., Step | Responder]] = {
    "text": Text,
    "reasoning": Reasoning,
    "refusal": Refusal,
    "tool_call": ToolCall,
    "interleave": Interleave,
    "together": Together,
    "server_tool": ServerTool,
    "citation": Citation,
    "image": Image,
    "frame": Frame,
    "wait": Wait,
    "keep_alive": KeepAlive,
    "end": End,
    "truncate": Truncate,
    "disconnect": Disconnect,
    "stall": Stall,
    "malformed": Malformed,
    "error_event": ErrorEvent,
    "failed": Failed,
    "http_error": HTTPError,
    "echo": Echo,
    "template": Template,
    "json": Json,
    "from_schema": FromSchema,
    "call_tools": CallTools,
}
_OF_STEPS = (Interleave, Together)  # written as the list of the steps in them
_CONDITIONS = tuple(
    field.name for field in fields(Condition) if field.init and field.name not in {"predicate", "recorded"}
)


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """What a script file says.

    Attributes:
        name: the file's, for messages.
        scripts: the scripts in the order of the file, each with the condition that requests for it must meet.
        lines: the line that each of them begins at.
        notes: what a recording says beside each of them.
        recording: what it says of itself; None for a file that is no recording.
        pacing: for scripts that leave it open.
        default_text: the answer where the file has no scripts at all, or None.
    """

    scripts: tuple[tuple[Script | ComputedScript, Condition], ...]
    pacing: Pacing
    default_text: str | None
    name: str = ""
    lines: tuple[int, ...] = ()
    notes: tuple[Notes, ...] = ()
    recording: Mapping[str, Any] | None = None


class ScriptFileError(ScriptError):
    """A script file that cannot be played.

    Attributes:
        problems: one line for each mistake, 20 at most: file, line, key, and what is wrong.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def parse_script_file(
    text: str,
    *,
    name: str,
    providers: Collection[str] | None = None,
    wrong_path: Callable[[str], str | None] = lambda _path: None,
) -> ScriptFile:
    """Parse a script file.

    Args:
        text: the content of the file.
        name: the file's name, for messages.
        providers: every provider that a request can come for; None checks none.
        wrong_path: says what is wrong with a path that no request can have; None where nothing is.

    Raises:
        ScriptFileError: something in it cannot be played; it lists everything that is wrong.
    """
    try:
        lines_of(text, ())
        data = tomllib.loads(text)
    except ExcessError as error:
        raise ScriptFileError([f"{name}:{error.line}: {_spelled(error.place)}{error}"]) from None
    except (ValueError, RecursionError) as error:
        raise ScriptFileError([f"{name}: this is not TOML: {error}"]) from None
    reader = _Reader(providers, wrong_path)
    with contextlib.suppress(_EnoughError):
        found = reader.file(data)
    if reader.problems:
        lines = lines_of(text, [place for place, _ in reader.problems])
        told = sorted(reader.problems, key=lambda problem: lines.get(problem[0], 1))
        raise ScriptFileError(
            [f"{name}:{lines.get(place, 1)}: {_spelled(place)}{_cut(problem)}" for place, problem in told]
        )
    places: list[Place] = [("script", index) for index in range(len(found.scripts))]
    lines = lines_of(text, places)
    return replace(found, name=name, lines=tuple(lines.get(place, 1) for place in places))


class _EnoughError(Exception):
    """More mistakes than anybody wants to read."""


class _Reader:
    """Makes scripts of TOML values; after a mistake it goes on, to find the others."""

    def __init__(self, providers: Collection[str] | None, wrong_path: Callable[[str], str | None]) -> None:
        self.problems: list[tuple[Place, str]] = []
        self._providers = providers
        self._wrong_path = wrong_path
        self._last_of: dict[Any, Place] = {}

    def file(self, data: Mapping[str, Any]) -> ScriptFile:
        self._known(data, ("script", "default_text", "recording", "shapes", *PACING_OPTIONS), ())
        recording = self._recording(data)
        pacing = self._make(Pacing, {key: data[key] for key in PACING_OPTIONS if key in data}, ()) or Pacing()
        default_text = data.get("default_text")
        if default_text is not None and not isinstance(default_text, str):
            self._complain(("default_text",), f"{default_text!r:.80} is not text")
        tables = data.get("script", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._complain(("script",), "write each script as a table of its own, under [[script]]")
            tables = []
        keys = [(table.get("key"), ("script", index)) for index, table in enumerate(tables)]
        self._last_of = {key: place for key, place in keys if isinstance(key, str)}
        scripts = tuple(self._script(table, ("script", index), pacing) for index, table in enumerate(tables))
        notes = tuple(self._notes(table, ("script", index)) for index, table in enumerate(tables))
        return ScriptFile(scripts, pacing, default_text, notes=notes, recording=recording)

    def _recording(self, data: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what a recording says of itself, with the shapes of its replies."""
        said, shapes = data.get("recording"), data.get("shapes", {})
        if said is None:
            return None
        version = said.get("version") if isinstance(said, dict) else None
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            self._complain(("recording", "version"), f"{version!r:.80} is no version of a recording: give {VERSION}")
        elif version > VERSION:
            problem = f"this recording is of version {version}, and {VERSION} is the newest that is known here"
            self._complain(("recording", "version"), f"{problem}: a newer pytest-mockstream reads it")
        recorded = said.get("recorded") if isinstance(said, dict) else None
        if recorded is not None and not isinstance(recorded, datetime):
            self._complain(("recording", "recorded"), f"{recorded!r:.80} is no time such as 2026-01-31T12:00:00Z")
        return {**said, "shapes": shapes} if isinstance(said, dict) and isinstance(shapes, dict) else None

    def _notes(self, table: Mapping[str, Any], place: Place) -> Notes:
        return notes_of(table, lambda name, problem: self._complain((*place, name), problem))

    def _script(
        self, table: Mapping[str, Any], place: Place, pacing: Pacing
    ) -> tuple[Script | ComputedScript, Condition]:
        self._known(table, ("steps", "when", *SCRIPT_OPTIONS, *NOTES), place)
        steps = self._steps(table.get("steps", []), (*place, "steps"))
        options = {key: table[key] for key in SCRIPT_OPTIONS if key in table}
        if isinstance(usage := options.get("usage"), dict):
            is_known = self._known(usage, tuple(inspect.signature(Usage).parameters), (*place, "usage"))
            options["usage"] = self._make(Usage, usage, (*place, "usage")) if is_known else None
        # Outside of a test nobody counts requests: unless it says otherwise, a script answers all that it is meant for.
        # Of several recordings of the same request, each but the last answers one.
        is_last = not isinstance(key := table.get("key"), str) or self._last_of[key] == place
        options.setdefault("times", None if is_last else 1)
        kind: Callable[..., Script | ComputedScript] = ComputedScript if any(map(computes, steps)) else Script
        script = self._make(kind, _paced(options, pacing), place, *steps) or Script()
        when = table.get("when", {})
        if not isinstance(when, dict):
            self._complain((*place, "when"), f"{when!r:.80} is not a table such as {{ contains = 'weather' }}")
            when = {}
        self._known(when, _CONDITIONS, (*place, "when"))
        provider = when.get("provider")
        if self._providers is not None and isinstance(provider, str) and provider not in self._providers:
            near = did_you_mean(provider.lower(), self._providers)
            problem = f"{provider!r:.80} fits no request: give one of {_listed(tuple(self._providers))}.{near}"
            self._complain((*place, "when", "provider"), problem)
        if isinstance(path := when.get("path"), str) and (wrong := self._wrong_path(path)):
            self._complain((*place, "when", "path"), f"{path!r:.80} fits no request: {wrong}")
        condition = {key: when[key] for key in _CONDITIONS if key in when}
        return script, self._make(Condition, condition, (*place, "when")) or Condition()

    def _steps(self, steps: object, place: Place) -> list[Step | Responder]:
        if not isinstance(steps, list):
            self._complain(place, f"{steps!r:.80} is not a list of steps")
            return []
        made = (self._step(step, (*place, index)) for index, step in enumerate(steps))
        return [step for step in made if step is not None]

    def _step(self, step: object, place: Place) -> Step | Responder | None:
        if isinstance(step, str):
            return Text(step)
        if not isinstance(step, dict) or len(step) != 1:
            self._complain(place, f"{step!r:.80} is not a step: write text, or a table with one key: {_listed(_STEPS)}")
            return None
        ((name, value),) = step.items()
        kind = _STEPS.get(name)
        if kind is None:
            near = did_you_mean(name, _STEPS)
            self._complain(place, f"{name!r:.80} is not a step: it is one of {_listed(_STEPS)}.{near}")
            return None
        place = (*place, name)
        if kind in _OF_STEPS:
            return self._of_steps(kind, value, place)
        if kind is ToolCall and isinstance(value, dict) and isinstance(value.get("fragments"), list):
            # TOML has no null: false stands for one.
            value = value | {"fragments": [None if one is False else one for one in value["fragments"]]}
        if value is True:
            return self._make(kind, {}, place)
        if isinstance(value, dict):
            is_known = self._known(value, tuple(inspect.signature(kind).parameters), place)
            return self._make(kind, value, place) if is_known else None
        return self._make(kind, {}, place, value)

    def _of_steps(self, kind: Callable[..., Step], value: object, place: Place) -> Step | None:
        options: dict[str, Any] = {}
        listed = value
        if kind is Interleave and isinstance(value, dict):
            self._known(value, ("parts", "order"), place)
            options = {"order": value["order"]} if "order" in value else {}
            listed, place = value.get("parts"), (*place, "parts")
        parts = self._steps(listed, place)
        is_told = any(told[: len(place)] == place for told, _ in self.problems)
        return None if is_told else self._make(kind, options, place, *parts)

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
        except (ArithmeticError, RecursionError, TypeError, ValueError) as error:  # ScriptError is one of the last
            problem: Exception = error
        for key, value in options.items():
            try:
                kind(*values, **{key: value})
            except ScriptError as error:
                if _names(error, key):
                    place, problem = (*place, key), error
                    break
            except (ArithmeticError, RecursionError, TypeError, ValueError):
                continue
        self._complain(place, str(problem))
        return None

    def _complain(self, place: Place, problem: str) -> None:
        # What follows from a mistake that was reported already is not reported again.
        if any(place[: len(told)] == told for told, _ in self.problems):
            return
        self.problems.append((place, problem))
        if len(self.problems) == _MOST_PROBLEMS:
            raise _EnoughError


def _paced(options: Mapping[str, Any], pacing: Pacing) -> dict[str, Any]:
    """Return the settings of a script, with the pacing of the file for what they leave open."""
    one_of = {"delay", "tokens_per_second"}  # each says what the other does
    left = [name for name in PACING_OPTIONS if not (name in one_of and one_of & options.keys())]
    return {name: value for name in left if (value := getattr(pacing, name)) is not None} | dict(options)


def _names(error: ScriptError, key: str) -> bool:
    return key in str(error)


def _listed(words: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(words)


def _spelled(place: Place) -> str:
    """Spell a place as its reader counts: the first script is script 1."""
    words: list[str] = []
    for part in place[:_MOST_PARTS]:
        if isinstance(part, int):
            words[-1] += f" {part + 1}"
        elif part == "steps" and part != place[-1]:
            words.append("step")
        else:
            words.append(part if part.isprintable() and len(part) <= 80 else f"{part!r:.80}")
    return f"{', '.join(words)}: " if words else ""


def _cut(problem: str) -> str:
    """Leave out the middle of what is too long: it begins with what was given, and ends with what is wrong with it."""
    half = _MOST_SHOWN // 2
    return problem if len(problem) <= _MOST_SHOWN else f"{problem[:half]} … {problem[-half:]}"
