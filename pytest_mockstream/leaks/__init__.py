"""Who made which task or thread, what still runs, why, and the report.

The wall: of ours only the floor below; no pytest and no stream. Open streams come in as plain ``Leak`` values.
"""

from __future__ import annotations

from ._canary import sees
from ._check import leak_check
from ._ignore import compile_ignores, matches
from ._look import frames_of, frames_of_thread, user_site
from ._owner import OWNER, Owner
from ._scope import Policy, Scope
from ._settle import turn
from ._text import creators, entries, place
from ._values import DEFAULT_KINDS, KINDS, Leak, LeakReport
from ._watch import LeakWatch

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
