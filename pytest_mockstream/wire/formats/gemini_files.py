"""Gemini's files, with resumable uploads, and cached contents: kept for the rest of the test.

https://ai.google.dev/api/files, https://ai.google.dev/api/caching; the protocol of uploads is as in
https://ai.google.dev/gemini-api/docs/files: a first request says what will come and gets a URL for the bytes, which
come in one or more requests, the last of them with the command ``finalize``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from pytest_mockstream.wire.files import KeptFile, content, file_of, files_of, keep_file, removed
from pytest_mockstream.wire.format import CREATED_TEXT, EXPIRES_TEXT, BadRequestError, Json
from pytest_mockstream.wire.multipart import File
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest, Told, told_json
from pytest_mockstream.wire.reading import text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "gemini"
_KEY = "x-goog-api-key"
_UPLOAD = "gemini upload"
_CACHE = "cached content"


def _shown(request: PlainRequest, kept: KeptFile) -> Json:
    digest = hashlib.sha256(kept.file.content).hexdigest().encode()
    return {
        "name": f"files/{kept.id}",
        "displayName": kept.file.filename,
        "mimeType": kept.file.content_type,
        "sizeBytes": str(len(kept.file.content)),
        "createTime": CREATED_TEXT,
        "updateTime": CREATED_TEXT,
        "expirationTime": EXPIRES_TEXT,
        "sha256Hash": base64.b64encode(digest).decode(),
        "uri": f"{request.base}/v1beta/files/{kept.id}",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }


def _begin(request: PlainRequest) -> Told:
    about = request.params.get("file") or {}
    if not isinstance(about, dict):
        raise BadRequestError("'file' must be an object")
    name = request.store.new_id("upload-")
    kind = request.headers.get("x-goog-upload-header-content-type") or about.get("mimeType")
    request.store.put(_UPLOAD, name, (about, str(kind or "application/octet-stream"), b""))
    url = f"{request.base}/upload/{request.groups['version']}/files?upload_id={name}&upload_protocol=resumable"
    return told_json({}, headers={"x-goog-upload-url": url, "x-goog-upload-status": "active"})


def _take(request: PlainRequest) -> Told:
    name = request.query.get("upload_id", "")
    about, kind, before = request.kept(_UPLOAD, "upload", name)
    if (offset := request.headers.get("x-goog-upload-offset", "0")) != str(len(before)):
        raise BadRequestError(f"X-Goog-Upload-Offset is {offset!r:.80}, but {len(before)} bytes have come")
    whole = before + request.content
    if "finalize" not in request.headers["x-goog-upload-command"]:
        request.store.put(_UPLOAD, name, (about, kind, whole))
        return told_json({}, headers={"x-goog-upload-status": "active"})
    request.store.remove(_UPLOAD, name)
    file = File(filename=_said(about, "displayName", "display_name"), content_type=kind, content=whole)
    kept = keep_file(request, _US, file, prefix="file-", key=_said(about, "name").removeprefix("files/"))
    return told_json({"file": _shown(request, kept)}, headers={"x-goog-upload-status": "final"})


def _said(about: Json, *names: str) -> str:
    """Return a field under the first of its names that is there; JSON of protocol buffers may have either spelling."""
    found = next((about[name] for name in names if about.get(name)), "")
    return found if isinstance(found, str) else ""


def _retrieve(request: PlainRequest) -> Json:
    return _shown(request, file_of(request, _US))


def _list(request: PlainRequest) -> Json:
    return {"files": [_shown(request, kept) for kept in files_of(request, _US)]}


# Cached contents.


def _cache(request: PlainRequest) -> Json:
    model = text_field(request.params, "model")
    name = f"cachedContents/{request.store.new_id('cache-')}"
    shown = {
        "name": name,
        "model": model,
        "displayName": request.params.get("displayName") or "",
        "createTime": CREATED_TEXT,
        "updateTime": CREATED_TEXT,
        "expireTime": request.params.get("expireTime") or EXPIRES_TEXT,
        "usageMetadata": {"totalTokenCount": _words(request.params)},
    }
    request.store.put(_CACHE, name.partition("/")[2], shown)
    return shown


def _words(value: Any) -> int:
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, Mapping):
        return sum(_words(item) for name, item in value.items() if name not in {"role", "model", "displayName", "ttl"})
    return sum(map(_words, value)) if isinstance(value, list) else 0


def _cached(request: PlainRequest) -> Json:
    found: Json = request.kept(_CACHE, "cached content")
    return found


def _renew(request: PlainRequest) -> Json:
    expires = request.params.get("expireTime") or EXPIRES_TEXT
    shown = _cached(request) | {"expireTime": expires}
    request.store.put(_CACHE, request.groups["id"], shown)
    return shown


def _forget(request: PlainRequest) -> Json:
    _cached(request)
    request.store.remove(_CACHE, request.groups["id"])
    return {}


_PATH = "…/cachedContents"
ENDPOINTS = (
    PlainEndpoint(
        _US,
        "POST …/upload/{version}/files",
        None,
        _begin,
        "x-goog-upload-command: start",
        tells="a URL for the bytes (resumable upload)",
    ),
    PlainEndpoint(
        _US,
        "POST …/upload/{version}/files",
        None,
        _take,
        "x-goog-upload-command: upload",
        reads="bytes",
        tells="keeps the bytes for this test",
    ),
    PlainEndpoint(_US, "GET …/files", None, _list, _KEY, tells="the files of this test"),
    PlainEndpoint(_US, "GET …/files/{id}", None, _retrieve, _KEY, tells="the file's data, `ACTIVE`"),
    PlainEndpoint(
        _US,
        "GET …/files/{id}:download",
        None,
        content(_US),
        _KEY,
        says="application/octet-stream",
        tells="what was uploaded",
    ),
    PlainEndpoint(_US, "DELETE …/files/{id}", None, removed(_US, lambda _key: {}), _KEY, tells="forgets the file"),
    PlainEndpoint(_US, f"POST {_PATH}", None, _cache, tells="keeps the contents' name and size"),
    PlainEndpoint(
        _US,
        f"GET {_PATH}",
        None,
        lambda asked: {"cachedContents": list(asked.store.all(_CACHE).values())},
        tells="all cached contents",
    ),
    PlainEndpoint(_US, f"GET {_PATH}/{{id}}", None, _cached, tells="the cached content's data"),
    PlainEndpoint(_US, f"PATCH {_PATH}/{{id}}", None, _renew, tells="the same, with the new time"),
    PlainEndpoint(_US, f"DELETE {_PATH}/{{id}}", None, _forget, tells="forgets the cached content"),
)
