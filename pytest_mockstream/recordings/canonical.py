"""Brings a request into the form by which recordings are found: what changes its answer, and nothing else.

It is pure, and knows the shapes of all providers, but not who was asked: gateways mix them.

Theory of operation: what a request says is spelt in one way (snake case, text as text, tools without what a provider
wraps around them, arguments as the JSON that they are), and what differs from run to run is left out or numbered. An
id that a provider made is only good for telling what belongs together: ids are numbered in the order in which they
first appear, and one that nothing refers to is left out. What is left is scrubbed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from pytest_mockstream._base.redaction import real
from pytest_mockstream.playbook.asked import declarations, tools_of
from pytest_mockstream.playbook.request import Request

from .model_names import undated

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_DEEPEST = 100  # as for bodies
_MOST_EXACT = 2**53  # RFC 8259 section 6: whole numbers up to here are the same for everybody
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
#: An image, a sound or a document.
_DATA = re.compile(r"(data:[\w/+.;=-]{1,100},)?([A-Za-z0-9+/_-]{1024,}={0,2})")
#: An id that a provider made, as a part of a path: ``resp_68ab12``, ``file-4Xz``.
_ID_IN_PATH = re.compile(r"(?<=/)(?:[a-z]+_(?=[A-Za-z]*[0-9])|file-)[A-Za-z0-9]+(?=/|$)")

# Fields, in snake case.

#: Of a request: who pays, how it is served and watched, how the answer comes.
_OF_SERVICE = frozenset(
    {
        *("user", "metadata", "store", "stream", "stream_options", "safety_identifier", "service_tier", "background"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "labels", "request_metadata"),
        *(
            "anthropic_version",
            "anthropic_beta",
            "betas",
            "inference_geo",
            "keep_alive",
            "session_id",
            "trace",
            "usage",
        ),
        *("performance_config", "cache_control", "timeout", "num_retries"),
    }
)
#: Of what a model said, and of what stands around it: what no question is changed by.
_OF_REPLIES = frozenset(
    {
        *("status", "signature", "thought_signature", "encrypted_content", "encrypted_index", "annotations"),
        *("citations", "logprobs", "cache_control", "cache_point", "prompt_cache_breakpoint"),
    }
)
_SPELT = {"max_completion_tokens": "max_tokens"}
#: What refers to something that a provider keeps.
_REFERENCES = frozenset(
    {
        "previous_response_id",
        "previous_interaction_id",
        "conversation",
        "conversation_id",
        "container",
        "cached_content",
    }
)
#: What people write, and what tools take and give: nothing in it is renamed or left out.
_OF_USERS = frozenset({"arguments", "args", "input", "response", "result", "output", "json"})
_SCHEMAS = frozenset({"schema", "json_schema", "response_schema", "response_json_schema", "format", "logit_bias"})
_OF_DECLARATIONS = frozenset({"parameters", "input_schema", "parameters_json_schema"})
_PARTS_OF_TEXT = ("text", "input_text", "output_text", None)


class Scrubs(Protocol):
    """Takes the secrets out of JSON-like values."""

    def scrub(self, value: Any) -> Any:
        """Return the value without its secrets."""

    def with_headers(self, headers: Mapping[str, str]) -> Scrubs:
        """Return one that knows the credentials in the headers of a request, too."""


def canonical(request: Request, scrubber: Scrubs) -> dict[str, Any]:
    """Return what a request asks, in one spelling, without what differs from run to run and without secrets.

    Two requests that ask the same of the same model give equal values, whichever SDK made them and whatever ids the
    provider handed out before. It holds ``provider``, ``model`` without its date, ``messages`` in their order,
    ``tools`` by their names, ``params``, and ``endpoint`` (method and path) where there are no messages.

    Args:
        request: as the code under test made it.
        scrubber: takes the secrets out.
    """
    form = _Form(request)
    model = form.model()
    messages = form.messages()
    said = {
        "provider": real(request.provider),
        "model": model,
        "endpoint": None if messages else form.endpoint(),
        "messages": messages,
        "tools": form.tools(),
        "params": form.params(),
    }
    kept = {name: value for name, value in said.items() if value not in (None, [], {})}
    return _ordered(scrubber.with_headers(request.raw_headers).scrub(kept))  # type: ignore[no-any-return] # a dict is one


def key_of(canonical: Any) -> str:
    """Return the key of what ``canonical`` or ``narrowed`` returned: 16 hexadecimal digits.

    It is the same on every Python and platform, whatever the order of keys in objects.
    """
    text = json.dumps(plain(canonical), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON has it: a float that is a whole number is one, and data is the hash of it."""
    match value:
        case _ if depth > _DEEPEST:
            return "[nested too deeply]"
        case str():
            return _DATA.sub(_hash_of, text) if len(text := real(value)) >= 1024 and _DATA.fullmatch(text) else text
        case bool() | None:
            return value
        case int():
            return int(value)
        case float():
            number = float(value)
            return int(number) if number.is_integer() and abs(number) <= _MOST_EXACT else number
        case bytes() | bytearray():
            return f"[{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}]"
        case Mapping():
            return {
                real(key) if isinstance(key, str) else str(key): plain(one, depth + 1) for key, one in value.items()
            }
        case list() | tuple():
            return [plain(one, depth + 1) for one in value]
        case set() | frozenset():
            return sorted((plain(one, depth + 1) for one in value), key=_text_of)
    return f"<{type(value).__qualname__}>"


