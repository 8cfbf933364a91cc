"""OpenAI's files and uploads: what was uploaded can be listed, read and deleted for the rest of the test.

https://platform.openai.com/docs/api-reference/files and https://platform.openai.com/docs/api-reference/uploads
"""

from __future__ import annotations

from pytest_mockstream.wire.files import KeptFile, content, file_of, files_of, keep_file, removed, sent_file
from pytest_mockstream.wire.format import CREATED, BadRequestError, Json
from pytest_mockstream.wire.multipart import File
from pytest_mockstream.wire.plain import DeclinedError, PlainEndpoint, PlainRequest, page
from pytest_mockstream.wire.reading import text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "openai"
_HOUR = 3600


def _shown(kept: KeptFile) -> Json:
    return {
        "id": kept.id,
        "object": "file",
        "bytes": len(kept.file.content),
        "created_at": CREATED,
        "filename": kept.file.filename,
        "purpose": kept.purpose,
        "status": "processed",
        "expires_at": None,
    }


def _create(request: PlainRequest) -> Json:
    purpose = text_field(request.params, "purpose")
    return _shown(keep_file(request, _US, sent_file(request), prefix="file-", purpose=purpose))


def _retrieve(request: PlainRequest) -> Json:
    return _shown(file_of(request, _US))


def _list(request: PlainRequest) -> Json:
    purpose = request.query.get("purpose")
    return page(_shown(kept) for kept in files_of(request, _US) if purpose is None or kept.purpose == purpose)


# Uploads: a file in parts, which are joined in the order that the last request gives.


def _begin(request: PlainRequest) -> Json:
    told = {name: text_field(request.params, name) for name in ("filename", "mime_type", "purpose")}
    size = request.params.get("bytes")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BadRequestError("'bytes' must be the size of the file, a whole number")
    upload: Json = {
        "id": request.store.new_id("upload_"),
        "object": "upload",
        "bytes": size,
        "created_at": CREATED,
        "expires_at": CREATED + _HOUR,
        "filename": told["filename"],
        "purpose": told["purpose"],
        "status": "pending",
        "file": None,
    }
    request.store.put("upload", upload["id"], (upload, told["mime_type"]))
    return upload


def _pending(request: PlainRequest) -> tuple[Json, str]:
    upload, mime_type = request.kept("upload", "upload")
    if upload["status"] != "pending":
        raise DeclinedError(f"the upload {upload['id']} is {upload['status']}", status=400)
    return upload, mime_type


def _add_part(request: PlainRequest) -> Json:
    upload, _ = _pending(request)
    part = {
        "id": request.store.new_id("part_"),
        "object": "upload.part",
        "created_at": CREATED,
        "upload_id": upload["id"],
    }
    request.store.put("part", part["id"], (upload["id"], sent_file(request, "data").content))
    return part


def _complete(request: PlainRequest) -> Json:
    upload, mime_type = _pending(request)
    wanted = request.params.get("part_ids")
    if not isinstance(wanted, list) or not all(isinstance(part, str) for part in wanted):
        raise BadRequestError("'part_ids' must be a list of ids")
    parts = [request.kept("part", "part of an upload", part) for part in wanted]
    whole = b"".join(sent for owner, sent in parts if owner == upload["id"])
    if len(whole) != upload["bytes"]:
        raise DeclinedError(f"its parts have {len(whole)} bytes, not the {upload['bytes']} that were told", status=400)
    file = File(filename=upload["filename"], content_type=mime_type, content=whole)
    kept = keep_file(request, _US, file, prefix="file-", purpose=upload["purpose"])
    return _settled(request, upload | {"status": "completed", "file": _shown(kept)}, mime_type)


def _cancel(request: PlainRequest) -> Json:
    upload, mime_type = _pending(request)
    return _settled(request, upload | {"status": "cancelled"}, mime_type)


def _settled(request: PlainRequest, upload: Json, mime_type: str) -> Json:
    request.store.put("upload", upload["id"], (upload, mime_type))
    return upload


ENDPOINTS = (
    PlainEndpoint(_US, "POST …/files", None, _create, reads="form", tells="keeps the file for this test"),
    PlainEndpoint(_US, "GET …/files", None, _list, tells="the files of this test"),
    PlainEndpoint(_US, "GET …/files/{id}", None, _retrieve, tells="the file's data"),
    PlainEndpoint(
        _US, "GET …/files/{id}/content", None, content(_US), says="application/octet-stream", tells="what was uploaded"
    ),
    PlainEndpoint(
        _US,
        "DELETE …/files/{id}",
        None,
        removed(_US, lambda key: {"id": key, "object": "file", "deleted": True}),
        tells="forgets the file",
    ),
    PlainEndpoint(_US, "POST …/uploads", None, _begin, tells="an upload to add parts to"),
    PlainEndpoint(_US, "POST …/uploads/{id}/parts", None, _add_part, reads="form", tells="keeps the part"),
    PlainEndpoint(_US, "POST …/uploads/{id}/complete", None, _complete, tells="makes a file of the parts"),
    PlainEndpoint(_US, "POST …/uploads/{id}/cancel", None, _cancel, tells="ends the upload"),
)
