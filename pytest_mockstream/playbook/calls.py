"""The functions of the user's that a playbook calls: which run now, and what becomes of what they raise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from pytest_mockstream._base.callsite import CallSite, is_library
from pytest_mockstream._base.errors import MockStreamError, ScriptError
from pytest_mockstream._base.redaction import Secrets

from .computed import ComputedScript, stack_of
from .messages import which
from .queued import Condition
from .request import Request

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_SHOWN_OF_ERROR = 200  # characters; one that asks the model itself may raise an error that has this one in it
_MOST_NESTED = 10  # functions that run because another one asked the model; each takes some forty frames of the stack

_nested: ContextVar[int] = ContextVar("mockstream_nested_functions", default=0)

_KINDS = {Condition: "predicates", ComputedScript: "functions"}


@dataclass(frozen=True, slots=True)
class _Call:
    """A function of the user's that is being called.

    Attributes:
        what: the condition or the script that it belongs to.
        request: what it was asked about.
        thread: the thread that called it.
    """

    what: object
    request: Request
    thread: int


class Errors(Protocol):
    """Keeps the errors that the code under test may swallow.

    Attributes:
        unexpected: those that were kept.
    """

    unexpected: list[MockStreamError]

    def remember(self, error: MockStreamError) -> None:
        """Keep an error."""


class Calls:
    """The calls of one playbook."""

    def __init__(self) -> None:
        self._running: dict[object, _Call] = {}

    @contextmanager
    def calling(self, what: object, request: Request, errors: Errors) -> Iterator[None]:
        """Note that a function of the user's is called; what it raises becomes an error of ours, and is kept.

        Raises:
            ScriptError: it raised something, or such functions call one another without end.
        """
        if _nested.get() == _MOST_NESTED:
            endless = ScriptError(
                f"{what} was to be asked about {which(request)}, while {_MOST_NESTED} {_KINDS[type(what)]} wait for one"
                " another: one that asks the model must not be asked about its own requests without end. Let it return"
                " for these before it asks, as in `request.text != question and ...`"
            )
            errors.remember(endless)
            raise endless
        call, outer = object(), _nested.set(_nested.get() + 1)
        self._running[call] = _Call(what, request, threading.get_ident())
        try:
            yield
        except Exception as error:
            if error in errors.unexpected:  # of a request that it made itself
                raise
            text = str(error)
            told = Secrets(request.raw_headers).shown(text)
            raised = f"{type(error).__name__}{_raised_at(error)}: {told[:_SHOWN_OF_ERROR]}"
            problem = ScriptError(f"{what} raised {raised}, asked about {which(request)}")
            errors.remember(problem)
            raise problem from (error if told == text else None)  # it would be shown as it is
        finally:
            del self._running[call]
            _nested.reset(outer)

    def running_for(self, request: Request, kind: type) -> str:
        """Return which function has not returned for a request, and where it stands, for a message.

        Args:
            request: the request.
            kind: what the function belongs to: ``Condition`` or ``ComputedScript``.
        """
        calls = [call for call in list(self._running.values()) if call.request is request]
        if not calls or not isinstance(calls[-1].what, kind):
            return ""
        return f"{calls[-1].what} has not returned.{stack_of(calls[-1].thread)}"

    def verify(self) -> None:
        """Raise ``ScriptError`` if a function has not returned yet."""
        for call in list(self._running.values()):
            asked = f"{call.what} was asked about {which(call.request)}"
            msg = f"{asked} and has not returned: end it before the test is over"
            raise ScriptError(msg)


def _raised_at(error: BaseException) -> str:
    """Return the line of the user's function at which it raised, for a message."""
    trace = error.__traceback__
    while trace is not None and is_library(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is None:
        return "" if error.__cause__ is None else _raised_at(error.__cause__)
    code = trace.tb_frame.f_code
    return f" at {CallSite(code.co_filename, trace.tb_lineno, code.co_qualname)}"
