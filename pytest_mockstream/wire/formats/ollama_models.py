"""Ollama's models: which there are, and what is pulled, pushed, made, copied and deleted.

https://github.com/ollama/ollama/blob/main/docs/api.md. Every model that is asked for exists, unless it was deleted.
"""

from __future__ import annotations

import hashlib
import re

from pytest_mockstream.wire.format import CREATED_TEXT, EXPIRES_TEXT, BadRequestError, Json
from pytest_mockstream.wire.plain import (
    DeclinedError,
    PlainEndpoint,
    PlainRequest,
    Told,
    refuse_streaming,
    streams_if_asked,
    told_events,
    told_json,
)
from pytest_mockstream.wire.reading import text_field

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "ollama"
_MODEL = "mock-model"
_KIND = "ollama model"  # in the store: whether it is there
_SIZE = 1_000_000
_DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "mock",
    "families": ["mock"],
    "parameter_size": "1B",
    "quantization_level": "Q4_0",
}


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="replace")).hexdigest()


def _model(name: str) -> Json:
    return {
        "name": name,
        "model": name,
        "modified_at": CREATED_TEXT,
        "size": 1,
        "digest": _digest(name),
        "details": _DETAILS,
    }


def _there(request: PlainRequest) -> list[str]:
    return [name for name, is_there in ({_MODEL: True} | request.store.all(_KIND)).items() if is_there]


def _tags(request: PlainRequest) -> Json:
    return {"models": [_model(name) for name in _there(request)]}


def _running(request: PlainRequest) -> Json:
    loaded = {"expires_at": EXPIRES_TEXT, "size_vram": 1, "context_length": 4096}
    return {"models": [_model(name) | loaded for name in _there(request)[:1]]}


def _name(request: PlainRequest) -> str:
    return request.model or text_field(request.params, "model")


def _existing(request: PlainRequest, name: str) -> str:
    if request.store.get(_KIND, name) is False:
        raise DeclinedError(f"model {name!r:.80} not found")
    return name


def _show(request: PlainRequest) -> Json:
    refuse_streaming(request.params)
    _existing(request, _name(request))
    told = {"modelfile": "", "parameters": "", "template": "{{ .Prompt }}", "license": ""}
    facts = {"model_info": {"general.architecture": "mock"}, "capabilities": ["completion", "tools", "thinking"]}
    return told | {"details": _DETAILS, "modified_at": CREATED_TEXT} | facts


def _moved(request: PlainRequest, verb: str) -> Told:
    """Return how it goes on, as lines; ``verb`` is ``pulling`` or ``pushing``."""
    name = _name(request)
    digest = f"sha256:{_digest(name)}"
    part = {"status": f"{verb} {digest[7:19]}", "digest": digest, "total": _SIZE}
    return _lines(
        request,
        [
            {"status": "pulling manifest" if verb == "pulling" else "retrieving manifest"},
            *(part | {"completed": done} for done in (0, _SIZE // 2, _SIZE)),
            *([{"status": "verifying sha256 digest"}] if verb == "pulling" else []),
            {"status": "writing manifest" if verb == "pulling" else "pushing manifest"},
            {"status": "success"},
        ],
    )


def _lines(request: PlainRequest, lines: list[Json]) -> Told:
    return told_json(lines[-1]) if request.framing is None else told_events("ndjson", lines)


def _pull(request: PlainRequest) -> Told:
    request.store.put(_KIND, _name(request), True)
    return _moved(request, "pulling")


def _push(request: PlainRequest) -> Told:
    _existing(request, _name(request))
    return _moved(request, "pushing")


def _create(request: PlainRequest) -> Told:
    name = _name(request)
    request.store.put(_KIND, name, True)
    layer = {"status": f"creating new layer sha256:{_digest(name)}"}
    return _lines(request, [{"status": "reading model metadata"}, layer, {"status": "success"}])


def _copy(request: PlainRequest) -> Told:
    _existing(request, text_field(request.params, "source"))
    request.store.put(_KIND, text_field(request.params, "destination"), True)
    return Told()


def _delete(request: PlainRequest) -> Told:
    request.store.put(_KIND, _existing(request, _name(request)), False)
    return Told()


def _find_blob(request: PlainRequest) -> Told:
    request.kept("ollama blob", "blob", request.groups["digest"])
    return Told()


def _take_blob(request: PlainRequest) -> Told:
    digest = f"sha256:{hashlib.sha256(request.content).hexdigest()}"
    if digest != request.groups["digest"]:
        raise BadRequestError(f"the digest of what was sent is {digest}")
    request.store.put("ollama blob", digest, True)
    return Told(status=201)


_BLOB = re.compile(r"/api/blobs/(?P<digest>sha256[:-][0-9a-f]{64})$")
_STREAMS = streams_if_asked("ndjson", default=True)
ENDPOINTS = (
    PlainEndpoint(_US, "GET …/api/tags", None, _tags, tells="one model, and those that were pulled or made"),
    PlainEndpoint(_US, "GET …/api/ps", None, _running, tells="one model, which is loaded"),
    PlainEndpoint(_US, "GET …/api/version", None, lambda _: {"version": "0.0.0"}, tells="`0.0.0`"),
    PlainEndpoint(_US, "POST …/api/show", None, _show, tells="a model that can use tools and think"),
    PlainEndpoint(_US, "POST …/api/pull", None, _pull, streams=_STREAMS, tells="how it goes on, to `success`"),
    PlainEndpoint(_US, "POST …/api/push", None, _push, streams=_STREAMS, tells="how it goes on, to `success`"),
    PlainEndpoint(_US, "POST …/api/create", None, _create, streams=_STREAMS, tells="how it goes on, to `success`"),
    PlainEndpoint(_US, "POST …/api/copy", None, _copy, tells="an empty body"),
    PlainEndpoint(_US, "DELETE …/api/delete", None, _delete, tells="an empty body; 404 if it was deleted before"),
    PlainEndpoint(_US, "HEAD …/api/blobs/{digest}", _BLOB, _find_blob, tells="whether the blob is there"),
    PlainEndpoint(_US, "POST …/api/blobs/{digest}", _BLOB, _take_blob, reads="bytes", tells="keeps the blob's digest"),
)
