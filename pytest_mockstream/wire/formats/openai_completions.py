"""OpenAI Completions, the legacy format: ``POST {base}/completions``.

https://platform.openai.com/docs/api-reference/completions. Many servers of open models speak it, too. Each prompt of a
request has as many choices as ``n`` says; each of them says the whole script: chunk by chunk, one choice after the
other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent, Frame, Reasoning, Refusal, ToolCall
from pytest_mockstream.wire.blocks import usage_of
from pytest_mockstream.wire.completion_replies import for_all, told_error, told_usage
from pytest_mockstream.wire.completion_requests import MOST_LOGPROBS, completion
from pytest_mockstream.wire.decoders.openai_completions import decoding
from pytest_mockstream.wire.dialect import Dialect
from pytest_mockstream.wire.dialects import DIALECTS
from pytest_mockstream.wire.errors import OPENAI_STATUS
from pytest_mockstream.wire.format import CREATED, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.logprobs import probable, top_of
from pytest_mockstream.wire.reading import choices_of
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Encoder:
    def __init__(self, dialect: Dialect, reply: Reply) -> None:
        self._dialect = dialect
        self._reply = reply
        self._frame = _head(dialect, reply)
        self._choices = range(_count(reply))
        self._says_usage = dialect.usage_in != "own chunk, if asked" or reply.request.include_usage
        self._nulls: Json = {"usage": None} if dialect.null_usage and self._says_usage else {}
        self._offsets = [0] * len(self._choices)

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def text(self, text: str) -> Event | None:
        return None if len(self._choices) > 1 or _wants_logprobs(self._reply) else self._choice(0, text)

    def ping(self) -> str:
        return self._dialect.comment

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(told_error(self._dialect, 500, error.message, error.type, error.code)))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.finish_reason is None:
            for index in self._choices:
                echoed = _echoed(self._reply.request, index) if chunk.role is not None else ""
                if echoed or not isinstance(chunk.item, Frame):
                    yield self._choice(index, echoed + chunk.delta, [echoed, chunk.delta])
            return
        yield from self._finish(chunk)

    def _finish(self, chunk: StreamChunk) -> Iterator[Event]:
        count = len(self._choices)
        usage = {"usage": told_usage(self._dialect, for_all(self._reply, chunk.usage or Usage(), count))}
        has_own_chunk = self._dialect.usage_in in {"own chunk, if asked", "own chunk"}
        for index in self._choices:
            echoed = _echoed(self._reply.request, index) if chunk.role is not None else ""
            more = {} if has_own_chunk or index < count - 1 else usage
            yield self._choice(index, echoed, finish_reason=self._reply.finish_reason, more=more)
        if has_own_chunk and self._says_usage:
            yield Event(json_text(self._frame | {"choices": []} | usage))
        yield Event("[DONE]")

    def _choice(
        self,
        index: int,
        text: str,
        tokens: Sequence[str] = (),
        *,
        finish_reason: str | None = None,
        more: Json | None = None,
    ) -> Event:
        logprobs = _logprobs(self._reply, tokens, self._offsets[index]) if finish_reason is None else None
        self._offsets[index] += len(text)
        choice = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish_reason}
        return Event(json_text(self._frame | {"choices": [choice]} | self._nulls | (more or {})))


def _head(dialect: Dialect, reply: Reply) -> Json:
    head = {"id": f"cmpl-{reply.number}", "object": "text_completion", "created": CREATED}
    fingerprint = {name: value for name, value in dialect.head.items() if name == "system_fingerprint"}
    return head | {"model": reply.request.model} | fingerprint


def _count(reply: Reply) -> int:
    return len(reply.request.messages) * choices_of(reply.request.params)


def _echoed(request: ParsedRequest, index: int = 0) -> str:
    """Return what a choice repeats of its prompt."""
    if not request.params.get("echo"):
        return ""
    message = request.messages[index // choices_of(request.params)]
    return str(message["content"])


def _wants_logprobs(reply: Reply) -> bool:
    return reply.request.params.get("logprobs") is not None


def _logprobs(reply: Reply, tokens: Sequence[str], offset: int) -> Json | None:
    if not _wants_logprobs(reply):
        return None
    top = top_of(reply.request.params, "logprobs", most=MOST_LOGPROBS)
    tokens = [token for token in tokens if token]
    told = [probable(token, top=top, seed=reply.seed) for token in tokens]
    return {
        "tokens": tokens,
        "token_logprobs": [one["logprob"] for one in told],
        "top_logprobs": [{like["token"]: like["logprob"] for like in one["top_logprobs"]} for one in told],
        "text_offset": [offset + sum(map(len, tokens[:place])) for place in range(len(tokens))],
    }


def _whole(dialect: Dialect, reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    deltas = [chunk.delta for chunk in chunks]
    choices = []
    count = _count(reply)
    for index in range(count):
        tokens = [_echoed(reply.request, index), *deltas]
        logprobs = _logprobs(reply, tokens, 0)
        choices.append(
            {"text": "".join(tokens), "index": index, "logprobs": logprobs, "finish_reason": reply.finish_reason}
        )
    return _head(dialect, reply) | {
        "choices": choices,
        "usage": told_usage(dialect, for_all(reply, usage_of(chunks), count)),
    }


def _format(dialect: Dialect, dialects: Mapping[str, WireFormat]) -> WireFormat:
    return WireFormat(
        name=f"{dialect.title} Completions",
        provider="openai",
        shown="POST …/completions",
        path=re.compile(r"(?:/deployments/(?P<model>[^/]+))?(?<!/chat)(?<!/fim)(?<!/agents)/completions$"),
        parse=completion,
        encoder=partial(_Encoder, dialect),
        whole=partial(_whole, dialect),
        error=partial(told_error, dialect),
        error_status=OPENAI_STATUS,
        finish_reasons=words(stop="stop", length="length", content_filter="content_filter"),
        lacks=dict.fromkeys((Reasoning, Refusal, ToolCall), "its choices have nothing but text"),
        has_codes=dialect.has_codes,
        plain_frames=("[DONE]",),
        dialects=dialects,
        decoding=decoding(dialect),
        repeats=_echoed,
    )


_FORMATS: dict[str, WireFormat] = {}
_FORMATS |= {provider: _format(dialect, _FORMATS) for provider, dialect in DIALECTS.items()}
FORMAT = _FORMATS["openai"]
