"""OpenAI's vector stores: files are attached at once, and found by the words that they share with a query.

https://platform.openai.com/docs/api-reference/vector-stores
"""

from __future__ import annotations

from typing import Any

from pytest_mockstream.wire.files import KeptFile, find_file
from pytest_mockstream.wire.format import CREATED, BadRequestError, Json
from pytest_mockstream.wire.plain import DeclinedError, PlainEndpoint, PlainRequest, page
from pytest_mockstream.wire.vectors import similarity

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "openai"
_KIND = "vector_store"
_FILES = "vector_store_files"  # of each store: a dict of files by their ids
_FEW_RESULTS = 10


def _counts(count: int) -> Json:
    return {"in_progress": 0, "completed": count, "failed": 0, "cancelled": 0, "total": count}


def _shown(request: PlainRequest, store: Json) -> Json:
    files = _attached(request, store["id"])
    return store | {
        "file_counts": _counts(len(files)),
        "usage_bytes": sum(file["usage_bytes"] for file in files.values()),
    }


def _attached(request: PlainRequest, key: str) -> dict[str, Json]:
    return request.store.get(_FILES, key) or {}


def _of(request: PlainRequest) -> Json:
    store: Json = request.kept(_KIND, "vector store")
    return store


def _create(request: PlainRequest) -> Json:
    store: Json = {
        "id": request.store.new_id("vs_"),
        "object": "vector_store",
        "created_at": CREATED,
        "last_active_at": CREATED,
        "name": request.params.get("name") or "",
        "status": "completed",
        "metadata": request.params.get("metadata") or {},
        "expires_after": request.params.get("expires_after"),
        "expires_at": None,
    }
    request.store.put(_KIND, store["id"], store)
    for key in _ids(request, required=False):
        _attach(request, store["id"], key)
    return _shown(request, store)


def _update(request: PlainRequest) -> Json:
    given = {name: request.params[name] for name in ("name", "metadata", "expires_after") if name in request.params}
    store = _of(request) | given
    request.store.put(_KIND, store["id"], store)
    return _shown(request, store)


def _delete(request: PlainRequest) -> Json:
    key = _of(request)["id"]
    request.store.remove(_KIND, key)
    request.store.remove(_FILES, key)
    return {"id": key, "object": "vector_store.deleted", "deleted": True}


def _list(request: PlainRequest) -> Json:
    return page(_shown(request, store) for store in request.store.all(_KIND).values())


def _ids(request: PlainRequest, *, required: bool) -> list[str]:
    given = request.params.get("file_ids")
    if given is None and not required:
        return []
    if given is None and (files := request.params.get("files")):
        given = [file.get("file_id") for file in files]
    if not isinstance(given, list) or not all(isinstance(key, str) for key in given):
        raise BadRequestError("'file_ids' must be a list of ids")
    return given


def _file(request: PlainRequest, key: str) -> KeptFile:
    file = find_file(request, _US, key)
    if file is None:
        raise DeclinedError(f"no file has the id {key!r:.80}: upload it before")
    return file


def _attach(request: PlainRequest, store: str, key: str, **more: Any) -> Json:
    file = {
        "id": key,
        "object": "vector_store.file",
        "created_at": CREATED,
        "vector_store_id": store,
        "status": "completed",
        "last_error": None,
        "usage_bytes": len(_file(request, key).file.content),
        "attributes": more.get("attributes") or {},
        "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}},
    }
    request.store.put(_FILES, store, _attached(request, store) | {key: file})
    return file


def _attach_one(request: PlainRequest) -> Json:
    key = request.params.get("file_id")
    if not isinstance(key, str):
        raise BadRequestError("'file_id' must be the id of a file")
    return _attach(request, _of(request)["id"], key, attributes=request.params.get("attributes"))


def _list_files(request: PlainRequest) -> Json:
    return page(_attached(request, _of(request)["id"]).values())


def _one_file(request: PlainRequest) -> Json:
    wanted = request.groups["file"]
    file = _attached(request, _of(request)["id"]).get(wanted)
    if file is None:
        raise DeclinedError(f"the vector store has no file with the id {wanted!r:.80}")
    return file


