"""A pytest plugin: writes down what pytest said about every test, and ends what the scenarios left running."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any
from warnings import WarningMessage

import pytest

from . import work

FORKED_AND_JUDGED = 3


class Recorder:
    """Collects outcomes, warnings and report texts by test."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._process = os.getpid()
        self._outcomes: defaultdict[str, list[str]] = defaultdict(list)
        self._warnings: defaultdict[str, list[str]] = defaultdict(list)
        self._texts: defaultdict[str, str] = defaultdict(str)

    def pytest_collection_finish(self) -> None:
        from . import early_ticker  # noqa: F401 # its thread runs before the first test

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if os.getpid() != self._process and report.when == "teardown":
            os._exit(0 if report.passed else FORKED_AND_JUDGED)
        category: str = self._config.hook.pytest_report_teststatus(report=report, config=self._config)[0]
        if category:
            self._outcomes[report.nodeid].append(category)
        self._texts[report.nodeid] += "\n".join([report.longreprtext, *(text for _, text in report.sections)])

    def pytest_warning_recorded(self, warning_message: WarningMessage, nodeid: str) -> None:
        self._warnings[nodeid].append(warning_message.category.__name__)

    def pytest_unconfigure(self) -> None:
        work.end()
        path = self._config.getoption("outcomes")
        if path is not None and not hasattr(self._config, "workerinput"):
            record: dict[str, Any] = {"outcomes": self._outcomes, "warnings": self._warnings, "texts": self._texts}
            Path(path).write_text(json.dumps(record), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", default=None)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(config))
