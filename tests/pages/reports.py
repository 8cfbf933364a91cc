"""Reports of runs, as ``--mockstream-report`` makes them, for the tests of their page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Data = dict[str, Any]

#: What may stand in the name of a file, a test or a thread, and must stay text.
HOSTILE = (
    "</script><script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "a\u202egpj.exe",
    "\ud800 alone",
    "&lt;b&gt; __proto__ javascript:document.title='run'",
    "constructor",
    "w" * 1_000_000,
)


def report(**tables: Any) -> Data:
    """Return a report of a run in which nothing happened, but for what is given."""
    return {
        "format": "pytest-mockstream report",
        "version": 1,
        "mode": "error",
        "grace": 0.2,
        "armed": {"tasks": True, "threads": True, "streams": True},
        "leaks": [],
        "stale": [],
        "package": "0.1.0",
        "run": {
            "started": "2026-11-28T17:00:00+00:00",
            "seconds": 75.5,
            "status": 0,
            "tests": 12,
            "failed": 0,
            "whole": True,
            "python": "3.13.0",
            "platform": "linux",
        },
        "leaks_by_line": [],
        "streams": [],
        "consumers": [],
        "retries": [],
        "findings": [],
        "stale_exemptions": [],
        "traces": {},
        **tables,
    }


def leak(at: str, tests: Iterable[str], *, outcome: str = "error") -> Data:
    """Return the row of a line that leaks."""
    each = {"name": "pump", "waits_at": "app/pump.py:9", "diagnosis": "It is blocked.", "remedy": "Cancel it."}
    rows = [{"test": test, "count": 1, **each} for test in tests]
    whose = {"kind": "task", "outcome": outcome, "owner": "test", "kept_by": ""}
    return {"at": at, "in": "start", **whose, "count": len(rows), **each, "tests": rows}


def consumer(at: str, tests: Iterable[str], *, wasted: int = 0, lingered: float | None = 0.5) -> Data:
    """Return the row of a line that opens streams: one in each test."""
    each = {"count": 1, "states": {"closed": 1}, "read": 3, "lingered": lingered, "open": 1.25, "leaked": 0}
    rows = [{"test": test, **each, "wasted": wasted} for test in tests]
    number = len(rows)
    whole = {"count": number, "states": {"closed": number}, "read": 3 * number, "wasted": wasted * number}
    return {"at": at, "in": "ask", **each, **whole, "tests": rows}


def full() -> Data:
    """Return a report with something in each table."""
    tests = [f"tests/test_bot.py::test_answer[{name}]" for name in ("en", "fr", "de")]
    retries = {"count": 4, "why": {"HTTP 429": 3, "timeout": 1}, "tries": 3}
    finding = {"count": 1, "what": "app/bot.py:30 asked again", "remedy": "Raise it."}
    return report(
        leaks_by_line=[leak("app/bot.py:22", tests[:2]), leak("app/tick.py:7", tests[2:], outcome="allowed")],
        streams=[
            {"state": "exhausted", "count": 7, "tests": [{"test": test, "count": 1} for test in tests]},
            {"state": "closed", "count": 5, "tests": [{"test": tests[0], "count": 5}]},
            {"state": "open", "count": 1, "tests": [{"test": tests[1], "count": 1}]},
        ],
        consumers=[
            consumer("app/bot.py:30", tests, wasted=4),
            consumer("app/chat.py:5", tests[:1], wasted=40, lingered=2.5),
            consumer("app/quiet.py:100", tests[1:2], lingered=None),
            consumer("app/quiet.py:20", tests[1:2]),
        ],
        retries=[
            {"at": "app/bot.py:30", "in": "ask", "by": None, **retries, "tests": [{"test": tests[0], **retries}]},
            {"at": "app/chat.py:5", "in": "ask", "by": "openai", **retries, "tests": [{"test": tests[1], **retries}]},
        ],
        findings=[
            {
                "name": "retries_permanent",
                "at": "app/bot.py:30",
                "in": "ask",
                "by": None,
                **finding,
                "tests": [{"test": tests[2], **finding}],
            }
        ],
        stale_exemptions=[
            {"kind": "allow_leaks", "what": "", "where": "tests/test_old.py::test_it"},
            {"kind": "ignore", "what": "heartbeat", "where": "mockstream_leak_ignore"},
        ],
        traces={tests[0]: "mockstream-trace/test_answer%20%5Ben%5D.html", tests[2]: "mockstream-trace/de.html"},
    )


def hostile() -> Data:
    """Return a report all of whose texts are hostile."""
    rows = [
        (text, {**leak(text, [text]), "in": text, "name": text, "diagnosis": text, "owner": text}) for text in HOSTILE
    ]
    return report(
        leaks_by_line=[row for _, row in rows],
        consumers=[{**consumer(text, [text, text + "2"]), "in": text} for text in HOSTILE],
        stale_exemptions=[{"kind": "ignore", "what": text, "where": text} for text in HOSTILE],
        traces={HOSTILE[0]: "mockstream-trace/%3Cscript%3E.html"},
    )


def large(lines: int = 2_000, tests: int = 5_000) -> Data:
    """Return a report of a large suite: many lines, one of which all tests use."""
    ids = [f"tests/test_{number % 100}.py::test_{number}" for number in range(tests)]
    return report(
        consumers=[
            consumer("app/llm.py:1", ids),
            *(consumer(f"app/module_{number}.py:{number}", ids[number : number + 1]) for number in range(lines)),
        ]
    )
