"""Compares what came with what our encoder would send, and with what came another time: fields, not words.

A field is a path in the JSON of the frames, ``choices[].delta.content``, with the type of what stands there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_mockstream.wire import Event, FrameReader, Framing

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Fields whose value is another one in each reply, or made of the request's number by us: that they differ is no loss.
_OF_EACH_REPLY = frozenset(
    {
        *("id", "item_id", "response_id", "responseId", "requestID", "tool_use_id", "container_id"),
        *("sequence_number", "system_fingerprint"),
        *("created", "created_at", "completed_at", "createTime", "model", "modelVersion", "service_tier"),
        *("obfuscation", "signature", "thoughtSignature", "encrypted_content", "encrypted_index"),
        *("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"),
    }
)
_MOST_VALUES = 4  # of a field that is one of a few words; more are text
_LONGEST = 60  # characters of a value that is shown


@dataclass(slots=True)
class Shape:
    """What the frames of one reply look like.

    Attributes:
        fields: the types that each path has, as JSON calls them.
        values: the values of each path that says one of a few things.
        events: the names of the events, in the order in which they first came.
    """

    fields: dict[str, set[str]] = field(default_factory=dict)
    values: dict[str, set[Any]] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def note(self, path: str, value: Any) -> None:
        """Note what stands at a path."""
        self.fields.setdefault(path, set()).add(_type_of(value))
        if isinstance(value, str | bool | int) and value != "":
            self.values.setdefault(path, set()).add(value)

    def table(self) -> dict[str, list[str]]:
        """Return it as a recording has it: each path with its types, and the events."""
        fields = [f"{path}: {'|'.join(sorted(types))}" for path, types in sorted(self.fields.items())]
        return {"fields": fields, "events": self.events}


def shape_of(body: bytes, framing: Framing | None) -> Shape:
    """Return the shape of a body; of one that is no JSON, it is empty."""
    shape = Shape()
    for event, text in _frames(body, framing):
        name, value = event, None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            name = event or (text if len(text) <= _LONGEST else "")
        kind = name or (value.get("type") if isinstance(value, Mapping) else None)
        if isinstance(kind, str) and kind and kind not in shape.events:
            shape.events.append(kind)
        if isinstance(value, Mapping | list):
            for path, one in _leaves(value, ""):
                shape.note(path, one)
    return shape


def _frames(body: bytes, framing: Framing | None) -> Iterator[tuple[str, str]]:
    if framing is None:
        yield "", body.decode(errors="replace")
        return
    reader = FrameReader(framing)
    for one in (*reader.feed(body), *reader.end()):
        if isinstance(one, Event):
            yield one.name or "", one.data


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    level = [(path, value)]
    while level:
        path, value = level.pop()
        if isinstance(value, Mapping) and value:
            level += [(f"{path}.{key}" if path else str(key), one) for key, one in value.items()]
        elif isinstance(value, list) and value:
            level += [(f"{path}[]", one) for one in value]
        else:
            yield path, value


def _type_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
    return kinds.get(type(value), "array" if isinstance(value, list) else "object")


def lost(came: Shape, ours: Shape) -> list[str]:
    """Return what came and is not in what our encoder sends: fields, values of fields, and events."""
    told = [f"event {name}" for name in came.events if name not in ours.events]
    for path, types in sorted(came.fields.items()):
        name = path.rpartition(".")[2].removesuffix("[]")
        if path not in ours.fields:
            if types - {"null"} and name not in _OF_EACH_REPLY:
                values = came.values.get(path, set())
                told.append(path + (f" = {_shown(values)}" if 0 < len(values) <= _MOST_VALUES else ""))
            continue
        values = came.values.get(path, set())
        others = values - ours.values.get(path, set())
        if others and len(values) <= _MOST_VALUES and name not in _OF_EACH_REPLY:
            told.append(f"{path} = {_shown(others)}")
    return told


def _shown(values: Iterable[Any]) -> str:
    said = ", ".join(sorted(json.dumps(value, ensure_ascii=False) for value in values))
    return said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"


def drift(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> list[str]:
    """Return how the shape of a reply has changed: new, lost and retyped fields, and the order of events."""
    old, new = _by_path(before.get("fields", [])), _by_path(now.get("fields", []))
    told = [f"new field {path}: {new[path]}" for path in new if path not in old]
    told += [f"lost field {path}: {old[path]}" for path in old if path not in new]
    for path in old:
        if path in new and _types(new[path]) - _types(old[path]) - {"null"}:
            told.append(f"field {path} was {old[path]}, and is {new[path]} now")
    events_before, events_now = list(before.get("events", [])), list(now.get("events", []))
    if events_before != events_now:
        told.append(f"events were {' '.join(events_before) or 'none'}, and are {' '.join(events_now) or 'none'} now")
    return told


def _by_path(fields: Iterable[str]) -> dict[str, str]:
    return {path: types for path, _, types in (line.rpartition(": ") for line in fields)}


def _types(types: str) -> set[str]:
    return set(types.split("|"))


def merged(shapes: Iterable[Mapping[str, list[str]]]) -> dict[str, list[str]]:
    """Return what several replies of one format have, all together; the events of the first that has any."""
    fields: dict[str, set[str]] = {}
    events: list[str] = []
    for shape in shapes:
        for path, types in _by_path(shape.get("fields", [])).items():
            fields.setdefault(path, set()).update(_types(types))
        for name in shape.get("events", []):
            if name not in events:
                events.append(name)
    return {
        "fields": [f"{path}: {'|'.join(sorted(types))}" for path, types in sorted(fields.items())],
        "events": events,
    }
