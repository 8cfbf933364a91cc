"""Mistral's files and OCR: files are kept for the rest of the test, and a document has one page.

https://docs.mistral.ai/api/endpoint/files and https://docs.mistral.ai/api/endpoint/ocr
"""

from __future__ import annotations

from pytest_mockstream.wire.files import KeptFile, content, file_of, files_of, keep_file, removed, sent_file
from pytest_mockstream.wire.format import CREATED, BadRequestError, Json
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest
from pytest_mockstream.wire.reading import text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "mistral"
_SDK = "user-agent: mistral"
_PAGE = "# Mock page\n\nThis is a mock document."


def _shown(kept: KeptFile) -> Json:
    return {
        "id": kept.id,
        "object": "file",
        "bytes": len(kept.file.content),
        "created_at": CREATED,
        "filename": kept.file.filename,
        "purpose": kept.purpose,
        "sample_type": "batch_request" if kept.purpose == "batch" else "instruct",
        "num_lines": kept.text.count("\n"),
        "mimetype": kept.file.content_type,
        "source": "upload",
        "signature": None,
    }


def _create(request: PlainRequest) -> Json:
    purpose = request.params.get("purpose")
    file = sent_file(request)
    return _shown(keep_file(request, _US, file, prefix="file-", purpose=str(purpose or "fine-tune")))


def _list(request: PlainRequest) -> Json:
    data = [_shown(kept) for kept in files_of(request, _US)][::-1]
    return {"object": "list", "data": data, "total": len(data)}


def _retrieve(request: PlainRequest) -> Json:
    return _shown(file_of(request, _US)) | {"deleted": False}


def _link(request: PlainRequest) -> Json:
    return {"url": f"{request.base}/mistral/v1/files/{file_of(request, _US).id}/content"}


def _read(request: PlainRequest) -> Json:
    model = text_field(request.params, "model")
    document = request.params.get("document")
    if not isinstance(document, dict):
        raise BadRequestError("'document' must be an object")
    page = {
        "index": 0,
        "markdown": _PAGE,
        "images": [],
        "dimensions": {"dpi": 200, "height": 2200, "width": 1700},
    }
    return {"pages": [page], "model": model, "usage_info": {"pages_processed": 1, "doc_size_bytes": len(_PAGE)}}


ENDPOINTS = (
    PlainEndpoint(_US, "POST …/v1/files", None, _create, _SDK, reads="form", tells="keeps the file for this test"),
    PlainEndpoint(_US, "GET …/v1/files", None, _list, _SDK, tells="the files of this test"),
    PlainEndpoint(_US, "GET …/v1/files/{id}", None, _retrieve, _SDK, tells="the file's data"),
    PlainEndpoint(
        _US,
        "GET …/v1/files/{id}/content",
        None,
        content(_US),
        _SDK,
        says="application/octet-stream",
        tells="what was uploaded",
    ),
    PlainEndpoint(_US, "GET …/v1/files/{id}/url", None, _link, _SDK, tells="a URL that has what was uploaded"),
    PlainEndpoint(
        _US,
        "GET …/mistral/v1/files/{id}/content",
        None,
        content(_US),
        says="application/octet-stream",
        tells="what such a URL leads to",
    ),
    PlainEndpoint(
        _US,
        "DELETE …/v1/files/{id}",
        None,
        removed(_US, lambda key: {"id": key, "object": "file", "deleted": True}),
        _SDK,
        tells="forgets the file",
    ),
    PlainEndpoint(_US, "POST …/v1/ocr", None, _read, tells="one page with a heading and a sentence"),
)
