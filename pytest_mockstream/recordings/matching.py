"""Narrows what requests are matched by, and tells how two of them differ and which is nearest.

It is pure, and sees requests only as ``canonical`` returned them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: What ``match=`` may be: paths of fields, or what makes of a request that which counts.
Match: TypeAlias = "Sequence[str] | Callable[[dict[str, Any]], Any]"

FIELDS = ("provider", "model", "endpoint", "messages", "tools", "params")
_STEP = re.compile(r"(?P<name>[A-Za-z_][\w-]*)|\[(?P<place>-?[0-9]{1,9}|\*)\]")
_PATH = re.compile(r"[A-Za-z_][\w-]*(?:\[(?:-?[0-9]{1,9}|\*)\]|\.[A-Za-z_][\w-]*)*")
_LEGAL = (
    f"give a list of paths that begin with {', '.join(FIELDS)}, such as 'messages[-1].content', 'params.temperature'"
    " or 'tools[*].name'; or a callable"
)

_MISSING = object()
_SHOWN = 60
_BEFORE = 20

# How much is looked at to find out how near one request is to another.

_LOOKED_AT = 2000
_MEMBERS = 50
_LEVELS = 4
_WEIGHTS = {"messages": 8.0, "provider": 4.0, "model": 2.0, "endpoint": 4.0}


def checked_match(match: object) -> Match | None:
    """Return what requests are to be matched by: paths, a callable, or None for all that ``canonical`` returns.

    Raises:
        ScriptError: it is none of these, a path cannot be read, or it begins with no field of a request.
    """
    if match is None or callable(match):
        return match
    if not isinstance(match, list | tuple) or not match:
        raise ScriptError(f"match={brief(match)}: {_LEGAL}")
    for path in match:
        if not isinstance(path, str) or _PATH.fullmatch(path) is None:
            raise ScriptError(f"match={brief(match)}: {brief(path)} is no path; {_LEGAL}")
        if (first := re.split(r"[.\[]", path)[0]) not in FIELDS:
            raise ScriptError(f"match={brief(match)}: a request has no {first!r}; {_LEGAL}")
    return tuple(match)


def narrowed(canonical: dict[str, Any], match: object) -> dict[str, Any]:
    """Return that of a request by which it is matched.

    Args:
        canonical: what ``canonical`` returned.
        match: None for all of it; a list of paths of fields: the result has the value of each, None where there is
            none; or a callable that gets a copy of ``canonical`` and returns something JSON-like.

    Raises:
        ScriptError: ``match`` is not legal, or the callable returned what cannot be written as JSON.
    """
    match = checked_match(match)
    if match is None:
        return canonical
    if callable(match):
        made = match(copy.deepcopy(canonical))
        try:
            json.dumps(made, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ScriptError(f"match= returned {brief(made)}, which cannot be written as JSON: {error}") from None
        return made if isinstance(made, dict) else {"match": made}
    return {path: _at(canonical, list(_steps(path))) for path in match}


def _steps(path: str) -> Iterator[str | int]:
    for step in _STEP.finditer(path):
        place = step["place"]
        yield step["name"] if place is None else place if place == "*" else int(place)


def _at(value: Any, steps: Sequence[str | int]) -> Any:
    """Return what stands at a path; None if nothing does."""
    for number, step in enumerate(steps):
        if step == "*":
            rest = steps[number + 1 :]
            return [_at(one, rest) for one in value] if isinstance(value, list) else None
        if isinstance(step, int):
            is_there = isinstance(value, list) and -len(value) <= step < len(value)
        else:
            is_there = isinstance(value, dict) and step in value
        if not is_there:
            return None
        value = value[step]
    return value


def first_difference(asked: Any, recorded: Any) -> str | None:
    """Return where two requests first differ, in words, with what each has there; None if they are the same.

    Args:
        asked: what came, as ``canonical`` or ``narrowed`` returned it.
        recorded: what was recorded.

    Example:
        >>> first_difference({"model": "gpt-5"}, {"model": "gpt-4o"})
        "model: asked 'gpt-5', recorded 'gpt-4o'"
    """
    return next(_differences(asked, recorded, ""), None)


def _differences(asked: Any, recorded: Any, path: str) -> Iterator[str]:
    if isinstance(asked, dict) and isinstance(recorded, dict):
        for name in sorted(asked.keys() | recorded.keys(), key=_rank):
            inner = f"{path}.{name}" if path else str(name)
            yield from _differences(asked.get(name, _MISSING), recorded.get(name, _MISSING), inner)
    elif isinstance(asked, list) and isinstance(recorded, list):
        for place in range(max(len(asked), len(recorded))):
            one, other = (value[place] if place < len(value) else _MISSING for value in (asked, recorded))
            yield from _differences(one, other, f"{path}[{place}]")
    elif not _is_same(asked, recorded):
        yield f"{path or 'the request'}: {_in_words(asked, recorded)}"


def _rank(name: str) -> tuple[int, str]:
    first = (*FIELDS, "role", "name")
    return (first.index(name) if name in first else len(first), name)


def _is_same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)  # 1 is not true


def _in_words(asked: Any, recorded: Any) -> str:
    if asked is _MISSING:
        return f"not asked, recorded {_brief(recorded)}"
    if recorded is _MISSING:
        return f"asked {_brief(asked)}, not recorded"
    if not isinstance(asked, str) or not isinstance(recorded, str):
        return f"asked {_brief(asked)}, recorded {_brief(recorded)}"
    start = max(0, _same_beginning(asked, recorded) - _BEFORE)
    return f"asked {_brief(asked, start)}, recorded {_brief(recorded, start)}"


def _brief(value: Any, start: int = 0) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if start and len(text) <= _SHOWN:
        start = 0
    cut = f"{'...' * bool(start)}{text[start : start + _SHOWN]}{'...' * (len(text) > start + _SHOWN)}"
    return repr(cut) if isinstance(value, str) else cut


def _same_beginning(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginnings."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one.startswith(other[:middle]) else (low, middle - 1)
    return low


def nearest(wanted: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the position of the request that is most like another, the first of several; None if there is none.

    Of each, only the first and the last messages are looked at: what it costs grows with the number of requests, and
    not with that of their messages.

    Args:
        wanted: what came, as ``canonical`` or ``narrowed`` returned it.
        others: what it might have been.
    """
    scores = [_likeness_of_requests(wanted, other) for other in others]
    return scores.index(max(scores)) if scores else None


