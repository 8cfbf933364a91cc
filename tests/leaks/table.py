"""Print, Python by Python, how many of the scenarios' leaks are found, and how many false alarms there are.

    python tests/leaks/table.py [PYTHON...]

A PYTHON is the path of an interpreter whose environment has the package and the extra `test`; without any, it is the
one that runs this. Each runs ``test_scenarios.py``, which tells the figures. The exit status is 1 if a leak was missed,
if there was a false alarm, or if a test failed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SCENARIOS = Path(__file__).with_name("test_scenarios.py")
LIMIT = 1800
HEADER = "| Python | recall | false alarms | runs of scenarios |\n|---|---|---|---|"

_NAME = "import platform, sys; print(platform.python_version() + getattr(sys, 'abiflags', ''))"


@dataclass(frozen=True)
class Row:
    """What the scenarios gave on one Python.

    Attributes:
        python: its version, with a ``t`` if it has no lock.
        tally: the figures of all runs, summed.
        suite: the runs of pytest that the scenarios are played in, by outcome.
    """

    python: str
    tally: Counter[str]
    suite: Counter[str]

    @property
    def is_good(self) -> bool:
        """Whether nothing was missed, nobody was blamed wrongly, and something was looked at."""
        tally = self.tally
        return 0 < tally["leaks"] == tally["found"] and tally["false alarms"] == 0 and not self.suite["failed"]

    def __str__(self) -> str:
        tally = self.tally
        recall = f"{tally['found']} of {tally['leaks']} ({_percent(tally['found'], tally['leaks'])})"
        suite = ", ".join(f"{number} {outcome}" for outcome, number in self.suite.items() if number)
        return f"| {self.python} | {recall} | {tally['false alarms']} ({tally['clean tests']} clean tests) | {suite} |"


def row(python: str, junit: str) -> Row:
    """Return what the report of a run of ``test_scenarios.py`` says, in the format of JUnit."""
    cases = list(ET.fromstring(junit).iter("testcase"))  # noqa: S314 # pytest wrote it
    suite = Counter({"passed": 0, "failed": 0, "skipped": 0})
    suite.update(map(_outcome, cases))
    tally: Counter[str] = Counter()
    for name, value in _properties(cases):
        tally[name] += value
    return Row(python, tally, suite)


def _outcome(case: ET.Element) -> str:
    found = {child.tag for child in case}
    return "failed" if found & {"failure", "error"} else "skipped" if "skipped" in found else "passed"


def _properties(cases: list[ET.Element]) -> Iterator[tuple[str, int]]:
    for case in cases:
        for told in case.iter("property"):
            yield told.attrib["name"], int(told.attrib["value"])


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "nothing was run"


def _measure(python: str, arguments: list[str]) -> Row:
    name = subprocess.run([python, "-c", _NAME], check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "junit.xml")
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments]
        ran = subprocess.run(
            [*command, f"{SCENARIOS}::test_scenarios_get_their_verdicts"],
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "PYTHON_COLORS": "0"},
        )
        if not report.exists():
            sys.exit(f"{python} did not run the scenarios:\n{ran.stdout}\n{ran.stderr}")
        found = row(name, report.read_text(encoding="utf-8"))
    if not found.is_good:
        print(ran.stdout, file=sys.stderr)
    return found


def main() -> None:
    """Measure each Python, and print the table."""
    parser = argparse.ArgumentParser(description=re.sub(r"\n\n    python.*?\n", "", __doc__ or ""))
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("-n", default="logical", help="how many of them run at a time; default: one for each core")
    options = parser.parse_args()
    print(HEADER)
    good = True
    for python in options.pythons:
        found = _measure(python, ["-n", options.n])
        print(found, flush=True)
        good &= found.is_good
    sys.exit(not good)


if __name__ == "__main__":
    main()
