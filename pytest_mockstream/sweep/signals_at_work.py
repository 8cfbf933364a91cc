"""Whether a signal may still do something that an event loop waits for."""

from __future__ import annotations

import asyncio
import signal
from types import CodeType

from pytest_mockstream._base.callsite import package_of

from .threads_at_work import is_of_pytest

_RUNNER = asyncio.Runner.run.__code__.co_filename
_INTERRUPTS_TRIO = "KIManager.install"  # what sets it is private, checked against trio 0.30 to 0.35


def signals_may_act() -> bool:
    """Tell whether a handler of the user's, or of a library's, is set for a signal."""
    return any(_is_of_use(signal.getsignal(number)) for number in signal.valid_signals())


def _is_of_use(handler: object) -> bool:
    """Tell whether a signal's handler may wake somebody.

    Those by which asyncio and trio let Ctrl-C end a run do not; nor does a time-out of pytest's plugins.
    """
    if not callable(handler) or handler is signal.default_int_handler:
        return False
    function = getattr(handler, "func", handler)  # of a functools.partial
    code = getattr(function, "__code__", None)
    if code is not None and (code.co_filename == _RUNNER or _is_trios(code)):
        return False
    return not is_of_pytest(function)


def _is_trios(code: CodeType) -> bool:
    return code.co_qualname.startswith(_INTERRUPTS_TRIO) and package_of(code.co_filename) == "trio"
