"""Anthropic's files: https://docs.anthropic.com/en/api/files-create. They are kept for the rest of the test."""

from __future__ import annotations

from pytest_mockstream.wire.files import KeptFile, content, file_of, files_of, keep_file, removed, sent_file
from pytest_mockstream.wire.format import CREATED_TEXT, Json
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "anthropic"
_VERSION = "anthropic-version"


def _shown(kept: KeptFile) -> Json:
    return {
        "id": kept.id,
        "type": "file",
        "filename": kept.file.filename,
        "mime_type": kept.file.content_type,
        "size_bytes": len(kept.file.content),
        "created_at": CREATED_TEXT,
        "downloadable": True,
    }


def _create(request: PlainRequest) -> Json:
    return _shown(keep_file(request, _US, sent_file(request), prefix="file_"))


def _list(request: PlainRequest) -> Json:
    data = [_shown(kept) for kept in files_of(request, _US)][::-1]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"data": data, "has_more": False, **ends}


def _retrieve(request: PlainRequest) -> Json:
    return _shown(file_of(request, _US))


ENDPOINTS = (
    PlainEndpoint(_US, "POST …/v1/files", None, _create, _VERSION, reads="form", tells="keeps the file for this test"),
    PlainEndpoint(_US, "GET …/v1/files", None, _list, _VERSION, tells="the files of this test"),
    PlainEndpoint(_US, "GET …/v1/files/{id}", None, _retrieve, _VERSION, tells="the file's data"),
    PlainEndpoint(
        _US,
        "GET …/v1/files/{id}/content",
        None,
        content(_US),
        _VERSION,
        says="application/octet-stream",
        tells="what was uploaded",
    ),
    PlainEndpoint(
        _US,
        "DELETE …/v1/files/{id}",
        None,
        removed(_US, lambda key: {"id": key, "type": "file_deleted"}),
        _VERSION,
        tells="forgets the file",
    ),
)
