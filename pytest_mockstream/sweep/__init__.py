"""Run code once for each place where it can be cancelled, and once for each way in which its streams can break.

It uses what a door offers and what the leak check finds, and knows nothing of pytest.
"""

from __future__ import annotations

from .break_plan import raises_of
from .broken import DEFAULT_FAULTS, fault_of, faults_of
from .cancel import sweep_cancellation
from .faults import sweep_faults
from .problem import Problem
from .result import SweepResult, Visit
from .settings import Settings, SweepKeywords, flag
from .threads import sweep_threads, thread_fault_of

__all__ = [
    "DEFAULT_FAULTS",
    "Problem",
    "Settings",
    "SweepKeywords",
    "SweepResult",
    "Visit",
    "fault_of",
    "faults_of",
    "flag",
    "raises_of",
    "sweep_cancellation",
    "sweep_faults",
    "sweep_threads",
    "thread_fault_of",
]
