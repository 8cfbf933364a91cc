"""Makes the data of an attempt, and of a trace, from what has happened."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from pytest_mockstream._base.redaction import Secrets
from pytest_mockstream.leaks import Leak
from pytest_mockstream.playbook.findings import Finding

from .chunks import Scripts
from .happenings import Failure, Happenings, Part, Sweep
from .runs import Run
from .shown import Shown

FORMAT = "pytest-mockstream trace"
VERSION = 1
_FUNCTIONS = {
    "cancel": "sweep_cancellation",
    "faults": "sweep_faults",
    "orders": "sweep_orders",
    "threads": "sweep_threads",
}


def attempt_of(
    happenings: Happenings,
    *,
    known: Secrets | None,
    outcome: str,
    duration: float,
    failures: Sequence[Failure],
    leaks: Sequence[Leak],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Return an attempt as data; see ``Recorder.attempt``."""
    parts = happenings.parts()
    of_runs = [happening[3] for part in parts[1:] for happening in part.happenings if happening[0] == "asked"]
    shown, scripts = Shown([*happenings.requests, *of_runs], known), Scripts()
    failed = outcome in {"failed", "rerun"}
    test = Run(parts[0], shown, scripts, findings)
    for leak in leaks:
        test.add_leak(leak)
    for failure in failures:
        test.add_failure(*failure)
    runs = [_run_of_sweep(part, shown, scripts) for part in parts[1:]]
    if not runs or test.is_worth_showing:
        failed = failed and not any(run["outcome"] == "failed" for run in runs)
        runs.insert(0, test.as_data(outcome="failed" if failed else "passed"))
    made: dict[str, Any] = {
        "outcome": outcome,
        "duration": round(duration, 6),
        "failures": [{"phase": phase, "text": shown.text(text)} for phase, text, *_ in failures],
    }
    if happenings.sweeps:
        made["sweep"] = _sweep(happenings.sweeps, shown)
    return {**made, "runs": runs, "sources": shown.sources()}


def _run_of_sweep(part: Part, shown: Shown, scripts: Scripts) -> dict[str, Any]:
    assert part.verdict is not None, "only a run with a verdict counts"  # noqa: S101 - Happenings sees to that
    name, problem, alone, site, leaks = part.verdict
    run = Run(part, shown, scripts)
    if part.happenings:
        for leak in leaks:
            run.add_leak(leak)
    known: dict[str, Any] = {"name": shown.line(name), "outcome": "failed" if problem else "passed"}
    if problem:
        known["problem"] = shown.text(problem)
    if alone and part.sweep is not None:
        known["alone"] = shown.text(f"{_call(part.sweep)}(..., {alone})")
    if site is not None:
        known["at"] = shown.place(site)
    return run.as_data(**known)


def _call(sweep: Sweep) -> str:
    """Return what sweeps: a function that was called in a test, or the marker of the test."""
    return "@pytest.mark.mockstream_sweep" if sweep.site is None else _FUNCTIONS[sweep.kind]


def _sweep(sweeps: Sequence[Sweep], shown: Shown) -> dict[str, Any]:
    """Return what was swept: of several sweeps, the first that found something wrong."""
    sweep = next((sweep for sweep in sweeps if sweep.report), sweeps[0])
    return {"kind": sweep.kind, "text": shown.text(sweep.report), "at": shown.place(sweep.site)}


def trace_of(*, test: dict[str, Any], attempts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the trace of a test, as the schema has it.

    Args:
        test: what is known of it: see ``test`` in the schema.
        attempts: what ``Recorder.attempt`` returned for each time that it ran, in order.
    """
    sources: dict[str, list[dict[str, Any]]] = {}
    for attempt in attempts:
        for name, excerpts in attempt["sources"].items():
            sources[name] = _joined([*sources[name], *excerpts]) if name in sources else excerpts
    return {
        "format": FORMAT,
        "version": VERSION,
        "package": _version(),
        "test": test,
        "attempts": [{name: value for name, value in one.items() if name != "sources"} for one in attempts],
        "sources": dict(sorted(sources.items())),
    }


@cache
def _version() -> str:
    return version("pytest-mockstream")


def _joined(excerpts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of excerpts of a file as excerpts, one for each gap-less part."""
    lines: dict[int, str] = {}
    for excerpt in excerpts:
        lines.update(enumerate(excerpt["lines"], excerpt["first"]))
    found: list[dict[str, Any]] = []
    for number in sorted(lines):
        if found and found[-1]["first"] + len(found[-1]["lines"]) == number:
            found[-1]["lines"].append(lines[number])
        else:
            found.append({"first": number, "lines": [lines[number]]})
    return found
