"""OpenAI's batches: each line of the input file is answered as the request that it is, from the scripts.

https://platform.openai.com/docs/api-reference/batch. A batch is ``validating`` when it is made, and is done when it is
asked for.
"""

from __future__ import annotations

from typing import Any

from pytest_mockstream.wire.files import find_file, keep_file
from pytest_mockstream.wire.format import CREATED, BadRequestError, Json
from pytest_mockstream.wire.multipart import File
from pytest_mockstream.wire.plain import DeclinedError, PlainEndpoint, PlainRequest, page
from pytest_mockstream.wire.reading import json_object, text_field
from pytest_mockstream.wire.sse import json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "openai"
_DAY = 24 * 3600


def _create(request: PlainRequest) -> Json:
    told = {name: text_field(request.params, name) for name in ("input_file_id", "endpoint", "completion_window")}
    metadata = request.params.get("metadata")
    batch: Json = {
        "id": request.store.new_id("batch_"),
        "object": "batch",
        **told,
        "created_at": CREATED,
        "expires_at": CREATED + _DAY,
        "status": "validating",
        "errors": None,
        "output_file_id": None,
        "error_file_id": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": metadata,
    }
    request.store.put("batch", batch["id"], batch | _outcome(request, told))
    return batch


def _outcome(request: PlainRequest, told: Json) -> Json:
    """Answer all requests of a batch, and return what differs in it afterwards."""
    input_file = find_file(request, _US, told["input_file_id"])
    if input_file is None:
        return _failed(f"there is no file with the id {told['input_file_id']!r:.80}", None)
    lines: dict[bool, list[Json]] = {True: [], False: []}
    for number, line in enumerate(filter(None, input_file.text.splitlines()), 1):
        try:
            one = json_object(line.encode(errors="replace"))
            custom_id, url = text_field(one, "custom_id"), text_field(one, "url")
            if url != told["endpoint"]:
                raise BadRequestError(f"'url' is {url!r:.80}, but the batch is for {told['endpoint']!r:.80}")
            body = one.get("body")
            if not isinstance(body, dict):
                raise BadRequestError("'body' must be an object")
        except BadRequestError as error:
            return _failed(str(error), number)
        status, answer = _answer(request, url, body)
        response = {"status_code": status, "request_id": f"req_{number}", "body": answer}
        lines[status == 200].append(
            {"id": f"batch_req_{number}", "custom_id": custom_id, "response": response, "error": None}
        )
    if not any(lines.values()):
        return _failed("its input file is empty", None)
    counts = {"completed": len(lines[True]), "failed": len(lines[False])}
    return {
        "status": "completed",
        "in_progress_at": CREATED,
        "finalizing_at": CREATED,
        "completed_at": CREATED,
        "output_file_id": _keep(request, lines[True], "output"),
        "error_file_id": _keep(request, lines[False], "error"),
        "request_counts": {"total": sum(counts.values()), **counts},
    }


def _answer(request: PlainRequest, url: str, body: Json) -> tuple[int, Any]:
    try:
        return request.reply(url, body)
    except BadRequestError as error:
        return 400, {"error": {"message": str(error), "type": "invalid_request_error", "param": None, "code": None}}


def _failed(message: str, line: int | None) -> Json:
    error = {"code": "invalid_request", "message": message, "param": None, "line": line}
    return {"status": "failed", "failed_at": CREATED, "errors": {"object": "list", "data": [error]}}


def _keep(request: PlainRequest, lines: list[Json], name: str) -> str | None:
    if not lines:
        return None
    content = "".join(json_text(line) + "\n" for line in lines).encode()
    file = File(filename=f"batch_{name}.jsonl", content_type="application/jsonl", content=content)
    return keep_file(request, _US, file, prefix="file-", purpose="batch_output").id


def _list(request: PlainRequest) -> Json:
    return page(request.store.all("batch").values())


def _cancel(request: PlainRequest) -> Json:
    batch: Json = request.kept("batch", "batch")
    if batch["status"] == "cancelled":
        raise DeclinedError(f"the batch {batch['id']} is cancelled already", status=409)
    over = batch | {"status": "cancelled", "cancelling_at": CREATED, "cancelled_at": CREATED}
    request.store.put("batch", batch["id"], over)
    return over | {"status": "cancelling", "cancelled_at": None}


ENDPOINTS = (
    PlainEndpoint(
        _US,
        "POST …/batches",
        None,
        _create,
        tells="`validating`; each line of the input file is answered as a request, from the scripts",
    ),
    PlainEndpoint(_US, "GET …/batches", None, _list, tells="all batches"),
    PlainEndpoint(
        _US,
        "GET …/batches/{id}",
        None,
        lambda asked: asked.kept("batch", "batch"),
        tells="`completed`, with an output file; `failed` if the input file is not valid",
    ),
    PlainEndpoint(_US, "POST …/batches/{id}/cancel", None, _cancel, tells="`cancelling`"),
)
