"""Who made which task or thread, what still runs, why, and the report.

It knows no pytest and no stream: open streams come in as plain ``Leak`` values. What others may use is named here, and
loaded when it is first asked for: the watch stands beside every run of pytest, and most runs have nothing to judge.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .blame import report_of
    from .canary import sees
    from .check import leak_check
    from .ignore import Ignore, compile_ignores, matches
    from .judge_threads import convicted_threads
    from .lasting import still_open
    from .owner import OWNER, Owner
    from .proof import finds
    from .report import LeakReport, creators, entries, place
    from .scope import Policy, Scope
    from .settle import take_turns
    from .stacks import frames_of, frames_of_thread, module_of, spellings, user_site
    from .values import DEFAULT_KINDS, KINDS, Leak
    from .watch import LeakWatch

__all__ = [
    "DEFAULT_KINDS",
    "KINDS",
    "OWNER",
    "Ignore",
    "Leak",
    "LeakReport",
    "LeakWatch",
    "Owner",
    "Policy",
    "Scope",
    "compile_ignores",
    "convicted_threads",
    "creators",
    "entries",
    "finds",
    "frames_of",
    "frames_of_thread",
    "leak_check",
    "matches",
    "module_of",
    "place",
    "report_of",
    "sees",
    "spellings",
    "still_open",
    "take_turns",
    "user_site",
]

_HOMES = {
    "blame": "report_of",
    "canary": "sees",
    "proof": "finds",
    "check": "leak_check",
    "ignore": "Ignore compile_ignores matches",
    "judge_threads": "convicted_threads",
    "lasting": "still_open",
    "owner": "OWNER Owner",
    "scope": "Policy Scope",
    "settle": "take_turns",
    "stacks": "frames_of frames_of_thread module_of spellings user_site",
    "report": "LeakReport creators entries place",
    "values": "DEFAULT_KINDS KINDS Leak",
    "watch": "LeakWatch",
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names.split():
            value: object = getattr(import_module(f".{home}", __name__), name)
            globals()[name] = value
            return value
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
