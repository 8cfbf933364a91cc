"""Run code once for each place where it can be cancelled, each way in which its streams can break, and each order.

It uses what a door offers and what the leak check finds, and knows nothing of pytest.
"""

from __future__ import annotations

from .break_plan import raises_of
from .broken import DEFAULT_FAULTS, fault_of, faults_of
from .cancel import sweep_cancellation
from .deadlock import deadlocks_raised
from .deadlock_on_trio import or_deadlock_on_trio
from .faults import sweep_faults
from .order_result import FailedOrder, OrdersResult
from .order_settings import ORDER_KEYWORDS, OrderSettings
from .orders import sweep_orders
from .problem import Problem
from .result import SweepResult, Visit
from .settings import Settings, SweepKeywords, flag
from .threads import sweep_threads, thread_fault_of

__all__ = [
    "DEFAULT_FAULTS",
    "ORDER_KEYWORDS",
    "FailedOrder",
    "OrderSettings",
    "OrdersResult",
    "Problem",
    "Settings",
    "SweepKeywords",
    "SweepResult",
    "Visit",
    "deadlocks_raised",
    "fault_of",
    "faults_of",
    "flag",
    "or_deadlock_on_trio",
    "raises_of",
    "sweep_cancellation",
    "sweep_faults",
    "sweep_orders",
    "sweep_threads",
    "thread_fault_of",
]
