"""Hugging Face besides chats: text generation, as TGI serves it, and the look-up of who serves a model.

TGI: https://huggingface.github.io/text-generation-inference/ (``/generate``, ``/generate_stream``, and ``/``, which is
both); an Inference Endpoint and ``/models/{model}`` speak as ``/`` does. Who serves a model:
https://huggingface.co/docs/inference-providers/hub-api. ``huggingface_hub`` asks that before its first request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent, Reasoning, Refusal, ToolCall
from pytest_mockstream.wire.blocks import pieces_of, usage_of
from pytest_mockstream.wire.completion_replies import told_error
from pytest_mockstream.wire.decoders.huggingface import DECODING
from pytest_mockstream.wire.dialects import DIALECTS
from pytest_mockstream.wire.format import CREATED_TEXT, BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.logprobs import probable
from pytest_mockstream.wire.plain import PlainEndpoint
from pytest_mockstream.wire.reading import flag, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: https://github.com/huggingface/text-generation-inference/blob/main/router/src/server.rs
_STATUS = {"validation": 422, "overloaded": 429, "generation": 424, "incomplete_generation": 500}
#: Who can serve a chat: ``huggingface_hub`` 2.4, ``inference/_providers``.
_PROVIDERS = (
    *("baseten", "cerebras", "cohere", "deepinfra", "featherless-ai", "fireworks-ai", "groq", "hf-inference", "novita"),
    *("nscale", "nvidia", "openai", "ovhcloud", "publicai", "sambanova", "scaleway", "together", "zai-org"),
)
_END = "</s>"
_error = partial(told_error, DIALECTS["huggingface"])


def _parse(body: Json, groups: Mapping[str, str], _query: Mapping[str, str], *, stream: bool | None) -> ParsedRequest:
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise BadRequestError("'parameters' must be an object")
    flag(parameters, "details")
    flag(parameters, "return_full_text")
    streamed = flag(body, "stream") if stream is None else stream
    return ParsedRequest(
        model=groups.get("model") or "",
        messages=[{"role": "user", "content": text_field(body, "inputs")}],
        params=rest(body, "inputs", "stream"),
        framing="sse" if streamed else None,
    )


class _Encoder:
    """Numbers the tokens, and collects the text, which the last frame repeats."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._said: list[str] = []

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        if chunk.finish_reason is None:
            return [self._next(piece.text) for piece in pieces_of(chunk)]
        usage = chunk.usage or Usage()
        details = {
            "finish_reason": self._reply.finish_reason,
            "generated_tokens": usage.completion_tokens,
            "input_length": usage.prompt_tokens,
            "seed": None,
        }
        text = _prompt(self._reply.request) + "".join(self._said)
        return [self._event(_token(self._reply, _END, special=True), generated_text=text, details=details)]

    def text(self, text: str) -> None:
        return None  # each token has a number and an id of its own

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(_error(500, error.message, error.type)))

    def _next(self, text: str) -> Event:
        self._said.append(text)
        return self._event(_token(self._reply, text), generated_text=None, details=None)

    def _event(self, token: Json, **more: Any) -> Event:
        number = len(self._said) + (1 if token["special"] else 0)
        return Event(json_text({"index": number, "token": token, **more}))


def _token(reply: Reply, text: str, *, special: bool = False) -> Json:
    digest = hashlib.blake2b(text.encode(errors="replace"), digest_size=2).digest()
    logprob = probable(text, top=0, seed=reply.seed)["logprob"]
    return {"id": int.from_bytes(digest), "text": text, "logprob": logprob, "special": special}


def _prompt(request: ParsedRequest) -> str:
    """Return what a text repeats of its prompt."""
    parameters = request.params.get("parameters") or {}
    return str(request.messages[0]["content"]) if parameters.get("return_full_text") else ""


def _repeats(request: ParsedRequest) -> str:
    """Return what a reply begins with: the tokens of a stream are without the prompt."""
    return "" if request.framing is not None else _prompt(request)


def _whole(reply: Reply, chunks: Sequence[StreamChunk], *, listed: bool) -> Any:
    deltas = [chunk.delta for chunk in chunks if chunk.finish_reason is None]
    told: Json = {"generated_text": _prompt(reply.request) + "".join(deltas)}
    if (reply.request.params.get("parameters") or {}).get("details"):
        usage = usage_of(chunks)
        told["details"] = {
            "finish_reason": reply.finish_reason,
            "generated_tokens": usage.completion_tokens,
            "seed": None,
            "prefill": [],
            "tokens": [_token(reply, delta) for delta in deltas],
        }
    return [told] if listed else told


def _generation(name: str, shown: str, path: str, *, stream: bool | None, listed: bool = False) -> WireFormat:
    return WireFormat(
        name=name,
        provider="huggingface",
        shown=shown,
        path=re.compile(path),
        parse=partial(_parse, stream=stream),
        encoder=_Encoder,
        whole=partial(_whole, listed=listed),
        error=_error,
        error_status=_STATUS,
        finish_reasons=words("stop_sequence", stop="eos_token", length="length"),
        lacks=dict.fromkeys((Reasoning, Refusal, ToolCall), "generated text is nothing but text"),
        decoding=DECODING,
        repeats=_repeats,
    )


FORMATS = (
    _generation("Hugging Face text generation", "POST …/generate", r"(?<!/api)/generate$", stream=False),
    _generation("Hugging Face streamed text generation", "POST …/generate_stream", r"/generate_stream$", stream=True),
    _generation(
        "Hugging Face inference",
        "POST / or …/models/M",
        r"^(?:.*/models/(?P<model>[^/:]+(?:/[^/:]+)?))?$",
        stream=None,
        listed=True,
    ),
)


def _model(request: ParsedRequest) -> Json:
    serves = {"status": "live", "providerId": request.model, "task": "conversational"}
    return {
        "_id": "0" * 24,
        "id": request.model,
        "modelId": request.model,
        "author": request.model.partition("/")[0],
        "createdAt": CREATED_TEXT.replace("Z", ".000Z"),
        "private": False,
        "pipeline_tag": "text-generation",
        "tags": ["text-generation", "conversational"],
        "inferenceProviderMapping": dict.fromkeys(_PROVIDERS, serves),
    }


ENDPOINTS = (
    PlainEndpoint("huggingface", "GET /api/models/M", re.compile(r"^/api/models/(?P<model>[^/]+(?:/[^/]+)?)$"), _model),
)
