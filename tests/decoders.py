"""Decoders written from the specifications, knowing nothing of the encoders they judge."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Decoded(NamedTuple):
    """One event as a reader of an event stream gets it."""

    name: str
    data: str


def decode_sse(body: bytes) -> list[Decoded]:
    """Follow https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation, all of it."""
    text = body.decode("utf-8", errors="replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    events: list[Decoded] = []
    name, data = "", ""
    for line in lines[:-1]:  # what follows the last line end is no line
        if not line:
            if data:
                events.append(Decoded(name or "message", data.removesuffix("\n")))
            name, data = "", ""
            continue
        if line.startswith(":"):
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data += value + "\n"
    return events


def decode_ndjson(body: bytes) -> list[Any]:
    """Parse one JSON text a line."""
    return [json.loads(line) for line in body.decode().split("\n") if line.strip()]
