"""Who made which task or thread, what still runs, why, and the report.

It knows no pytest and no stream: open streams come in as plain ``Leak`` values. What others may use is named here, and
loaded when it is first asked for: the watch stands beside every run of pytest, and most runs have nothing to judge.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .births import Birth, TaskBirth, begin_telling_births, end_telling_births, thread_is_about_to_run
    from .blame import report_of
    from .canary import sees
    from .check import leak_check
    from .ignore import Ignore, compile_ignores, matches
    from .internals import error_of, has_work, is_kept_idle, name_at_birth, waits_for_job
    from .interpreter import is_kept_worker
    from .judge_threads import convicted_threads
    from .lasting import still_open
    from .owner import OWNER, Owner
    from .proof import finds
    from .report import LeakReport, creators, entries, naming, place
    from .rules import is_by_finaliser, is_in_finaliser
    from .scope import Policy, Scope
    from .settle import take_turns
    from .stacks import created_at, frames_of, frames_of_thread, frames_of_threads, module_of, spellings, user_site
    from .values import DEFAULT_KINDS, KINDS, Leak
    from .watch import LeakWatch

__all__ = [
    "DEFAULT_KINDS",
    "KINDS",
    "OWNER",
    "Birth",
    "Ignore",
    "Leak",
    "LeakReport",
    "LeakWatch",
    "Owner",
    "Policy",
    "Scope",
    "TaskBirth",
    "begin_telling_births",
    "compile_ignores",
    "convicted_threads",
    "created_at",
    "creators",
    "end_telling_births",
    "entries",
    "error_of",
    "finds",
    "frames_of",
    "frames_of_thread",
    "frames_of_threads",
    "has_work",
    "is_by_finaliser",
    "is_in_finaliser",
    "is_kept_idle",
    "is_kept_worker",
    "leak_check",
    "matches",
    "module_of",
    "name_at_birth",
    "naming",
    "place",
    "report_of",
    "sees",
    "spellings",
    "still_open",
    "take_turns",
    "thread_is_about_to_run",
    "user_site",
    "waits_for_job",
]

_HOMES = {
    "births": "Birth TaskBirth begin_telling_births end_telling_births thread_is_about_to_run",
    "blame": "report_of",
    "canary": "sees",
    "proof": "finds",
    "check": "leak_check",
    "internals": "error_of has_work is_kept_idle name_at_birth waits_for_job",
    "interpreter": "is_kept_worker",
    "ignore": "Ignore compile_ignores matches",
    "judge_threads": "convicted_threads",
    "lasting": "still_open",
    "owner": "OWNER Owner",
    "rules": "is_by_finaliser is_in_finaliser",
    "scope": "Policy Scope",
    "settle": "take_turns",
    "stacks": "created_at frames_of frames_of_thread frames_of_threads module_of spellings user_site",
    "report": "LeakReport creators entries naming place",
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
