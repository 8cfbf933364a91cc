"""OpenAI's responses once more: retrieved, also streamed from an event on, cancelled, deleted, and their input.

https://platform.openai.com/docs/api-reference/responses/get and https://platform.openai.com/docs/guides/background
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream.wire.format import BadRequestError, Json
from pytest_mockstream.wire.plain import DeclinedError, Kept, PlainEndpoint, PlainRequest, Recalled
from pytest_mockstream.wire.reading import joined_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "openai"
_KIND = "response"


def _kept(request: PlainRequest) -> Kept | Json:
    """Return the response that the path names; one that was cancelled is JSON."""
    kept: Kept | Json = request.kept(_KIND, "response")
    return kept


def _retrieve(request: PlainRequest) -> Recalled | Json:
    kept = _kept(request)
    if not isinstance(kept, Kept):
        return kept
    if request.query.get("stream") != "true":
        return Recalled(kept=kept)
    after = request.query.get("starting_after", "-1")
    if not after.removeprefix("-").isdecimal():
        raise BadRequestError(f"'starting_after' must be the number of an event, but it is {after!r:.80}")
    return Recalled(kept=kept, framing="sse", after=int(after))


def _cancel(request: PlainRequest) -> Json:
    kept = _kept(request)
    if not isinstance(kept, Kept):
        return kept
    keeping = kept.wire.keeping
    begun = None if keeping is None else keeping.begun(kept.reply)
    if begun is None:
        raise DeclinedError("only a response that was made with background=true can be cancelled", status=400)
    cancelled = begun | {"status": "cancelled"}
    request.store.put(_KIND, request.groups["id"], cancelled)
    return cancelled


def _delete(request: PlainRequest) -> Json:
    _kept(request)
    request.store.remove(_KIND, request.groups["id"])
    return {"id": request.groups["id"], "object": "response", "deleted": True}


def _input_items(request: PlainRequest) -> Json:
    kept = _kept(request)
    items = list(_items(kept.request.messages)) if isinstance(kept, Kept) else []
    items = items if request.query.get("order") == "asc" else items[::-1]
    ends = {"first_id": items[0]["id"] if items else "", "last_id": items[-1]["id"] if items else ""}
    return {"object": "list", "data": items, "has_more": False, **ends}


def _items(messages: list[Mapping[str, Any]]) -> Iterator[Json]:
    for number, message in enumerate(messages):
        name, role = f"msg_input_{number}", message.get("role")
        if role == "tool":
            output = joined_text(message.get("content", ""))
            told = {"call_id": str(message.get("tool_call_id")), "output": output, "status": "completed"}
            yield {"id": name, "type": "function_call_output", **told}
            continue
        for call in message.get("tool_calls") or ():
            told = {"call_id": str(call.get("id")), "status": "completed", **call.get("function", {})}
            yield {"id": f"{name}_call", "type": "function_call", **told}
        text = joined_text(message.get("content", ""))
        if not text:
            continue
        said = (
            {"type": "output_text", "annotations": [], "logprobs": []}
            if role == "assistant"
            else {"type": "input_text"}
        )
        content = [{**said, "text": text}]
        yield {"id": name, "type": "message", "role": role, "status": "completed", "content": content}


ENDPOINTS = (
    PlainEndpoint(
        _US,
        "GET …/responses/{id}",
        None,
        _retrieve,
        tells="the response that was made before, which with `background=True` is complete now; also streamed",
    ),
    PlainEndpoint(_US, "POST …/responses/{id}/cancel", None, _cancel, tells="`cancelled`, if it ran in the background"),
    PlainEndpoint(_US, "DELETE …/responses/{id}", None, _delete, tells="forgets the response"),
    PlainEndpoint(_US, "GET …/responses/{id}/input_items", None, _input_items, tells="what the response was asked"),
)
