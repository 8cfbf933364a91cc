"""OpenAI's images: generations, edits and variations; each is a PNG whose pattern depends on the prompt.

https://platform.openai.com/docs/api-reference/images and https://platform.openai.com/docs/api-reference/images-streaming
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.wire.format import CREATED, BadRequestError, Json
from pytest_mockstream.wire.media import png
from pytest_mockstream.wire.plain import (
    PlainEndpoint,
    PlainRequest,
    Told,
    streams_if_asked,
    told_events,
    told_json,
)
from pytest_mockstream.wire.reading import text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "openai"
_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})")
_USUAL_SIZE = "1024x1024"
_MOST = 10  # pictures in one request, as OpenAI has it
_MOST_PARTIAL = 3
_TOKENS = 1000  # of a picture


def _number(body: Json, name: str, default: int, most: int) -> int:
    given = body.get(name)
    try:
        number = default if given is None else int(given)  # in a form, it is text
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= most:
        raise BadRequestError(f"{name!r} must be a whole number, at most {most}, but it is {brief(given)}")
    return number


def _pictures(request: PlainRequest, prompt: str) -> list[bytes]:
    body = request.params
    if (kind := body.get("output_format")) not in {None, "png"}:
        raise BadRequestError(f"'output_format' is {brief(kind)}, but only 'png' is made here")
    size = body.get("size")
    match = _SIZE.fullmatch(_USUAL_SIZE if size in {None, "auto"} else str(size))
    if match is None:
        raise BadRequestError(f"'size' must be as '1024x1024', but it is {brief(size)}")
    count = max(1, _number(body, "n", 1, _MOST))
    return [png(f"{prompt} {number}" if number else prompt, int(match[1]), int(match[2])) for number in range(count)]


def _usage(prompt: str, count: int) -> Json:
    words, tokens = len(prompt.split()), count * _TOKENS
    return {
        "input_tokens": words,
        "input_tokens_details": {"text_tokens": words, "image_tokens": 0},
        "output_tokens": tokens,
        "total_tokens": words + tokens,
    }


def _said(body: Json) -> Json:
    """Return what an answer repeats of its request."""
    size, quality, background = (body.get(name) for name in ("size", "quality", "background"))
    return {
        "size": _USUAL_SIZE if size in {None, "auto"} else size,
        "quality": quality if quality in {"low", "medium", "high", "xhigh", "max"} else "high",
        "background": background if background in {"transparent", "opaque"} else "opaque",
        "output_format": "png",
    }


def _answer(request: PlainRequest, prompt: str, streamed_as: str) -> Told:
    pictures = _pictures(request, prompt)
    if request.framing is not None:
        return told_events("sse", _events(request, prompt, pictures[0], streamed_as))
    by_url = request.params.get("response_format") == "url" or (
        request.model.startswith("dall-e") and request.params.get("response_format") is None
    )
    data = [_linked(request, picture) if by_url else {"b64_json": _base64(picture)} for picture in pictures]
    more = {} if by_url else {"usage": _usage(prompt, len(pictures)), **_said(request.params)}
    return told_json({"created": CREATED, "data": data, **more})


def _linked(request: PlainRequest, picture: bytes) -> Json:
    name = request.store.new_id("img-") + ".png"
    request.store.put("image", name, picture)
    return {"url": f"{request.base}/mockstream/images/{name}"}


def _events(request: PlainRequest, prompt: str, picture: bytes, name: str) -> Iterator[Event]:
    about = _said(request.params) | {"created_at": CREATED}
    for index in range(_number(request.params, "partial_images", 0, _MOST_PARTIAL)):
        sketch = png(f"{prompt} sketch {index}", 64, 64)
        yield _event(f"{name}.partial_image", b64_json=_base64(sketch), partial_image_index=index, **about)
    yield _event(f"{name}.completed", b64_json=_base64(picture), usage=_usage(prompt, 1), **about)


def _event(name: str, **fields: Any) -> Event:
    return Event(json_text({"type": name, **fields}), name=name)


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _generate(request: PlainRequest) -> Told:
    return _answer(request, text_field(request.params, "prompt"), "image_generation")


def _edit(request: PlainRequest) -> Told:
    prompt = text_field(request.params, "prompt")
    if not request.params.get("image") and not request.params.get("images"):
        raise BadRequestError("'image' must be a file, but there is none")
    return _answer(request, prompt, "image_edit")


def _vary(request: PlainRequest) -> Told:
    if not request.files.get("image"):
        raise BadRequestError("'image' must be a file, but there is none")
    return _answer(request, f"variation of {request.files['image'][0].filename}", "image_variation")


def _download(request: PlainRequest) -> Told:
    return Told(pieces=(request.kept("image", "image"),), content_type="image/png")


def _made(path: str, answer: Callable[[PlainRequest], Told], tells: str, **more: Any) -> PlainEndpoint:
    return PlainEndpoint(_US, f"POST …/images/{path}", None, answer, tells=tells, **more)


ENDPOINTS = (
    _made(
        "generations",
        _generate,
        "a PNG of the size that is asked for, its pattern made from the prompt; streamed with `partial_images`",
        streams=streams_if_asked("sse"),
    ),
    _made("edits", _edit, "a PNG, as above", reads="form", streams=streams_if_asked("sse")),
    _made("variations", _vary, "a PNG, as above", reads="form"),
    PlainEndpoint(
        _US,
        "GET …/mockstream/images/{id}",
        None,
        _download,
        says="image/png",
        tells="the picture that a `url` in one of these leads to",
    ),
)
