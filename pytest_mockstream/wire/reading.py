"""Reads requests: the JSON of a body, typed look-ups whose errors name the field, and messages in one common shape.

It knows no provider.
"""

from __future__ import annotations

import json
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytest_mockstream._base.redaction import brief

from .format import BadRequestError, Json

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

# As protocol buffers have it: https://protobuf.dev/programming-guides/proto-limits/. Recursion elsewhere relies on it.
_DEEPEST = 100
# Any longer, and no float can be so large.
_LONGEST_NUMBER = 308
_MOST_CHOICES = 128


def json_object(body: bytes) -> Json:
    """Read a body that must be a JSON object, as strictly as RFC 8259 has it: nothing in it can trip a later reader.

    Its text is not repeated in messages: it may hold a credential.

    Raises:
        BadRequestError: it is not UTF-8, not JSON or not an object, or what it says is ambiguous or without bounds:
            ``NaN`` and infinite numbers, keys that come twice, halves of surrogate pairs, numbers and nesting without
            end.
    """
    try:
        text = body.decode("utf-8-sig")
        value = _decode(text)
    except UnicodeDecodeError as error:
        raise BadRequestError(f"its body of {len(body)} bytes is not UTF-8: {error.reason} at {error.start}") from None
    except json.JSONDecodeError as error:
        raise BadRequestError(f"its body of {len(body)} bytes is not JSON ({error})") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise BadRequestError(f"its body must be a JSON object, but it is a JSON {type(value).__name__}")
    _check_depth(value)
    if "\\ud" in text.lower():
        _check_surrogates(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> Json:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise BadRequestError(f"its body has the key {twice!r:.80} twice in one object")
    return made


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise BadRequestError(f"its body has a number of {len(digits)} digits: at most {_LONGEST_NUMBER} are read")
    return int(digits)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRequestError("its body has a number that is too large to be one")
    return number


def _constant(name: str) -> Any:
    raise BadRequestError(f"its body has {name}, which is not JSON")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
).decode


def _check_depth(value: Json) -> None:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        inside = (item for one in level for item in (one.values() if isinstance(one, dict) else one))
        level = [item for item in inside if isinstance(item, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> BadRequestError:
    return BadRequestError(f"its body is nested more than {_DEEPEST} levels deep")


def _check_surrogates(value: Json) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequestError("its body has one half of a surrogate pair, which is not a character") from None


def text_field(body: Mapping[str, Any], name: str) -> str:
    """Return the text of a field; it must be there and must not be empty."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequestError(f"{name!r} must be text and not empty, {_got(body, name)}")
    return value


def flag(body: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """Return a boolean field; the default if it is absent or null."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadRequestError(f"{name!r} must be true or false, {_got(body, name)}")
    return value


def objects(body: Mapping[str, Any], name: str, *, required: bool = False) -> list[Mapping[str, Any]]:
    """Return a field that is a list of JSON objects; unless it is required, absent and null mean an empty list."""
    value = body.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRequestError(f"{name!r} must be a list of objects, {_got(body, name)}")
    if required and not value:
        raise BadRequestError(f"{name!r} must not be empty")
    return value


def rest(body: Mapping[str, Any], *taken: str) -> Json:
    """Return all fields but those that were taken."""
    return {name: value for name, value in body.items() if name not in taken}


def joined_text(parts: object) -> str:
    """Return the text of a message's content, which may be a text or a list of parts, some of them text."""
    if isinstance(parts, str):
        return parts
    if isinstance(parts, Mapping):
        text = parts.get("text", "")
        return text if isinstance(text, str) else ""
    return "".join(map(joined_text, parts)) if isinstance(parts, Iterable) else ""


def content_of(parts: object) -> Any:
    """Return a message's content without loss: as one text if it is nothing but texts, else as it is."""
    if isinstance(parts, list):
        return joined_text(parts) if all(map(_is_mere_text, parts)) else parts
    return joined_text(parts) if _is_mere_text(parts) else parts


def _is_mere_text(part: object) -> bool:
    return isinstance(part, str) or (isinstance(part, Mapping) and "text" in part and part.keys() <= {"type", "text"})


def call_of(call_id: Any, name: Any, arguments: Any, more: Mapping[str, Any]) -> Json:
    """Return a tool call in OpenAI's shape, with whatever else the provider says of it."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}, **more}


def refuse(body: Mapping[str, Any], name: str, why: str, *, unless: Callable[[Any], bool] = operator.not_) -> None:
    """Raise ``BadRequestError`` if a request asks for what a script cannot say.

    Args:
        body: the request, or an object in it.
        name: the field that asks; it may be absent.
        why: what cannot be said.
        unless: tells whether a value of the field asks for nothing; by default, whether it is null, false, 0 or empty.
    """
    if name in body and not unless(body[name]):
        raise BadRequestError(f"{name!r} is {brief(body[name])}: {why}")


def choices_of(body: Mapping[str, Any]) -> int:
    """Return how many choices a request asks for with ``n``.

    Raises:
        BadRequestError: it is no number from 1 to 128: https://platform.openai.com/docs/api-reference/chat/create
    """
    asked = body.get("n")
    if asked is None:
        return 1
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= _MOST_CHOICES:
        raise BadRequestError(f"'n' must be a whole number from 1 to {_MOST_CHOICES}, but it is {brief(asked)}")
    return asked


def _got(body: Mapping[str, Any], name: str) -> str:
    if name not in body:
        return "but it is missing"
    value = body[name]
    # Lists and objects are not repeated: they may hold anything.
    return f"but it is a {type(value).__name__}" if isinstance(value, list | dict) else f"but it is {brief(value)}"