def _likeness_of_requests(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    names = one.keys() | other.keys()
    return sum(_WEIGHTS.get(name, 1.0) * _likeness(one.get(name), other.get(name), _LEVELS) for name in names)


def _likeness(one: Any, other: Any, levels: int) -> float:
    """Return how like two values are, from 0 to 1."""
    if levels and isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys())[:_MEMBERS]
        like = sum(_likeness(one.get(name), other.get(name), levels - 1) for name in names)
        return like / len(names) if names else 1.0
    if levels and isinstance(one, list) and isinstance(other, list):
        return _likeness_of_lists(one, other, levels) if one or other else 1.0
    if _is_same(one, other):
        return 1.0
    if isinstance(one, str) and isinstance(other, str):
        longer = max(len(one), len(other))
        begins = _same_beginning(one[:_LOOKED_AT], other[:_LOOKED_AT])
        ends = _same_beginning(one[: -_LOOKED_AT - 1 : -1], other[: -_LOOKED_AT - 1 : -1])
        return 0.9 * min(1.0, (begins + ends) / min(longer, 2 * _LOOKED_AT))
    return 0.0


def _likeness_of_lists(one: list[Any], other: list[Any], levels: int) -> float:
    """Return how like two lists are: how they begin and end, how like the first are that differ, and their lengths."""
    shorter, longer = sorted((len(one), len(other)))
    most = min(shorter, _MEMBERS)
    begins = next((place for place in range(most) if one[place] != other[place]), most)
    most = min(shorter - begins, _MEMBERS)
    ends = next((place for place in range(most) if one[~place] != other[~place]), most)
    like = _likeness(one[begins], other[begins], levels - 1) if begins + ends < shorter else 0.0
    return 0.7 * (begins + ends + like) / min(longer, 2 * _MEMBERS + 1) + 0.3 * shorter / longer
