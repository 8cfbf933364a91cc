"""OpenAI's conversations: their items are kept for the rest of the test.

https://platform.openai.com/docs/api-reference/conversations
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_mockstream.wire.format import CREATED, BadRequestError, Json
from pytest_mockstream.wire.plain import DeclinedError, PlainEndpoint, PlainRequest
from pytest_mockstream.wire.reading import objects

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "openai"
_KIND = "conversation"


def _metadata(request: PlainRequest) -> Json:
    metadata = request.params.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise BadRequestError("'metadata' must be an object")
    return metadata or {}


def _create(request: PlainRequest) -> Json:
    name = request.store.new_id("conv_")
    shown = {"id": name, "object": "conversation", "created_at": CREATED, "metadata": _metadata(request)}
    items = tuple(_item(request, item) for item in objects(request.params, "items"))
    request.store.put(_KIND, name, (shown, items))
    return shown


def _of(request: PlainRequest) -> tuple[Json, tuple[Json, ...]]:
    found: tuple[Json, tuple[Json, ...]] = request.kept(_KIND, "conversation")
    return found


def _update(request: PlainRequest) -> Json:
    shown, items = _of(request)
    shown = shown | {"metadata": _metadata(request)}
    request.store.put(_KIND, shown["id"], (shown, items))
    return shown


def _delete(request: PlainRequest) -> Json:
    shown, _ = _of(request)
    request.store.remove(_KIND, shown["id"])
    return {"id": shown["id"], "object": "conversation.deleted", "deleted": True}


def _item(request: PlainRequest, given: Mapping[str, Any]) -> Json:
    name = request.store.new_id("item_")
    if given.get("type", "message") != "message":
        return {"id": name, "status": "completed", **given}
    role = given.get("role", "user")
    text = {"type": "output_text", "annotations": [], "logprobs": []} if role == "assistant" else {"type": "input_text"}
    content = given.get("content", "")
    parts = [{**text, "text": content}] if isinstance(content, str) else content
    return {"id": name, "type": "message", "role": role, "status": "completed", "content": parts}


def _page(items: list[Json]) -> Json:
    ends = {"first_id": items[0]["id"] if items else "", "last_id": items[-1]["id"] if items else ""}
    return {"object": "list", "data": items, "has_more": False, **ends}


def _add_items(request: PlainRequest) -> Json:
    shown, items = _of(request)
    added = [_item(request, item) for item in objects(request.params, "items", required=True)]
    request.store.put(_KIND, shown["id"], (shown, (*items, *added)))
    return _page(added)


def _list_items(request: PlainRequest) -> Json:
    items = list(_of(request)[1])
    return _page(items if request.query.get("order") == "asc" else items[::-1])


def _one_item(request: PlainRequest) -> Json:
    wanted = request.groups["item"]
    for item in _of(request)[1]:
        if item["id"] == wanted:
            return item
    raise DeclinedError(f"the conversation has no item with the id {wanted!r:.80}")


def _remove_item(request: PlainRequest) -> Json:
    gone = _one_item(request)
    shown, items = _of(request)
    request.store.put(_KIND, shown["id"], (shown, tuple(item for item in items if item is not gone)))
    return shown


ENDPOINTS = (
    PlainEndpoint(_US, "POST …/conversations", None, _create, tells="a conversation, with its items"),
    PlainEndpoint(_US, "GET …/conversations/{id}", None, lambda request: _of(request)[0], tells="the conversation"),
    PlainEndpoint(_US, "POST …/conversations/{id}", None, _update, tells="the conversation with new metadata"),
    PlainEndpoint(_US, "DELETE …/conversations/{id}", None, _delete, tells="forgets the conversation"),
    PlainEndpoint(_US, "POST …/conversations/{id}/items", None, _add_items, tells="keeps the items"),
    PlainEndpoint(_US, "GET …/conversations/{id}/items", None, _list_items, tells="the items"),
    PlainEndpoint(_US, "GET …/conversations/{id}/items/{item}", None, _one_item, tells="the item"),
    PlainEndpoint(_US, "DELETE …/conversations/{id}/items/{item}", None, _remove_item, tells="forgets the item"),
)
