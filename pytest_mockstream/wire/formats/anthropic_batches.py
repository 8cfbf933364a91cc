"""Anthropic's message batches: each request in a batch is answered from the scripts.

https://docs.anthropic.com/en/api/creating-message-batches. A batch is ``in_progress`` when it is made, and has ended
when it is asked for.
"""

from __future__ import annotations

from typing import Any

from pytest_mockstream.wire.errors import anthropic_error
from pytest_mockstream.wire.format import CREATED_TEXT, EXPIRES_TEXT, BadRequestError, Json
from pytest_mockstream.wire.plain import DeclinedError, PlainEndpoint, PlainRequest, Told
from pytest_mockstream.wire.reading import objects, text_field
from pytest_mockstream.wire.sse import json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "anthropic"
_KIND = "message batch"
_OUTCOMES = ("processing", "succeeded", "errored", "canceled", "expired")


def _counts(**some: int) -> Json:
    return dict.fromkeys(_OUTCOMES, 0) | some


def _create(request: PlainRequest) -> Json:
    asked = objects(request.params, "requests", required=True)
    names = [text_field(one, "custom_id") for one in asked]
    if len(set(names)) < len(names):
        raise BadRequestError("'requests' has one 'custom_id' twice")
    name = request.store.new_id("msgbatch_")
    begun: Json = {
        "id": name,
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": _counts(processing=len(asked)),
        "created_at": CREATED_TEXT,
        "expires_at": EXPIRES_TEXT,
        "ended_at": None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }
    results: list[Json] = [
        {"custom_id": custom_id, "result": _result(request, one.get("params"))}
        for custom_id, one in zip(names, asked, strict=True)
    ]
    good = sum(line["result"]["type"] == "succeeded" for line in results)
    ended = begun | {
        "processing_status": "ended",
        "request_counts": _counts(succeeded=good, errored=len(results) - good),
        "ended_at": CREATED_TEXT,
        "results_url": f"{request.base}/v1/messages/batches/{name}/results",
    }
    request.store.put(_KIND, name, (ended, results))
    return begun


def _result(request: PlainRequest, params: Any) -> Json:
    try:
        if not isinstance(params, dict):
            raise BadRequestError("'params' must be an object")
        status, body = request.reply("/v1/messages", params)
    except BadRequestError as error:
        status, body = 400, anthropic_error(400, str(error))
    if status == 200:
        return {"type": "succeeded", "message": body}
    return {"type": "errored", "error": body | {"request_id": f"req_{request.number}"}}


def _of(request: PlainRequest) -> tuple[Json, list[Json]]:
    found: tuple[Json, list[Json]] = request.kept(_KIND, "message batch")
    return found


def _list(request: PlainRequest) -> Json:
    data = [batch for batch, _ in request.store.all(_KIND).values()][::-1]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def _results(request: PlainRequest) -> Told:
    _, results = _of(request)
    lines = "".join(json_text(line) + "\n" for line in results)
    return Told(pieces=(lines.encode(),), content_type="application/x-jsonl")


def _cancel(request: PlainRequest) -> Json:
    batch, results = _of(request)
    if batch["cancel_initiated_at"]:
        raise DeclinedError(f"the batch {batch['id']} is cancelled already", status=400)
    gone: list[Json] = [{"custom_id": line["custom_id"], "result": {"type": "canceled"}} for line in results]
    cancelled = batch | {"request_counts": _counts(canceled=len(gone)), "cancel_initiated_at": CREATED_TEXT}
    request.store.put(_KIND, batch["id"], (cancelled, gone))
    still = {"processing_status": "canceling", "ended_at": None, "results_url": None}
    return cancelled | still | {"request_counts": _counts(processing=len(gone))}


def _delete(request: PlainRequest) -> Json:
    batch, _ = _of(request)
    request.store.remove(_KIND, batch["id"])
    return {"id": batch["id"], "type": "message_batch_deleted"}


_BATCHES = "…/v1/messages/batches"
ENDPOINTS = (
    PlainEndpoint(
        _US,
        f"POST {_BATCHES}",
        None,
        _create,
        tells="`in_progress`; each request is answered from the scripts",
    ),
    PlainEndpoint(_US, f"GET {_BATCHES}", None, _list, tells="all batches"),
    PlainEndpoint(_US, f"GET {_BATCHES}/{{id}}", None, lambda asked: _of(asked)[0], tells="`ended`, with its results"),
    PlainEndpoint(
        _US, f"GET {_BATCHES}/{{id}}/results", None, _results, says="application/x-jsonl", tells="a result on each line"
    ),
    PlainEndpoint(_US, f"POST {_BATCHES}/{{id}}/cancel", None, _cancel, tells="`canceling`"),
    PlainEndpoint(_US, f"DELETE {_BATCHES}/{{id}}", None, _delete, tells="forgets the batch"),
)
