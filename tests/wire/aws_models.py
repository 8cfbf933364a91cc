"""Judges answers of Bedrock by botocore's own model of the service, more strictly than its parser, which skips."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from botocore.eventstream import EventStreamBuffer
from botocore.loaders import Loader
from botocore.model import ServiceModel

_SCALARS: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "blob": (str,),
    "double": (int, float),
    "float": (int, float),
    "integer": (int,),
    "long": (int,),
    "string": (str,),
}


class Message(NamedTuple):
    """One message of a stream.

    Attributes:
        kind: event, exception or error.
        name: of its type; of an error, its code.
        said: its payload.
    """

    kind: str
    name: str
    said: Any


@cache
def service() -> ServiceModel:
    """Return botocore's model of the runtime of Bedrock."""
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


def messages(body: bytes) -> list[Message]:
    """Decode a whole event stream."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    return [_message(one) for one in buffer]


def _message(read: Any) -> Message:
    kind = read.headers[":message-type"]
    if kind == "error":
        return Message(kind, read.headers[":error-code"], read.headers[":error-message"])
    assert read.headers[":content-type"] == "application/json"
    return Message(kind, read.headers[f":{kind}-type"], json.loads(read.payload))


def faults_of_stream(body: bytes, stream: str) -> Iterator[str]:
    """Yield what is wrong with a stream, whose shape is that of this name."""
    shape: Any = service().shape_for(stream)
    for kind, name, said in messages(body):
        member = shape.members.get(name)
        if member is None or kind != ("exception" if member.metadata.get("exception") else "event"):
            yield f"{kind} {name} is not known"
        else:
            yield from faults(said, member, name)


def faults(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Yield what is wrong with a value of a shape: members that are not known or missing, types, words, ranges."""
    if shape.type_name == "structure" and not shape.is_document_type:
        yield from _structure(value, shape, path)
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            yield from faults(item, shape.member, f"{path}[{index}]")
    elif shape.type_name == "map":
        for name, item in value.items():
            yield from faults(item, shape.value, f"{path}.{name}")
    elif shape.type_name in _SCALARS:
        yield from _scalar(value, shape, path)


def _structure(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {value!r}, and no {shape.name}"
        return
    if shape.is_tagged_union and len(value) != 1:
        yield f"{path} is a union, and has {sorted(value)}"
    names = {member.serialization.get("name", name): member for name, member in shape.members.items()}
    missing = [name for name in shape.required_members if name not in value]
    yield from (f"{path}.{name} is missing" for name in missing)
    for name, item in value.items():
        if name in names:
            yield from faults(item, names[name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is not known"


def _scalar(value: Any, shape: Any, path: str) -> Iterator[str]:
    if not isinstance(value, _SCALARS[shape.type_name]) or (isinstance(value, bool) and shape.type_name != "boolean"):
        yield f"{path} is {value!r}, and no {shape.type_name}"
    elif (words := getattr(shape, "enum", None)) and value not in words:
        yield f"{path} is {value!r}, and none of {words}"
    elif (low := shape.metadata.get("min")) is not None and (len(value) if isinstance(value, str) else value) < low:
        yield f"{path} is {value!r}, less than {low}"
