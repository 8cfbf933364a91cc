"""Guesses which step somebody meant who gave a value that is not a step, for the error message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_mockstream._base.redaction import brief

from .steps import CONTENT, STEPS, HTTPError, Wait

# Where the providers keep the arguments of a tool call, and what they wrap around one.
_ARGUMENTS = ("arguments", "input", "args")
_WRAPPERS = ("function", "functionCall")


def hint(value: object) -> str:
    """Return a sentence that says what to write instead, or nothing."""
    guess = _guess(value)
    return f" {guess}" if guess else ""


def _guess(value: object) -> str:
    match value:
        case bool():
            return ""
        case None:
            return "For a reply without content write ''. If a function of yours makes the step, does it return it?"
        case int() | float():
            return f"For a pause write Wait({brief(value)})."
        case bytes() | bytearray():
            return f"Text is a str: write {brief(value)}.decode()."
        case type():
            return _guess_of_class(value)
        case BaseException():
            return _guess_of_error(type(value))
        case Mapping():
            return _guess_of_mapping(value)
        case _ if callable(value):
            return "A function that answers a request goes into respond(...), which calls it."
        case list() | tuple():
            return f"For exact deltas write Text({brief(value)})."
        case Iterable():
            return "For exact deltas write Text(...) around it."
    return ""


def _guess_of_class(kind: type) -> str:
    if issubclass(kind, BaseException):
        return _guess_of_error(kind)
    if kind not in STEPS:
        return ""
    needs_value = kind in {*CONTENT, Wait, HTTPError}
    return f"Did you mean {kind.__name__}({'...' if needs_value else ''})?"


def _guess_of_error(kind: type[BaseException]) -> str:
    if issubclass(kind, TimeoutError):
        return "To let the stream fall silent write Stall()."
    if issubclass(kind, ConnectionError):
        return "To break the connection write Disconnect()."
    return "Failures are steps, too: Disconnect(), Stall(), HTTPError(500) or ErrorEvent('what the provider says')."


def _guess_of_mapping(value: Mapping[Any, Any]) -> str:
    call = next((value[name] for name in _WRAPPERS if isinstance(value.get(name), Mapping)), value)
    for name in _ARGUMENTS:
        if name in call and "name" in call:
            return f"For a tool call write ToolCall({brief(call['name'])}, {brief(call[name])})."
    return "For a tool call write ToolCall(name, arguments); for a frame, Frame(...); for text, json.dumps(...)."
