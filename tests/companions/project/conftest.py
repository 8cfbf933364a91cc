"""Writes down what pytest said about each test, and ends at the end what the tests have left."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

_SAID: defaultdict[str, list[str]] = defaultdict(list)


def pytest_collection_finish(session: pytest.Session) -> None:
    import left

    left.OVER.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if category := _category(report):
        _SAID[report.nodeid].append(category)


def _category(report: pytest.TestReport) -> str:
    """Return what pytest itself calls an outcome, whatever other plugins show instead."""
    if report.outcome == "rerun":  # pytest-rerunfailures
        return "rerun"
    if hasattr(report, "wasxfail"):
        return {"skipped": "xfailed", "passed": "xpassed"}.get(report.outcome, report.outcome)
    if report.when == "call":
        if hasattr(report, "context"):  # one of several subtests
            return "" if report.outcome == "passed" else f"subtest {report.outcome}"
        return report.outcome
    return {"failed": "error", "skipped": "skipped"}.get(report.outcome, "")


def pytest_unconfigure(config: pytest.Config) -> None:
    import left

    left.OVER.set()
    if not hasattr(config, "workerinput"):
        Path(os.environ["COMPANION_OUTCOMES"]).write_text(json.dumps(_SAID), encoding="utf-8")
