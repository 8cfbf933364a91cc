"""Whether the wire formats still fit the models of the SDKs that are installed: each frame is validated against them.

Frames are fetched as bytes through the in-process door. pydantic, the models and the HTTP library are looked up by
name, at run time, and only where the SDK is installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pytest_mockstream import ErrorEvent, MockStreamSDK, Reasoning, Refusal, ToolCall, Usage

from .installed import version_of
from .report import Entry

_USAGE = Usage(prompt_tokens=7, completion_tokens=9, reasoning_tokens=2)
_SCRIPTS: Mapping[str, tuple[Any, ...]] = {
    "text": ("Hello ", "there"),
    "reasoning": (Reasoning("so be it"), "text"),
    "tool calls": ("looking ", ToolCall("weather", {"city": "Paris", "days": [1, 2]}), ToolCall("time")),
    "refusal": (Refusal("no"),),
    "error": ("so far ", ErrorEvent("no more")),
}
_MESSAGES = [{"role": "user", "content": "hi"}]
_CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """A wire format, and the models that read it.

    Attributes:
        name: for people.
        sdk: its distribution.
        models: the module that has the models.
        url: where it is asked for; ``{method}`` differs where a stream is asked for.
        body: of the request.
        streamed: what the body has besides where a stream is asked for.
        unstreamed: what it has besides where none is.
        methods: what stands for ``{method}``: in a stream, and whole.
        frame: the model of a frame.
        whole: the model of a reply that is not streamed.
        error: the model of what an error's frame has under ``"error"``; None if an error is a frame like others, an
            empty name if the SDK has no model for it.
        unsayable: scripts that the format has no words for.
        beyond: fields that the format has on purpose and the models do not.
        without: fields that some versions of the models want and the format has not on purpose, each with the reason.
    """

    name: str
    sdk: str
    models: str
    url: str
    body: Mapping[str, Any]
    streamed: Mapping[str, Any] = field(default_factory=lambda: {"stream": True})
    unstreamed: Mapping[str, Any] = field(default_factory=dict)
    methods: tuple[str, str] = ("", "")
    frame: str
    whole: str
    error: str | None = ""
    unsayable: frozenset[str] = frozenset()
    beyond: frozenset[str] = frozenset()
    without: Mapping[str, str] = field(default_factory=dict)


_FORMATS = (
    _Format(
        name="OpenAI Chat Completions",
        sdk="openai",
        models="openai.types.chat",
        url="https://api.openai.com/v1/chat/completions",
        body={"model": "m", "messages": _MESSAGES},
        streamed={"stream": True, "stream_options": {"include_usage": True}},
        frame="ChatCompletionChunk",
        whole="ChatCompletion",
        beyond=frozenset({"reasoning_content"}),  # of DeepSeek and others on this format
    ),
    _Format(
        name="OpenAI Responses",
        sdk="openai",
        models="openai.types.responses",
        url="https://api.openai.com/v1/responses",
        body={"model": "m", "input": "hi"},
        frame="ResponseStreamEvent",
        whole="Response",
        error=None,
        without={
            "ResponseFunctionCallArgumentsDoneEvent.name": "openai 2 reads a name there, and openai 3 has none: take it"
            " from the item that response.output_item.added has"
        },
    ),
    _Format(
        name="Anthropic Messages",
        sdk="anthropic",
        models="anthropic.types",
        url="https://api.anthropic.com/v1/messages",
        body={"model": "m", "max_tokens": 9, "messages": _MESSAGES},
        frame="RawMessageStreamEvent",
        whole="Message",
        error="ErrorObject",
    ),
    _Format(
        name="Gemini",
        sdk="google-genai",
        models="google.genai.types",
        url="https://generativelanguage.googleapis.com/v1beta/models/m:{method}",
        body={"contents": _CONTENTS},
        streamed={},
        methods=("streamGenerateContent?alt=sse", "generateContent"),
        frame="GenerateContentResponse",
        whole="GenerateContentResponse",
    ),
    _Format(
        name="Ollama chat",
        sdk="ollama",
        models="ollama",
        url="https://ollama.com/api/chat",
        body={"model": "m", "messages": _MESSAGES},
        unstreamed={"stream": False},
        frame="ChatResponse",
        whole="ChatResponse",
    ),
    _Format(
        name="Ollama generate",
        sdk="ollama",
        models="ollama",
        url="https://ollama.com/api/generate",
        body={"model": "m", "prompt": "hi"},
        unstreamed={"stream": False},
        unsayable=frozenset({"tool calls"}),
        frame="GenerateResponse",
        whole="GenerateResponse",
    ),
)


def look() -> Iterator[Entry]:
    """Yield each format whose SDK is installed."""
    for wanted in _FORMATS:
        if (version := version_of(wanted.sdk)) is not None:
            yield _entry(wanted, version)


def _entry(wanted: _Format, version: str) -> Entry:
    data: dict[str, Any] = {"sdk": wanted.sdk, "installed": version, "frames": 0, "misfits": [], "known": {}}
    sdk = f"{wanted.sdk} {version}"
    try:
        judge = _Judge(wanted)
        misfits = list(judge.misfits())
    except Exception as error:  # models that are no longer where they were, or an SDK that cannot be imported
        says, remedy = f"cannot be held against the models of {sdk}: {error!r}", _REMEDY.format(wanted.sdk)
        return Entry(name=wanted.name, says=says, status="problem", remedy=remedy, data=data)
    data |= {"frames": judge.frames, "misfits": misfits, "known": judge.known}
    if not misfits:
        says = f"{judge.frames} frames fit the models of {sdk}{', but for' if judge.known else ''}"
        says = "\n".join([says, *(f"{place}: {reason}" for place, reason in judge.known.items())])
        return Entry(name=wanted.name, says=says, status="note" if judge.known else "ok", data=data)
    says = "\n".join([f"{len(misfits)} of {judge.frames} frames do not fit the models of {sdk}", *misfits[:_SHOWN]])
    return Entry(name=wanted.name, says=says, status="problem", remedy=_REMEDY.format(wanted.sdk), data=data)


_SHOWN = 3
_REMEDY = "Upgrade pytest-mockstream; until there is a version that fits, stay on an earlier {}."


class _Judge:
    """Holds what one format says against the models that read it.

    Attributes:
        frames: how many were judged.
        known: which fields are missing that are known to be, each with the reason.
    """

    def __init__(self, wanted: _Format) -> None:
        self.frames = 0
        self.known: dict[str, str] = {}
        self._wanted = wanted
        self._pydantic: Any = import_module("pydantic")
        self._models: Any = import_module(wanted.models)
        self._http: Any = import_module("httpx2" if version_of("httpx2") else "httpx")

        self._adapters: dict[str, Any] = {}

    def misfits(self) -> Iterator[str]:
        """Yield what does not fit, as sentences."""
        for script, steps in _SCRIPTS.items():
            if script in self._wanted.unsayable:
                continue
            status, text = self._fetch(steps, streamed=True)
            if status != 200:
                yield f"{script}: the door itself answered with status {status}"
            for number, data in enumerate(_payloads(text), 1):
                yield from self._held(data, self._wanted.frame, f"{script}, frame {number}")
            status, text = self._fetch(steps, streamed=False)
            if status == 200:
                yield from self._held(text, self._wanted.whole, f"{script}, not streamed")

    def _fetch(self, steps: tuple[Any, ...], *, streamed: bool) -> tuple[int, str]:
        wanted = self._wanted
        url = wanted.url.format(method=wanted.methods[0 if streamed else 1])
        body = {**wanted.body, **(wanted.streamed if streamed else wanted.unstreamed)}
        with MockStreamSDK() as door:
            door.respond(*steps, usage=_USAGE)
            response = self._http.post(url, json=body, trust_env=False)
        return response.status_code, response.text

    def _held(self, data: str, model: str, where: str) -> Iterator[str]:
        """Hold one payload against a model, down to the names of its fields."""
        value = json.loads(data)
        if isinstance(value, dict) and "error" in value and self._wanted.error is not None:
            if not self._wanted.error:
                return
            value, model = value["error"], self._wanted.error
        self.frames += 1
        try:
            read = self._adapter(model).validate_json(json.dumps(value), strict=True)
        except self._pydantic.ValidationError as error:
            place, message = _nearest(error.errors())
            if reason := self._wanted.without.get(place):
                self.known[place] = reason
            else:
                yield f"{where}: {place}: {message}"
            return
        yield from (f"{where}: {path} is no field of {model}" for path in self._unknown(value, read, ""))

    def _adapter(self, model: str) -> Any:
        if model not in self._adapters:  # it takes longer to make one than to read a body with it
            self._adapters[model] = self._pydantic.TypeAdapter(getattr(self._models, model))
        return self._adapters[model]

    def _unknown(self, value: Any, read: Any, path: str) -> Iterator[str]:
        """Yield the fields that a model took in without knowing them, all the way down."""
        if isinstance(value, list) and isinstance(read, list):
            for index, (item, as_read) in enumerate(zip(value, read, strict=True)):
                yield from self._unknown(item, as_read, f"{path}[{index}]")
        elif isinstance(value, dict) and isinstance(read, self._pydantic.BaseModel):
            names = {alias: name for name, known in type(read).model_fields.items() for alias in (name, known.alias)}
            for key, item in value.items():
                if key in names:
                    yield from self._unknown(item, getattr(read, names[key]), f"{path}.{key}")
                elif key not in self._wanted.beyond:
                    yield f"{path}.{key}"


def _nearest(errors: list[dict[str, Any]]) -> tuple[str, str]:
    """Return place and text of the error that says most: of a union's members, of the one whose type is right."""
    strangers = {error["loc"][:1] for error in errors if error["type"] == "literal_error"}
    error = next((error for error in errors if error["loc"][:1] not in strangers), errors[0])
    return ".".join(map(str, error["loc"])), error["msg"]


def _payloads(text: str) -> Iterator[str]:
    """Yield the payloads of a body, from an event stream or JSON lines."""
    for line in text.splitlines():
        data = line.removeprefix("data: ")
        if line.startswith(("data: ", "{")) and data != "[DONE]":
            yield data
