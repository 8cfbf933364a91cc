"""Who made which task or thread, what still runs, why, and the report.

The wall: of ours only the floor below; no pytest and no stream. Open streams come in as plain ``Leak`` values.
"""

from __future__ import annotations

from .canary import sees
from .check import leak_check
from .ignore import compile_ignores, matches
from .owner import OWNER, Owner
from .scope import Policy, Scope
from .settle import turn
from .stacks import frames_of, frames_of_thread, user_site
from .text import creators, entries, place
from .values import DEFAULT_KINDS, KINDS, Leak, LeakReport
from .watch import LeakWatch

__all__ = [
    "DEFAULT_KINDS",
    "KINDS",
    "OWNER",
    "Leak",
    "LeakReport",
    "LeakWatch",
    "Owner",
    "Policy",
    "Scope",
    "compile_ignores",
    "creators",
    "entries",
    "frames_of",
    "frames_of_thread",
    "leak_check",
    "matches",
    "place",
    "sees",
    "turn",
    "user_site",
]
