"""Who made a request: the line in the test's own function, and which attempt it is of a library that tries again.

A library's own retries are told from the user's by what the library itself counts: in a header, or in a local variable
of the function that tries again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

from pytest_mockstream._base.callsite import CallSite, is_library
from pytest_mockstream._base.loops import running_coroutine
from pytest_mockstream.playbook.ledger import Asker

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_NONE: Mapping[str, str] = {}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _attempt_number(state: object) -> int | None:
    return _number(getattr(state, "attempt_number", None))


#: Which local variable counts attempts, by the module whose function tries again. Checked against tenacity 9.1 (which
#: google-genai 3.6 and litellm 1.110 use), cohere 7.3 and mistralai 3.7. A module of tenacity's
#: counts for whoever calls it.
_COUNTERS: Mapping[str, tuple[str, Callable[[Any], int | None]]] = {
    "tenacity": ("retry_state", _attempt_number),
    "tenacity.asyncio": ("retry_state", _attempt_number),
    "cohere.core.http_client": ("retries", _number),
    "mistralai.client.utils.retries": ("retries", _number),
}


def asker_of(frame: FrameType | None, headers: Mapping[str, str] = _NONE) -> Asker:
    """Return who made a request.

    Args:
        frame: where it was made.
        headers: of the request, names in lower case.
    """
    test: tuple[CodeType, int] | None = None
    attempts: dict[str, int] = {}
    while frame is not None:
        code = frame.f_code
        if not is_library(code.co_filename):
            if code.co_name.startswith("test"):
                test = code, frame.f_lineno  # the outermost counts
        elif (counter := _COUNTERS.get(module := frame.f_globals.get("__name__", ""))) is not None:
            name, number_in = counter
            if name in code.co_varnames and (number := number_in(frame.f_locals.get(name))) is not None:
                owner = _package(module)
                if owner == "tenacity":
                    owner = _calling_package(frame)
                if owner:
                    attempts[owner] = max(number, attempts.get(owner, 0))
        frame = frame.f_back
    site = None if test is None else CallSite(test[0].co_filename, test[1], test[0].co_qualname)
    coroutine = running_coroutine()
    task = threading.get_ident() if coroutine is None else id(coroutine)
    return with_attempts(Asker(site, task, attempts), headers)


def with_attempts(asker: Asker, headers: Mapping[str, str]) -> Asker:
    """Return who made a request, with what its headers say of the attempt.

    The SDKs that Stainless generates (openai, anthropic, groq) count their retries in ``x-stainless-retry-count``,
    botocore its attempts in ``amz-sdk-request: attempt=2; max=5``.
    """
    counted = headers.get("x-stainless-retry-count", "")
    if counted.isdigit():
        return replace(asker, attempts={**asker.attempts, _client_name(headers): int(counted)})
    number = headers.get("amz-sdk-request", "").partition(";")[0].removeprefix("attempt=")
    return replace(asker, attempts={**asker.attempts, "botocore": int(number)}) if number.isdigit() else asker


def _client_name(headers: Mapping[str, str]) -> str:
    """Return the name of an SDK, which calls itself ``AsyncOpenAI/Python 3.54.0``."""
    name = str(headers.get("user-agent", "")).partition("/")[0].removeprefix("Async")
    return name.removeprefix("Azure").lower() or "the SDK"


def _package(module: str) -> str:
    first, _, rest = module.partition(".")
    return "google-genai" if first == "google" and rest.startswith("genai") else first.replace("_", "-")


def _calling_package(frame: FrameType) -> str:
    """Return the package that has called tenacity; "" if it is the user's code."""
    caller: FrameType | None = frame
    while caller is not None and _package(caller.f_globals.get("__name__", "")) in {"tenacity", "functools"}:
        caller = caller.f_back
    if caller is None or not is_library(caller.f_code.co_filename):
        return ""
    return _package(caller.f_globals.get("__name__", ""))