def _hash_of(data: re.Match[str]) -> str:
    text = data[2].rstrip("=").replace("-", "+").replace("_", "/")
    return f"{data[1] or ''}[{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}]"


def _text_of(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    return [_ordered(one) for one in value] if isinstance(value, list) else value


def _snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()


class _Form:
    """Spells one request; what it says of ids holds for all of its parts."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._messages: list[Any] = plain(request.messages)
        self._params: dict[str, Any] = plain(request.params)
        self._numbered: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._referred = set(_references(self._messages))

    def model(self) -> str | None:
        model = self._request.model
        return undated(real(model)) if isinstance(model, str) else plain(model)

    def endpoint(self) -> str:
        """Return method and path, in which ids are numbered."""
        path = _ID_IN_PATH.sub(lambda found: self._number(found[0], "id"), real(self._request.path))
        return f"{self._request.method} {path}".strip()

    def messages(self) -> list[Any]:
        return [self._message(message) for message in self._messages]

    def _message(self, message: Any) -> Any:
        said = self._said(message)
        if isinstance(said, dict):
            if said.get("role") == "developer":  # what OpenAI calls the system's since its reasoning models
                said["role"] = "system"
            if said.get("content") == "":
                del said["content"]
        return said

    def _said(self, value: Any) -> Any:
        """Return a message, or a part of it, in its one spelling."""
        if isinstance(value, list):
            return [one for one in map(self._said, value) if one not in (None, {})]
        if not isinstance(value, dict):
            return value
        made = {}
        for key, item in value.items():
            field = _snake(key)
            if field in _OF_REPLIES or item is None:
                continue
            if field in _OF_USERS:
                made[field] = _arguments(item) if field == "arguments" else item
            elif field == "id":
                made[field] = self._id(item, value)
            elif field.endswith("_id"):
                made[field] = self._number(item, "call" if field in _CALLS else field.removesuffix("_id"))
            elif field == "content":
                made[field] = _text(self._said(item))
            else:
                made[field] = self._said(item)
        return {field: item for field, item in made.items() if item not in (None, [])}

    def _id(self, value: Any, owner: Mapping[str, Any]) -> Any:
        """Return what stands for the id of a message, a call or a part; None where nothing refers to it."""
        if owner.get("type") == "item_reference":
            return self._number(value, "item")
        return self._number(value, "call") if isinstance(value, str) and value in self._referred else None

    def _number(self, value: Any, kind: str) -> Any:
        """Return what stands for an id: the same for the same one."""
        if not isinstance(value, str) or not value:
            return value or None
        if value not in self._numbered:
            self._counts[kind] += 1
            self._numbered[value] = f"{kind}_{self._counts[kind]}"
        return self._numbered[value]

    def tools(self) -> list[Any]:
        """Return the tools by name: where they come from, servers and registries, they have no order."""
        return sorted(_tools(plain(self._request.tools)), key=lambda tool: (str(tool.get("name", "")), _text_of(tool)))

    def params(self) -> dict[str, Any]:
        lifted = {"model", *(["tools"] if self._request.tools else []), *(["messages"] if self._messages else [])}
        made = {}
        for key, value in self._params.items():
            name = _snake(key)
            if name in _OF_SERVICE or name in lifted:
                continue
            if name in _REFERENCES:
                made[name] = self._reference(value, name.removeprefix("previous_").removesuffix("_id"))
            else:
                made[_SPELT.get(name, name)] = self._said(value) if name == "messages" else _spelt(value, name)
        return {name: value for name, value in made.items() if value not in (None, [])}

    def _reference(self, value: Any, kind: str) -> Any:
        if isinstance(value, dict) and isinstance(value.get("id"), str):
            return {**_spelt(value, ""), "id": self._number(value["id"], kind)}
        return self._number(value, kind)


_CALLS = frozenset({"tool_call_id", "call_id", "tool_use_id"})


def _references(value: Any) -> Iterator[str]:
    """Yield the ids that something in a conversation refers to."""
    if isinstance(value, list):
        for one in value:
            yield from _references(one)
    elif isinstance(value, dict):
        for key, item in value.items():
            field = _snake(key)
            if field.endswith("_id") and isinstance(item, str):
                yield item
            elif field not in _OF_USERS:
                yield from _references(item)


def _text(content: Any) -> Any:
    """Return content in its one spelling: a part that is nothing but text is text, and so is a list of one such."""
    if not isinstance(content, list):
        return content
    parts = [part["text"] if _is_text(part) else part for part in content]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() <= {"type", "text"}
        and isinstance(part.get("text"), str)
        and part.get("type") in _PARTS_OF_TEXT
    )


def _arguments(given: Any) -> Any:
    """Return the arguments of a call as the JSON that they are; as text if they are not an object."""
    if not isinstance(given, str):
        return given
    try:
        made = json.loads(given or "{}")
    except (ValueError, RecursionError):
        return given
    return plain(made) if isinstance(made, dict) else given


def _spelt(value: Any, name: str) -> Any:
    """Return a parameter in its one spelling; what people named is as they named it."""
    if name in _SCHEMAS:
        return value
    if isinstance(value, list):
        return [_spelt(one, name) for one in value]
    if not isinstance(value, dict):
        return value
    made = {_snake(key): _spelt(item, _snake(key)) for key, item in value.items()}
    kept = {key: item for key, item in made.items() if item not in (None, []) and key != "cache_control"}
    return kept or (None if made else {})


def _tools(tools: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for tool in tools:
        for one in _declarations(tool) if isinstance(tool, dict) else [tool]:
            yield _tool(one) if isinstance(one, dict) else {"tool": one}


def _declarations(tool: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what is declared in one tool, and beside it what Gemini runs itself."""
    beside = {key: one for key, one in tool.items() if _snake(key) != "function_declarations"}
    yield from declarations([{key: one for key, one in tool.items() if key not in beside} or tool])
    if beside and len(beside) < len(tool):
        yield beside


def _tool(declaration: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        _snake(key): item
        for key, item in declaration.items()
        if item is not None and not (key == "type" and item in ("function", "custom"))
    }
    made = {name: item for name, item in made.items() if name not in _OF_REPLIES}
    if run_by_sender := tools_of([declaration]):
        made = {name: item for name, item in made.items() if name not in _OF_DECLARATIONS}
        made["parameters"] = run_by_sender[0].schema
    return made
