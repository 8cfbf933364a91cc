"""Gemini's batches: each request in a batch, or on a line of its file, is answered from the scripts.

https://ai.google.dev/api/batch-api. A batch is pending when it is made, and has succeeded when it is asked for.
"""

from __future__ import annotations

from typing import Any

from pytest_mockstream.wire.files import find_file, keep_file
from pytest_mockstream.wire.format import CREATED_TEXT, BadRequestError, Json
from pytest_mockstream.wire.multipart import File
from pytest_mockstream.wire.plain import DeclinedError, PlainEndpoint, PlainRequest
from pytest_mockstream.wire.reading import json_object, objects
from pytest_mockstream.wire.sse import json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "gemini"
_KIND = "gemini batch"


def _part(body: Json, name: str) -> Json:
    found = body.get(name)
    if not isinstance(found, dict):
        raise BadRequestError(f"{name!r} must be an object")
    return found


def _create(request: PlainRequest) -> Json:
    batch = _part(request.params, "batch")
    given = _part(batch, "inputConfig")
    key = request.store.new_id("batch-")
    about = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "name": f"batches/{key}",
        "model": f"models/{request.model}",
        "displayName": batch.get("displayName") or "",
        "createTime": CREATED_TEXT,
        "updateTime": CREATED_TEXT,
    }
    output = _from_file(request, given["fileName"]) if "fileName" in given else _inline(request, given)
    done = {"state": "BATCH_STATE_SUCCEEDED", "endTime": CREATED_TEXT, "output": output}
    ended = {"name": f"batches/{key}", "metadata": about | done, "done": True, "response": output}
    request.store.put(_KIND, key, ended)
    return {"name": f"batches/{key}", "metadata": about | {"state": "BATCH_STATE_PENDING"}}


def _answer(request: PlainRequest, one: Any) -> Json:
    try:
        body = _part(one, "request")
        status, answer = request.reply(f"/models/{request.model}:generateContent", body)
    except BadRequestError as error:
        return {"error": {"code": 3, "message": str(error)}}
    return {"response": answer} if status == 200 else {"error": {"code": 13, "message": answer["error"]["message"]}}


def _inline(request: PlainRequest, given: Json) -> Json:
    asked = objects(_part(given, "requests"), "requests", required=True)
    answers = [_answer(request, one) | ({"metadata": one["metadata"]} if "metadata" in one else {}) for one in asked]
    return {"inlinedResponses": {"inlinedResponses": answers}}


def _from_file(request: PlainRequest, name: Any) -> Json:
    file = find_file(request, _US, str(name).removeprefix("files/"))
    if file is None:
        raise DeclinedError(f"no file has the name {name!r:.80}: upload it before")
    lines = [json_object(line.encode(errors="replace")) for line in filter(None, file.text.splitlines())]
    answers = [{"key": line.get("key"), **_answer(request, line)} for line in lines]
    content = "".join(json_text(answer) + "\n" for answer in answers).encode()
    result = File(filename="responses.jsonl", content_type="application/jsonl", content=content)
    return {"responsesFile": f"files/{keep_file(request, _US, result, prefix='batch-').id}"}


def _of(request: PlainRequest) -> Json:
    found: Json = request.kept(_KIND, "batch")
    return found


def _list(request: PlainRequest) -> Json:
    return {"operations": list(request.store.all(_KIND).values())}


def _cancel(request: PlainRequest) -> Json:
    batch = _of(request)
    about = {name: value for name, value in batch["metadata"].items() if name not in {"output", "endTime"}}
    cancelled = {"name": batch["name"], "metadata": about | {"state": "BATCH_STATE_CANCELLED"}, "done": True}
    request.store.put(_KIND, request.groups["id"], cancelled)
    return {}


def _delete(request: PlainRequest) -> Json:
    _of(request)
    request.store.remove(_KIND, request.groups["id"])
    return {}


_KEY = "x-goog-api-key"
ENDPOINTS = (
    PlainEndpoint(
        _US,
        "POST …/models/{model}:batchGenerateContent",
        None,
        _create,
        tells="pending; each request is answered from the scripts",
    ),
    PlainEndpoint(_US, "GET …/batches", None, _list, _KEY, tells="all batches"),
    PlainEndpoint(_US, "GET …/batches/{id}", None, _of, _KEY, tells="succeeded, with the answers or a file of them"),
    PlainEndpoint(_US, "POST …/batches/{id}:cancel", None, _cancel, tells="an empty object"),
    PlainEndpoint(_US, "DELETE …/batches/{id}", None, _delete, _KEY, tells="forgets the batch"),
)
