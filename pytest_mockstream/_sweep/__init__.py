"""Run a coroutine once for each place where it can be cancelled, and once for each place where its stream can break.

The wall: uses what a door offers and what the leak check finds; knows no pytest.
"""

from __future__ import annotations

from ._broken import DEFAULT_FAULTS, fault_of
from ._cancel import cancellations, sweep_cancellation
from ._faults import broken_streams, sweep_faults
from ._result import SweepResult, Visit
from ._threads import sweep_threads, trouble_of, troubled_threads

__all__ = [
    "DEFAULT_FAULTS",
    "SweepResult",
    "Visit",
    "broken_streams",
    "cancellations",
    "fault_of",
    "sweep_cancellation",
    "sweep_faults",
    "sweep_threads",
    "trouble_of",
    "troubled_threads",
]
