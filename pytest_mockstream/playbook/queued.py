"""An entry of the queue: a script, and the condition for the requests that it answers."""

from __future__ import annotations

import inspect
import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeAlias

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import integer
from pytest_mockstream._base.redaction import REDACTED, Secrets, brief
from pytest_mockstream._base.wording import counted
from pytest_mockstream.script.script import Script

from .computed import ComputedScript, name_of
from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_BEGINNING = 40  # characters
_LONGEST = 80  # characters of a value in a message

#: Headers that a request has to have: names and values, ``"name: value"``, or ``"name"``.
Header: TypeAlias = str | Mapping[str, str | None]

_TEXTS = ("contains", "model", "provider", "tool", "tool_result_contains", "system", "schema", "test", "path")

#: Numbers playbooks and entries in the order in which they are made.
SERIALS = itertools.count()
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


class Recorded(Protocol):
    """The request that a recording is of; its ``repr`` says where that stands.

    Attributes:
        key: of the request.
    """

    @property
    def key(self) -> str:
        """The key of the request; requests with another one are others."""

    def key_of(self, request: Request) -> str:
        """Return the key of any request."""

    def fits(self, request: Request) -> bool:
        """Tell whether a request is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Which requests a script answers; None means "any".

    Attributes:
        contains: the last message of the user contains this text.
        matches: this regular expression is found in the last message of the user.
        model: the model asked for.
        provider: the provider asked.
        tool: a tool of this name is offered.
        tool_result_contains: the result of a tool that ran since the model's last turn contains this text.
        turn: this turn of the model is asked for: 1 for the first request of a conversation.
        system: a message of the system, or the developer, contains this text.
        schema: the answer has to fit a schema of this name, or of this title.
        header: the request has these headers; a mapping, ``"name: value"``, or ``"name"`` for one of any value.
        test: the id of the running test matches this pattern (``fnmatch``).
        path: the URL's path ends with this; ``*`` stands for one part of it, such as an id. A method may come first.
        predicate: a function that takes the ``Request``.
        recorded: tells whether the request is the one that a recording is of.
    """

    contains: str | None = None
    matches: str | re.Pattern[str] | None = None
    model: str | None = None
    provider: str | None = None
    tool: str | None = None
    tool_result_contains: str | None = None
    turn: int | None = None
    system: str | None = None
    schema: str | None = None
    header: Header | None = None
    test: str | None = None
    path: str | None = None
    predicate: Callable[[Request], bool] | None = None
    recorded: Recorded | None = None
    _wanted: tuple[tuple[str, Any], ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in _TEXTS:
            if (value := getattr(self, name)) is not None and not isinstance(value, str):
                raise ScriptError(f"when({name}={brief(value)}): give a str")
        if self.path is not None:
            method, path = method_and_path(self.path)
            if not path.strip("/") or "://" in path or method not in {None, *METHODS}:
                msg = f"when(path={brief(self.path)}): give the end of a path, such as '/embeddings' or 'GET /files/*'"
                raise ScriptError(msg)
        if self.turn is not None:
            object.__setattr__(self, "turn", integer(at_least=1)(self.turn, "when(turn)"))
        if self.header is not None:
            object.__setattr__(self, "header", _header(self.header))
        if self.predicate is not None and not callable(self.predicate):
            raise ScriptError(f"when(predicate={brief(self.predicate)}): give a callable that takes the request")
        if self.predicate is not None and _is_async(self.predicate):
            msg = f"when(predicate={name_of(self.predicate)}) is async, and nobody awaits it: give a plain function"
            raise ScriptError(msg)
        if self.matches is not None:
            try:
                object.__setattr__(self, "matches", re.compile(self.matches))
            except (re.error, OverflowError, RecursionError, TypeError) as error:  # the second and third for its size
                raise ScriptError(f"when(matches={brief(self.matches)}) is not a regular expression: {error}") from None

        wanted = [(name, value) for name in _MEETS if (value := getattr(self, name)) is not None]
        object.__setattr__(self, "_wanted", tuple(wanted))

    @property
    def narrowing(self) -> dict[str, Any]:
        """What was given, without the predicate."""
        return dict(self._wanted)

    def holds(self, request: Request) -> bool:
        """Tell whether a request meets the condition."""
        return self.may_hold(request) and (self.predicate is None or _truth(self.predicate(request)))

    def may_hold(self, request: Request) -> bool:
        """Tell whether a request meets the condition, as far as that can be told without calling the predicate."""
        for name, value in self._wanted:  # noqa: SIM110 - for each script in the queue; a generator takes longer
            if not _MEETS[name](value, request):
                return False
        return True

    def unmet(self, request: Request) -> list[str]:
        """Return the names of the conditions that a request does not meet, without the predicate."""
        return [name for name, value in self._wanted if not _MEETS[name](value, request)]

    def __str__(self) -> str:
        if self.recorded is not None:
            return repr(self.recorded)
        plain = ((name, value.pattern if isinstance(value, re.Pattern) else value) for name, value in self._wanted)
        said = [f"{name}={brief(value)}" for name, value in plain]
        if self.predicate is not None:
            said.append(f"predicate={name_of(self.predicate)}")
        return f"when({', '.join(said)})" if said else "any request"


#: Tells for each condition whether a request meets it.
_MEETS: dict[str, Callable[[Any, Request], bool]] = {
    "contains": lambda text, request: text in request.text,
    "matches": lambda pattern, request: re.search(pattern, request.text) is not None,
    "model": lambda name, request: name == request.model,
    "provider": lambda name, request: name == request.provider,
    "tool": lambda name, request: name in request.tool_names,
    "tool_result_contains": lambda text, request: text in "\n".join(request.tool_results),
    "turn": lambda number, request: number == request.turn,
    "system": lambda text, request: text in request.system,
    "schema": lambda name, request: name in request.schema_names,
    "header": lambda wanted, request: _has_headers(request.raw_headers, wanted),
    "test": lambda pattern, _request: _is_running(pattern),
    "path": lambda wanted, request: fits_path(wanted, request.path, request.method),
    "recorded": lambda recorded, request: recorded.fits(request),
}


def _has_headers(headers: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    return all(name in headers and value in (None, headers[name]) for name, value in wanted.items())


def _is_running(pattern: str) -> bool:
    """Tell whether the running test has this id, or one that matches; pytest says which it is, with the phase."""
    running = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    return running == pattern or (bool(running) and fnmatchcase(running, pattern))


def _header(given: object) -> Mapping[str, str | None]:
    """Return the headers that are wanted, their names in lower case; None is any value."""
    pairs: Iterable[tuple[object, object]] = ()
    if isinstance(given, str):
        name, colon, value = given.partition(":")
        pairs = [(name, value.strip() if colon else None)]
    elif isinstance(given, Mapping):
        pairs = given.items()
    made = {
        name.strip().lower(): value
        for name, value in pairs
        if isinstance(name, str) and name.strip() and (value is None or isinstance(value, str))
    }
    if not made or len(made) != len(list(pairs)):
        msg = f"when(header={brief(given)}): give 'name: value', 'name' for any value, or a mapping of names to values"
        raise ScriptError(msg)
    return made


def method_and_path(wanted: str) -> tuple[str | None, str]:
    """Return what ``when(path=...)`` asks for: the method, if it names one, and the end of the path."""
    method, _, path = wanted.strip().rpartition(" ")
    return method.strip() or None, path


def fits_path(wanted: str, path: str, method: str) -> bool:
    """Tell whether a path ends as it should, whole parts only; ``*`` in what is wanted stands for one part."""
    wanted_method, end = method_and_path(wanted)
    parts, there = end.strip("/").split("/"), path.strip("/").split("/")
    fits = len(parts) <= len(there) and all(map(fnmatchcase, there[-len(parts) :], parts))
    return fits and wanted_method in {None, method}


def _truth(value: object) -> bool:
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError("it returned an awaitable, which nobody awaits: give a plain function")
    return bool(value)


def suggested(request: Request) -> dict[str, Any]:
    """Return the keywords of a ``when`` that a request meets; what is secret in it is left out."""
    tools, names = request.tool_names, request.schema_names
    meant = {
        "contains": _beginning(request.text),
        "system": _beginning(request.system),
        "model": request.model,
        "provider": request.provider,
        "tool": tools[0] if tools else None,
        "schema": names[0] if names else None,
        "turn": request.turn if request.turn > 1 else None,
    }
    secrets = Secrets()
    return {
        name: value
        for name, value in meant.items()
        if value and len(str(value)) <= _LONGEST and REDACTED not in secrets.shown(repr(value))
    }


def suggestion(request: Request) -> str:
    """Return the ``when(...)`` that a request meets, for a message."""
    return f"when({', '.join(f'{name}={value!r}' for name, value in suggested(request).items())})"


def _beginning(text: str) -> str:
    """Return the first words of a text."""
    line = text.lstrip().partition("\n")[0]
    return line if len(line) <= _BEGINNING else line[:_BEGINNING].rpartition(" ")[0] or line[:_BEGINNING]


def _is_async(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


@dataclass(slots=True, eq=False)
class Queued:
    """A script in the queue.

    Attributes:
        script: what is played.
        condition: for which requests.
        queued_at: the line that queued it.
        played: how many requests it has answered.
        is_optional: whether it may be left over.
        is_told: whether an error has already said that it was not played.
        serial: tells whether it was queued before or after a playbook was made.
    """

    script: Script | ComputedScript
    condition: Condition
    queued_at: CallSite | None = None
    is_optional: bool = False
    played: int = 0
    is_told: bool = False
    serial: int = field(default_factory=lambda: next(SERIALS))

    @property
    def is_left(self) -> bool:
        """Whether it can answer one more request."""
        return self.script.times is None or self.played < self.script.times

    @property
    def is_used(self) -> bool:
        """Whether it was played as often as it has to be, or an error has already told that it was not."""
        return self.is_told or self.is_optional or self.played >= (self.script.times or 1)

    def __str__(self) -> str:
        at = "" if self.queued_at is None else f", queued at {self.queued_at}"
        if self.script.times is None:
            played = f"{counted(self.played, 'time')}, meant for any number"
        else:
            played = f"{self.played} of {counted(self.script.times, 'time')}"
        return f"{brief(self.script)} for {self.condition}{at} (played {played})"
