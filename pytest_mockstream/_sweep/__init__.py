"""Run a coroutine once for each place where it can be cancelled, and once for each place where its stream can break.

The wall: uses what a door offers and what the leak check finds; knows no pytest.
"""

from __future__ import annotations

from ._cancel import cancellations, sweep_cancellation
from ._faults import broken_streams, sweep_faults
from ._result import SweepResult, Visit

__all__ = ["SweepResult", "Visit", "broken_streams", "cancellations", "sweep_cancellation", "sweep_faults"]