def _detach(request: PlainRequest) -> Json:
    file = _one_file(request)
    store = file["vector_store_id"]
    left = {key: other for key, other in _attached(request, store).items() if key != file["id"]}
    request.store.put(_FILES, store, left)
    return {"id": file["id"], "object": "vector_store.file.deleted", "deleted": True}


def _content(request: PlainRequest) -> Json:
    text = _file(request, _one_file(request)["id"]).text
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text}],
        "has_more": False,
        "next_page": None,
    }


def _attach_many(request: PlainRequest) -> Json:
    store, keys = _of(request)["id"], _ids(request, required=True)
    for key in keys:
        _attach(request, store, key)
    batch = {
        "id": request.store.new_id("vsfb_"),
        "object": "vector_store.files_batch",
        "created_at": CREATED,
        "vector_store_id": store,
        "status": "completed",
        "file_counts": _counts(len(keys)),
    }
    request.store.put("vector_store_batch", batch["id"], (batch, keys))
    return batch


def _batch(request: PlainRequest) -> tuple[Json, list[str]]:
    found: tuple[Json, list[str]] = request.kept("vector_store_batch", "file batch", request.groups["batch"])
    return found


def _batch_files(request: PlainRequest) -> Json:
    attached = _attached(request, _of(request)["id"])
    return page(attached[key] for key in _batch(request)[1] if key in attached)


def _search(request: PlainRequest) -> Json:
    query = request.params.get("query")
    queries = [query] if isinstance(query, str) else query
    if not isinstance(queries, list) or not queries or not all(isinstance(one, str) for one in queries):
        raise BadRequestError("'query' must be text, or a list of texts")
    most = request.params.get("max_num_results") or _FEW_RESULTS
    found = []
    for key, attached in _attached(request, _of(request)["id"]).items():
        if (file := find_file(request, _US, key)) is not None:
            score = max(similarity(one, file.text) for one in queries)
            found.append(
                {
                    "file_id": key,
                    "filename": file.file.filename,
                    "score": round(score, 6),
                    "attributes": attached["attributes"],
                    "content": [{"type": "text", "text": file.text}],
                }
            )
    found.sort(key=lambda one: -one["score"])
    return {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": found[:most],
        "has_more": len(found) > most,
        "next_page": None,
    }


_STORE = "…/vector_stores/{id}"
ENDPOINTS = (
    PlainEndpoint(_US, "POST …/vector_stores", None, _create, tells="a vector store, with its files"),
    PlainEndpoint(_US, "GET …/vector_stores", None, _list, tells="the vector stores of this test"),
    PlainEndpoint(_US, f"GET {_STORE}", None, lambda asked: _shown(asked, _of(asked)), tells="the vector store"),
    PlainEndpoint(_US, f"POST {_STORE}", None, _update, tells="the vector store, changed"),
    PlainEndpoint(_US, f"DELETE {_STORE}", None, _delete, tells="forgets the vector store"),
    PlainEndpoint(_US, f"POST {_STORE}/search", None, _search, tells="its files, those with words of the query first"),
    PlainEndpoint(_US, f"POST {_STORE}/files", None, _attach_one, tells="attaches a file that was uploaded"),
    PlainEndpoint(_US, f"GET {_STORE}/files", None, _list_files, tells="its files"),
    PlainEndpoint(_US, f"GET {_STORE}/files/{{file}}", None, _one_file, tells="the file"),
    PlainEndpoint(_US, f"DELETE {_STORE}/files/{{file}}", None, _detach, tells="takes the file away"),
    PlainEndpoint(_US, f"GET {_STORE}/files/{{file}}/content", None, _content, tells="the file's text"),
    PlainEndpoint(_US, f"POST {_STORE}/file_batches", None, _attach_many, tells="attaches files that were uploaded"),
    PlainEndpoint(
        _US, f"GET {_STORE}/file_batches/{{batch}}", None, lambda asked: _batch(asked)[0], tells="`completed`"
    ),
    PlainEndpoint(_US, f"GET {_STORE}/file_batches/{{batch}}/files", None, _batch_files, tells="its files"),
)
